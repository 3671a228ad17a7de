"""Leases expire without a running process: claim, get and check reap and promote."""

from collections.abc import Callable

import pytest
from support.builders import Bench, need_lease
from support.verbs import HOLDER_VERBS
from taskorch.domain import errors
from taskorch.domain.item import DEFAULT_LEASE_MS, Lease, ReapCounts, State


def expired_lease(bench: Bench) -> Lease:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    return lease


#: Calls that reap and promote the items of all agents.
PASSERS_BY: dict[str, Callable[[Bench, str], object]] = {
    "claim": lambda bench, _: bench.agent("bob").claim(),
    "check": lambda bench, _: bench.agent("bob").check(),
    "get": lambda bench, own: bench.agent("bob").get(
        Lease(item=own), peek=True
    ),
    "reap": lambda bench, _: bench.queue.reap(),
}
#: The item after its lease expired, before another session claimed it.
LATE: dict[str, Callable[[Bench], Lease]] = {
    "not reaped yet": expired_lease,
    "delayed": lambda bench: bench.expired_lease(State.DELAYED),
    "queued": lambda bench: bench.expired_lease(State.QUEUED),
    "failed": lambda bench: bench.expired_lease(State.FAILED),
}


@pytest.mark.parametrize("passer_by", PASSERS_BY)
def test_expired_lease_is_reaped_by(bench: Bench, passer_by: str) -> None:
    lease, own = expired_lease(bench), bench.item(agent="bob")

    PASSERS_BY[passer_by](bench, own)

    assert bench.state(lease.item) is State.DELAYED
    assert [
        event["verb"]
        for event in bench.events()
        if event["item"] == lease.item
    ][-1] == "expire"
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("passer_by", PASSERS_BY)
def test_due_item_is_promoted_by(bench: Bench, passer_by: str) -> None:
    item, own = bench.item(delay_ms=3_600_000), bench.item(agent="bob")
    bench.end_delay(item)

    PASSERS_BY[passer_by](bench, own)

    assert bench.state(item) is State.QUEUED
    assert bench.inconsistencies() == []


def test_claim_takes_an_item_that_it_promoted(bench: Bench) -> None:
    item = bench.item(delay_ms=3_600_000)
    early = bench.agent().claim()
    bench.end_delay(item)

    lease = need_lease(bench.agent().claim())

    assert early is None
    assert lease.item == item


def test_item_is_delayed_until_not_before(bench: Bench) -> None:
    later = bench.now_ms() + 3_600_000

    item = bench.item(not_before_at=later)

    view = bench.queue.views.show(item).item
    assert view.state is State.DELAYED
    assert view.not_before_at == later
    assert bench.agent().claim() is None


def test_item_with_past_not_before_is_queued(bench: Bench) -> None:
    item = bench.item(not_before_at=bench.now_ms() - 1)

    assert bench.state(item) is State.QUEUED


def test_delay_counts_from_the_clock_of_redis(bench: Bench) -> None:
    before = bench.now_ms()

    item = bench.item(delay_ms=60_000)

    assert (
        before + 60_000
        <= bench.queue.views.show(item).item.not_before_at
        <= bench.now_ms() + 60_000
    )


def test_reap_returns_numbers_of_leases_and_delays(bench: Bench) -> None:
    project = bench.project()
    held_ones = [bench.claimed(bench.item(project)).item for _ in range(12)]
    delayed_ones = [
        bench.item(project, agent="bob", delay_ms=3_600_000) for _ in range(13)
    ]
    for item in held_ones:
        bench.expire_lease(item)
    for item in delayed_ones:
        bench.end_delay(item)

    first, second = bench.queue.reap(), bench.queue.reap()

    assert first == ReapCounts(reaped=12, promoted=13)
    assert second == ReapCounts(reaped=0, promoted=0)
    assert bench.agent("bob").check().count == 13
    assert bench.inconsistencies() == []


def test_repeated_crashes_make_a_dead_letter(
    bench: Bench,
) -> None:
    item = bench.item(max_attempts=3)
    states = []

    for _ in range(3):
        need_lease(bench.agent().claim())
        bench.expire_lease(item)
        bench.queue.reap()
        states.append(bench.state(item))
        bench.end_delay(item)

    assert states == [State.DELAYED, State.DELAYED, State.FAILED]
    assert bench.queue.views.show(item).item.attempts == 3
    assert bench.agent().claim() is None
    assert bench.inconsistencies() == []


def test_requeued_dead_letter_has_all_its_attempts(bench: Bench) -> None:
    lease = bench.expired_lease(State.FAILED)

    bench.queue.requeue(lease.item)

    assert bench.queue.views.show(lease.item).item.attempts == 0
    assert need_lease(bench.agent().claim()).token == lease.token + 1


def test_fail_without_retry_makes_a_dead_letter(
    bench: Bench,
) -> None:
    lease = bench.claimed()

    receipt = bench.agent().fail(lease, "impossible", retry=False)

    assert receipt.state is State.FAILED
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    ("attempt", "delay_s"), [(1, 10), (2, 20), (3, 40), (4, 80), (8, 1280)]
)
def test_retry_delay_doubles_within_its_jitter(
    bench: Bench, attempt: int, delay_s: int
) -> None:
    least, most = retry_delay_ms(bench, attempt)

    assert most >= 0.75 * delay_s * 1000
    assert least <= 1.25 * delay_s * 1000


def test_retry_delay_has_jitter(bench: Bench) -> None:
    delays = [retry_delay_ms(bench, 3)[0] for _ in range(8)]

    assert max(delays) - min(delays) > 1000


def test_retry_delay_is_capped_at_an_hour(bench: Bench) -> None:
    least, most = retry_delay_ms(bench, 12)

    assert least <= 3_600_000 <= most


def retry_delay_ms(bench: Bench, attempt: int) -> tuple[int, int]:
    """Fail a new item `attempt` times; return the bounds of the last delay in ms."""
    item = bench.item(max_attempts=1000)
    for _ in range(attempt):
        bench.end_delay(item)
        bench.queue.reap()
        lease = bench.claimed(item)
        before = bench.now_ms()
        bench.agent().fail(lease, "again")
        after = bench.now_ms()
    due = bench.queue.views.show(item).item.not_before_at
    return due - after, due - before


@pytest.mark.parametrize("late", LATE)
def test_late_complete_is_accepted_before_another_claim(
    bench: Bench, late: str
) -> None:
    lease = LATE[late](bench)

    receipt = bench.agent().complete(lease, "late, but done")

    view = bench.queue.views.show(lease.item).item
    assert (receipt.state, receipt.remark) == (State.COMPLETED, "")
    assert (view.summary, view.attempts, view.token) == (
        "late, but done",
        1,
        lease.token,
    )
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("late", sorted(set(LATE) - {"failed"}))
def test_late_report_resumes_item_under_same_token(
    bench: Bench, late: str
) -> None:
    lease = LATE[late](bench)

    receipt = bench.agent().progress(lease, "I am still here")

    view = bench.queue.views.show(lease.item).item
    assert (receipt.lease.token, receipt.remark) == (lease.token, "")
    assert (view.state, view.token) == (State.IN_PROGRESS, lease.token)
    assert view.lease_expires_at == receipt.lease.expires_at > bench.now_ms()
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    "resumed_by", ["get", "progress", "discover", "blocker", "renew"]
)
def test_repeated_late_returns_make_a_dead_letter(
    bench: Bench, resumed_by: str
) -> None:
    lease = bench.claimed(bench.item(max_attempts=3))

    for _ in range(2):
        bench.expire_lease(lease.item)
        bench.queue.reap()
        if resumed_by == "get":
            bench.agent().get(lease)
        else:
            HOLDER_VERBS[resumed_by](bench.agent(), lease)
        if resumed_by == "blocker":
            bench.queue.answer(lease.item, "Go on")
    bench.expire_lease(lease.item)
    bench.queue.reap()

    view = bench.queue.views.show(lease.item).item
    assert (view.state, view.attempts) == (State.FAILED, 3)
    with pytest.raises(errors.WrongState):
        bench.agent().progress(lease, "once more")
    assert bench.agent().get(lease).lease is None
    assert (
        bench.agent().complete(lease, "finished after all").state
        is State.COMPLETED
    )


@pytest.mark.parametrize("verb", HOLDER_VERBS)
def test_late_holder_is_refused_after_another_claim(
    bench: Bench, verb: str
) -> None:
    stale = bench.expired_lease(State.QUEUED)
    current = need_lease(bench.agent(session="second").claim())
    before = bench.everything()

    with pytest.raises(errors.LeaseLost):
        HOLDER_VERBS[verb](bench.agent(), stale)

    assert current.item == stale.item
    assert bench.everything() == before


def test_default_lease_is_four_hours(bench: Bench) -> None:
    before = bench.now_ms()

    lease = bench.claimed()

    assert DEFAULT_LEASE_MS == 4 * 3_600_000
    assert (
        before + DEFAULT_LEASE_MS
        <= lease.expires_at
        <= bench.now_ms() + DEFAULT_LEASE_MS
    )


def test_item_may_have_its_own_lease_duration(bench: Bench) -> None:
    item, before = bench.item(lease_ms=60_000), bench.now_ms()

    lease = need_lease(bench.agent().claim())

    assert lease.item == item
    assert before + 60_000 <= lease.expires_at <= bench.now_ms() + 60_000
    assert (
        bench.queue.views.show(item).item.lease_expires_at == lease.expires_at
    )


@pytest.mark.parametrize("how", ["claim", "get"])
def test_claim_may_have_its_own_lease_duration(bench: Bench, how: str) -> None:
    item, before = bench.item(lease_ms=3_600_000), bench.now_ms()

    taken = (
        bench.agent().claim(lease_ms=90_000)
        if how == "claim"
        else bench.agent().get(Lease(item=item), lease_ms=90_000)
    )

    assert (
        before + 90_000
        <= need_lease(taken).expires_at
        <= bench.now_ms() + 90_000
    )


@pytest.mark.parametrize("verb", ["renew", "progress", "discover"])
def test_step_renews_lease_for_duration_of_claim(
    bench: Bench, verb: str
) -> None:
    item = bench.item(lease_ms=3_600_000)
    lease = need_lease(bench.agent().claim(lease_ms=90_000))
    bench.expire_lease(item)
    before = bench.now_ms()

    HOLDER_VERBS[verb](bench.agent(), lease)

    assert (
        before + 90_000
        <= bench.queue.views.show(item).item.lease_expires_at
        <= bench.now_ms() + 90_000
    )


def test_next_claim_has_the_lease_of_the_item(bench: Bench) -> None:
    bench.item(lease_ms=3_600_000)
    bench.agent().release(need_lease(bench.agent().claim(lease_ms=90_000)))

    lease = need_lease(bench.agent().claim())

    assert lease.expires_at > bench.now_ms() + 3_000_000


def test_answer_starts_a_full_lease(bench: Bench) -> None:
    lease = need_lease(
        bench.agent().get(Lease(item=bench.item()), lease_ms=90_000)
    )
    bench.agent().blocker(lease, "Which one?")
    before = bench.now_ms()

    bench.queue.answer(lease.item, "The left one.")

    assert (
        before + 90_000
        <= bench.queue.views.show(lease.item).item.lease_expires_at
        <= bench.now_ms() + 90_000
    )


def test_blocked_item_has_no_lease_to_expire(bench: Bench) -> None:
    lease = bench.lease_in(State.BLOCKED)

    bench.expire_lease(lease.item)
    bench.queue.reap()

    assert lease.expires_at == 0
    assert bench.state(lease.item) is State.BLOCKED


def test_late_holder_gives_back_without_a_delay(bench: Bench) -> None:
    """The same call expires the lease, which delays the item, and gives it back."""
    lease = bench.claimed()
    bench.expire_lease(lease.item)

    bench.agent().release(lease)

    item = bench.queue.views.show(lease.item).item
    assert (item.state, item.not_before_at) == (State.QUEUED, 0)
