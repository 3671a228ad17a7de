"""A connection that repeats its calls while Redis is unreachable.

The transport itself makes one attempt. The loop is `taskorch.domain.backoff.retry`,
which the waits of the queue use, too.
"""

from collections.abc import Callable, Sequence
from threading import Event, Lock

from taskorch.domain import errors
from taskorch.domain.backoff import (
    FIRST_PAUSE_S,
    Notify,
    Patience,
    pause_s,
    retry,
)
from taskorch.queue.port import (
    Argument,
    Connection,
    Reply,
    Script,
    repeated,
)


class ConnectionClosed(Exception):
    """The connection was closed for good."""


class OutageNotice:
    """Reports an outage of Redis once, and its end once, to all threads together."""

    def __init__(self, say: Callable[[str], object]) -> None:
        """`say` receives a sentence for people."""
        self._say = say
        self._turn = Lock()
        self._is_reported = False

    def __call__(self, failure: errors.Unavailable | None) -> None:
        """Report a failure unless the outage is known; report its end with None."""
        if failure is None and not self._is_reported:
            return
        with self._turn:
            if failure and not self._is_reported:
                self._is_reported = True
                self._say(f"{str(failure).rstrip('.')}. Retrying.")
            elif self._is_reported and not failure:
                self._is_reported = False
                self._say("Redis answers again.")


class RetryingConnection:
    """Repeats each call of a connection, with the same request, which acts once."""

    def __init__(
        self,
        connection: Connection,
        patience: Patience,
        *,
        resumes_waits: bool = True,
        close_is_final: bool = False,
        notify: Notify = lambda _: None,
    ) -> None:
        """Connect to nothing yet.

        With `resumes_waits`, a wait that breaks ends as if nothing had arrived, so
        that the caller looks again. Otherwise it raises the error. After close(),
        nothing is repeated; if that is final, all calls raise ConnectionClosed, those
        of threads that wait, too.
        """
        self._connection = connection
        self._patience = patience
        self._resumes_waits = resumes_waits
        self._notify = notify
        self._close_is_final = close_is_final
        self._closed = Event()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script; see taskorch.queue.port.Connection.

        Raises errors.Unavailable when the patience ends or another attempt cannot help.
        """

        def attempt(failures: int) -> Reply:
            self._raise_if_closed()
            words = repeated(script, arguments) if failures else arguments
            return self._connection.run_script(script, key, words)

        try:
            return retry(
                attempt,
                self._patience,
                notify=self._notify,
                pause=self._closed.wait,
            )
        except errors.Unavailable:
            self._raise_if_closed()
            raise

    def run_command(self, key: str, *command: Argument) -> Reply:
        """Send a command; see taskorch.queue.port.Connection."""
        self._raise_if_closed()
        return retry(
            lambda _: self._connection.run_command(key, *command),
            self._patience,
            notify=self._notify,
            pause=self._closed.wait,
        )

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it."""
        self._raise_if_closed()
        try:
            return self._connection.wait_for_wake(lists, timeout_s)
        except errors.Unavailable as error:
            if not self._resumes_wait_after(error):
                raise
            return False

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        self._raise_if_closed()
        try:
            return self._connection.wait_for_entry(key, cursor, timeout_s)
        except errors.Unavailable as error:
            if not self._resumes_wait_after(error):
                raise
            return False

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        self._connection.break_off(thread)

    def close(self) -> None:
        """Close the sockets. A wait that is just beginning may miss it."""
        self._closed.set()
        self._connection.close()

    def _resumes_wait_after(self, error: errors.Unavailable) -> bool:
        """Pause before the caller looks again; return False if that cannot help."""
        self._raise_if_closed()
        is_closed = self._closed.is_set()
        if (
            is_closed
            or not self._resumes_waits
            or not self._patience.may_pass(error)
        ):
            return False
        self._notify(error)
        self._closed.wait(
            pause_s(0, FIRST_PAUSE_S, self._patience.longest_pause_s)
        )
        return True

    def _raise_if_closed(self) -> None:
        if self._close_is_final and self._closed.is_set():
            raise ConnectionClosed


def is_not_final(error: errors.Unavailable) -> bool:
    """Return whether another attempt may ever succeed.

    A step that is done, and only lacks replicas, is not repeated.
    """
    return error.retryable and not isinstance(error, errors.NotReplicated)
