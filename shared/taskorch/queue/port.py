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
    """All that the queue knows of Redis."""

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run a script with one key.

        Raises ScriptError for what the script itself refuses, and errors.Unavailable or errors.Invalid for a Redis
        that cannot run it. A repeat after a lost reply is safe: each mutating script answers it from its request id.
        """

    def wait(self, key: str, timeout_s: float) -> bool:
        """Take a wake token from the list `key`, blocking until there is one; False after `timeout_s` seconds."""

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`; False after `timeout_s` seconds."""

    def close(self) -> None:
        """Give the sockets back; a wait of another thread breaks off, as in an outage.

        It waits for nobody: a call of another thread goes on until it has its reply.
        """


class Around:
    """A connection around another one: what a kind of it does not change goes through as it is."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def call(self, script: Script, key: str, arguments: Sequence[Argument]) -> Reply:
        """Run a script."""
        return self.connection.call(script, key, arguments)

    def wait(self, key: str, timeout_s: float) -> bool:
        """Take a wake token."""
        return self.connection.wait(key, timeout_s)

    def follow(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block for an entry of a stream."""
        return self.connection.follow(key, cursor, timeout_s)

    def close(self) -> None:
        """Give the sockets back."""
        self.connection.close()
