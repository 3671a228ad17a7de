"""How long a run claims nothing, after items in a row that its command failed or gave back."""

from threading import Lock

from taskorch.domain.backoff import pause_s

from taskorch_worker.run.outcome import AttemptEnd

FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0
#: A command that fails this many items in a row is probably broken; fewer failures delay nothing.
FAILURES_BEFORE_PAUSE = 3


class ClaimPauses:
    """The items in a row that failed, and that were given back, over all slots of a run.

    A completed item, or one that waits for an answer, starts the count of failures again. Items that were given back,
    lost or cancelled say nothing about the command and leave it as it is.
    """

    def __init__(self) -> None:
        self._turn = Lock()
        self._failed = self._released = 0

    @property
    def failed(self) -> int:
        """Return how many items in a row have failed."""
        return self._failed

    def count(self, end: AttemptEnd) -> None:
        """Count an item by what became of it."""
        with self._turn:
            self._released = self._released + 1 if end is AttemptEnd.RELEASED else 0
            if end is AttemptEnd.FAILED:
                self._failed += 1
            elif end in (AttemptEnd.COMPLETED, AttemptEnd.BLOCKED):
                self._failed = 0

    def after_release(self) -> float:
        """Return the seconds to pause because an item is given back: it may be the next one again."""
        return pause_s(self._released, FIRST_PAUSE_S, LONGEST_PAUSE_S)

    def after_failure(self) -> float:
        """Return the seconds to pause because an item failed; 0 for the first failures in a row."""
        if self._failed < FAILURES_BEFORE_PAUSE:
            return 0.0
        return pause_s(
            self._failed - FAILURES_BEFORE_PAUSE, FIRST_PAUSE_S, LONGEST_PAUSE_S
        )
