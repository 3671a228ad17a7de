"""Runs Lua: one script per verb, its text, its call and its errors; the only road from the queue to Redis."""

import json
import os
from functools import cache

try:
    from _sha1 import sha1  # type: ignore[import-not-found]  # a tenth of the time that hashlib takes to import, which asks OpenSSL for the same
except ImportError:
    from hashlib import sha1

from taskorch import __version__
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.port import Argument, Connection, Reply, Script, ScriptError
from taskorch.queue.requests import Requests

#: Rows of replies that were skipped, by their kind and id: why.
Damage = dict[tuple[str, str], str]

#: What is in front of every script: each part uses those before it.
PRELUDE = ("call", "items", "leases", "views")

#: The scripts that change nothing. Any other answers a repeat from its request id.
READS = frozenset((
    "agents", "damaged", "discoveries", "environment", "events", "export", "finished", "indexed", "list", "mirrors",
    "notes", "prime", "progress_of_project", "projects", "records", "show", "standing", "stuck", "wait",
))  # fmt: skip

_FOLDER = os.path.join(os.path.dirname(__file__), "scripts")


class Scripts:
    """Runs scripts in one namespace, in the name of one caller."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        requests: Requests | None = None,
        damage: Damage | None = None,
    ) -> None:
        """Speak for a caller.

        `requests` gives each call its id: a script acts once for each. Damaged rows of
        replies are skipped and added to `damage`.
        """
        self.damage: Damage = {} if damage is None else damage
        self.connection = connection
        self._requests = requests or Requests()
        self.namespace = namespace
        self.caller = caller
        self._who = (caller.agent, caller.host, caller.pid, caller.session, __version__)

    def run_script(self, name: str, *arguments: Argument) -> Reply:
        """Run `scripts/<name>.lua` and return its reply; its errors come as the classes of `errors`."""
        script, key = load(name), keys.meta(self.namespace)
        caller = (key, self.caller.agent, self.caller.session)
        request = self._requests.next(script, caller)
        try:
            return self.connection.run_script(
                script, key, (request, *self._who, *arguments)
            )
        except ScriptError as refusal:
            raise _error(str(refusal)) from None
        except (errors.Unavailable, KeyboardInterrupt) as interruption:
            self._requests.keep(script, caller, request)
            if isinstance(interruption, errors.Unavailable):
                interruption.request = request
            raise

    def wait_for_wake(self, timeout_s: float) -> bool:
        """Block until something is put onto the caller's queue, or for `timeout_s` seconds."""
        return self.connection.wait_for_wake(
            keys.wake(self.namespace, self.caller.agent), timeout_s
        )

    def wait_for_entry(self, stream: str, cursor: str, timeout_s: float) -> bool:
        """Block until a stream, a key of the namespace, has an entry after the cursor, or for `timeout_s` seconds."""
        return self.connection.wait_for_entry(stream, cursor, timeout_s)


@cache
def _prelude() -> str:
    return "".join(_read(f"prelude/{part}") for part in PRELUDE)


@cache
def load(name: str) -> Script:
    """Return the script of that name; read and hashed once a process."""
    verb = _read(name)
    text = _prelude() + verb
    sha = sha1(text.encode(), usedforsecurity=False).hexdigest()
    return Script(name=name, text=text, sha=sha, acts=name not in READS)


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
