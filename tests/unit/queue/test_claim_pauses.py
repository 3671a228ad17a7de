"""The pauses of a worker pool after items that failed or were released."""

import pytest
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.queue.claim_pauses import (
    FAILURES_BEFORE_PAUSE,
    LONGEST_PAUSE_S,
    ClaimPauses,
)


def counted(*ends: AttemptEnd) -> ClaimPauses:
    pauses = ClaimPauses()
    for end in ends:
        pauses.count(end)
    return pauses


def failures(number: int) -> list[AttemptEnd]:
    return [AttemptEnd.FAILED] * number


def test_first_failures_in_a_row_delay_nothing() -> None:
    pauses = [
        counted(*failures(number)).pause_after_failure()
        for number in range(FAILURES_BEFORE_PAUSE)
    ]

    assert pauses == [0] * FAILURES_BEFORE_PAUSE


def test_pause_doubles_with_each_further_failure() -> None:
    pauses = [
        counted(*failures(FAILURES_BEFORE_PAUSE + more)).pause_after_failure()
        for more in range(4)
    ]

    assert all(
        0.5 * 2**more <= pause <= 2**more for more, pause in enumerate(pauses)
    )


def test_pause_has_a_limit() -> None:
    assert (
        LONGEST_PAUSE_S / 2
        <= counted(*failures(5000)).pause_after_failure()
        <= LONGEST_PAUSE_S
    )


@pytest.mark.parametrize("end", [AttemptEnd.COMPLETED, AttemptEnd.BLOCKED])
def test_success_resets_the_failure_count(end: AttemptEnd) -> None:
    assert counted(*failures(9), end).failed == 0


@pytest.mark.parametrize(
    "end",
    [
        AttemptEnd.RELEASED,
        AttemptEnd.LOST,
        AttemptEnd.CANCELLED,
        AttemptEnd.UNSAID,
    ],
)
def test_other_outcomes_leave_the_failure_count(end: AttemptEnd) -> None:
    assert counted(*failures(2), end, AttemptEnd.FAILED).failed == 3


def test_failure_resets_the_release_count() -> None:
    released = [AttemptEnd.RELEASED] * 6

    assert counted(*released).pause_after_release() > 30
    assert counted(*released, AttemptEnd.FAILED).pause_after_release() <= 1
