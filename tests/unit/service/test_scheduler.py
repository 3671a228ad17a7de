"""The bell of the service: what is wished for comes when it is due, once, and a stop ends every wait."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from taskorch_orchestrator.service.scheduler import Bell, Wish

SYNC, MAINTAIN = Wish("sync", 5), Wish("maintain", 10)
LONG_S = 600


@pytest.fixture
def bell() -> Bell:
    return Bell()


@pytest.fixture
def aside() -> Iterator[ThreadPoolExecutor]:
    """Threads that do something while the test waits."""
    with ThreadPoolExecutor() as pool:
        yield pool


def test_what_is_due_comes_at_once(bell: Bell) -> None:
    bell.ring(SYNC)
    bell.ring(MAINTAIN)

    assert sorted(bell.wait()) == [MAINTAIN, SYNC]


def test_what_was_wished_for_twice_comes_once(bell: Bell) -> None:
    bell.ring(SYNC)
    bell.ring(SYNC)
    bell.ring(MAINTAIN, 0.01)

    assert [bell.wait(), bell.wait()] == [[SYNC], [MAINTAIN]]


def test_the_sooner_of_two_wishes_counts(bell: Bell) -> None:
    bell.ring(SYNC, LONG_S)
    bell.ring(SYNC)
    bell.ring(MAINTAIN)
    bell.ring(MAINTAIN, LONG_S)

    assert sorted(bell.wait()) == [MAINTAIN, SYNC]


def test_the_same_duty_in_two_intervals_is_two_wishes(bell: Bell) -> None:
    at_once = Wish("sync", 0.1)
    bell.ring(SYNC)
    bell.ring(at_once)

    assert sorted(bell.wait()) == [at_once, SYNC]


def test_nothing_comes_before_it_is_due(bell: Bell) -> None:
    began = monotonic()
    bell.ring(SYNC, 0.05)

    wishes = bell.wait()

    assert wishes == [SYNC]
    assert monotonic() - began >= 0.05


def test_a_wait_for_later_ends_when_something_is_wished_for_sooner(
    bell: Bell, aside: ThreadPoolExecutor
) -> None:
    bell.ring(SYNC, LONG_S)
    waiting = aside.submit(bell.wait)

    bell.ring(MAINTAIN)

    assert waiting.result(timeout=60) == [MAINTAIN]


def test_many_threads_ring_and_nothing_is_lost(
    bell: Bell, aside: ThreadPoolExecutor
) -> None:
    wishes = {Wish(f"duty-{n}", 1) for n in range(200)}
    came: set[Wish] = set()
    ringing = [aside.submit(bell.ring, wish) for wish in wishes]

    while came != wishes:
        came.update(bell.wait())

    assert [each.result() for each in ringing] == [None] * len(wishes)


def test_a_stop_ends_waits_and_pauses_now_and_from_now_on(
    bell: Bell, aside: ThreadPoolExecutor
) -> None:
    waiting, pausing = aside.submit(bell.wait), aside.submit(bell.pause, LONG_S)

    bell.stop()

    assert waiting.result(timeout=60) == []
    assert pausing.result(timeout=60) is None
    bell.ring(SYNC)
    assert bell.wait() == []
    bell.pause(LONG_S)
    assert bell.stopped


class Paused(Bell):
    """A bell that notes pauses instead of making them."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


def test_the_pause_grows_with_each_failure_up_to_a_limit_however_many_there_are() -> (
    None
):
    bell = Paused()

    for failures in (1, 3, 5, 7, 100, 10_000):
        bell.back_off(failures, 10)

    assert bell.seconds[:4] == sorted(bell.seconds[:4])
    assert 0 < bell.seconds[0] < 0.5
    assert all(5 <= seconds <= 10 for seconds in bell.seconds[-2:])


def test_a_ring_does_not_end_a_pause(bell: Bell) -> None:
    bell.ring(SYNC)
    began = monotonic()

    bell.pause(0.05)

    assert monotonic() - began >= 0.05


def test_a_signal_handler_may_ring_and_stop_while_its_thread_waits(bell: Bell) -> None:
    rings = iter([lambda: bell.ring(SYNC), bell.stop])
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: next(rings)())
    signal.setitimer(signal.ITIMER_REAL, 0.05, 0.05)
    try:
        waits = [bell.wait(), bell.wait()]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert waits == [[SYNC], []]
