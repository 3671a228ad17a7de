"""A connection whose claims wait for the end of a pause."""

from collections.abc import Sequence
from threading import Event

from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.transport.retry import ConnectionClosed


class PausedConnection(ConnectionWrapper):
    """A connection for claims: it runs a script only after the pause."""

    def __init__(self, connection: Connection, pauses: ClaimPauses) -> None:
        super().__init__(connection)
        self._pauses = pauses
        self._closed = Event()

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script after the pause. Raises ConnectionClosed after close()."""
        while (left_s := self._pauses.left_s) > 0:
            if self._closed.wait(left_s):
                raise ConnectionClosed
        return super().run_script(script, key, arguments)

    def close(self) -> None:
        """End the current and all later calls with ConnectionClosed."""
        self._closed.set()
        super().close()
