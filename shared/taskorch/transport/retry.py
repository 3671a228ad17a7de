"""A connection that waits for Redis to come back: what it is asked acts once, however long that takes."""

from collections.abc import Callable, Sequence
from math import inf
from threading import Event, Lock
from time import monotonic

from taskorch.domain import errors
from taskorch.domain.backoff import pause_s
from taskorch.queue.port import Argument, Connection, Reply, Script

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0


class Closed(Exception):
    """The connection does nothing more for those who use it."""


class Outage:
    """Says once that Redis is away, and once that it is back, however many threads notice."""

    def __init__(self, say: Callable[[str], object]) -> None:
        self._say = say
        self._turn = Lock()
        self._lasts = False

    def noticed(self, error: errors.Unavailable) -> None:
        """Say why Redis does not do it, unless that was said."""
        with self._turn:
            if not self._lasts:
                self._lasts = True
                self._say(f"{error} Trying again until it does.")

    def over(self) -> None:
        """Say that it is back, if it was away."""
        if self._lasts:
            with self._turn:
                if self._lasts:
                    self._lasts = False
                    self._say("Redis answers again.")


class Patient:
    """Makes each call again until Redis answers it: with the same request, which acts once."""

    def __init__(
        self, connection: Connection, outage: Outage, *, patience_s: float = inf
    ) -> None:
        """Give up a call that is not answered for `patience_s` seconds: errors.Unavailable."""
        self._connection = connection
        self._outage = outage
        self._patience_s = patience_s
        self._closed = Event()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script. Raises Closed once the connection is closed, errors.Unavailable if waiting does not help."""
        ends, failures = monotonic() + self._patience_s, 0
        while True:
            self._check()
            try:
                reply = self._connection.run_script(script, key, arguments)
            except errors.Unavailable as away:
                if not _may_pass(away) or monotonic() >= ends:
                    raise
                self._pause(away, failures)
                failures += 1
            else:
                self._outage.over()
                return reply

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Take a wake token; False, too, when Redis went away meanwhile: the caller looks again."""
        return self._blocking(lambda: self._connection.wait_for_wake(key, timeout_s))

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream, in the same way."""
        return self._blocking(
            lambda: self._connection.wait_for_entry(key, cursor, timeout_s)
        )

    def close(self) -> None:
        """Let who waits here, or calls again, get Closed. A wait that has just begun needs a second time."""
        self._closed.set()
        self._connection.close()

    def _blocking(self, ask: Callable[[], bool]) -> bool:
        self._check()
        try:
            return ask()
        except errors.Unavailable as away:
            self._check()
            if not _may_pass(away):
                raise
            self._pause(away, 0)
            return False

    def _pause(self, away: errors.Unavailable, failures: int) -> None:
        self._outage.noticed(away)
        self._closed.wait(pause_s(failures, FIRST_PAUSE_S, LONGEST_PAUSE_S))

    def _check(self) -> None:
        if self._closed.is_set():
            raise Closed


def _may_pass(away: errors.Unavailable) -> bool:
    """Return whether another try may help; what is done, and only not on enough replicas, is no outage."""
    return away.retryable and not isinstance(away, errors.NotReplicated)
