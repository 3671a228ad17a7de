"""The renewal of a lease while a process works under it.

Most work ends before its lease has to be renewed. So one thread waits for the first
renewals of all leases, and only a lease that is renewed has a thread of its own: an
outage that holds one up then delays no other.
"""

import os
from collections.abc import Callable
from math import inf
from threading import Condition, Event, Thread
from time import monotonic

from taskorch.domain import errors
from taskorch.queue.port import WaitBrokenOff

#: The errors that mean that the holder has lost the item.
LOST = (errors.Conflict, errors.NotYours, errors.NotFound)
#: The name of the thread that waits for the first renewals. A process has one, which
#: does not end.
FIRST_RENEWALS = "taskorch: first renewals"


class Renewal:
    """Renews a lease until it is stopped or the lease is lost."""

    def __init__(
        self,
        renew: Callable[[], object],
        *,
        interval_s: float,
        first_s: float | None = None,
        on_lost: Callable[[errors.TaskOrchestratorError], object],
        on_failure: Callable[[errors.TaskOrchestratorError], object],
    ) -> None:
        """Start it. `on_lost` receives one of LOST, `on_failure` any other error.

        The first renewal is due after `first_s`, or else after an interval.
        """
        self._renew = renew
        self.interval_s = interval_s
        self._on_lost = on_lost
        self._on_failure = on_failure
        self._stopped = Event()
        due_in_s = interval_s if first_s is None else first_s
        self._first = _first_renewals()
        self._first.add(self, due_in_s)

    def stop(self) -> None:
        """Renew no more; a renewal that is under way ends by itself."""
        self._stopped.set()
        self._first.discard(self)

    def start(self) -> None:
        """Renew now, and then at each interval, in a thread.

        Raises RuntimeError if the process can start no thread.
        """
        Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self._stopped.is_set():
            try:
                self._renew()
            except LOST as refusal:
                self._on_lost(refusal)
                return
            except (errors.WrongState, errors.NotReplicated):
                # The last attempt has expired, and the item can still be completed; or
                # only replicas are missing.
                pass
            except errors.TaskOrchestratorError as error:
                self._on_failure(error)
            except WaitBrokenOff:
                # the program gives up, in an outage
                return
            self._stopped.wait(self.interval_s)


class _FirstRenewals:
    """Starts each renewal when its first one is due, from one thread for all."""

    def __init__(self) -> None:
        #: When each is due, and when the thread looks again, on the monotonic clock.
        self._due: dict[Renewal, float] = {}
        self._looks_at = inf
        self._changed = Condition()
        self._thread: Thread | None = None

    def add(self, renewal: Renewal, seconds: float) -> None:
        """Start a renewal after some seconds."""
        due = monotonic() + seconds
        with self._changed:
            self._due[renewal] = due
            if due < self._looks_at:
                self._changed.notify()
            if not self._thread or not self._thread.is_alive():
                self._thread = Thread(
                    target=self._run, name=FIRST_RENEWALS, daemon=True
                )
                self._thread.start()

    def discard(self, renewal: Renewal) -> None:
        """Do not start a renewal any more."""
        # The thread is not woken: that would take longer than to look once in vain.
        with self._changed:
            self._due.pop(renewal, None)

    def _run(self) -> None:
        with self._changed:
            while True:
                self._start_due()
                if self._due:
                    self._looks_at = min(self._due.values())
                    self._changed.wait(self._looks_at - monotonic())
                else:
                    self._looks_at = inf
                    self._changed.wait()

    def _start_due(self) -> None:
        now = monotonic()
        due = [renewal for renewal, at in self._due.items() if at <= now]
        for renewal in due:
            try:
                renewal.start()
            except RuntimeError:  # no more threads now
                self._due[renewal] = now + renewal.interval_s
            else:
                del self._due[renewal]


#: Process id -> its own: a forked process has none of the threads of its parent.
_of_process: dict[int, _FirstRenewals] = {}


def _first_renewals() -> _FirstRenewals:
    own = _of_process.get(os.getpid())
    return own or _of_process.setdefault(os.getpid(), _FirstRenewals())
