"""The port of the queue: what it asks of a connection to Redis, and what it gets back.

The connections themselves are in `taskorch.transport`.
"""

from collections.abc import Sequence
from typing import Protocol

from taskorch.domain.frozen import Frozen

#: What Redis answers; text is decoded.
Reply = str | int | None | list["Reply"]
Argument = str | int
#: How bytes that are not UTF-8 are decoded: as the text \\xff. Nothing of ours writes them.
UNREADABLE = "backslashreplace"

#: The verbs that wait for replicas, where that is asked for: every step whose loss a user or an agent would notice too
#: late. docs/reliability.md says why the others do not: a lost claim queues its item again, for one.
REPLICATED = frozenset((
    "project", "create", "depend", "assign", "answer", "cancel", "requeue", "complete_project",
    "progress", "discover", "note", "blocker", "renew", "release", "fail", "complete",
))  # fmt: skip
WAIT_TIMEOUT_MS = 2000


class ScriptError(Exception):
    """An error that a script raised itself, as Redis replies it: `WORD {"its": "details"}`."""


class Script(Frozen):
    """A script's text, with the prelude in front of it, and the SHA1 that EVALSHA knows it by."""

    name: str
    text: str
    sha: str
    #: Whether it changes something, and so knows a repeat by its request id.
    acts: bool


class Connection(Protocol):
    """What the queue needs of Redis."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key.

        Raises ScriptError when the script itself refuses the call, and
        errors.Unavailable or errors.Invalid when Redis cannot run it. Repeating a call
        whose reply was lost is safe: a mutating script recognizes its request id.
        """

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Block until the list `key` has a wake token, and take it.

        Return False after `timeout_s` seconds, or earlier when the connection breaks.
        """

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`.

        Return False after `timeout_s` seconds, or earlier when the connection breaks.
        """

    def close(self) -> None:
        """Close the sockets, without waiting for other threads.

        A script that is under way still gets its reply. A wait breaks off, as in an
        outage. The next call opens a socket again.
        """


class RequestStore(Protocol):
    """Keeps the ids of requests that Redis did not answer, for the next run of a command.

    A step is the script's name, its key, the agent and the session.
    """

    def take(self, step: tuple[str, ...]) -> str:
        """Remove and return the id of an unanswered request of the step, or ""."""

    def keep(self, step: tuple[str, ...], request: str) -> None:
        """Keep the id of an unanswered request. Raises OSError or errors.RootNotWritable."""


class ConnectionWrapper:
    """A connection that passes everything on to another one; subclasses change a part."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key."""
        return self.connection.run_script(script, key, arguments)

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        """Block until the list `key` has a wake token, and take it."""
        return self.connection.wait_for_wake(key, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        return self.connection.wait_for_entry(key, cursor, timeout_s)

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()
