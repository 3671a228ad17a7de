"""A caller that is confined to one project: another one does not exist for it."""

from collections.abc import Callable

import pytest
from support.builders import Bench, need_lease
from support.confined import Confined
from support.verbs import AGENT_VERBS, ORCHESTRATOR_VERBS
from support.waiters import SOON_S
from taskorch.domain import errors
from taskorch.domain.item import Lease, NewItem, State
from taskorch.domain.usage import ModelUsage

READS: dict[str, Callable[[Bench, str, str], object]] = {
    "show": lambda bench, item, _: bench.queue.views.show(item),
    "timeline": lambda bench, item, _: bench.queue.views.timeline(item),
    "standing": lambda bench, item, _: bench.queue.waits().standing(item),
    "notes": lambda bench, item, _: bench.agent().notes(item),
    "discoveries": lambda bench, item, _: bench.agent().discoveries(item),
    "project": lambda bench, _, project: bench.queue.views.progress(project),
    "list": lambda bench, _, project: bench.queue.views.list(project=project),
    "inbox": lambda bench, _, project: bench.queue.views.inbox(
        project=project
    ),
    "stuck": lambda bench, _, project: bench.queue.views.stuck(
        project=project
    ),
    "close": lambda bench, _, project: bench.queue.complete_project(project),
    "reopen": lambda bench, _, project: bench.queue.reopen_project(project),
}


@pytest.fixture
def own(bench: Bench) -> str:
    """Return the project that the caller is confined to."""
    return bench.queue.project("Own")


@pytest.fixture
def confined(bench: Bench, own: str) -> Bench:
    return bench.with_connection(lambda connection: Confined(connection, own))


@pytest.mark.parametrize("verb", AGENT_VERBS)
def test_agent_reaches_no_foreign_item(
    bench: Bench, confined: Bench, verb: str
) -> None:
    lease = bench.claimed()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        AGENT_VERBS[verb](confined.agent(), lease)

    assert bench.everything() == before


@pytest.mark.parametrize("verb", ORCHESTRATOR_VERBS)
def test_orchestrator_reaches_no_foreign_item(
    bench: Bench, confined: Bench, verb: str
) -> None:
    item, other = bench.item(), bench.item()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        ORCHESTRATOR_VERBS[verb](confined.queue, item, other)

    assert bench.everything() == before


@pytest.mark.parametrize("read", READS)
def test_reads_show_no_foreign_project(
    bench: Bench, confined: Bench, read: str
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which?")
    project = bench.queue.views.show(lease.item).item.project

    with pytest.raises(errors.NotFound):
        READS[read](confined, lease.item, project)


def test_lists_of_all_have_own_project_alone(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.claimed()
    bench.agent().discover(foreign, "Elsewhere")
    bench.agent().blocker(foreign, "Which?")
    item = bench.queue.create(own, NewItem(title="Mine", agent="ada"))
    lease = bench.agent().get(bench.lease_of(item)).lease
    assert lease
    bench.agent().discover(lease, "Here")
    bench.agent().blocker(lease, "What?")
    views = confined.queue.views

    assert [each.id for each in views.projects()] == [own]
    assert [each.id for each in views.list().items] == [item]
    assert [each.id for each in views.inbox()] == [item]
    assert [each.text for each in views.discoveries().discoveries] == ["Here"]
    found = confined.queue.new_discoveries().discoveries
    assert [each.text for each in found] == ["Here"]
    assert views.records([foreign.item]) == ()


def test_overview_has_own_project_alone(
    bench: Bench, confined: Bench, own: str
) -> None:
    bench.lease_in(State.BLOCKED)
    bench.lease_in(State.FAILED)
    bench.item(agent="")
    foreign = bench.claimed(agent="bob")
    mine = bench.claimed(bench.item(own, title="Mine"))
    bench.agent().blocker(mine, "What?")
    bench.item(own, agent="cleo", title="Queued")
    views = confined.queue.views

    needs, workload, news = views.needs(), views.workload(), views.news()

    assert [need.item.id for need in needs.rows] == [mine.item]
    assert (needs.count, needs.in_progress) == (1, 0)
    assert {line.name for line in workload.agents} == {"ada", "cleo"}
    assert workload.more == 0
    assert {line.event.project for line in news.lines} == {own}
    assert foreign.item not in repr((needs, workload, news))


def test_package_has_nothing_of_foreign_dependency(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.claimed(agent="bob")
    bench.agent("bob").discover(foreign, "Elsewhere", impact="All")
    near = bench.claimed(bench.item(own))
    bench.agent().discover(near, "Here")
    item = bench.queue.create(
        own,
        NewItem(
            title="Mine", agent="ada", depends_on=(foreign.item, near.item)
        ),
    )
    views = confined.queue.views

    shown = views.show(item)
    peeked = confined.agent().get(Lease(item=item), peek=True).package
    (record,) = views.records([item])

    for findings in (shown.findings, peeked.findings, record.findings):
        assert [each.text for each in findings.of_dependencies] == ["Here"]
    everything = repr((shown, peeked, record, views.timeline(item)))
    assert "Elsewhere" not in everything


def test_need_tells_foreign_dependency_by_id_alone(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.item(agent="bob", title="Secret")
    mine = bench.queue.create(
        own, NewItem(title="Mine", agent="ada", depends_on=(foreign,))
    )
    bench.queue.cancel(foreign)

    (need,) = confined.queue.views.needs().rows

    assert need.item.id == mine
    assert (need.dependency, need.dependency_state) == (foreign, "cancelled")
    assert (need.dependency_title, need.dependency_agent) == ("", "")


def test_usage_of_own_project_alone_is_seen(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.claimed()
    bench.agent().progress(foreign, "x", used=ModelUsage(cost_micros=9))
    mine = bench.claimed(bench.item(own))
    used = ModelUsage(cost_micros=2)
    bench.agent().progress(mine, "x", used=used)
    other = bench.queue.views.show(foreign.item).item.project
    owners = ["namespace", f"project:{own}", f"project:{other}", "agent:ada"]

    found = confined.queue.views.usage(owners)

    assert {owner: each.total for owner, each in found.items()} == {
        "namespace": used,
        f"project:{own}": used,
    }
    with pytest.raises(errors.NotAllowed):
        confined.queue.views.budgets("ada")


def test_claim_skips_items_of_foreign_projects(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = [bench.item() for _ in range(3)]
    item = bench.queue.create(own, NewItem(title="Mine", agent="ada"))

    checked = confined.agent().check()
    primed = confined.agent().prime()
    claims = confined.agent().claim_many(5)

    assert [each.id for each in checked.items] == [item]
    assert checked.count == 1
    assert [each.id for each in primed.queue] == [item]
    assert [claim.package.item.id for claim in claims] == [item]
    assert {bench.state(each) for each in foreign} == {"queued"}
    assert confined.agent().claim() is None


def test_confined_agent_leaves_wake_of_pool(
    bench: Bench, confined: Bench
) -> None:
    foreign = bench.pool_item("backend")

    claim = confined.agent("bob", pools=["backend"]).claim(wait_s=0.1)

    assert claim is None
    eve = bench.agent("eve", pools=["backend"])
    assert eve._scripts.wait_for_wake(SOON_S)
    assert need_lease(eve.claim()).item == foreign


def test_held_items_of_foreign_projects_are_hidden(
    bench: Bench, confined: Bench
) -> None:
    lease = bench.claimed()

    primed = confined.agent().prime([lease])

    assert primed.held == ()
    assert confined.agent().check().count == 0


def test_dependency_on_foreign_item_is_refused(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.item()
    item = bench.queue.create(own, NewItem(title="Mine"))
    dependent = NewItem(title="Next", depends_on=(foreign,))

    with pytest.raises(errors.NoItem):
        confined.queue.create(own, dependent)
    with pytest.raises(errors.NoItem):
        confined.queue.depend(item, [foreign])


def test_confined_caller_creates_items_in_its_project_only(
    bench: Bench, confined: Bench, own: str
) -> None:
    foreign = bench.project()

    item = confined.queue.create(own, NewItem(title="Mine"))

    assert bench.state(item) == "pending"
    with pytest.raises(errors.NoProject):
        confined.queue.create(foreign, NewItem(title="Theirs"))


def test_repeat_of_confined_call_acts_once(
    bench: Bench, confined: Bench, own: str
) -> None:
    for _ in range(2):
        bench.queue.create(own, NewItem(title="One", agent="ada"))

    first = confined.agent().claim()
    second = confined.agent().claim()

    assert first
    assert second
    assert first.package.item.id != second.package.item.id
