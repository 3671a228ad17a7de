"""The scheduler of the service."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from taskorch_orchestrator.service.scheduler import DueJob, Scheduler

SYNC, MAINTAIN = DueJob("sync", 5), DueJob("maintain", 10)
LONG_S = 600


@pytest.fixture
def scheduler() -> Scheduler:
    return Scheduler()


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def test_due_jobs_are_returned_immediately(scheduler: Scheduler) -> None:
    scheduler.schedule(SYNC)
    scheduler.schedule(MAINTAIN)

    assert sorted(scheduler.next_due()) == [MAINTAIN, SYNC]


def test_job_scheduled_twice_is_returned_once(scheduler: Scheduler) -> None:
    scheduler.schedule(SYNC)
    scheduler.schedule(SYNC)

    first = scheduler.next_due()
    scheduler.schedule(MAINTAIN, 0.01)

    assert [first, scheduler.next_due()] == [[SYNC], [MAINTAIN]]


def test_earlier_due_time_of_a_job_counts(scheduler: Scheduler) -> None:
    scheduler.schedule(SYNC, LONG_S)
    scheduler.schedule(SYNC)
    scheduler.schedule(MAINTAIN)
    scheduler.schedule(MAINTAIN, LONG_S)

    assert sorted(scheduler.next_due()) == [MAINTAIN, SYNC]


def test_duty_with_two_intervals_is_two_jobs(scheduler: Scheduler) -> None:
    more_often = DueJob("sync", 0.1)
    scheduler.schedule(SYNC)
    scheduler.schedule(more_often)

    assert sorted(scheduler.next_due()) == [more_often, SYNC]


def test_job_is_not_returned_before_due(scheduler: Scheduler) -> None:
    began = monotonic()
    scheduler.schedule(SYNC, 0.05)

    jobs = scheduler.next_due()

    assert jobs == [SYNC]
    assert monotonic() - began >= 0.05


def test_earlier_job_ends_a_longer_wait(
    scheduler: Scheduler, threads: ThreadPoolExecutor
) -> None:
    scheduler.schedule(SYNC, LONG_S)
    waiting = threads.submit(scheduler.next_due)

    scheduler.schedule(MAINTAIN)

    assert waiting.result(timeout=60) == [MAINTAIN]


def test_no_job_of_many_threads_is_lost(
    scheduler: Scheduler, threads: ThreadPoolExecutor
) -> None:
    jobs = {DueJob(f"duty-{n}", 1) for n in range(200)}
    returned: set[DueJob] = set()
    scheduling = [threads.submit(scheduler.schedule, job) for job in jobs]

    while returned != jobs:
        returned.update(scheduler.next_due())

    assert [each.result() for each in scheduling] == [None] * len(jobs)


def test_stop_ends_current_and_later_waits(
    scheduler: Scheduler, threads: ThreadPoolExecutor
) -> None:
    waiting = threads.submit(scheduler.next_due)
    pausing = threads.submit(scheduler.pause, LONG_S)

    scheduler.stop()

    assert waiting.result(timeout=60) == []
    assert pausing.result(timeout=60) is None
    scheduler.schedule(SYNC)
    assert scheduler.next_due() == []
    scheduler.pause(LONG_S)
    assert scheduler.stopped


class PauseRecorder(Scheduler):
    """A scheduler that records pauses instead of blocking."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_back_off_grows_up_to_its_limit() -> None:
    scheduler = PauseRecorder()

    for failures in (1, 3, 5, 7, 100, 10_000):
        scheduler.back_off(failures, 10)

    assert scheduler.seconds[:4] == sorted(scheduler.seconds[:4])
    assert 0 < scheduler.seconds[0] < 0.5
    assert all(5 <= seconds <= 10 for seconds in scheduler.seconds[-2:])


def test_due_job_does_not_end_a_pause(scheduler: Scheduler) -> None:
    scheduler.schedule(SYNC)
    began = monotonic()

    scheduler.pause(0.05)

    assert monotonic() - began >= 0.05


def test_signal_handler_may_schedule_and_stop(scheduler: Scheduler) -> None:
    actions = iter([lambda: scheduler.schedule(SYNC), scheduler.stop])
    before = signal.signal(
        signal.SIGALRM, lambda _number, _frame: next(actions)()
    )
    returned = []
    try:
        for _ in range(2):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            returned.append(scheduler.next_due())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert returned == [[SYNC], []]
