"""What a service is handed out for a target: once, and only what still holds."""

import pytest
from support.builders import Bench
from taskorch.domain.item import ItemEdit, State
from taskorch.domain.notification import (
    AttemptOutcome,
    AttemptResult,
    Notification,
    NotificationBatch,
    NotificationKind,
    Observation,
)
from taskorch.queue.notifications import ATTEMPT_MS

ALL = list(NotificationKind)


class Taker:
    """A service that takes notifications for one target."""

    def __init__(
        self, bench: Bench, *, target: str = "t1", service: str = "here:1"
    ) -> None:
        self._notifications = bench.queue.notifications().of_target(
            target, service
        )

    def take(
        self,
        kinds: list[NotificationKind] = ALL,
        stalled: list[tuple[str, str]] | None = None,
    ) -> NotificationBatch:
        observations = [
            Observation(
                kind=NotificationKind.STUCK,
                item=item,
                detail=why,
                subject=f"{item}:{why}",
            )
            for item, why in stalled or []
        ]
        return self._notifications.take(kinds, observations)

    def settle(
        self, batch: NotificationBatch, outcome: str = "sent", *, ms: int = 0
    ) -> None:
        result = AttemptResult(
            outcome=AttemptOutcome(outcome),
            reason="" if outcome == "sent" else "no luck",
            pause_ms=ms,
        )
        self._notifications.settle(batch.id, result)

    def all(self) -> list[Notification]:
        """Take and settle batches until nothing is left to look at."""
        found: list[Notification] = []
        while True:
            batch = self.take()
            found += batch.notifications
            if batch.id:
                self.settle(batch)
            elif not batch.more:
                return found


@pytest.fixture
def taker(bench: Bench) -> Taker:
    """A service whose target is known, so that it gets what happens from now on."""
    taker = Taker(bench)
    taker.take()
    return taker


def expire_attempt(bench: Bench, target: str = "t1") -> None:
    key = f"taskorch:{{{bench.namespace}}}:notify:{target}"
    bench.raw.hset(key, "until", 1)


def facts(found: list[Notification]) -> list[tuple[str, str, str]]:
    return [(each.kind.value, each.item, each.detail) for each in found]


def test_new_target_gets_nothing_of_the_past(bench: Bench) -> None:
    bench.lease_in(State.BLOCKED)

    assert Taker(bench).all() == []


def test_each_kind_of_event_is_a_notification(
    bench: Bench, taker: Taker
) -> None:
    blocked = bench.lease_in(State.BLOCKED).item
    failed = bench.lease_in(State.FAILED).item
    project = bench.project()
    bench.queue.complete_project(project)

    found = taker.all()

    assert facts(found) == [
        ("blocked", blocked, "1"),
        ("failed", failed, "fail"),
        ("project_completed", "", ""),
    ]
    assert [each.agent for each in found] == ["ada", "ada", ""]
    assert found[2].project == project
    assert abs(found[0].at - bench.now_ms()) < 60_000


def test_item_that_is_tried_again_has_not_failed(
    bench: Bench, taker: Taker
) -> None:
    bench.lease_in(State.DELAYED)

    assert taker.all() == []


def test_expired_last_attempt_is_a_failure(bench: Bench, taker: Taker) -> None:
    item = bench.expired_lease(State.FAILED).item

    assert facts(taker.all()) == [("failed", item, "expire")]


def test_what_no_longer_holds_is_left_out(bench: Bench, taker: Taker) -> None:
    answered = bench.lease_in(State.BLOCKED)
    bench.queue.answer(answered.item, "The left one")
    requeued = bench.lease_in(State.FAILED)
    bench.queue.requeue(requeued.item)

    assert taker.all() == []


def test_second_failure_in_batch_is_left_out(
    bench: Bench, taker: Taker
) -> None:
    lease = bench.lease_in(State.FAILED)
    bench.queue.requeue(lease.item)
    bench.bring_to(lease.item, State.FAILED)

    first = taker.all()
    bench.queue.requeue(lease.item)
    bench.bring_to(lease.item, State.FAILED)

    assert facts(first) == [("failed", lease.item, "fail")]
    assert facts(taker.all()) == facts(first)


def test_repeated_question_is_told_once(bench: Bench, taker: Taker) -> None:
    lease = bench.lease_in(State.BLOCKED)
    first = taker.all()
    bench.agent().blocker(lease, "Which one?")
    bench.agent().blocker(lease, "Where?")

    second = taker.all()

    assert facts(first) == [("blocked", lease.item, "1")]
    assert facts(second) == [("blocked", lease.item, "2")]


def test_stalled_item_is_told_once_for_each_reason(
    bench: Bench, taker: Taker
) -> None:
    item = bench.item()

    first = taker.take(stalled=[(item, "unstarted"), (item, "unstarted")])
    taker.settle(first)
    second = taker.take(stalled=[(item, "unstarted"), (item, "silent")])

    assert facts(list(first.notifications)) == [("stuck", item, "unstarted")]
    assert facts(list(second.notifications)) == [("stuck", item, "silent")]


def test_unwanted_kinds_are_passed_over(bench: Bench, taker: Taker) -> None:
    bench.lease_in(State.BLOCKED)
    item = bench.lease_in(State.FAILED).item

    batch = taker.take([NotificationKind.FAILED], [(item, "unstarted")])

    assert facts(list(batch.notifications)) == [("failed", item, "fail")]


def test_two_services_share_the_notifications(
    bench: Bench, taker: Taker
) -> None:
    other = Taker(bench, service="there:2")
    bench.lease_in(State.BLOCKED)

    mine, theirs = taker.take(), other.take()
    other.settle(mine)
    still_theirs = other.take()
    taker.settle(mine)

    assert len(mine.notifications) == 1
    assert (theirs.id, still_theirs.id) == ("", "")
    assert other.all() == []
    (record,) = bench.queue.notifications().records(["t1"])
    assert (record.sent, record.lost) == (1, 0)


def test_each_target_gets_the_notification(bench: Bench, taker: Taker) -> None:
    second = Taker(bench, target="t2")
    second.take()
    item = bench.lease_in(State.BLOCKED).item

    assert (
        facts(taker.all()) == facts(second.all()) == [("blocked", item, "1")]
    )


def test_undelivered_batch_is_handed_out_again(
    bench: Bench, taker: Taker
) -> None:
    bench.lease_in(State.BLOCKED)
    first = taker.take()
    taker.settle(first, "retry")
    bench.lease_in(State.BLOCKED)

    again = Taker(bench, service="there:2").take()

    assert (again.id, again.attempt) == (first.id, 2)
    assert again.notifications == first.notifications


def test_pause_holds_for_retry_and_next_batch(
    bench: Bench, taker: Taker
) -> None:
    bench.lease_in(State.BLOCKED)
    batch = taker.take()
    taker.settle(batch, "retry", ms=60_000)

    assert taker.take().id == ""


def test_failed_batch_is_given_up(bench: Bench, taker: Taker) -> None:
    bench.lease_in(State.BLOCKED)
    taker.settle(taker.take(), "failed")

    (record,) = bench.queue.notifications().records(["t1"])

    assert taker.take().id == ""
    assert (record.sent, record.lost, record.failure) == (0, 1, "no luck")
    assert record.failed_at > 0


def test_attempt_of_a_killed_service_is_not_repeated(
    bench: Bench, taker: Taker
) -> None:
    bench.lease_in(State.BLOCKED)
    lost = taker.take()
    expire_attempt(bench)
    item = bench.lease_in(State.BLOCKED).item

    other = Taker(bench, service="there:2")
    found = other.all()
    taker.settle(lost)

    (record,) = bench.queue.notifications().records(["t1"])
    assert facts(found) == [("blocked", item, "1")]
    assert (record.sent, record.lost) == (1, 1)
    assert "ended during an attempt" in record.failure


def test_record_counts_messages(bench: Bench, taker: Taker) -> None:
    bench.lease_in(State.BLOCKED)
    batch = taker.take()
    notifications = bench.queue.notifications()

    (during,) = notifications.records(["t1"])
    taker.settle(batch)
    after, unknown = notifications.records(["t1", "t2"])

    assert during.waiting
    assert (after.sent, after.lost, after.waiting) == (1, 0, False)
    assert after.sent_at > 0
    assert (unknown.sent, unknown.sent_at, unknown.failure) == (0, 0, "")


def test_many_events_are_read_in_parts(bench: Bench, taker: Taker) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    for number in range(170):
        bench.queue.edit([lease.item], ItemEdit(context={"n": str(number)}))
    item = bench.lease_in(State.BLOCKED).item

    first = taker.take()

    assert (first.id, first.more) == ("", True)
    assert facts(taker.all()) == [("blocked", item, "1")]


def test_batch_has_at_most_a_hundred(bench: Bench, taker: Taker) -> None:
    ada, lease = bench.agent(), bench.claimed()
    stalled = [(lease.item, f"reason_{number}") for number in range(130)]
    ada.blocker(lease, "Which one?")

    first = taker.take(stalled=stalled)
    taker.settle(first)
    second = taker.take()

    assert len(first.notifications) == 100
    assert first.more
    assert facts(list(second.notifications)) == [("blocked", lease.item, "1")]


def test_purged_item_is_left_out(bench: Bench, taker: Taker) -> None:
    item = bench.lease_in(State.BLOCKED).item
    bench.delete_item(item)

    assert taker.all() == []


def test_attempt_has_more_time_than_the_service_takes() -> None:
    from taskorch_orchestrator.notify.notifier import Pace

    pace = Pace()

    assert (pace.timeout_s + pace.settle_s) * 1000 < ATTEMPT_MS
