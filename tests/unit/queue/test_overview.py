"""What a person sees at once: what needs a person, the agents, and the news."""

from collections import Counter

import pytest
from support.builders import Bench, need_lease
from taskorch.domain.item import NewItem, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue import keys, overview
from taskorch.queue.overview import (
    DEAD_DEPENDENCY,
    FAILED,
    QUESTION,
    UNASSIGNED,
    AgentWork,
)

LONG = "ä" * 5_000


def agent_named(bench: Bench, name: str) -> AgentWork:
    (line,) = (
        line
        for line in bench.queue.views.workload().agents
        if line.name == name
    )
    return line


def test_needs_are_listed_oldest_first(bench: Bench) -> None:
    asked = bench.lease_in(State.BLOCKED).item
    bench.wait_for_next_ms()
    failed = bench.lease_in(State.FAILED).item
    bench.wait_for_next_ms()
    unassigned = bench.item(agent="")

    needs = bench.queue.views.needs()

    assert [(need.item.id, need.why) for need in needs.rows] == [
        (asked, QUESTION),
        (failed, FAILED),
        (unassigned, UNASSIGNED),
    ]
    assert needs.count == 3


def test_question_comes_with_what_would_answer_it(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    bench.agent().blocker(lease, "Which month?", needs="a month")
    bench.agent().blocker(lease, "Which year?")

    (need,) = bench.queue.views.needs().rows

    assert (need.text, need.needs, need.asker) == (
        "Which month?",
        "a month",
        "ada",
    )
    assert (need.question, need.open) == (1, 2)
    assert need.item.title == "Report"
    assert need.item.project_title == "A project"


def test_failed_item_comes_with_its_reason(bench: Bench) -> None:
    failed = bench.lease_in(State.FAILED).item
    bench.wait_for_next_ms()
    bench.item(agent="bob", depends_on=(failed,))

    (need, waits) = bench.queue.views.needs().rows

    assert (need.why, need.text, need.kind) == (FAILED, "hopeless", "fail")
    assert (need.attempts, need.max_attempts, need.waiting) == (1, 3, 1)
    assert waits.why == DEAD_DEPENDENCY


def test_item_behind_cancelled_one_needs_person(
    bench: Bench,
) -> None:
    first = bench.item(title="First")
    second = bench.item(agent="bob", depends_on=(first,))
    bench.queue.cancel(first)

    (need,) = bench.queue.views.needs().rows

    assert (need.item.id, need.why) == (second, DEAD_DEPENDENCY)
    assert (need.dependency, need.dependency_title) == (first, "First")
    assert need.dependency_state == "cancelled"


def test_item_with_question_and_failure_is_listed_once(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which one?")
    bench.agent().progress(lease, "I guess")
    bench.agent().fail(lease, "wrong guess", retry=False)

    needs = bench.queue.views.needs()

    assert [need.why for need in needs.rows] == [QUESTION]
    assert needs.rows[0].item.state is State.FAILED


def test_needs_count_those_without_a_row(bench: Bench) -> None:
    project = bench.project()
    bench.create_many(project, [NewItem(title="Free")] * 30)

    needs = bench.queue.views.needs(limit=5)

    assert (len(needs.rows), needs.count) == (5, 30)


def test_needs_of_many_calls_have_every_kind(bench: Bench) -> None:
    project = bench.project()
    dead = bench.item(project=project)
    waits = NewItem(title="Waits", agent="ada", depends_on=[dead])
    bench.create_many(project, [waits] * 150)
    bench.create_many(project, [NewItem(title="Free")] * 100)
    bench.queue.cancel(dead)

    needs = bench.queue.views.needs(limit=90)

    reasons = Counter(need.why for need in needs.rows)
    assert reasons == {DEAD_DEPENDENCY: 90, UNASSIGNED: 90}
    assert len({need.item.id for need in needs.rows}) == 180


def test_long_texts_are_cut_between_characters(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="ä" * 500))
    bench.agent().blocker(lease, LONG, needs=LONG)

    (need,) = bench.queue.views.needs().rows

    for text in (need.text, need.needs, need.item.title):
        assert text.endswith("ä…")
        assert len(text.encode()) <= 210


def test_agent_line_has_what_it_holds(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    bench.agent().progress(lease, "Half of it", percent=50)
    bench.item(title="Next")

    line = agent_named(bench, "ada")

    (held,) = line.held
    assert (held.item.title, held.text, held.percent) == (
        "Report",
        "Half of it",
        50,
    )
    assert held.kind == "progress"
    assert held.reported_at >= held.since > 0
    assert held.expires_at - held.lease_ms == held.last_step_at
    assert (line.held_count, line.queued_count) == (1, 1)
    assert (line.first, line.queued_since > 0) == (None, True)


def test_blocked_item_has_no_lease_in_its_line(bench: Bench) -> None:
    bench.lease_in(State.BLOCKED)

    (held,) = agent_named(bench, "ada").held

    assert held.expires_at == held.last_step_at == 0
    assert held.asked_at > 0
    assert (held.kind, held.text) == ("blocker", "Which one?")


def test_report_of_earlier_attempt_is_not_shown(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "First attempt")
    bench.agent().release(lease)
    need_lease(bench.agent().claim())

    (held,) = agent_named(bench, "ada").held

    assert (held.reported_at, held.text) == (0, "")


def test_agent_that_never_called_has_its_queue(bench: Bench) -> None:
    bench.item(agent="newcomer", title="Waits")

    line = agent_named(bench, "newcomer")

    assert (line.last_seen_at, line.held) == (0, ())
    assert line.first
    assert (line.first.title, line.queued_count) == ("Waits", 1)
    assert 0 < line.queued_since <= bench.now_ms()


def test_workload_of_many_agents_is_bounded(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bench.project()
    names = [f"agent-{number}" for number in range(900)]
    bench.create_many(
        project, [NewItem(title="It", agent=name) for name in names]
    )
    monkeypatch.setattr(overview, "AGENT_CALLS", 2)
    monkeypatch.setattr(overview, "LAST_AGENTS", 50)

    workload = bench.queue.views.workload()

    assert 0 < len(workload.agents) < 900
    assert len(workload.agents) + workload.more == 900


def test_workload_has_every_agent_in_pages(bench: Bench) -> None:
    project = bench.project()
    names = {f"agent-{number}" for number in range(250)}
    bench.create_many(
        project, [NewItem(title="It", agent=name) for name in names]
    )

    workload = bench.queue.views.workload()

    assert {line.name for line in workload.agents} == names
    assert workload.more == 0


def test_news_have_texts_of_events(bench: Bench) -> None:
    lease = bench.claimed(bench.item(title="Report"))
    me = bench.agent()
    me.progress(lease, "Half of it", percent=50)
    me.discover(lease, "It rains")
    me.blocker(lease, "Which month?")
    bench.queue.answer(lease.item, "May")
    me.complete(lease, "All of it")

    lines = bench.queue.views.news().lines

    assert [
        (line.event.verb, line.text, line.percent)
        for line in lines
        if line.event.item
    ] == [
        ("complete", "All of it", None),
        ("answer", "May", None),
        ("blocker", "Which month?", None),
        ("discover", "It rains", None),
        ("progress", "Half of it", 50),
        ("claim", "", None),
        ("create", "", None),
    ]
    assert {line.title for line in lines if line.event.item} == {"Report"}
    assert {line.project_title for line in lines} == {"A project"}


def test_news_of_purged_project_have_no_title(bench: Bench) -> None:
    item = bench.completed_item()
    project = bench.queue.views.show(item).item.project
    bench.queue.complete_project(project)
    bench.queue.purge(project)

    lines = bench.queue.views.news().lines

    assert lines[0].event.verb == "purge"
    assert {line.title for line in lines} == {""}


def test_news_know_the_newest_event(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().renew(lease)

    news = bench.queue.views.news(limit=1)

    assert news.newest == bench.queue.waits().newest_cursor()
    assert [line.event.verb for line in news.lines] == ["claim"]


def test_empty_namespace_has_an_empty_overview(bench: Bench) -> None:
    views = bench.queue.views

    assert views.needs().rows == views.workload().agents == ()
    assert views.needs().count == views.workload().more == 0
    assert views.news().lines == ()
    assert views.news().newest == "0-0"


def test_damaged_records_are_left_out_of_overview(bench: Bench) -> None:
    good, bad = bench.claimed(agent="ada"), bench.claimed(agent="bob")
    tag = keys.tag(bench.namespace)
    bench.raw.hset(f"{tag}item:{bad.item}", "percent", "many")
    bench.raw.zadd(f"{tag}agents", {"no name": 5})

    workload = bench.queue.views.workload()

    held = [each.item.id for line in workload.agents for each in line.held]
    assert held == [good.item]
    assert {line.name for line in workload.agents} == {"ada", "bob"}
    assert set(bench.queue.damage) == {
        ("item", bad.item),
        ("agent", "no name"),
    }


def test_row_tells_how_often_item_was_requeued(bench: Bench) -> None:
    failed = bench.lease_in(State.FAILED).item
    waits = bench.item(agent="bob", depends_on=(failed,))
    bench.queue.requeue(failed)
    bench.agent().fail(bench.claimed(failed), "again", retry=False)

    rows = {need.item.id: need for need in bench.queue.views.needs().rows}

    assert rows[failed].item.generation == 1
    assert rows[waits].item.generation == 0
    assert rows[waits].dependency_generation == 1
    assert rows[waits].dependency_agent == "ada"


def test_usage_of_owners_has_titles(bench: Bench) -> None:
    bench.stay_in_one_day()
    lease = bench.claimed()
    used = ModelUsage(tokens_in=5, cost_micros=7)
    bench.agent().progress(lease, "half", used=used)
    project = bench.queue.views.show(lease.item).item.project
    owners = ["namespace", f"project:{project}", "agent:ada", "agent:bob"]

    found = bench.queue.views.usage(owners)

    assert [*found] == owners
    assert [each.title for each in found.values()] == ["", "A project", "", ""]
    totals = [each.total for each in found.values()]
    assert totals == [used, used, used, ModelUsage()]
    assert found["agent:ada"].today == used


def test_usage_of_many_owners_is_read(bench: Bench) -> None:
    owners = [f"agent:agent-{number}" for number in range(450)]

    assert len(bench.queue.views.usage(owners)) == len(owners)


def test_damaged_usage_is_nothing(bench: Bench) -> None:
    sums = f"{keys.tag(bench.namespace)}usage"
    bench.raw.set(sums, "x")

    found = bench.queue.views.usage(["namespace"])
    bench.raw.delete(sums)

    assert found["namespace"].total == ModelUsage()
