"""The page that shows what is happening now: its view and its fragments."""

import re
from html.parser import HTMLParser

import pytest
from support.builders import Bench
from support.confined import Confined
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, NewItem, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue import keys
from taskorch.queue.overview import AgentWork, Workload
from taskorch.queue.stuck import SILENT_MS, UNSTARTED_MS
from taskorch_gateway.board import now
from taskorch_gateway.board.now import FRAGMENTS, NowView

pytestmark = pytest.mark.one_lane

HOSTILE = '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{{ 7 * 11111 }}'
#: The elements without an end tag.
VOID = {"input", "col", "br"}


class Balance(HTMLParser):
    """Reads HTML, and notes the elements that are not closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.wrong: list[str] = []
        self.names: set[str] = set()

    def handle_starttag(
        self, tag: str, attrs: list[tuple[str, str | None]]
    ) -> None:
        self.names.add(tag)
        self.wrong += [name for name, _ in attrs if name.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.wrong.append(tag)


def view_of(bench: Bench) -> NowView:
    return now.read(bench.queue.views)


def fragment_of(view: NowView, name: str, *, may_act: bool = True) -> str:
    values = {"may_act": may_act, "csrf": "c5rf", "key": "k3y"}
    html = now.fragment(name, view, values)
    balance = Balance()
    balance.feed(html)
    balance.close()
    assert balance.wrong == balance.open == []
    assert not balance.names & {"script", "img", "style"}
    return html


def version(name: str, view: NowView) -> str:
    return now.version_of(now.part_of(name, view))


def words_of(html: str) -> str:
    """Return the text of a fragment on one line."""
    return " ".join(re.sub(r"<[^>]*>", "", html).split())


def shown(bench: Bench, name: str, *, may_act: bool = True) -> str:
    return words_of(fragment_of(view_of(bench), name, may_act=may_act))


def test_empty_queue_has_an_empty_page(bench: Bench) -> None:
    view = view_of(bench)

    assert view.is_new
    assert "Nothing waits for you." in shown(bench, "needs-you")
    assert "No agent has called yet." in shown(bench, "agents")
    assert "No open project." in shown(bench, "projects")
    assert "Nothing has happened yet." in shown(bench, "events")
    assert "done per hour, peak 0" in shown(bench, "flow")


def test_views_of_unchanged_queue_are_equal(bench: Bench) -> None:
    bench.stay_in_one_hour()
    bench.lease_in(State.BLOCKED)
    bench.wait_for_next_ms()

    before = view_of(bench)
    bench.wait_for_next_ms()
    after = view_of(bench)

    for name, part in FRAGMENTS.items():
        assert getattr(before, part) == getattr(after, part)
        assert version(name, before) == version(name, after)


def test_report_changes_the_agents_and_news_alone(bench: Bench) -> None:
    bench.stay_in_one_hour()
    lease = bench.claimed()
    before = view_of(bench)

    bench.agent().progress(lease, "Half of it", percent=50)

    after = view_of(bench)
    changed = {
        name
        for name in FRAGMENTS
        if version(name, before) != version(name, after)
    }
    assert changed == {"agents", "events"}
    assert after.cursor != before.cursor


def test_question_has_a_form_to_answer_it(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    bench.agent().blocker(lease, "Which month?", needs="a month")

    html = fragment_of(view_of(bench), "needs-you")

    assert "Needs you 1oldest first" in words_of(html)
    assert (
        "Which month? Question from ada, needs: a month · Report · A project"
        in words_of(html)
    )
    assert f'action="/items/{lease.item}/answer"' in html
    assert f'formaction="/items/{lease.item}/assign"' in html
    assert 'placeholder="Answer"' in html
    assert html.count('value="c5rf"') == html.count("<form") == 1


def test_failed_item_can_be_requeued_or_cancelled(bench: Bench) -> None:
    failed = bench.lease_in(State.FAILED).item
    bench.item(agent="bob", depends_on=(failed,))

    html = fragment_of(view_of(bench), "needs-you")

    assert "hopeless Failed, no retry · attempt 1 of 3 · ada" in words_of(html)
    assert "Waits for a failed item: An item" in words_of(html)
    assert html.count(f'action="/items/{failed}/requeue"') == 2
    assert f'formaction="/items/{failed}/cancel"' in html
    assert "1 item waits for it" in html


def test_expired_item_is_named_so(bench: Bench) -> None:
    bench.expired_lease(State.FAILED)

    assert "Its lease expired Failed 1 of 1 attempts" in shown(
        bench, "needs-you"
    )


def test_unassigned_item_can_be_assigned(bench: Bench) -> None:
    item = bench.item(agent="", title="Free")

    html = fragment_of(view_of(bench), "needs-you")

    assert f'action="/items/{item}/assign"' in html
    assert "Free Unassigned · A project" in words_of(html)


def test_viewer_sees_no_form(bench: Bench) -> None:
    for state in (State.BLOCKED, State.FAILED, State.PENDING):
        bench.lease_in(state)

    html = fragment_of(view_of(bench), "needs-you", may_act=False)

    assert html.count("data-key") == 3
    assert "<form" not in html
    assert "<button" not in html


def test_rows_after_the_fifth_are_folded(bench: Bench) -> None:
    project = bench.project()
    bench.create_many(project, [NewItem(title="Free")] * 40)

    view = view_of(bench)
    html = fragment_of(view, "needs-you")

    assert (view.count, len(view.needs.shown)) == (40, 5)
    assert html.count("<li") == 25
    assert "35 more" in words_of(html)
    assert "15 more among the items that are blocked" in words_of(html)
    assert "40 need you" in shown(bench, "status")


def test_agents_show_three_facts(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    bench.agent().progress(lease, "Half of it", percent=50)

    html = fragment_of(view_of(bench), "agents")

    assert "“Half of it”" in html
    assert 'value="50" max="100" aria-label="Report"' in html
    assert html.count('data-form="ago"') == 2
    assert html.count('data-form="left"') == 1
    assert "SILENT" not in html
    assert "1 working" in shown(bench, "status")


def test_holder_is_silent_past_the_threshold(bench: Bench) -> None:
    lease = bench.claimed()
    view, workload = view_of(bench), bench.queue.views.workload()

    (row,) = now.agents_part(workload, view.now + SILENT_MS).rows
    (early,) = view.agents.rows

    assert (early.is_silent, row.is_silent) == (False, True)
    assert row.item.id == lease.item
    assert view.due == early.silent_from
    late = replace(view, agents=replace(view.agents, rows=(row,)))
    assert "SILENT" in fragment_of(late, "agents")
    assert version("agents", late) != version("agents", view)


def test_expired_lease_is_marked(bench: Bench) -> None:
    bench.expire_lease(bench.claimed().item)

    assert "EXPIRED" in shown(bench, "agents")
    assert "1 stuck" in shown(bench, "status")


def test_assigned_and_not_started_stands_among_agents(bench: Bench) -> None:
    bench.item(agent="newcomer", title="First")
    bench.item(agent="newcomer", title="Second")
    view = view_of(bench)

    late = now.agents_part(
        bench.queue.views.workload(), view.now + UNSTARTED_MS
    )

    words = words_of(fragment_of(view, "agents"))
    assert "newcomer never called" in words
    assert "not started · 1 more queued" in words
    assert [row.is_unstarted for row in late.rows] == [True]
    assert view.due == view.agents.rows[0].unstarted_from


def test_blocked_agent_waits_for_the_reader(bench: Bench) -> None:
    bench.lease_in(State.BLOCKED)

    words = shown(bench, "agents")

    assert "asks: Which one?" in words
    assert "waits for you no lease runs" in words


def test_agents_are_ordered_by_name_and_number(bench: Bench) -> None:
    names = ("tester-10", "tester-2", "analyst")
    for name in names:
        bench.claimed(agent=name)

    rows = view_of(bench).agents.rows

    assert [row.name for row in rows] == ["analyst", "tester-2", "tester-10"]


def test_idle_agents_are_folded(bench: Bench) -> None:
    bench.completed_item()
    bench.item(agent="ada")

    words = shown(bench, "agents")

    assert words.startswith("Agents Agents 2Item")
    assert "1 idle bob, " in words


def test_fifteen_rows_are_dense(bench: Bench) -> None:
    names = [f"agent-{number}" for number in range(15)]
    for name in names[1:]:
        bench.item(agent=name)
    before = fragment_of(view_of(bench), "agents")

    bench.item(agent=names[0])

    assert 'class="dense"' not in before
    assert 'class="dense"' in fragment_of(view_of(bench), "agents")


def test_thousands_of_agents_are_bounded(bench: Bench) -> None:
    (line,) = _lines_of(bench)
    many = tuple(replace(line, name=f"agent-{n}") for n in range(3_000))

    part = now.agents_part(Workload(agents=many, more=2_000), 1)

    view = replace(view_of(bench), agents=part)
    html = fragment_of(view, "agents")
    assert (len(part.rows), part.left_out) == (100, 2_900)
    assert "Agents 5000" in words_of(html)
    assert "2900 more items have no row" in words_of(html)
    assert "2000 more agents were not looked at." in words_of(html)
    assert len(html) < 150_000


def _lines_of(bench: Bench) -> tuple[AgentWork, ...]:
    bench.claimed()
    return bench.queue.views.workload().agents


def test_projects_have_ticks_by_state(bench: Bench) -> None:
    project = bench.project()
    bench.item(project)
    bench.item(project, agent="")
    bench.agent().complete(Lease(item=bench.item(project)), "done")

    html = fragment_of(view_of(bench), "projects")

    assert "A project1 of 3" in words_of(html)
    assert 'aria-label="1 completed, 1 queued, 1 unassigned"' in html


def test_flow_counts_this_hour(bench: Bench) -> None:
    bench.stay_in_one_hour()
    bench.completed_item()
    bench.item()

    view = view_of(bench)
    words = words_of(fragment_of(view, "flow"))

    assert (len(view.flow.bars), view.flow.bars[-1].done) == (24, 1)
    assert view.status.done_today == 1
    assert "peak 1" in words
    assert "Ready1 item Oldest" in words
    assert "Wait p501 s p901 s" in words


def test_confined_token_reads_no_figures(bench: Bench) -> None:
    bench.completed_item()

    view = now.read(bench.queue.views, has_figures=False)

    assert (view.flow.bars, view.status.done_today) == ((), None)
    assert "done" not in words_of(fragment_of(view, "status"))
    fragment_of(view, "flow")


def test_news_tell_what_has_happened(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    me = bench.agent()
    me.progress(lease, "Half of it", percent=50)
    me.discover(lease, "It rains")
    me.complete(lease, "All of it")

    words = shown(bench, "events")

    for sentence in (
        "ada completed Report: “All of it”",
        "ada discovered “It rains” on Report",
        "ada at 50% of Report, “Half of it”",
        "ada claimed Report",
        "Report was created for ada",
        "Project A project was opened",
    ):
        assert sentence in words


def test_items_of_a_plan_are_one_row(bench: Bench) -> None:
    bench.create_many(bench.project(), [NewItem(title="Free")] * 12)

    assert "12 items were created in A project" in shown(bench, "events")


def test_every_event_has_a_sentence(bench: Bench) -> None:
    bench.lease_in(State.CANCELLED)
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which?")
    bench.agent().withdraw(lease)
    bench.queue.comment(lease.item, "Look")
    bench.agent().comment(lease, "Nearly there")
    bench.agent().release(lease, reason="tired")
    bench.queue.assign(lease.item, "bob")
    bench.queue.depend(lease.item, [bench.item()])
    failed = bench.lease_in(State.FAILED).item
    bench.queue.requeue(failed, reason="again")
    bench.expired_lease(State.DELAYED)

    rows = now._news_part(bench.queue.views.news(limit=100).lines).rows
    view = view_of(bench)
    for row in (*rows, *view.news.rows):
        part = replace(view, news=replace(view.news, rows=(row,)))
        words = words_of(fragment_of(part, "events"))
        assert f"{row.line.event.verb}:" not in words


@pytest.mark.parametrize("text", [HOSTILE, "\u200b", "ä" * 500, "a\n\nb"])
def test_hostile_texts_stay_texts(bench: Bench, text: str) -> None:
    project = bench.queue.project(text)
    bench.queue.create(project, NewItem(title=text))
    for end in ("fail", "block", "hold"):
        item = bench.item(project, title=text, agent=end)
        lease, me = bench.claimed(item, agent=end), bench.agent(end)
        me.progress(lease, text, percent=10)
        me.discover(lease, text)
        if end == "fail":
            me.fail(lease, text, retry=False)
        if end == "block":
            me.blocker(lease, text, needs=text)
    view = view_of(bench)

    for name in FRAGMENTS:
        html = fragment_of(view, name)
        assert "\u202e" not in html
        assert "77777" not in words_of(html) or "{{" not in text
        assert not re.search(r"<a [^>]*></a>", html)


def test_damaged_items_are_left_out_of_page(bench: Bench) -> None:
    bad = bench.lease_in(State.BLOCKED).item
    gone = bench.lease_in(State.FAILED).item
    good = bench.lease_in(State.FAILED).item
    tag = keys.tag(bench.namespace)
    bench.raw.hset(f"{tag}item:{bad}", "token", "x")
    bench.delete_item(gone)

    view = view_of(bench)

    assert [need.item.id for need in view.needs.shown] == [good]
    for name in FRAGMENTS:
        fragment_of(view, name)


def test_status_has_cost_of_today_and_budget(bench: Bench) -> None:
    bench.stay_in_one_day()
    used = ModelUsage(cost_micros=3_200_000)
    bench.agent().progress(bench.claimed(), "half", used=used)
    without = shown(bench, "status")
    bench.queue.set_budget("namespace", period="day", limit_micros=20_000_000)
    bench.queue.set_budget("ada", period="total", limit_micros=0)

    html = fragment_of(view_of(bench), "status")

    assert "$3.20 today" in without
    assert "$3.20 of $20.00 today" in words_of(html)
    assert "1 over budget" in words_of(html)
    assert "agent ada" in html
    assert html.count('href="/costs"') == 2


def test_pools_are_hidden_without_any(bench: Bench) -> None:
    bench.item()

    html = fragment_of(view_of(bench), "pools")

    assert html.split(">")[0].endswith('<section id="pools" hidden')
    assert words_of(html) == ""


def test_pool_shows_its_items_and_agents(bench: Bench) -> None:
    bench.pool_item("backend", title="First")
    bench.pool_item("backend", title="Second")
    bench.pool_item("backend", depends_on=(bench.item(),))
    for number in range(8):
        bench.agent(f"agent-{number}", pools=["backend"]).check()

    html = fragment_of(view_of(bench), "pools")

    assert 'href="/items?q=pool:backend"' in html
    words = words_of(html)
    assert "backend First 2 ready, oldest" in words
    assert "1 waits for others" in words
    assert "agent-2 and 5 more" in words


def test_pool_without_agents_says_so(bench: Bench) -> None:
    bench.pool_item("backend")
    bench.agent("bob", pools=["idle"]).check()

    words = shown(bench, "pools")

    assert "no agent takes them" in words
    assert "idle nothing is ready 0 ready Agents: bob" in words


def test_further_pools_are_left_out(bench: Bench) -> None:
    for number in range(25):
        bench.pool_item(f"pool-{number}")

    view = view_of(bench)

    assert (len(view.pools.rows), view.pools.has_more) == (20, True)
    assert "More pools have no row" in words_of(fragment_of(view, "pools"))


def test_agents_and_projects_show_costs(bench: Bench) -> None:
    bench.stay_in_one_day()
    used = ModelUsage(cost_micros=3_200_000)
    lease = bench.claimed()
    bench.claimed(agent="bob")
    project = bench.queue.views.show(lease.item).item.project
    before = fragment_of(view_of(bench), "agents")
    bench.agent().progress(lease, "half", used=used)
    bench.queue.set_budget("ada", period="day", limit_micros=5_000_000)
    bench.queue.set_budget(project, period="total", limit_micros=3_000_000)

    view = view_of(bench)
    agents, projects = (
        fragment_of(view, name) for name in ("agents", "projects")
    )

    assert "Cost today" not in before
    assert "$3.20 of $5.00 today $3.20 in all" in words_of(agents)
    assert 'href="/costs?of=ada"' in agents
    assert "OVER BUDGET" not in agents
    words = words_of(projects)
    assert "$3.20 of $3.00 in all · $3.20 today OVER BUDGET" in words
    assert f'href="/costs?of={project}"' in projects


def test_agent_over_budget_is_marked_once(bench: Bench) -> None:
    bench.claimed()
    bench.claimed()
    bench.queue.set_budget("ada", period="total", limit_tokens=0)

    words = shown(bench, "agents")

    assert words.count("OVER BUDGET") == 1
    assert "0 of 0 tokens in all" in words


def test_confined_person_requeues_no_foreign_dependency(bench: Bench) -> None:
    project, foreign = bench.queue.project("Own"), bench.item(title="Secret")
    bench.queue.create(
        project, NewItem(title="Mine", agent="ada", depends_on=(foreign,))
    )
    bench.queue.cancel(foreign)
    confined = bench.with_connection(
        lambda connection: Confined(connection, project)
    )

    seen, all_of_it = (
        fragment_of(now.read(each.queue.views, has_figures=False), "needs-you")
        for each in (confined, bench)
    )

    assert f"Waits for a cancelled item: {foreign}" in words_of(seen)
    assert "Requeue" not in seen
    assert "Cancel the item" in seen
    assert "Waits for a cancelled item: Secret" in words_of(all_of_it)
    assert "Requeue that item" in all_of_it


def test_confined_token_reads_costs_of_its_project(bench: Bench) -> None:
    bench.stay_in_one_day()
    lease = bench.claimed()
    used = ModelUsage(cost_micros=3_200_000)
    bench.agent().progress(lease, "half", used=used)
    project = bench.queue.views.show(lease.item).item.project

    confined = bench.with_connection(
        lambda connection: Confined(connection, project)
    )
    view = now.read(confined.queue.views, has_figures=False)

    assert "$3.20 today" in words_of(fragment_of(view, "status"))
    assert "$3.20 in all" in words_of(fragment_of(view, "projects"))
    assert not view.agents.has_costs
