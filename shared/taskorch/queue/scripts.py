"""Runs Lua: one script per verb, its text, its call and its errors; the only road from the queue to Redis."""

import json
import os
from collections.abc import Sequence
from functools import cache
from typing import Protocol

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # a tenth of the time that hashlib takes to import, which asks OpenSSL for the same
except ImportError:
    from hashlib import sha1

from taskorch import __version__
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import keys

#: What Redis answers; text is decoded.
Reply = str | int | None | list["Reply"]
Argument = str | int
#: How bytes that are not UTF-8 are decoded: as the text \\xff. Nothing of ours writes them.
UNREADABLE = "backslashreplace"
#: Rows of replies that were skipped, by their kind and id: why.
Damage = dict[tuple[str, str], str]

#: The verbs that wait for replicas, where that is asked for: every step whose loss a user or an agent would notice too
#: late. docs/reliability.md says why the others do not: a lost claim queues its item again, for one.
REPLICATED = frozenset((
    "project", "create", "depend", "assign", "answer", "cancel", "requeue", "complete_project",
    "progress", "discover", "note", "blocker", "renew", "release", "fail", "complete",
))  # fmt: skip
WAIT_TIMEOUT_MS = 2000
#: What is in front of every script: each part uses those before it.
PRELUDE = ("call", "items", "leases", "views")

_FOLDER = os.path.join(os.path.dirname(__file__), "scripts")


class ScriptError(Exception):
    """An error that a script raised itself, as Redis replies it: `WORD {"its": "details"}`."""


class Script:
    """A script's text, with the prelude in front of it, and the SHA1 that EVALSHA knows it by."""

    def __init__(self, name: str) -> None:
        verb = _read(name)
        self.name = name
        self.text = _prelude() + verb
        #: Whether it changes something, and so knows a repeat by its request id.
        self.acts = "return once(" in verb
        self.sha = sha1(self.text.encode(), usedforsecurity=False).hexdigest()


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


class Scripts:
    """Runs scripts in one namespace, in the name of one caller."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        request: str = "",
        damage: Damage | None = None,
    ) -> None:
        """With a `request`, a mutating script acts only at the first call of that id.

        What is damaged among the rows of replies is skipped, and put into `damage`.
        """
        self.damage: Damage = {} if damage is None else damage
        self.connection = connection
        self._request = request
        self.namespace = namespace
        self.caller = caller
        self._who = (caller.agent, caller.host, caller.pid, caller.session, __version__)

    def run(self, name: str, *arguments: Argument) -> Reply:
        """Run `scripts/<name>.lua` and return its reply; its errors come as the classes of `errors`."""
        request = self._request or os.urandom(8).hex()
        try:
            return self.connection.call(
                load(name), keys.meta(self.namespace), (request, *self._who, *arguments)
            )
        except ScriptError as refusal:
            raise _error(str(refusal)) from None
        except errors.Unavailable as away:
            away.request = request
            raise

    def wait(self, timeout_s: float) -> bool:
        """Block until something is put onto the caller's queue, or for `timeout_s` seconds."""
        return self.connection.wait(
            keys.wake(self.namespace, self.caller.agent), timeout_s
        )

    def follow(self, stream: str, cursor: str, timeout_s: float) -> bool:
        """Block until a stream, a key of the namespace, has an entry after the cursor, or for `timeout_s` seconds."""
        return self.connection.follow(stream, cursor, timeout_s)


@cache
def _prelude() -> str:
    return "".join(_read(f"prelude/{part}") for part in PRELUDE)


@cache
def load(name: str) -> Script:
    """Return the script of that name; read and hashed once a process."""
    return Script(name)


def random_digits() -> str:
    """Return eight hex digits to make an id of."""
    return os.urandom(4).hex()


def _read(name: str) -> str:
    with open(f"{_FOLDER}/{name}.lua", encoding="utf-8") as file:
        return file.read()


def _error(reply: str) -> errors.TaskOrchestratorError:
    word, _, rest = reply.partition(" ")
    kind = errors.BY_WORD.get(word)
    if kind is None:
        return errors.TaskOrchestratorError(reason=reply)
    details, _ = json.JSONDecoder().raw_decode(rest)
    if wrong := details.pop("damaged", ""):
        return errors.Damaged(
            kind="item", id=details["item"], reason=f"its {wrong} cannot be right"
        )
    return kind(**details)
