"""The due times of the service's jobs.

Threads schedule jobs, now or for later. The loop of the service waits for the due ones.
"""

from threading import Condition
from time import monotonic
from typing import NamedTuple

from taskorch.domain.backoff import pause_s

#: The base of the pauses after failures.
FIRST_PAUSE_S = 0.1


class DueJob(NamedTuple):
    """A duty of the service, which is done at most once per interval."""

    duty: str
    interval_s: float


class Scheduler:
    """The scheduled jobs, and the flag that stops the service.

    Any thread may call it, and so may a signal handler.
    """

    def __init__(self) -> None:
        self._changed = Condition()
        #: Each job with its due time on the monotonic clock.
        self._due_at: dict[DueJob, float] = {}
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Return whether the service is to end."""
        return self._stopped

    def schedule(self, job: DueJob, after_s: float = 0) -> None:
        """Make a job due in `after_s` seconds, or earlier if it already is."""
        due_at = monotonic() + after_s
        with self._changed:
            before = self._due_at.get(job, due_at)
            self._due_at[job] = min(due_at, before)
            self._changed.notify_all()

    def stop(self) -> None:
        """End all current and later calls that block."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def next_due(self) -> list[DueJob]:
        """Block until jobs are due and return them, or [] once stopped."""
        with self._changed:
            while not self._stopped:
                if due := self._take_due():
                    return due
                self._changed.wait(self._until_next_s())
            return []

    def pause(self, seconds: float) -> None:
        """Block for a number of seconds, or until stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def back_off(self, failures: int, longest_s: float) -> None:
        """Pause after `failures` failures in a row, for at most `longest_s` seconds."""
        self.pause(pause_s(failures, FIRST_PAUSE_S, longest_s))

    def _take_due(self) -> list[DueJob]:
        now = monotonic()
        due = []
        for job, due_at in list(self._due_at.items()):
            if due_at <= now:
                due.append(job)
                del self._due_at[job]
        return due

    def _until_next_s(self) -> float | None:
        """Return the seconds until the next job is due, or None without a job."""
        if not self._due_at:
            return None
        next_at = min(self._due_at.values())
        return max(0.0, next_at - monotonic())
