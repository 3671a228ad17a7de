"""A waiting claim blocks without polling, and wakes when an item is queued."""

from collections.abc import Sequence
from concurrent.futures import Future
from time import monotonic

import pytest
from support.builders import Bench, need_lease
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors
from taskorch.domain.item import Claim, Lease
from taskorch.queue.agent_queue import ClaimNotice
from taskorch.queue.port import Argument, Reply, Script

#: One script before the block and one after it. A server may end a block a millisecond
#: early, and then there is one more.
MOST_CALLS = 3


def claiming(
    waiters: Waiters, *, agent: str = "ada", wait_s: float = LONG_S
) -> "Future[tuple[Claim | None, float]]":
    """Start a waiting claim; its result is the claim and the time that it took."""

    def claim(bench: Bench) -> tuple[Claim | None, float]:
        started = monotonic()
        return bench.agent(agent).claim(wait_s=wait_s), monotonic() - started

    return waiters.start(claim)


def test_assignment_wakes_a_waiting_claim(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item(agent="")
    waiter = claiming(waiters)

    bench.queue.assign(item, "ada")

    claim, took_s = waiter.result(LONG_S)
    assert need_lease(claim).item == item
    assert took_s < SOON_S


@pytest.mark.parametrize(
    "how", ["create", "release", "requeue", "complete", "assign --force"]
)
def test_every_verb_that_queues_wakes_a_claim(
    bench: Bench, waiters: Waiters, how: str
) -> None:
    other = bench.item(agent="bob")
    lease = (
        bench.claimed(agent="bob")
        if how == "assign --force"
        else bench.claimed()
    )
    match how:
        case "requeue":
            bench.agent().complete(lease)
        case "complete":
            bench.agent().release(lease)
            bench.queue.depend(lease.item, [other])
    waiter = claiming(waiters)

    match how:
        case "create":
            bench.item()
        case "release":
            bench.agent().release(lease)
        case "requeue":
            bench.queue.requeue(lease.item)
        case "complete":
            bench.agent("bob").complete(Lease(item=other))
        case "assign --force":
            bench.queue.assign(lease.item, "ada", force=True)

    claim, took_s = waiter.result(LONG_S)
    assert need_lease(claim).token
    assert took_s < SOON_S


def test_waiting_claim_wakes_when_delay_ends(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item(delay_ms=300)
    waiter = claiming(waiters)

    claim, took_s = waiter.result(LONG_S)

    assert need_lease(claim).item == item
    assert took_s < SOON_S


def test_waiting_claim_wakes_after_a_later_delay(
    bench: Bench, waiters: Waiters
) -> None:
    waiter = claiming(waiters, wait_s=SOON_S)

    item = bench.item(delay_ms=50)

    claim, took_s = waiter.result(LONG_S)
    assert need_lease(claim).item == item
    assert took_s < SOON_S / 2


def test_waiter_that_times_out_passes_on_a_delay(
    bench: Bench, waiters: Waiters
) -> None:
    impatient = claiming(waiters, wait_s=0.2)
    patient = claiming(waiters, wait_s=SOON_S)

    # long enough for the end of the first wait
    item = bench.item(delay_ms=5000)

    claim, took_s = patient.result(LONG_S)
    assert impatient.result(LONG_S)[0] is None
    assert need_lease(claim).item == item
    assert took_s < SOON_S / 2


def test_waiting_claim_wakes_when_another_agent_promotes(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item(delay_ms=3_600_000)
    waiter = claiming(waiters)
    bench.end_delay(item)

    bench.agent("bob").check()

    claim, took_s = waiter.result(LONG_S)
    assert need_lease(claim).item == item
    assert took_s < SOON_S


def test_each_waiter_gets_one_item(bench: Bench, waiters: Waiters) -> None:
    project = bench.project()
    futures = [claiming(waiters) for _ in range(12)]

    items = [bench.item(project) for _ in range(12)]

    taken = [future.result(LONG_S) for future in futures]
    assert sorted(need_lease(claim).item for claim, _ in taken) == sorted(
        items
    )
    assert max(took_s for _, took_s in taken) < SOON_S
    assert bench.inconsistencies() == []


def test_step_that_queues_items_wakes_a_waiter_each(
    bench: Bench, waiters: Waiters
) -> None:
    first = bench.item(agent="bob")
    items = [bench.item(depends_on=(first,)) for _ in range(8)]
    futures = [claiming(waiters) for _ in items]

    bench.agent("bob").complete(Lease(item=first))

    taken = [future.result(LONG_S) for future in futures]
    assert sorted(need_lease(claim).item for claim, _ in taken) == sorted(
        items
    )
    assert max(took_s for _, took_s in taken) < SOON_S


def test_waiter_of_another_agent_gets_nothing(
    bench: Bench, waiters: Waiters
) -> None:
    bob = claiming(waiters, agent="bob", wait_s=0.2)
    ada = claiming(waiters)

    item = bench.item()

    assert need_lease(ada.result(LONG_S)[0]).item == item
    assert bob.result(LONG_S)[0] is None


def test_wait_that_times_out_returns_none(bench: Bench) -> None:
    started = monotonic()

    claim = bench.agent().claim(wait_s=0.2)

    assert claim is None
    assert 0.2 <= monotonic() - started < SOON_S


def test_claim_with_queued_item_does_not_wait(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item()

    claim = waiters.bench.agent().claim(wait_s=LONG_S)

    assert need_lease(claim).item == item
    assert waiters.connection.calls == 1


def test_stray_wake_token_does_not_end_a_wait(bench: Bench) -> None:
    bench.item()
    bench.agent().get(Lease(item=bench.agent().check().items[0].id))

    claim = bench.agent().claim(wait_s=0.2)

    assert claim is None


def test_waiting_claim_does_not_poll(bench: Bench, waiters: Waiters) -> None:
    bench.claimed(agent="bob")
    bench.item(agent="bob", delay_ms=3_600_000)

    claim = waiters.bench.agent().claim(wait_s=0.5)

    assert claim is None
    assert waiters.connection.calls <= MOST_CALLS


# Outages ----------------------------------------------------------------------------


def test_waiting_claim_survives_an_outage(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item(agent="")
    waits: list[float] = []
    outages: list[str] = []
    notice = ClaimNotice(
        wait=waits.append,
        outage=lambda failure: outages.append("failed" if failure else "back"),
    )

    def outage() -> None:
        waiters.connection.failures_left = 3
        bench.queue.assign(item, "ada")

    waiters.connection.before_block = outage

    (claim,) = waiters.bench.agent().claim_many(
        1, wait_s=LONG_S, notice=notice
    )

    assert need_lease(claim).item == item
    assert waiters.connection.failures_left == 0
    assert len(waits) == 1
    assert waits[0] > LONG_S - SOON_S
    assert outages == ["failed", "failed", "failed", "back"]


def test_first_look_of_a_claim_fails_immediately(
    bench: Bench, waiters: Waiters
) -> None:
    bench.item()
    waiters.connection.failures_left = 1

    with pytest.raises(errors.Unreachable):
        waiters.bench.agent().claim(wait_s=LONG_S)

    assert waiters.connection.calls == 1


def test_outage_longer_than_the_wait_is_error(
    waiters: Waiters,
) -> None:
    def outage() -> None:
        waiters.connection.failures_left = 1000

    waiters.connection.before_block = outage

    with pytest.raises(errors.Unreachable):
        waiters.bench.agent().claim(wait_s=0.3)


def test_claim_whose_reply_an_outage_lost_acts_once(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.item(agent="")
    connection = waiters.connection
    run_script = connection.run_script

    def lose_first_claim(
        script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        connection.run_script = run_script  # type: ignore[method-assign]
        run_script(script, key, arguments)
        raise errors.Unreachable(url="there", reason="the reply is lost")

    def queue_it() -> None:
        bench.queue.assign(item, "ada")
        connection.run_script = lose_first_claim  # type: ignore[method-assign]

    connection.before_block = queue_it

    claim = waiters.bench.agent().claim(wait_s=LONG_S)

    assert need_lease(claim).item == item
    assert bench.queue.views.show(item).item.attempts == 1
