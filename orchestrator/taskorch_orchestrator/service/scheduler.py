"""The bell of the service: whoever wants a duty done rings for it, now or later; the service's loop waits for it."""

from threading import Condition
from time import monotonic
from typing import NamedTuple

from redis.backoff import EqualJitterBackoff

#: The first pause after a failure.
SHORTEST_S = 0.1
#: More failures in a row make no pause longer.
MOST_FAILURES = 16


class Wish(NamedTuple):
    """A duty that is wanted once per interval."""

    duty: str
    interval_s: float


class Bell:
    """Wishes, and when each is due. Threads may share it; a signal handler may ring it."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._due: dict[Wish, float] = {}
        self._stopped = False

    @property
    def stopped(self) -> bool:
        """Return whether the service is to end."""
        return self._stopped

    def ring(self, wish: Wish, after_s: float = 0) -> None:
        """Wish for something in so many seconds; the sooner of two equal wishes counts."""
        with self._changed:
            due = monotonic() + after_s
            self._due[wish] = min(due, self._due.get(wish, due))
            self._changed.notify_all()

    def stop(self) -> None:
        """End every wait, now and from now on."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def wait(self) -> list[Wish]:
        """Block until wishes are due, and return them; none once it is stopped."""
        with self._changed:
            while not self._stopped:
                now = monotonic()
                due = [wish for wish, at in self._due.items() if at <= now]
                if due:
                    self._due = {wish: at for wish, at in self._due.items() if at > now}
                    return due
                self._changed.wait(min(self._due.values()) - now if self._due else None)
            return []

    def pause(self, seconds: float) -> None:
        """Block for so many seconds, or until it is stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._stopped, seconds)

    def back_off(self, failures: int, longest_s: float) -> None:
        """Block in the same way, for longer after each failure in a row, up to so many seconds."""
        backoff = EqualJitterBackoff(base=SHORTEST_S, cap=longest_s)
        self.pause(backoff.compute(min(failures, MOST_FAILURES)))
