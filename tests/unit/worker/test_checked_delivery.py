"""When a lease is renewed while the acceptance checks of its item run."""

import pytest
from support.builders import Bench, need_lease
from taskorch.config.settings import resolve
from taskorch.domain import errors
from taskorch.domain.acceptance import RunCheck
from taskorch.domain.item import Delivery, Lease
from taskorch_worker.checked_delivery import RequiredChecks, required_by

CHECK = RunCheck(run=("make", "test"))


def refused(bench: Bench, lease: Lease) -> RequiredChecks:
    """Return what a refused completion asks for."""
    with pytest.raises(errors.Unchecked) as refusal:
        bench.agent().deliver(lease, Delivery(summary="Done"))
    return required_by(
        refusal.value, lease, resolve({}, {"HOME": "/nowhere"}, "/nowhere")
    )


@pytest.mark.parametrize(
    ("lease_ms", "interval_s"), [(12_000, 4.0), (30, 0.1), (3_600_000, 5.0)]
)
def test_interval_is_a_third_of_the_lease(
    bench: Bench, lease_ms: int, interval_s: float
) -> None:
    bench.item(checks=(CHECK,), lease_ms=lease_ms)
    lease = need_lease(bench.agent().claim())

    times = refused(bench, lease)

    assert times.interval_s == interval_s
    assert times.first_s <= lease_ms / 3000


def test_interval_is_that_of_the_claim(bench: Bench) -> None:
    bench.item(checks=(CHECK,))
    lease = need_lease(bench.agent().claim(lease_ms=12_000))

    times = refused(bench, lease)

    assert times.interval_s == 4.0


def test_lease_that_ends_soon_is_renewed_first(bench: Bench) -> None:
    item = bench.item(checks=(CHECK,))
    lease = need_lease(bench.agent().claim())
    bench.shorten_lease(item, left_ms=900)

    times = refused(bench, lease)

    assert times.first_s <= 0.3
    assert times.interval_s == 5.0


def test_item_that_is_queued_gets_its_own_lease(bench: Bench) -> None:
    item = bench.item(checks=(CHECK,), lease_ms=1200)

    times = refused(bench, Lease(item=item))

    assert (times.first_s, times.interval_s) == (0.4, 0.4)
