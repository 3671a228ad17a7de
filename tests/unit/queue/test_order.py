"""The order of claims: by priority, then first in, first out."""

from support.builders import Bench, need_lease
from taskorch.domain.item import Lease, State


def claimed_in_turn(bench: Bench, agent: str = "ada") -> list[str]:
    """Claim all queued items of an agent, and return their ids in this order."""
    taken: list[str] = []
    while len(taken) < 100 and (claim := bench.agent(agent).claim()):
        taken.append(need_lease(claim).item)
    return taken


def test_most_urgent_item_is_claimed_first(bench: Bench) -> None:
    low, high, normal, lowest, highest = (
        bench.item(priority=priority) for priority in (3, 1, 2, 4, 0)
    )

    taken = claimed_in_turn(bench)

    assert taken == [highest, high, normal, low, lowest]


def test_default_priority_is_in_the_middle(bench: Bench) -> None:
    low, plain, high = (
        bench.item(priority=3),
        bench.item(),
        bench.item(priority=1),
    )

    taken = claimed_in_turn(bench)

    assert taken == [high, plain, low]


def test_items_of_one_priority_keep_their_order(
    bench: Bench,
) -> None:
    items = [bench.item() for _ in range(25)]

    taken = claimed_in_turn(bench)

    assert taken == items


def test_each_agent_has_its_own_queue(bench: Bench) -> None:
    ada, bob = bench.item(), bench.item(agent="bob")

    taken = claimed_in_turn(bench, "bob")

    assert taken == [bob]
    assert bench.state(ada) is State.QUEUED


def test_empty_queue_has_nothing_to_claim(bench: Bench) -> None:
    assert bench.agent().claim() is None


def test_released_item_returns_to_its_place(bench: Bench) -> None:
    first, second = bench.item(), bench.item()

    bench.agent().release(need_lease(bench.agent().claim()))

    assert claimed_in_turn(bench) == [first, second]


def test_retried_item_returns_to_its_place(bench: Bench) -> None:
    first, second = bench.item(), bench.item()
    bench.agent().fail(need_lease(bench.agent().claim()), "again")

    bench.end_delay(first)

    assert claimed_in_turn(bench) == [first, second]


def test_requeued_item_is_last_of_its_priority(bench: Bench) -> None:
    first, second, later = bench.item(), bench.item(), bench.item(priority=3)
    bench.queue.cancel(first)

    bench.queue.requeue(first)

    assert claimed_in_turn(bench) == [second, first, later]


def test_reassigned_item_is_last_of_the_new_queue(
    bench: Bench,
) -> None:
    moved, own = bench.item(), bench.item(agent="bob")

    bench.queue.assign(moved, "bob")

    assert claimed_in_turn(bench, "bob") == [own, moved]
    assert claimed_in_turn(bench) == []


def test_item_assigned_again_keeps_its_place(
    bench: Bench,
) -> None:
    first, second = bench.item(), bench.item()

    bench.queue.assign(first, "ada", context={"more": "words"})

    assert claimed_in_turn(bench) == [first, second]


def test_get_claims_an_item_out_of_turn(bench: Bench) -> None:
    first, second, third = (bench.item() for _ in range(3))

    bench.agent().get(Lease(item=second))

    assert claimed_in_turn(bench) == [first, third]


def test_check_shows_held_items_then_the_queue(bench: Bench) -> None:
    low, high, taken = (
        bench.item(priority=4),
        bench.item(priority=0),
        bench.item(),
    )
    bench.agent().get(Lease(item=taken))

    assignments = bench.agent().check()

    assert assignments.agent == "ada"
    assert [item.id for item in assignments.items] == [taken, high, low]
    assert (assignments.count, assignments.later) == (3, 0)


def test_check_shows_its_limit_and_counts_all(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(5)]
    for item in items[:2]:
        bench.claimed(item)
        bench.wait_for_next_ms()

    shown = {
        limit: [item.id for item in bench.agent().check(limit=limit).items]
        for limit in (1, 2, 3, 10)
    }

    assert shown == {1: items[:1], 2: items[:2], 3: items[:3], 10: items}
    assert bench.agent().check(limit=1).count == 5


def test_check_shows_twenty_items_by_default(bench: Bench) -> None:
    project = bench.project()
    for _ in range(21):
        bench.item(project)

    assignments = bench.agent().check()

    assert (len(assignments.items), assignments.count) == (20, 21)


def test_check_counts_items_that_are_not_ready(bench: Bench) -> None:
    bench.lease_in(State.WAITING)
    bench.lease_in(State.DELAYED)
    for over in (State.COMPLETED, State.FAILED, State.CANCELLED):
        bench.lease_in(over)

    assignments = bench.agent().check()

    assert (assignments.count, assignments.later, assignments.items) == (
        0,
        2,
        (),
    )


def test_check_shows_a_blocked_item_as_held(bench: Bench) -> None:
    lease = bench.lease_in(State.BLOCKED)

    assignments = bench.agent().check()

    assert [item.id for item in assignments.items] == [lease.item]
    assert assignments.count == 1
