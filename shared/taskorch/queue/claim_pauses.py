"""Pauses of the claims of a pool, after items that failed or were released."""

from threading import Lock
from time import monotonic

from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.backoff import pause_s

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
#: A command that fails this many items in a row is probably broken.
FAILURES_BEFORE_PAUSE = 3


class ClaimPauses:
    """Counts the items that failed or were released in a row, over all slots.

    A completed or blocked item resets the count of failures. Released, lost and
    cancelled items leave it as it is: they say nothing about the command.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._failed = self._released = 0
        #: The end of the pause, on the monotonic clock.
        self._ends_at = 0.0

    @property
    def failed(self) -> int:
        """Return the number of items that failed in a row."""
        return self._failed

    @property
    def left_s(self) -> float:
        """Return the rest of the pause in seconds; 0 or less if claiming may go on."""
        return self._ends_at - monotonic()

    def count(self, end: AttemptEnd) -> None:
        """Count an item."""
        with self._lock:
            if end is AttemptEnd.RELEASED:
                self._released += 1
            else:
                self._released = 0
            if end is AttemptEnd.FAILED:
                self._failed += 1
            elif end in (AttemptEnd.COMPLETED, AttemptEnd.BLOCKED):
                self._failed = 0

    def pause_after(self, end: AttemptEnd) -> None:
        """Count an item; pause after a release, and after several failures in a row."""
        self.count(end)
        if end is AttemptEnd.RELEASED:
            self.pause_after_release()
        if end is AttemptEnd.FAILED:
            self.pause_after_failure()

    def pause_after_release(self) -> float:
        """Pause because an item is released: the next claim may return it again.

        Return the length in seconds.
        """
        seconds = pause_s(self._released, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        return self._pause(seconds)

    def pause_after_failure(self) -> float:
        """Pause because an item failed, and return the length in seconds.

        It is 0 for the first failures in a row.
        """
        extra_failures = self._failed - FAILURES_BEFORE_PAUSE
        if extra_failures < 0:
            return 0.0
        seconds = pause_s(extra_failures, FIRST_PAUSE_S, LONGEST_PAUSE_S)
        return self._pause(seconds)

    def _pause(self, seconds: float) -> float:
        with self._lock:
            ends_at = monotonic() + seconds
            self._ends_at = max(self._ends_at, ends_at)
        return seconds
