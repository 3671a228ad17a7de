"""The connections of a worker: they wait out an outage of Redis, until they are stopped."""

from collections.abc import Sequence
from math import inf

from taskorch.connections import OUTAGE_PAUSE_S
from taskorch.domain.backoff import Patience
from taskorch.library.stoppable import StoppableConnection
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import Argument, Connection, Reply, Script
from taskorch.transport.retry import (
    OutageNotice,
    RetryingConnection,
    is_not_final,
)


class ClaimConnection(StoppableConnection):
    """The connection of the claims, which wait for the end of a pause."""

    def __init__(self, connection: Connection, pauses: ClaimPauses) -> None:
        super().__init__(connection)
        self._pauses = pauses

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script after the pause."""
        while (left_s := self._pauses.left_s) > 0 and not self.is_stopped:
            self.pause(left_s)
        return super().run_script(script, key, arguments)


def lasting(
    connection: Connection, notice: OutageNotice
) -> RetryingConnection:
    """Return a connection that waits out an outage of Redis."""
    patience = Patience(
        may_pass=is_not_final, seconds=inf, longest_pause_s=OUTAGE_PAUSE_S
    )
    return RetryingConnection(connection, patience, notify=notice)
