"""Runs the Lua scripts, one per verb: the only way from the queue to Redis."""

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache, cached_property
from time import monotonic
from types import TracebackType

from taskorch.domain import errors, limits
from taskorch.domain.backoff import Notify, Patience, retry
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.fields import Damage
from taskorch.queue.port import (
    REPEAT,
    Argument,
    Connection,
    Reply,
    Script,
    ScriptError,
    repeated,
)
from taskorch.queue.requests import Requests
from taskorch.version import __version__

#: The files of the prelude in front of every script; each may use the ones before it.
PRELUDE = (
    "call",
    "clients",
    "counters",
    "questions",
    "items",
    "usage",
    "leases",
    "views",
)
#: The files that only some scripts need: each call runs all that is in front of it.
PARTS = {
    "accept": ("reviews", "unfinished"),
    "agents": ("rows",),
    "assign": ("sizes", "edits"),
    "awaited": ("purging",),
    "budgets": ("listed_budgets",),
    "claim": ("sizes", "packages", "unfinished", "claims"),
    "close_project": ("unfinished",),
    "complete": ("sizes", "packages", "unfinished", "claims", "deliveries"),
    "count_new_discoveries": ("discoveries",),
    "create": ("sizes", "edits"),
    "create_schedule": ("schedules",),
    "depend": ("sizes", "edits"),
    "discoveries": ("discoveries",),
    "edit": ("sizes", "edits"),
    "edit_access_token": ("memberships",),
    "end_scheduled": ("schedules",),
    "fail": ("sizes", "packages", "unfinished", "claims"),
    "get": ("sizes", "packages"),
    "list": ("sizes", "edits"),
    "new_discoveries": ("discoveries",),
    "overview": ("rows",),
    "prime": ("sizes", "packages"),
    "progress_of_project": ("discoveries",),
    "purge": ("purging",),
    "reap": ("unfinished",),
    "records": ("sizes", "packages"),
    "remove_schedule": ("schedules",),
    "requeue": ("reviews",),
    "resume": ("unfinished",),
    "reviews": ("reviews",),
    "revoke_access_token": ("memberships",),
    "schedules": ("schedules",),
    "send_back": ("reviews",),
    "set_budget": ("listed_budgets",),
    "show": ("sizes", "packages"),
    "start_scheduled": ("schedules",),
    "timeline": ("sizes", "packages"),
}

#: The line in front of a verb, with its name and the roles that may run it: each call
#: begins with it.
BEGIN = "begin_call(KEYS, ARGV, '{}', '{}')\n"
#: A verb in a script. It is a function, so that its local variables do not count among the
#: 200 that Lua allows the prelude.
_VERB = "return (function(KEYS, ARGV) {}end)(KEYS, ARGV)\n"

#: The scripts that change nothing. Any other recognizes a repeat by its request id.
READS = frozenset((
    "access_tokens", "agents", "audit_log", "awaited", "budgets", "costs", "count_new_discoveries", "damaged",
    "discoveries", "environment", "events", "export", "find", "finished", "inbox", "indexed", "list", "metrics",
    "mirrors", "notes", "notified", "overview", "prime", "progress_of_project", "projects", "purged", "records",
    "reviews", "schedules", "show", "signals", "standing", "stuck", "timeline", "wait",
))  # fmt: skip

#: The scripts that may run when Redis is out of memory, because they free some: as
#: scripts they begin with a DEL, as functions they have a flag.
FREES_MEMORY = frozenset(("archive_done", "archive_take", "purge", "upgrade"))

#: Items that one part of an upgrade handles, within a few milliseconds.
UPGRADED_AT_ONCE = 50
#: An upgrade that takes longer is reported.
NOTICED_S = 1.0

_FOLDER = os.path.join(os.path.dirname(__file__), "scripts")
#: The file with the hash of the library, in the folder of a wheel.
BUILT = "library_hash"


class Scripts:
    """The scripts, run in one namespace for one caller."""

    def __init__(
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        requests: Requests | None = None,
        damage: Damage | None = None,
    ) -> None:
        """Give each call an id of `requests`: a script acts once for each id.

        Readers of replies skip damaged rows, and add them to `damage`.
        """
        self.damage: Damage = {} if damage is None else damage
        self.connection = connection
        self.namespace = namespace
        self.caller = caller
        #: Receives a sentence when a call takes long, because it upgrades the namespace.
        self.notify: Callable[[str], object] = lambda _: None
        self._requests = requests or Requests()
        self._caller = (
            _name_and_pools(caller),
            caller.host[: limits.CALLER_CHARACTERS],
            caller.pid,
            caller.session,
            __version__,
        )

    @property
    def has_one_request(self) -> bool:
        """Whether all calls are repeats of one request."""
        return self._requests.is_one

    @property
    def is_repeatable(self) -> bool:
        """Whether a repeat of all calls must do nothing more."""
        return self._requests.is_repeatable

    def for_the_rest(self) -> "Scripts":
        """Return the scripts for the calls that finish a step which takes several.

        If all calls have one request id, a second call would get the reply of the first
        one again: these have ids of their own.
        """
        if not self.has_one_request:
            return self
        return Scripts(
            self.connection, self.namespace, self.caller, damage=self.damage
        )

    def run_script(self, name: str, *arguments: Argument) -> Reply:
        """Run `scripts/<name>.lua` and return its reply.

        An error of the script is raised as the class of `errors` with its word.
        """
        call = self._call(name, arguments)
        with _Answered(self._requests, call):
            return self._ask(call)

    def run_through_outages(
        self, name: str, *arguments: Argument, seconds: float, notify: Notify
    ) -> Reply:
        """Run a script; repeat its request for some time while Redis is unreachable.

        It acts once. `notify` receives each failure, and None after a success.
        """
        call = self._call(name, arguments)
        patience = Patience(
            may_pass=lambda failure: failure.retryable, seconds=seconds
        )
        with _Answered(self._requests, call):
            return retry(
                lambda failures: self._ask(call, again=failures > 0),
                patience,
                notify=notify,
            )

    def _ask(self, call: "_Call", *, again: bool = False) -> Reply:
        """Send a call and return its reply; upgrade an older namespace first."""
        words = call.sent(again=again)
        try:
            return self.connection.run_script(call.script, call.key, words)
        except ScriptError as refusal:
            if not _needs_upgrade(str(refusal)):
                raise
        self._upgrade()
        return self.connection.run_script(call.script, call.key, words)

    def _upgrade(self) -> None:
        """Bring the namespace to this schema; other callers may help.

        Each part has a request id of its own, whatever those of the queue are.
        """
        own = Scripts(self.connection, self.namespace, self.caller)
        began, is_reported = monotonic(), False
        while own.run_script("upgrade", UPGRADED_AT_ONCE) == ["1"]:
            if not is_reported and monotonic() - began >= NOTICED_S:
                is_reported = True
                self.notify(
                    f"The namespace {self.namespace} is being upgraded to the schema "
                    "of this version. This happens once, and can be interrupted."
                )

    def _call(self, name: str, arguments: Sequence[Argument]) -> "_Call":
        script, key = load(name), keys.meta(self.namespace)
        step = (name, key, self.caller.agent, self.caller.session)
        sent = self._requests.next(step, acts=script.acts)
        words = (sent, *self._caller, *arguments)
        request = sent.removesuffix(REPEAT)
        return _Call(
            script=script, key=key, step=step, request=request, words=words
        )

    def wait_for_wake(
        self, timeout_s: float, *, leaves_pools: bool = False
    ) -> bool:
        """Block until the caller's queue, or one of its pools, gets an item.

        Return False after `timeout_s` seconds. With `leaves_pools`, the wake tokens of the
        pools are left to others.
        """
        pools = () if leaves_pools else self.caller.pools or ()
        owners = keys.owners(self.caller.agent, pools)
        lists = [keys.wake(self.namespace, owner) for owner in owners]
        return self.connection.wait_for_wake(lists, timeout_s)

    def wait_for_entry(
        self, stream: str, cursor: str, timeout_s: float
    ) -> bool:
        """Block until a stream, a key of the namespace, has an entry after the cursor.

        Return False after `timeout_s` seconds.
        """
        return self.connection.wait_for_entry(stream, cursor, timeout_s)


class _Call(Frozen):
    """A call of a script, with the id of its request and the step that it belongs to."""

    script: Script
    key: str
    step: tuple[str, ...]
    request: str
    words: tuple[Argument, ...]

    def sent(self, *, again: bool) -> Sequence[Argument]:
        """Return the arguments as they are sent, the first time or again."""
        return repeated(self.script, self.words) if again else self.words


class _Answered:
    """A block that waits for the answer to a call.

    It raises an error reply as our error, and keeps the request of a call without an
    answer.
    """

    def __init__(self, requests: Requests, call: _Call) -> None:
        self._requests = requests
        self._call = call

    def __enter__(self) -> None:
        """Begin to wait."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        failure: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise the error of a reply; keep the request if there was no reply."""
        if isinstance(failure, ScriptError):
            raise error_of(str(failure)) from None
        if isinstance(failure, errors.Unavailable):
            failure.request = self._call.request + REPEAT
        if isinstance(failure, (errors.Unavailable, KeyboardInterrupt)):
            self._requests.keep(self._call.step, self._call.request)


class LuaScript:
    """A script of the folder. What a call does not need is not read."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.acts = name not in READS

    @cached_property
    def function(self) -> str:
        """The name of its function in the library."""
        return function_name(self.name, library_hash())

    @property
    def library(self) -> str:
        """The text of the library, for FUNCTION LOAD."""
        return library_text()

    @cached_property
    def text(self) -> str:
        """The text with the prelude in front, for EVAL."""
        parts = PRELUDE + PARTS.get(self.name, ())
        return _parts(parts) + _VERB.format(_begun(self.name))

    @cached_property
    def sha(self) -> str:
        """The SHA1 of the text, for EVALSHA."""
        try:  # loads ten times faster than hashlib, which loads OpenSSL for the same
            from _sha1 import sha1  # type: ignore[import-not-found]
        except ImportError:
            from hashlib import sha1
        return str(sha1(self.text.encode(), usedforsecurity=False).hexdigest())


def _name_and_pools(caller: Caller) -> str:
    """Return "ada,backend,python"; "ada," without any pools, "ada" if none are stated."""
    if caller.pools is None:
        return caller.agent
    return f"{caller.agent},{','.join(limits.pools(caller.pools))}"


@cache
def load(name: str) -> LuaScript:
    """Return the script of that name."""
    return LuaScript(name)


@cache
def library_hash() -> str:
    """Return the hash in the names of the library and of its functions.

    A wheel has it in a file: see hatch_build.py. In a checkout, where scripts are
    edited, it is that of the files as they are.
    """
    with suppress(FileNotFoundError), open(f"{_FOLDER}/{BUILT}") as built:
        return built.read()
    from taskorch.queue import library

    sources = [__file__, f"{os.path.dirname(__file__)}/roles.py"]
    return library.hash_of(_FOLDER, sources, _composition)


def _composition() -> str:
    """Return what the library is made of, besides the texts of the files."""
    from taskorch.queue import roles

    composition = (
        PRELUDE, sorted(PARTS.items()), BEGIN, sorted(READS), sorted(FREES_MEMORY),
        [sorted(names) for names in roles.SCRIPTS.values()],
    )  # fmt: skip
    return repr(composition)


def function_name(verb: str, digits: str) -> str:
    """Return the name of a function in the library with a hash."""
    return f"{verb}_{digits}"


def library_text() -> str:
    """Return the text of the library of functions, for FUNCTION LOAD."""
    from taskorch.queue import library

    digits = library_hash()

    def function(
        verb: str, flags: Sequence[str], lua: str
    ) -> library.Function:
        name = function_name(verb, digits)
        return library.Function(name=name, flags=flags, lua=lua)

    called_at = function(
        library.CALLED_AT,
        ("no-writes",),
        source(f"library/{library.CALLED_AT}"),
    )
    groups = [library.Group(parts="", functions=[called_at])]
    for parts in sorted({PARTS.get(name, ()) for name in names()}):
        functions = [
            function(name, _flags(name), _begun(name))
            for name in names()
            if PARTS.get(name, ()) == parts
        ]
        groups.append(library.Group(parts=_parts(parts), functions=functions))
    return library.text_of(digits, _parts(PRELUDE), groups)


def names() -> list[str]:
    """Return the names of all scripts."""
    return sorted(
        name.removesuffix(".lua")
        for name in os.listdir(_FOLDER)
        if name.endswith(".lua")
    )


def _begun(name: str) -> str:
    """Return a script behind the line that begins its call."""
    from taskorch.queue import roles

    return BEGIN.format(name, " ".join(roles.of_script(name))) + source(name)


def _flags(name: str) -> Sequence[str]:
    if name in READS:
        return ("no-writes",)
    return ("allow-oom",) if name in FREES_MEMORY else ()


def _parts(parts: Sequence[str]) -> str:
    return "".join(source(f"prelude/{part}") for part in parts)


def source(name: str) -> str:
    """Return the text of a file of scripts."""
    with open(f"{_FOLDER}/{name}.lua", encoding="utf-8") as file:
        return file.read()


def error_of(reply: str) -> errors.TaskOrchestratorError:
    """Return the error for the error reply of a script: `WORD {"its": "details"}`."""
    word, _, text = reply.partition(" ")
    kind = errors.BY_WORD.get(word)
    if kind is None:
        return errors.TaskOrchestratorError(reason=reply)
    details, _ = json.JSONDecoder().raw_decode(text)
    if damaged := details.pop("damaged", ""):
        reason = f"its {damaged} cannot be right"
        return errors.Damaged(kind="item", id=details["item"], reason=reason)
    return kind(**details)


def _needs_upgrade(reply: str) -> bool:
    """Tell whether an error reply is about a schema that `upgrade` brings to ours."""
    error = error_of(reply)
    if not isinstance(error, errors.BadSchema):
        return False
    return error.details["found"] in errors.BadSchema.UPGRADABLE


def random_digits() -> str:
    """Return eight random hex digits, for a new id."""
    return os.urandom(4).hex()
