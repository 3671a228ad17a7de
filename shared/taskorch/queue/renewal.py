"""The renewal of a lease while a process works under it."""

from collections.abc import Callable
from threading import Event, Thread

from taskorch.domain import errors
from taskorch.queue.port import WaitBrokenOff

#: The errors that mean that the holder has lost the item.
LOST = (errors.Conflict, errors.NotYours, errors.NotFound)


class Renewal:
    """Renews a lease in a thread of its own, until it is stopped or the lease is lost."""

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
        self._first_s = interval_s if first_s is None else first_s
        self._interval_s = interval_s
        self._on_lost = on_lost
        self._on_failure = on_failure
        self._stopped = Event()
        Thread(target=self._run, daemon=True).start()

    def stop(self) -> None:
        """Renew no more; a renewal that is under way ends by itself."""
        self._stopped.set()

    def _run(self) -> None:
        wait_s = self._first_s
        while not self._stopped.wait(wait_s):
            wait_s = self._interval_s
            try:
                self._renew()
            except LOST as refusal:
                self._on_lost(refusal)
                return
            except (errors.WrongState, errors.NotReplicated):
                # The last attempt has expired, and the item can still be completed; or
                # only replicas are missing.
                continue
            except errors.TaskOrchestratorError as error:
                self._on_failure(error)
            except WaitBrokenOff:
                # the program gives up, in an outage
                return
