"""A connection to the bundled server that starts it when it is needed."""

from collections.abc import Callable, Sequence
from time import time

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.queue.port import Argument, Reply, Script, repeated
from taskorch.transport import address
from taskorch.transport.socket import SocketConnection


class OnDemandConnection:
    """Makes one attempt, and another one after starting a server that did not answer.

    A server that the user stopped after this connection was opened stays stopped. The
    second attempt acts once: the server had saved the request ids of what it did.
    """

    def __init__(
        self,
        settings: Settings,
        announce: Callable[[str], None],
        access: Access,
    ) -> None:
        """`announce` receives a sentence when the server was started or repaired."""
        self._settings = settings
        self._access = access
        self._announce = announce
        self._opened_at = time()
        self._is_closed = False
        self._connection = SocketConnection(
            address.bundled(settings.folder_path)
        )

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script, on a server that is started if necessary."""
        try:
            return self._connection.run_script(script, key, arguments)
        except (errors.Unreachable, errors.Stalled) as failure:
            if not self._started_server(failure):
                raise
            words = repeated(script, arguments)
            return self._connection.run_script(script, key, words)

    def run_command(self, key: str, *command: Argument) -> Reply:
        """Send a command to the server, which is not started for it."""
        return self._connection.run_command(key, *command)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it.

        Return False if the server had to be started: the caller looks again.
        """
        try:
            return self._connection.wait_for_wake(lists, timeout_s)
        except (errors.Unreachable, errors.Stalled) as failure:
            if not self._started_server(failure):
                raise
            return False

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`.

        Return False if the server had to be started: the caller looks again.
        """
        try:
            return self._connection.wait_for_entry(key, cursor, timeout_s)
        except (errors.Unreachable, errors.Stalled) as failure:
            if not self._started_server(failure):
                raise
            return False

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        self._connection.break_off(thread)

    def close(self) -> None:
        """Close the sockets; the server keeps running."""
        self._is_closed = True
        self._connection.close()

    def _started_server(self, failure: errors.Unavailable) -> bool:
        """Start the server unless it runs; return False if it must not be started."""
        from taskorch.bundled import server

        if (
            isinstance(failure, errors.Stalled)
            and failure.details["why"] != "LOADING"
        ):
            return False
        if self._is_closed:
            return False
        if server.was_stopped(self._settings, self._opened_at):
            return False
        server.refuse_start(self._settings, self._access)
        if server.start(self._settings, self._announce):
            self._announce(
                f"Started the bundled server for {self._settings.root}. "
                "To stop it: orchestrate server stop"
            )
        return True
