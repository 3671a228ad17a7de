"""A step that settles an item claims the next one of the agent's queue."""

from collections.abc import Callable
from typing import cast

import pytest
from support.builders import Bench, need_lease
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import Lease, SettledReceipt, State
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Reply


def complete(me: AgentQueue, lease: Lease) -> SettledReceipt:
    return me.complete(lease, "done", next=True)


def fail(me: AgentQueue, lease: Lease) -> SettledReceipt:
    return me.fail(lease, "no luck", next=True)


Settle = Callable[[AgentQueue, Lease], SettledReceipt]
SETTLES: dict[Settle, State] = {complete: State.COMPLETED, fail: State.DELAYED}


@pytest.mark.parametrize("settle", SETTLES)
def test_settling_step_claims_next_item(bench: Bench, settle: Settle) -> None:
    lease = bench.claimed()
    waiting = bench.item()

    receipt = settle(bench.agent(), lease)

    assert receipt.next
    claimed = need_lease(receipt.next)
    assert bench.state(lease.item) is SETTLES[settle]
    assert receipt.next.package.item.id == waiting
    assert bench.state(waiting) is State.IN_PROGRESS
    assert bench.agent().complete(claimed, "done too").state is State.COMPLETED
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("settle", SETTLES)
def test_settling_without_ready_item_claims_nothing(
    bench: Bench, settle: Settle
) -> None:
    lease = bench.claimed()
    others = bench.item(agent="bob")

    receipt = settle(bench.agent(), lease)

    assert receipt.next is None
    assert receipt.state is SETTLES[settle]
    assert bench.state(others) is State.QUEUED


def test_completed_dependency_is_next(bench: Bench) -> None:
    lease = bench.claimed()
    dependent = bench.item(depends_on=(lease.item,))

    receipt = bench.agent().complete(lease, "done", next=True)

    assert receipt.next
    assert receipt.next.package.item.id == dependent


@pytest.mark.parametrize("settle", SETTLES)
def test_refused_step_claims_nothing(bench: Bench, settle: Settle) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item)
    waiting = bench.item()

    with pytest.raises(errors.Cancelled):
        settle(bench.agent(), lease)

    assert bench.state(waiting) is State.QUEUED


def test_next_claim_has_its_own_lease_duration(bench: Bench) -> None:
    lease = bench.claimed()
    bench.item()

    receipt = bench.agent().complete(lease, "done", next=True, lease_ms=60_000)

    assert receipt.next
    item = receipt.next.package.item
    assert item.holder
    assert item.lease_expires_at - item.holder.since == 60_000


def test_step_without_next_claims_nothing(bench: Bench) -> None:
    lease = bench.claimed()
    waiting = bench.item()

    receipt = bench.agent().complete(lease, "done")

    assert receipt.next is None
    assert bench.state(waiting) is State.QUEUED


@pytest.mark.parametrize("settle", SETTLES)
def test_settling_and_claiming_is_one_call(
    bench: Bench, settle: Settle
) -> None:
    lease = bench.claimed()
    bench.item()
    recorded = bench.with_connection(RecordingConnection)

    receipt = settle(recorded.agent(), lease)

    connection = recorded.queue._scripts.connection
    assert receipt.next
    assert isinstance(connection, RecordingConnection)
    assert len(connection.calls) == 1


@pytest.mark.parametrize("settle", SETTLES)
def test_repeated_request_returns_same_claim(
    bench: Bench, settle: Settle
) -> None:
    lease = bench.claimed()
    bench.item()
    third = bench.item()
    recorded = bench.with_connection(RecordingConnection)
    settle(recorded.agent(), lease)
    connection = recorded.queue._scripts.connection
    assert isinstance(connection, RecordingConnection)

    first, again = connection.repeat(0)

    assert again.reply == first.reply
    assert bench.state(third) is State.QUEUED
    assert bench.inconsistencies() == []


def test_repeated_request_returns_no_lost_claim(bench: Bench) -> None:
    lease = bench.claimed()
    bench.item()
    recorded = bench.with_connection(RecordingConnection)
    receipt = complete(recorded.agent(), lease)
    connection = recorded.queue._scripts.connection
    assert isinstance(connection, RecordingConnection)
    assert receipt.next
    bench.agent().release(need_lease(receipt.next))

    _, again = connection.repeat(0)

    _, claims, _ = cast("list[list[list[Reply]]]", again.reply)
    assert claims == []


def test_repeat_of_delivery_claims_next_item(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "done")
    waiting = bench.item()

    receipt = bench.agent().complete(lease, "done", next=True)

    assert receipt.remark == "repeat"
    assert receipt.next
    assert receipt.next.package.item.id == waiting


def test_settling_reaps_before_it_claims(bench: Bench) -> None:
    lease = bench.claimed()
    expired = bench.claimed(bench.item(priority=0), session="second")
    bench.expire_lease(expired.item)

    receipt = bench.agent().complete(lease, "done", next=True)

    assert receipt.next is None
    assert bench.state(expired.item) is State.DELAYED


def test_claim_leaves_wake_token_for_other_waiters(bench: Bench) -> None:
    lease = bench.claimed()
    bench.item()
    left = bench.item()

    bench.agent().complete(lease, "done", next=True)

    claim = bench.agent(session="second").claim(wait_s=60)
    assert claim
    assert claim.package.item.id == left
