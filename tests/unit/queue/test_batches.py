"""Steps with many items: assign and complete all or none, claim what is queued."""

from collections.abc import Sequence
from typing import cast

import pytest
from support.builders import Bench
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import ItemEdit, Lease, State
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)


class OneCall(ConnectionWrapper):
    """A connection to a server that is unreachable after one call."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._is_over = False

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        if self._is_over:
            raise errors.Unavailable(url="redis://gone", reason="no answer")
        self._is_over = True
        return super().run_script(script, key, arguments)


def claimed_many(bench: Bench, count: int) -> list[Lease]:
    claims = bench.agent().claim_many(count)
    return [claim.lease for claim in claims if claim.lease]


def test_claim_many_returns_first_items_with_packages(
    bench: Bench,
) -> None:
    home = bench.project()
    last, first = (
        bench.item(home, title="Last", priority=3),
        bench.item(home, title="First", priority=0),
    )
    second = bench.item(home, title="Second", priority=1)

    claims = bench.agent().claim_many(2)

    assert [claim.package.item.id for claim in claims] == [first, second]
    assert [claim.package.item.title for claim in claims] == [
        "First",
        "Second",
    ]
    assert [claim.package.item.state for claim in claims] == [
        State.IN_PROGRESS
    ] * 2
    assert bench.state(last) is State.QUEUED
    assert bench.inconsistencies() == []


def test_claim_many_returns_fewer_if_queue_is_short(bench: Bench) -> None:
    items = [bench.item(), bench.item()]

    leases = claimed_many(bench, 100)

    assert [lease.item for lease in leases] == items
    assert bench.agent().claim_many(100) == ()
    assert bench.inconsistencies() == []


def test_claim_many_gives_each_item_a_lease(bench: Bench) -> None:
    bench.item()
    bench.item()

    one, other = claimed_many(bench, 2)
    bench.agent().complete(one, "done")

    assert bench.agent().renew(other).state is State.IN_PROGRESS


def test_claim_many_skips_inconsistent_queue_entries(
    bench: Bench,
) -> None:
    first, wrong = bench.item(), bench.item()
    second = bench.item()
    bench.add_queue_entry(bench.claimed(wrong).item)

    leases = claimed_many(bench, 2)

    assert [lease.item for lease in leases] == [first, second]


def test_claim_wakes_next_waiter_if_items_remain(bench: Bench) -> None:
    for _ in range(3):
        bench.item()
    for _ in range(2):
        assert bench.agent()._scripts.wait_for_wake(0.1)

    claimed_many(bench, 2)

    assert bench.agent()._scripts.wait_for_wake(0.1)


def test_complete_many_is_one_step(bench: Bench) -> None:
    items = [bench.item(), bench.item()]
    dependent = bench.item(depends_on=tuple(items))
    one, other = claimed_many(bench, 2)

    receipts = bench.agent().complete_many(
        [(one, "first", {"file": "a.txt"}), (other, "second", {})]
    )

    assert [
        (receipt.id, receipt.state, receipt.remark) for receipt in receipts
    ] == [
        (one.item, State.COMPLETED, ""),
        (other.item, State.COMPLETED, ""),
    ]
    views = [bench.queue.views.show(item).item for item in items]
    assert [(view.summary, view.deliverables) for view in views] == [
        ("first", {"file": "a.txt"}),
        ("second", {}),
    ]
    assert bench.state(dependent) is State.QUEUED
    assert bench.inconsistencies() == []


def test_refused_delivery_refuses_all_and_is_named(bench: Bench) -> None:
    bench.item()
    bench.item()
    one, lost = claimed_many(bench, 2)
    bench.agent().release(lost)
    before = bench.everything()

    with pytest.raises(errors.LeaseLost) as refusal:
        bench.agent().complete_many([(one, "done", {}), (lost, "done", {})])

    assert refusal.value.details["item"] == lost.item
    assert bench.everything() == before


def test_repeated_delivery_does_not_stop_the_others(bench: Bench) -> None:
    bench.item()
    bench.item()
    one, other = claimed_many(bench, 2)
    bench.agent().complete(one, "first")

    receipts = bench.agent().complete_many(
        [(one, "first", {}), (other, "done", {})]
    )

    assert [receipt.remark for receipt in receipts] == ["repeat", ""]
    assert bench.queue.views.show(one.item).item.summary == "first"
    assert bench.inconsistencies() == []


def test_second_delivery_in_batch_refuses_all(bench: Bench) -> None:
    bench.item()
    bench.item()
    one, other = claimed_many(bench, 2)
    bench.agent().complete(one, "first")

    with pytest.raises(errors.AlreadyCompleted) as refusal:
        bench.agent().complete_many([(other, "done", {}), (one, "again", {})])

    assert refusal.value.details["item"] == one.item
    assert bench.state(other.item) is State.IN_PROGRESS


def test_complete_many_claims_queued_items(bench: Bench) -> None:
    items = [bench.item(), bench.item()]

    receipts = bench.agent().complete_many(
        [(Lease(item=item), "done", {}) for item in items]
    )

    assert [receipt.remark for receipt in receipts] == ["claimed", "claimed"]
    assert bench.inconsistencies() == []


def test_assign_many_keeps_the_order(bench: Bench) -> None:
    first, second = bench.item(agent=""), bench.item(agent="bob")

    rows = bench.queue.assign_many(
        [second, first], "ada", context={"style": "plain"}
    )

    assert [(row.id, row.agent, row.state, row.previous) for row in rows] == [
        (second, "ada", State.QUEUED, "bob"),
        (first, "ada", State.QUEUED, ""),
    ]
    assert [lease.item for lease in claimed_many(bench, 2)] == [second, first]
    assert bench.queue.views.show(first).item.context == {"style": "plain"}
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    ("state", "refused"),
    [(State.IN_PROGRESS, errors.Held), (State.FAILED, errors.WrongState)],
)
def test_refused_assignment_refuses_all_and_is_named(
    bench: Bench, state: State, refused: type[errors.TaskOrchestratorError]
) -> None:
    free, wrong = bench.item(agent=""), bench.lease_in(state).item
    before = bench.everything()

    with pytest.raises(refused) as refusal:
        bench.queue.assign_many([free, wrong], "bob")

    assert refusal.value.details["item"] == wrong
    assert bench.everything() == before


def test_unknown_item_refuses_all(bench: Bench) -> None:
    free = bench.item(agent="")
    before = bench.everything()

    with pytest.raises(errors.NoItem) as refusal:
        bench.queue.assign_many([free, "item_0"], "bob")

    assert refusal.value.details["item"] == "item_0"
    assert bench.everything() == before


def test_item_given_twice_is_refused(bench: Bench) -> None:
    lease = bench.claimed()
    before = bench.everything()

    with pytest.raises(errors.TooMany, match=lease.item):
        bench.agent().complete_many([(lease, "done", {}), (lease, "done", {})])
    with pytest.raises(errors.TooMany, match=lease.item):
        bench.queue.assign_many([lease.item, lease.item], "bob", force=True)

    assert bench.everything() == before


@pytest.mark.parametrize("count", [0, 17])
def test_batch_step_takes_1_to_16_items(bench: Bench, count: int) -> None:
    lease = Lease(item="item_0")

    with pytest.raises(errors.Invalid, match="1 to 16 in a call"):
        bench.agent().complete_many([(lease, "", {})] * count)
    with pytest.raises(errors.Invalid, match="1 to 16 in a call"):
        bench.queue.assign_many(["item_0"] * count, "ada")
    with pytest.raises(errors.Invalid, match="1 to 16 in a call"):
        bench.queue.edit(["item_0"] * count, ItemEdit(priority=0))


def test_batch_steps_accept_16_items(bench: Bench) -> None:
    items = [bench.item() for _ in range(16)]

    assigned = bench.queue.assign_many(items, "ada", context={"a": "b"})
    edited = bench.queue.edit(items, ItemEdit(priority=0))
    leases = claimed_many(bench, 16)
    receipts = bench.agent().complete_many([(one, "", {}) for one in leases])

    assert [row.id for row in assigned] == items
    assert [row.id for row in edited] == items
    assert [receipt.id for receipt in receipts] == items
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("count", [0, 101])
def test_claim_many_takes_1_to_100_items(bench: Bench, count: int) -> None:
    with pytest.raises(errors.Invalid, match="1 to 100"):
        bench.agent().claim_many(count)


def test_claim_many_takes_several_steps_of_16(bench: Bench) -> None:
    items = [bench.item() for _ in range(51)]
    recorder = RecordingConnection(bench.queue._scripts.connection)
    agent = bench.with_connection(lambda _: recorder).agent()

    claims = agent.claim_many(50)

    asked = [call.words[-1] for call in recorder.calls]
    assert asked == [16, 16, 16, 2]
    assert [claim.package.item.id for claim in claims] == items[:50]
    assert bench.state(items[50]) is State.QUEUED


def test_short_queue_ends_claim_of_many(bench: Bench) -> None:
    items = [bench.item() for _ in range(17)]
    recorder = RecordingConnection(bench.queue._scripts.connection)
    agent = bench.with_connection(lambda _: recorder).agent()

    claims = agent.claim_many(100)

    asked = [call.words[-1] for call in recorder.calls]
    assert asked == [16, 16]
    assert [claim.package.item.id for claim in claims] == items


def test_outage_between_steps_keeps_claimed_items(bench: Bench) -> None:
    items = [bench.item() for _ in range(30)]

    claims = bench.with_connection(OneCall).agent().claim_many(30)

    assert [claim.package.item.id for claim in claims] == items[:16]
    assert all(claim.lease for claim in claims)


def test_repeated_claim_many_returns_items_still_held(
    bench: Bench,
) -> None:
    bench.item()
    bench.item()
    recorder = RecordingConnection(bench.queue._scripts.connection)
    one, other = [
        claim.lease
        for claim in bench.with_connection(lambda _: recorder)
        .agent()
        .claim_many(2)
    ]
    assert one
    assert other
    bench.agent().complete(one, "done")

    first, again = recorder.repeat(0)

    _, living = cast("list[list[str]]", first.kept())
    assert again.kept() == [living]
    assert bench.agent().renew(other).token == other.token
