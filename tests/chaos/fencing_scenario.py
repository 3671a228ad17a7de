"""The fencing scenario of every run.

A holder is suspended, another worker claims its item, and the holder continues.
"""

import signal
from collections.abc import Callable
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.item import NewItem
from taskorch.queue.queue import Queue

from chaos.fleet import Fleet
from chaos.producer import ATTEMPTS, LEASE_MS, POISON_ATTEMPTS
from chaos.worker import POISON

#: An agent with one item, that of the scenario.
STALE_HOLDER = "stale_holder"


class FencingScenario:
    """A scenario that continues by one step at a time, during the faults."""

    def __init__(self, fleet: Fleet, queue: Queue, project: str) -> None:
        self._fleet = fleet
        self._queue = queue
        self._project = project
        self._item = ""
        self._first_token = 0
        self._steps: list[Callable[[], bool]] = [
            self._set_up, self._is_suspended, self._item_is_claimed_again, self._has_ended
        ]  # fmt: skip

    def is_over(self) -> bool:
        """Return whether all steps were done."""
        return not self._steps

    def continue_(self) -> None:
        """Do the next step if it is possible now."""
        with suppress(errors.Unavailable):
            if self._steps and self._steps[0]():
                self._steps.pop(0)

    def _set_up(self) -> bool:
        # A poison item too, so that a short run has one.
        self._create(POISON, "tester", POISON_ATTEMPTS)
        self._item = self._create(
            "item of the scenario", STALE_HOLDER, ATTEMPTS
        )
        self._holder = self._fleet.start("stale_holder", STALE_HOLDER)
        return True

    def _is_suspended(self) -> bool:
        if not self._holder.is_stopped():
            return False
        self._first_token = self._queue.views.show(self._item).item.token
        self._fleet.start("agent", STALE_HOLDER)
        return True

    def _item_is_claimed_again(self) -> bool:
        is_claimed_again = (
            self._queue.views.show(self._item).item.token > self._first_token
        )
        if is_claimed_again:
            self._holder.signal(signal.SIGCONT)
        return is_claimed_again

    def _has_ended(self) -> bool:
        return not self._holder.process.is_alive()

    def _create(self, title: str, agent: str, attempts: int) -> str:
        new = NewItem(
            title=title,
            key=title,
            agent=agent,
            lease_ms=LEASE_MS,
            max_attempts=attempts,
        )
        return self._queue.create(self._project, new)
