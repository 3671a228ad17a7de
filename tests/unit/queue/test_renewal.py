"""When leases are renewed, and by how many threads."""

from collections.abc import Callable
from threading import Event
from threading import enumerate as threads

from support.commands import eventually
from taskorch.queue.renewal import Renewal

SOON_S = 0.01
LATER_S = 3600


class Lease:
    """A lease that counts its renewals, each of which may take long."""

    def __init__(self) -> None:
        self.renewals = 0
        self.may_go_on = Event()
        self.may_go_on.set()

    def renew(self) -> None:
        self.renewals += 1
        self.may_go_on.wait()


class RefusedRenewal(Renewal):
    """A renewal for which the process has no thread at first."""

    refusals = 0

    def start(self) -> None:
        if not self.refusals:
            self.refusals += 1
            raise RuntimeError("can't start new thread")
        super().start()


def renewed(
    renew: Callable[[], object],
    *,
    interval_s: float,
    kind: type[Renewal] = Renewal,
) -> Renewal:
    return kind(
        renew,
        interval_s=interval_s,
        on_lost=lambda _: None,
        on_failure=lambda _: None,
    )


def test_leases_of_short_work_have_one_thread_together() -> None:
    lease = Lease()
    renewed(lease.renew, interval_s=LATER_S).stop()
    before = set(threads())

    renewals = [
        renewed(lease.renew, interval_s=LATER_S - n) for n in range(50)
    ]

    assert set(threads()) <= before
    for renewal in renewals:
        renewal.stop()
    assert lease.renewals == 0


def test_lease_that_ends_sooner_is_renewed_sooner() -> None:
    first, second = Lease(), Lease()
    later = renewed(first.renew, interval_s=LATER_S)

    soon = renewed(second.renew, interval_s=SOON_S)

    eventually(lambda: second.renewals > 2)
    assert first.renewals == 0
    later.stop()
    soon.stop()


def test_renewal_that_takes_long_delays_no_other() -> None:
    slow, other = Lease(), Lease()
    slow.may_go_on.clear()
    stuck = renewed(slow.renew, interval_s=SOON_S)
    eventually(lambda: slow.renewals)

    going_on = renewed(other.renew, interval_s=SOON_S)

    eventually(lambda: other.renewals > 2)
    assert slow.renewals == 1
    slow.may_go_on.set()
    stuck.stop()
    going_on.stop()


def test_stopped_renewal_is_over() -> None:
    lease, other = Lease(), Lease()
    renewal = renewed(lease.renew, interval_s=SOON_S)

    renewal.stop()
    before = lease.renewals
    going_on = renewed(other.renew, interval_s=SOON_S)

    eventually(lambda: other.renewals > 2)
    assert lease.renewals <= before + 1
    going_on.stop()


def test_renewal_without_a_thread_is_tried_again() -> None:
    lease = Lease()

    renewal = renewed(lease.renew, interval_s=SOON_S, kind=RefusedRenewal)

    eventually(lambda: lease.renewals)
    renewal.stop()
