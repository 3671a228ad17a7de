"""Dependencies: an item is queued by the step that completes the last one."""

from collections.abc import Sequence

import pytest
from support.builders import Bench, need_lease
from support.named_calls import Noted
from taskorch.domain import errors
from taskorch.domain.item import Claim, HeldDependent, Lease, NewItem, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.render import tables
from taskorch_worker.render import items as worker_render


class CutOff(ConnectionWrapper):
    """A connection that breaks after its first call."""

    calls = 0

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.calls += 1
        if self.calls > 1:
            raise errors.Unreachable(url="redis://x", reason="cut off")
        return super().run_script(script, key, arguments)


class CompletedMeanwhile(ConnectionWrapper):
    """A connection that lets the agent complete the item after the first call."""

    def __init__(
        self, connection: Connection, bench: Bench, item: str
    ) -> None:
        super().__init__(connection)
        self._bench, self._item = bench, item

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = super().run_script(script, key, arguments)
        if self._bench.state(self._item) is State.QUEUED:
            finish(self._bench, self._item)
        return reply


def finish(bench: Bench, item: str) -> None:
    bench.agent().complete(Lease(item=item), f"summary of {item}")


def events_of(bench: Bench, item: str) -> list[str]:
    return [event["verb"] for event in bench.events() if event["item"] == item]


def test_item_with_open_dependency_waits(bench: Bench) -> None:
    first = bench.item()

    second = bench.item(agent="bob", depends_on=(first,))

    assert bench.state(second) is State.WAITING
    assert bench.agent("bob").claim() is None
    assert bench.agent("bob").check().later == 1
    assert bench.inconsistencies() == []


def test_completion_queues_dependent_in_same_step(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))

    finish(bench, first)

    assert bench.state(second) is State.QUEUED
    assert events_of(bench, second) == ["create", "ready"]
    assert need_lease(bench.agent("bob").claim()).item == second
    assert bench.inconsistencies() == []


def test_item_waits_for_last_of_several_dependencies(bench: Bench) -> None:
    dependencies = [bench.item() for _ in range(3)]
    item = bench.item(agent="bob", depends_on=tuple(dependencies))
    states = []

    for dependency in dependencies:
        finish(bench, dependency)
        states.append(bench.state(item))

    assert states == [State.WAITING, State.WAITING, State.QUEUED]
    assert bench.inconsistencies() == []


def test_diamond_is_queued_from_top_to_bottom(bench: Bench) -> None:
    top = bench.item()
    left, right = bench.item(depends_on=(top,)), bench.item(depends_on=(top,))
    bottom = bench.item(depends_on=(left, right))

    finish(bench, top)
    after_top = [bench.state(item) for item in (left, right, bottom)]
    finish(bench, right)
    after_right = bench.state(bottom)
    finish(bench, left)

    assert after_top == [State.QUEUED, State.QUEUED, State.WAITING]
    assert after_right is State.WAITING
    assert bench.state(bottom) is State.QUEUED
    assert events_of(bench, bottom) == ["create", "ready"]
    assert bench.inconsistencies() == []


def test_dependency_named_twice_counts_once(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(depends_on=(first, first))

    finish(bench, first)

    view = bench.queue.views.show(second).item
    assert (view.state, view.depends_on) == (State.QUEUED, (first,))


def test_dependency_in_another_project_is_waited_for(bench: Bench) -> None:
    first = bench.item(bench.project())
    second = bench.item(bench.project(), depends_on=(first,))
    before = bench.state(second)

    finish(bench, first)

    assert (before, bench.state(second)) == (State.WAITING, State.QUEUED)


def test_completed_dependency_is_not_waited_for(bench: Bench) -> None:
    done = bench.lease_in(State.COMPLETED).item

    item = bench.item(agent="bob", depends_on=(done,))

    view = bench.queue.views.show(item).item
    assert (view.state, view.depends_on) == (State.QUEUED, (done,))


def test_depend_on_completed_item_keeps_item_queued(bench: Bench) -> None:
    done, item = bench.lease_in(State.COMPLETED).item, bench.item()

    state = bench.queue.depend(item, [done])

    assert state is State.QUEUED
    assert bench.queue.views.show(item).item.depends_on == (done,)
    assert need_lease(bench.agent().claim()).item == item


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_dead_dependency_keeps_item_waiting(
    bench: Bench, state: State
) -> None:
    first = bench.item()
    earlier = bench.item(agent="bob", depends_on=(first,))

    bench.bring_to(first, state)
    later = bench.item(agent="bob", depends_on=(first,))

    assert [bench.state(earlier), bench.state(later)] == [
        State.WAITING,
        State.WAITING,
    ]


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_requeued_dependency_is_waited_for_until_completed(
    bench: Bench, state: State
) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.bring_to(first, state)

    bench.queue.requeue(first)
    before = bench.state(second)
    finish(bench, first)

    assert (before, bench.state(second)) == (State.WAITING, State.QUEUED)
    assert bench.inconsistencies() == []


def test_queued_dependent_waits_again_after_requeue(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    finish(bench, first)

    done = bench.queue.requeue(first)
    before, claim = bench.state(second), bench.agent("bob").claim()
    finish(bench, first)

    assert (done.state, done.waiting, done.held) == (State.QUEUED, 1, ())
    assert (before, claim, bench.state(second)) == (
        State.WAITING,
        None,
        State.QUEUED,
    )
    assert events_of(bench, second) == ["create", "ready", "wait", "ready"]
    assert bench.inconsistencies() == []


def test_pending_dependent_waits_once_assigned_after_requeue(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="", depends_on=(first,))
    finish(bench, first)

    done = bench.queue.requeue(first)
    state = bench.queue.assign(second, "bob").state

    assert (done.waiting, state) == (0, State.WAITING)
    assert audit(bench.queue, fix=False).findings == ()


def test_delayed_dependent_waits_again_and_keeps_its_time(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,), delay_ms=3_600_000)
    finish(bench, first)

    bench.queue.requeue(first)
    before = bench.state(second)
    finish(bench, first)

    assert (before, bench.state(second)) == (State.WAITING, State.DELAYED)


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_held_dependent_is_reported_and_stays_held(
    bench: Bench, state: State
) -> None:
    first = bench.item(agent="bob")
    second = bench.item(depends_on=(first,))
    bench.agent("bob").complete(Lease(item=first), "done")
    lease = bench.bring_to(second, state)

    done = bench.queue.requeue(first)

    assert done.held == (HeldDependent(id=second, agent="ada"),)
    assert bench.agent().complete(lease, "done").state is State.COMPLETED
    assert audit(bench.queue, fix=False).findings == ()


@pytest.mark.parametrize("end", ["release", "fail", "expire"])
def test_held_dependent_waits_once_released(bench: Bench, end: str) -> None:
    first = bench.item(agent="bob")
    second = bench.item(depends_on=(first,))
    bench.agent("bob").complete(Lease(item=first), "done")
    lease = bench.claimed(second)
    bench.queue.requeue(first)

    match end:
        case "release":
            bench.agent().release(lease)
        case "fail":
            bench.agent().fail(lease, "no luck")
        case "expire":
            bench.expire_lease(second)
            bench.queue.reap()

    assert bench.state(second) is State.WAITING
    assert audit(bench.queue, fix=False).findings == ()


def test_holder_may_complete_after_dependency_is_requeued(
    bench: Bench,
) -> None:
    first = bench.item(agent="bob")
    second = bench.item(depends_on=(first,))
    bench.agent("bob").complete(Lease(item=first), "done")
    lease = bench.claimed(second)
    bench.expire_lease(second)
    bench.queue.reap()

    bench.queue.requeue(first)
    waiting = bench.state(second)

    assert waiting is State.WAITING
    assert (
        bench.agent().complete(lease, "done after all").state
        is State.COMPLETED
    )


def test_completed_dependent_waits_once_requeued(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    finish(bench, first)
    bench.agent("bob").complete(Lease(item=second), "done")

    done = bench.queue.requeue(first)
    untouched = bench.state(second)

    assert (done.waiting, done.held, untouched) == (0, (), State.COMPLETED)
    assert bench.queue.requeue(second).state is State.WAITING


def test_item_created_after_completion_also_waits_again(bench: Bench) -> None:
    first = bench.lease_in(State.COMPLETED).item
    created = bench.item(agent="bob", depends_on=(first,))
    added = bench.item(agent="bob")
    bench.queue.depend(added, [first])

    done = bench.queue.requeue(first)

    assert (done.waiting, bench.state(created), bench.state(added)) == (
        2,
        State.WAITING,
        State.WAITING,
    )


def test_requeue_handles_many_dependents_in_several_calls(
    bench: Bench,
) -> None:
    first = bench.item()
    new = NewItem(title="x", agent="bob", depends_on=(first,))
    project = bench.project()
    items = bench.create_many(project, [new] * 120)
    finish(bench, first)
    seen: list[str] = []

    done = bench.with_connection(
        lambda connection: Noted(connection, seen)
    ).queue.requeue(first)

    assert seen == ["requeue"] * 6
    assert (done.waiting, bench.agent("bob").claim()) == (120, None)
    assert bench.queue.views.progress(project).project.counts[
        State.WAITING
    ] == len(items)


def test_interrupted_requeue_is_finished_by_the_next(bench: Bench) -> None:
    first = bench.item()
    project = bench.project()
    bench.create_many(
        project, [NewItem(title="x", agent="bob", depends_on=(first,))] * 100
    )
    finish(bench, first)
    with pytest.raises(errors.Unreachable):
        bench.with_connection(CutOff).queue.requeue(first)
    before = bench.queue.views.progress(project, limit=1).project.counts[
        State.QUEUED
    ]

    done = bench.queue.requeue(first)

    assert (before, done.state, done.waiting) == (80, State.QUEUED, 80)
    assert audit(bench.queue, fix=False).findings == ()


def test_requeue_leaves_dependents_completed_during_it(
    bench: Bench,
) -> None:
    first = bench.item()
    bench.create_many(
        bench.project(),
        [NewItem(title="x", agent="bob", depends_on=(first,))] * 100,
    )
    finish(bench, first)

    bench.with_connection(
        lambda connection: CompletedMeanwhile(connection, bench, first)
    ).queue.requeue(first)

    assert bench.state(first) is State.COMPLETED
    assert audit(bench.queue, fix=False).findings == ()


def test_cancel_counts_only_waiting_dependents(bench: Bench) -> None:
    first = bench.item()
    delivered, waits = (
        bench.item(agent="bob", depends_on=(first,)) for _ in range(2)
    )
    finish(bench, first)
    bench.agent("bob").complete(Lease(item=delivered), "done")
    bench.queue.requeue(first)

    waiting = bench.queue.cancel(first).waiting

    assert (waiting, bench.state(waits)) == (1, State.WAITING)


def test_cycle_through_completed_item_is_refused(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(depends_on=(first,))
    finish(bench, first)
    finish(bench, second)
    bench.queue.requeue(first)
    before = bench.everything()

    with pytest.raises(errors.Cycle):
        bench.queue.depend(first, [second])

    assert bench.everything() == before


def test_item_cancelled_while_waiting_stays_cancelled(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.queue.cancel(second)

    finish(bench, first)
    cancelled = bench.state(second)
    requeued = bench.queue.requeue(second).state

    assert (cancelled, requeued) == (State.CANCELLED, State.QUEUED)
    assert bench.inconsistencies() == []


def test_item_requeued_before_its_dependency_waits_again(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.queue.cancel(second)

    state = bench.queue.requeue(second).state

    assert state is State.WAITING
    assert bench.inconsistencies() == []


def test_pending_item_waits_once_assigned(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="", depends_on=(first,))
    before = bench.state(second)

    assignment = bench.queue.assign(second, "bob")

    assert (before, assignment.state) == (State.PENDING, State.WAITING)
    assert bench.inconsistencies() == []


def test_pending_item_with_completed_dependency_is_queued(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="", depends_on=(first,))
    finish(bench, first)
    before = bench.state(second)

    assignment = bench.queue.assign(second, "bob")

    assert (before, assignment.state) == (State.PENDING, State.QUEUED)
    assert bench.inconsistencies() == []


def test_item_is_delayed_if_dependencies_complete_early(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,), delay_ms=3_600_000)
    before = bench.state(second)

    finish(bench, first)
    after = bench.state(second)
    bench.end_delay(second)

    assert (before, after) == (State.WAITING, State.DELAYED)
    assert need_lease(bench.agent("bob").claim()).item == second
    assert bench.inconsistencies() == []


def test_item_is_queued_if_dependencies_complete_late(
    bench: Bench,
) -> None:
    first = bench.item()
    second = bench.item(
        agent="bob", depends_on=(first,), not_before_at=bench.now_ms() - 1
    )

    finish(bench, first)

    assert bench.state(second) is State.QUEUED


def test_item_cannot_depend_on_itself(bench: Bench) -> None:
    item = bench.item()
    before = bench.everything()

    with pytest.raises(errors.Cycle):
        bench.queue.depend(item, [item])

    assert bench.everything() == before


@pytest.mark.parametrize("length", [2, 3, 10])
def test_cycle_is_refused(bench: Bench, length: int) -> None:
    chain = [bench.item()]
    for _ in range(length - 1):
        chain.append(bench.item(depends_on=(chain[-1],)))
    before = bench.everything()

    with pytest.raises(errors.Cycle) as refusal:
        bench.queue.depend(chain[0], [chain[-1]])

    assert (
        str(refusal.value)
        == f"{chain[0]} cannot depend on {chain[-1]}: {chain[-1]} depends on {chain[0]}."
    )
    assert bench.everything() == before


def test_cycle_among_new_dependencies_changes_nothing(bench: Bench) -> None:
    first, harmless = bench.item(), bench.item()
    second = bench.item(depends_on=(first,))
    before = bench.everything()

    with pytest.raises(errors.Cycle):
        bench.queue.depend(first, [harmless, second])

    assert bench.everything() == before


def test_unknown_dependency_is_refused_at_creation(bench: Bench) -> None:
    project = bench.project()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        bench.item(project, depends_on=("item_00000000",))

    assert bench.everything() == before


def test_unknown_dependency_is_refused_by_depend(bench: Bench) -> None:
    known, item = bench.item(), bench.item()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        bench.queue.depend(item, [known, "item_00000000"])

    assert bench.everything() == before


def test_depend_adds_to_existing_dependencies(bench: Bench) -> None:
    first, second = bench.item(), bench.item()
    item = bench.item(agent="bob", depends_on=(first,))

    bench.queue.depend(item, [second, first])
    finish(bench, first)
    before = bench.state(item)
    finish(bench, second)

    assert bench.queue.views.show(item).item.depends_on == (first, second)
    assert (before, bench.state(item)) == (State.WAITING, State.QUEUED)


def test_item_has_at_most_1000_dependencies(bench: Bench) -> None:
    project = bench.project()
    others = [
        made.id
        for made in bench.create_many(project, [NewItem(title="x")] * 1001)
    ]
    item = bench.item(project, agent="bob", depends_on=tuple(others[:125]))
    for first in range(125, 1000, 125):
        bench.queue.depend(item, others[first : first + 125])
    before = bench.everything()

    with pytest.raises(errors.TooMany):
        bench.queue.depend(item, others[1000:])

    assert bench.everything() == before
    assert len(bench.queue.views.show(item).item.depends_on) == 1000


def test_package_has_first_50_of_many_dependencies(bench: Bench) -> None:
    others = [
        made.id
        for made in bench.create_many(
            bench.project(), [NewItem(title="x")] * 100
        )
    ]
    item = bench.item(depends_on=tuple(others))

    package = bench.queue.views.show(item)

    assert (len(package.item.depends_on), len(package.dependencies)) == (
        100,
        50,
    )
    assert package.left_out.dependencies == 50
    assert "… and 50 more" in worker_render.claim(
        Claim(package=package, lease=None)
    )
    assert "… and 50 more" in tables.item(
        bench.queue.views.timeline(package.item.id)
    )


def test_cancel_returns_number_of_waiting_items(bench: Bench) -> None:
    needed = bench.item()
    bench.item(depends_on=(needed,))
    bench.item(depends_on=(needed,))

    cancelled = bench.queue.cancel(needed)

    assert cancelled == bench.queue.cancel(needed)
    assert cancelled.waiting == 2
