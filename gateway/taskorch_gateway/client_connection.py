"""A connection in the name of a client, for the verbs of the HTTP API and of MCP.

As with `/call`, every call is checked against the client's token, gets a request id of
that token, and is recorded in the audit log.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import Frozen
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    ScriptError,
)

from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.checks import (
    HOST,
    PID,
    Call,
    checked,
    own_request,
)

#: The gateway does not know the process of a client that calls a verb.
UNKNOWN_PID = "0"


@contextmanager
def recorded(
    audit: AuditLog, access: ClientAccess, call: Call
) -> Iterator[None]:
    """Record a call that the block runs, with its outcome.

    Raises errors.TokenRefused if the script refuses the token.
    """
    try:
        yield
    except ScriptError as refusal:
        audit.record(access, call.script, call.words, str(refusal))
        if str(refusal).startswith(errors.TokenRefused.word):
            raise errors.TokenRefused(url="") from None
        raise
    except errors.TaskOrchestratorError as error:
        audit.record(access, call.script, call.words, error.word)
        raise
    audit.record(access, call.script, call.words, "")


class Client(Frozen):
    """A client of the gateway: what its token allows, and where it calls from."""

    access: ClientAccess
    address: str
    #: Whether it accepts a task of MCP in place of a result.
    takes_tasks: bool = False


class WaitNeeded(Exception):
    """A verb has to wait here: no thread waits, the verb is performed again later."""

    def __init__(
        self, keys: Sequence[str], cursor: str, seconds: float
    ) -> None:
        """Wait for an entry of a stream after a cursor, or with "" for a wake token.

        `keys` are the stream, or the lists of wake tokens.
        """
        super().__init__(*keys)
        self.keys = keys
        self.cursor = cursor
        self.seconds = seconds


class ClientConnection(ConnectionWrapper):
    """A shared connection, for the calls of one client."""

    def __init__(
        self, client: Client, connection: Connection, audit: AuditLog
    ) -> None:
        super().__init__(connection)
        self._client = client
        self._audit = audit

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script of a verb that the gateway performs for the client.

        Raises errors.NotAllowed, and what a connection raises.
        """
        words = [str(word) for word in arguments]
        words[HOST], words[PID] = self._client.address, UNKNOWN_PID
        access = self._client.access
        call = checked(access, script.name, words)
        with recorded(self._audit, access, call):
            return self.connection.run_script(
                script, key, own_request(access, call.words)
            )

    def run_command(self, key: str, *command: Argument) -> NoReturn:  # noqa: ARG002
        """Refuse a command about the server: it concerns all clients."""
        raise errors.NotAllowed(reason="it is about the server of the queue.")

    def wait_for_wake(
        self, lists: Sequence[str], timeout_s: float
    ) -> NoReturn:
        """Raise WaitNeeded."""
        raise WaitNeeded(lists, "", timeout_s)

    def wait_for_entry(
        self, key: str, cursor: str, timeout_s: float
    ) -> NoReturn:
        """Raise WaitNeeded."""
        raise WaitNeeded((key,), cursor, timeout_s)

    def close(self) -> None:
        """Leave the shared connection open."""
