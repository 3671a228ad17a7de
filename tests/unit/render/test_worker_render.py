"""The history of an item as `worker get` prints it."""

from collections.abc import Callable

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import Lease
from taskorch_worker.render import items


def requeue(bench: Bench, lease: Lease) -> None:
    bench.agent().fail(lease, "gave up", retry=False)
    bench.queue.requeue(lease.item)


def expire(bench: Bench, lease: Lease) -> None:
    bench.expire_lease(lease.item)
    bench.queue.reap()
    bench.end_delay(lease.item)


ENDS: dict[str, Callable[[Bench, Lease], object]] = {
    "release": lambda bench, lease: bench.agent().release(
        lease, reason="not my field"
    ),
    "requeue": requeue,
    "forced assignment": lambda bench, lease: bench.queue.assign(
        lease.item, "ada", force=True
    ),
    "expired lease": expire,
}


@pytest.mark.parametrize("end", ENDS)
def test_next_attempt_sees_last_reports(bench: Bench, end: str) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "half done, see the branch")
    ENDS[end](bench, lease)

    screen = items.claim(
        bench.agent(session="next").get(Lease(item=lease.item))
    )

    assert "Earlier attempt:" in screen
    assert "progress by ada: half done, see the branch" in screen


def test_own_reports_are_no_earlier_attempt(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "mine")

    screen = items.claim(bench.agent().get(lease))

    assert "Earlier attempt" not in screen


def test_holder_sees_reason_of_cancellation(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.cancel(lease.item, reason="changed my mind")

    with pytest.raises(
        errors.Cancelled, match="was cancelled: changed my mind"
    ):
        bench.agent().progress(lease, "still at it")


def test_reason_ends_with_one_full_stop(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.complete_project(
        bench.queue.views.show(lease.item).item.project, force=True
    )

    with pytest.raises(
        errors.Cancelled, match=r"was cancelled: The project was completed\.$"
    ):
        bench.agent().progress(lease, "still at it")
