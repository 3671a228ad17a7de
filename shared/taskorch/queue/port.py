"""The port of the queue: the connection to Redis and the store of request ids.

`taskorch.transport` has the connections, `taskorch.config.unanswered` has the store.
"""

from collections.abc import Sequence
from typing import Protocol

#: A reply of Redis, with decoded text.
Reply = str | int | None | list["Reply"]
Argument = str | int
#: The error handler for bytes that are not UTF-8: they become text such as \\xff.
#: Scripts never write such bytes.
UNREADABLE = "backslashreplace"

#: The verbs that wait for replicas, if the settings ask for it: all whose loss a user
#: or an agent would notice too late. The others recover by themselves;
#: docs/reliability.md says how. For example, the item of a lost claim is queued again.
REPLICATED = frozenset((
    "project", "create", "depend", "edit", "assign", "answer", "comment", "cancel", "requeue", "close_project",
    "reopen_project", "accept", "send_back", "set_budget", "create_schedule", "remove_schedule",
    "edit_access_token", "revoke_access_token", "agent_comment",
    "progress", "discover", "note", "blocker", "withdraw", "renew", "release", "fail", "complete",
))  # fmt: skip
WAIT_TIMEOUT_MS = 2000


#: Marks the request id of a repeat.
REPEAT = "+"
#: Behind the request id, precede the access token of a gateway's client, and the project
#: that a caller is confined to.
CLIENT = ":"
CONFINED = "@"


class ScriptError(Exception):
    """The error reply of a script: `WORD {"its": "details"}`."""


class WaitBrokenOff(Exception):
    """Another thread has broken off the wait; see `Connection.break_off`."""


class Script(Protocol):
    """A script: a function of the library, or a text with the prelude in front."""

    name: str
    #: Whether it changes anything; if so, it recognizes a repeat by its request id.
    acts: bool

    @property
    def function(self) -> str:
        """The name of its function, for FCALL; "" if it has only a text."""

    @property
    def library(self) -> str:
        """The text of the library that has the function, for FUNCTION LOAD."""

    @property
    def text(self) -> str:
        """The text, for EVAL."""

    @property
    def sha(self) -> str:
        """The SHA1 of the text, for EVALSHA."""


def repeated(
    script: Script, arguments: Sequence[Argument]
) -> Sequence[Argument]:
    """Return the arguments of a call that is sent again.

    The first copy may still be on its way. A script that acts learns from the mark that
    it has to keep even a refusal, so that the first copy does not act later.
    """
    if not script.acts:
        return arguments
    request, *rest = arguments
    if str(request).endswith(REPEAT):
        return arguments
    return f"{request}{REPEAT}", *rest


class Connection(Protocol):
    """A connection to Redis, as the queue uses it."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key.

        Raises ScriptError when the script itself refuses the call, and
        errors.Unavailable or errors.Invalid when Redis cannot run it. Repeating a call
        whose reply was lost is safe: a mutating script recognizes its request id.
        """

    def run_command(self, key: str, *command: Argument) -> Reply:
        """Send a command about the server that has the key, such as FUNCTION LIST.

        Repeating it must be harmless.
        """

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it.

        Return False after `timeout_s` seconds, or earlier when the connection breaks.
        """

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`.

        Return False after `timeout_s` seconds, or earlier when the connection breaks.
        """

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff; `thread` is its identifier.

        A wait that is just beginning may miss it.
        """

    def close(self) -> None:
        """Close the sockets, without waiting for other threads.

        A script that is under way still gets its reply. A wait breaks off, as in an
        outage. The next call opens a socket again.
        """


class RequestStore(Protocol):
    """Keeps the ids of unanswered requests for the next run of a command.

    A step is the script's name, its key, the agent and the session.
    """

    def take(self, step: tuple[str, ...]) -> str:
        """Remove and return the id of an unanswered request of the step, or ""."""

    def keep(self, step: tuple[str, ...], request: str) -> None:
        """Keep the id of a request. Raises OSError or errors.RootNotWritable."""


class ConnectionWrapper:
    """A connection that passes every call on to another one."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key."""
        return self.connection.run_script(script, key, arguments)

    def run_command(self, key: str, *command: Argument) -> Reply:
        """Send a command about the server that has the key."""
        return self.connection.run_command(key, *command)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it."""
        return self.connection.wait_for_wake(lists, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        return self.connection.wait_for_entry(key, cursor, timeout_s)

    def break_off(self, thread: int) -> None:
        """Make the wait of a thread raise WaitBrokenOff."""
        self.connection.break_off(thread)

    def close(self) -> None:
        """Close the sockets."""
        self.connection.close()
