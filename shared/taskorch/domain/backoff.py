"""Repeating what fails because Redis is unavailable: the one loop, and its pauses."""

import os
from collections.abc import Callable
from time import monotonic, sleep
from typing import TypeVar

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

#: The first pause between two attempts.
FIRST_PAUSE_S = 0.05
#: After this many doublings, only the longest pause counts.
MOST_DOUBLINGS = 16

Done = TypeVar("Done")
#: Receives each failure of a series of attempts, and None when an attempt succeeds.
Notify = Callable[[errors.Unavailable | None], object]


class Patience(Frozen):
    """Which failed attempts are repeated, how often and for how long."""

    #: Returns whether an attempt after this error may succeed.
    may_pass: Callable[[errors.Unavailable], bool]

    #: The number of attempts that are made in any case.
    attempts: int = 1
    #: For how long attempts are repeated beyond that, in seconds.
    seconds: float = 0.0
    longest_pause_s: float = 5.0


def retry(
    attempt: Callable[[int], Done],
    patience: Patience,
    *,
    notify: Notify = lambda _: None,
    pause: Callable[[float], object] = sleep,
) -> Done:
    """Return the result of the first attempt that succeeds.

    `attempt` receives the number of failures so far. Raises the errors.Unavailable of
    the attempt with which the patience ends. `notify` receives each failure before it,
    and None after a success. `pause` waits for a number of seconds, unless it returns
    True to end the patience.
    """
    deadline = monotonic() + patience.seconds
    failures = 0
    while True:
        try:
            done = attempt(failures)
        except errors.Unavailable as error:
            seconds = pause_s(
                failures, FIRST_PAUSE_S, patience.longest_pause_s
            )
            failures += 1
            is_over = monotonic() + seconds > deadline
            if not patience.may_pass(error) or (
                is_over and failures >= patience.attempts
            ):
                raise
            notify(error)
            if pause(seconds):
                raise
        else:
            notify(None)
            return done


def pause_s(failures: int, first_s: float, longest_s: float) -> float:
    """Return the pause in seconds after a number of earlier failures.

    The pause starts at `first_s`, doubles with each failure up to `longest_s`, and is
    shortened by a random part of at most half of it, so that clients do not all come
    back together.
    """
    doublings = min(failures, MOST_DOUBLINGS)
    pause = min(longest_s, first_s * 2.0**doublings)
    # The module `random` takes longer to import than a short command can afford.
    (random_byte,) = os.urandom(1)
    return pause * (0.5 + random_byte / 512)
