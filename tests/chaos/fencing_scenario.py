"""Stages the fencing test once a run: a holder is put to sleep, its item goes to another, and it wakes up."""

import signal
from collections.abc import Callable
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.item import NewItem
from taskorch.queue.queue import Queue

from chaos.fleet import Fleet
from chaos.producer import ATTEMPTS, LEASE_MS, POISON_ATTEMPTS
from chaos.worker import POISON

#: The agent whose queue has nothing but the item of the scene.
SLEEPER = "sleeper"


class Stage:
    """A scene that goes on a little at each look, while faults happen around it."""

    def __init__(self, fleet: Fleet, queue: Queue, project: str) -> None:
        self._fleet = fleet
        self._queue = queue
        self._project = project
        self._item = ""
        self._token_then = 0
        self._acts: list[Callable[[], bool]] = [
            self._set_up, self._is_asleep, self._item_goes_to_another, self._has_woken_up
        ]  # fmt: skip

    def is_over(self) -> bool:
        """Return whether the scene was played to its end."""
        return not self._acts

    def go_on(self) -> None:
        """Play the next act, if its time has come."""
        with suppress(errors.Unavailable):
            if self._acts and self._acts[0]():
                self._acts.pop(0)

    def _set_up(self) -> bool:
        self._created(
            POISON, "tester", POISON_ATTEMPTS
        )  # so that a short run has one, too
        self._item = self._created("item of the scene", SLEEPER, ATTEMPTS)
        self._sleeper = self._fleet.enlist("sleeper", SLEEPER)
        return True

    def _is_asleep(self) -> bool:
        if not self._sleeper.is_stopped():
            return False
        self._token_then = self._queue.views.show(self._item).item.token
        self._fleet.enlist("agent", SLEEPER)
        return True

    def _item_goes_to_another(self) -> bool:
        gone = self._queue.views.show(self._item).item.token > self._token_then
        if gone:
            self._sleeper.signal(signal.SIGCONT)
        return gone

    def _has_woken_up(self) -> bool:
        return not self._sleeper.process.is_alive()

    def _created(self, title: str, agent: str, attempts: int) -> str:
        new = NewItem(
            title=title,
            key=title,
            agent=agent,
            lease_ms=LEASE_MS,
            max_attempts=attempts,
        )
        return self._queue.create(self._project, new)
