"""An item waits until the last of its open dependencies completes; the completing script queues it."""

import pytest
from builders import Bench, held
from taskorch import errors
from taskorch.item import Lease, State


def finish(bench: Bench, item: str) -> None:
    bench.agent().complete(Lease(item=item), f"summary of {item}")


def events_of(bench: Bench, item: str) -> list[str]:
    return [event["verb"] for event in bench.events() if event["item"] == item]


def test_an_item_with_an_open_dependency_waits(bench: Bench) -> None:
    first = bench.item()

    second = bench.item(agent="bob", depends_on=(first,))

    assert bench.state(second) is State.WAITING
    assert bench.agent("bob").claim() is None
    assert bench.agent("bob").check().later == 1
    assert bench.inconsistencies() == []


def test_the_completion_of_the_dependency_queues_the_item_in_the_same_step(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))

    finish(bench, first)

    assert bench.state(second) is State.QUEUED
    assert events_of(bench, second) == ["create", "ready"]
    assert held(bench.agent("bob").claim()).item == second
    assert bench.inconsistencies() == []


def test_an_item_waits_for_the_last_of_several_dependencies(bench: Bench) -> None:
    dependencies = [bench.item() for _ in range(3)]
    item = bench.item(agent="bob", depends_on=tuple(dependencies))
    states = []

    for dependency in dependencies:
        finish(bench, dependency)
        states.append(bench.state(item))

    assert states == [State.WAITING, State.WAITING, State.QUEUED]
    assert bench.inconsistencies() == []


def test_a_diamond_is_queued_from_the_top_to_the_bottom(bench: Bench) -> None:
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


def test_a_dependency_named_twice_counts_once(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(depends_on=(first, first))

    finish(bench, first)

    view = bench.queue.views.show(second).item
    assert (view.state, view.depends_on) == (State.QUEUED, (first,))


def test_a_dependency_of_another_project_is_waited_for(bench: Bench) -> None:
    first = bench.item(bench.project())
    second = bench.item(bench.project(), depends_on=(first,))
    before = bench.state(second)

    finish(bench, first)

    assert (before, bench.state(second)) == (State.WAITING, State.QUEUED)


def test_a_completed_dependency_is_not_waited_for(bench: Bench) -> None:
    done = bench.standing(State.COMPLETED).item

    item = bench.item(agent="bob", depends_on=(done,))

    view = bench.queue.views.show(item).item
    assert (view.state, view.depends_on) == (State.QUEUED, (done,))


def test_depend_on_a_completed_item_keeps_an_item_queued(bench: Bench) -> None:
    done, item = bench.standing(State.COMPLETED).item, bench.item()

    state = bench.queue.depend(item, [done])

    assert state is State.QUEUED
    assert bench.queue.views.show(item).item.depends_on == (done,)
    assert held(bench.agent().claim()).item == item


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_a_dependency_that_will_not_complete_keeps_the_item_waiting(bench: Bench, state: State) -> None:
    first = bench.item()
    earlier = bench.item(agent="bob", depends_on=(first,))

    bench.brought(first, state)
    later = bench.item(agent="bob", depends_on=(first,))

    assert [bench.state(earlier), bench.state(later)] == [State.WAITING, State.WAITING]


@pytest.mark.parametrize("state", [State.CANCELLED, State.FAILED])
def test_a_requeued_dependency_is_waited_for_until_it_completes(bench: Bench, state: State) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.brought(first, state)

    bench.queue.requeue(first)
    before = bench.state(second)
    finish(bench, first)

    assert (before, bench.state(second)) == (State.WAITING, State.QUEUED)
    assert bench.inconsistencies() == []


def test_an_item_that_was_queued_stays_so_when_its_dependency_is_done_again(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    finish(bench, first)

    bench.queue.requeue(first)
    finish(bench, first)

    assert bench.state(second) is State.QUEUED
    assert events_of(bench, second) == ["create", "ready"]
    assert bench.inconsistencies() == []


def test_an_item_that_is_cancelled_while_it_waits_stays_cancelled(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.queue.cancel(second)

    finish(bench, first)
    cancelled = bench.state(second)
    requeued = bench.queue.requeue(second)

    assert (cancelled, requeued) == (State.CANCELLED, State.QUEUED)
    assert bench.inconsistencies() == []


def test_an_item_that_is_requeued_before_its_dependency_completes_waits_again(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,))
    bench.queue.cancel(second)

    state = bench.queue.requeue(second)

    assert state is State.WAITING
    assert bench.inconsistencies() == []


def test_a_pending_item_waits_once_it_is_assigned(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="", depends_on=(first,))
    before = bench.state(second)

    assignment = bench.queue.assign(second, "bob")

    assert (before, assignment.state) == (State.PENDING, State.WAITING)
    assert bench.inconsistencies() == []


def test_a_pending_item_whose_dependency_completed_is_queued_once_it_is_assigned(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="", depends_on=(first,))
    finish(bench, first)
    before = bench.state(second)

    assignment = bench.queue.assign(second, "bob")

    assert (before, assignment.state) == (State.PENDING, State.QUEUED)
    assert bench.inconsistencies() == []


def test_an_item_is_delayed_when_its_dependencies_complete_before_its_time(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,), delay_ms=3_600_000)
    before = bench.state(second)

    finish(bench, first)
    after = bench.state(second)
    bench.let_delay_pass(second)

    assert (before, after) == (State.WAITING, State.DELAYED)
    assert held(bench.agent("bob").claim()).item == second
    assert bench.inconsistencies() == []


def test_an_item_is_queued_when_its_dependencies_complete_after_its_time(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(agent="bob", depends_on=(first,), not_before_at=bench.now_ms() - 1)

    finish(bench, first)

    assert bench.state(second) is State.QUEUED


def test_an_item_cannot_depend_on_itself(bench: Bench) -> None:
    item = bench.item()
    before = bench.everything()

    with pytest.raises(errors.Cycle):
        bench.queue.depend(item, [item])

    assert bench.everything() == before


@pytest.mark.parametrize("length", [2, 3, 10])
def test_a_cycle_is_refused(bench: Bench, length: int) -> None:
    chain = [bench.item()]
    for _ in range(length - 1):
        chain.append(bench.item(depends_on=(chain[-1],)))
    before = bench.everything()

    with pytest.raises(errors.Cycle) as refusal:
        bench.queue.depend(chain[0], [chain[-1]])

    assert str(refusal.value) == f"{chain[0]} cannot depend on {chain[-1]}: that one depends on it."
    assert bench.everything() == before


def test_a_cycle_among_several_new_dependencies_changes_nothing(bench: Bench) -> None:
    first, harmless = bench.item(), bench.item()
    second = bench.item(depends_on=(first,))
    before = bench.everything()

    with pytest.raises(errors.Cycle):
        bench.queue.depend(first, [harmless, second])

    assert bench.everything() == before


def test_an_unknown_dependency_is_refused_at_creation(bench: Bench) -> None:
    project = bench.project()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        bench.item(project, depends_on=("item_00000000",))

    assert bench.everything() == before


def test_an_unknown_dependency_is_refused_later_too(bench: Bench) -> None:
    known, item = bench.item(), bench.item()
    before = bench.everything()

    with pytest.raises(errors.NoItem):
        bench.queue.depend(item, [known, "item_00000000"])

    assert bench.everything() == before


def test_depend_adds_to_the_dependencies_there_are(bench: Bench) -> None:
    first, second = bench.item(), bench.item()
    item = bench.item(agent="bob", depends_on=(first,))

    bench.queue.depend(item, [second, first])
    finish(bench, first)
    before = bench.state(item)
    finish(bench, second)

    assert bench.queue.views.show(item).item.depends_on == (first, second)
    assert (before, bench.state(item)) == (State.WAITING, State.QUEUED)


def test_an_item_has_at_most_200_dependencies(bench: Bench) -> None:
    project = bench.project()
    others = [bench.item(project) for _ in range(201)]
    item = bench.item(project, agent="bob", depends_on=tuple(others[:199]))
    bench.queue.depend(item, others[199:200])
    before = bench.everything()

    with pytest.raises(errors.TooMany):
        bench.queue.depend(item, others[200:])

    assert bench.everything() == before
    assert len(bench.queue.views.show(item).item.depends_on) == 200


def test_a_cancel_says_how_many_items_wait_for_it(bench: Bench) -> None:
    needed = bench.item()
    bench.item(depends_on=(needed,))
    bench.item(depends_on=(needed,))

    waiting = bench.queue.cancel(needed)

    assert waiting == bench.queue.cancel(needed) == 2
