"""The wire of our own commands: the port `Connection` over HTTP.

A client names a script and its arguments, never its text. What its token allows is
checked here, and everything else by the script.
"""

import os
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from hashlib import sha256
from typing import cast

from starlette.requests import Request
from taskorch.domain import errors, limits
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import Frozen
from taskorch.domain.role import Role
from taskorch.queue import keys, roles, scripts
from taskorch.queue.port import (
    CONFINED,
    REPEAT,
    Argument,
    Reply,
    Script,
    ScriptError,
)
from taskorch.version import __version__

from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.exchange import Body, while_connected
from taskorch_gateway.pool import NAME, ConnectionPool
from taskorch_gateway.waits import ClientWaits

#: The words in front of a script's own: request, agent, host, pid, session, version.
CALLER_WORDS = 6
SCRIPTS = frozenset(scripts.names())
REQUEST, AGENT, HOST, PID, SESSION, VERSION = range(CALLER_WORDS)
_TAG = r"taskorch:\{([A-Za-z0-9_.-]{1,64})\}:"
_REQUEST = r"[0-9a-f]{16}\+?"
#: Maximum number of characters of host, pid, session and version.
WORD_CHARACTERS = 255
#: Proxies end longer waits.
LONGEST_WAIT_S = 55.0
#: The number of words of a report without an origin. An origin, which only the mirror
#: of files states, may be that of another agent's report.
WITHOUT_ORIGIN = {
    "progress": 10,
    "discover": 10,
    "blocker": 10,
    "note": 8,
}
#: The number of words that `complete` has in front of its items, and for each item. The
#: last word in front of them is the number of items.
COMPLETE_WORDS, ITEM_WORDS = 10, 4
COMPLETE_COUNT = COMPLETE_WORDS - 1
#: Where `claim` says that its caller stops waiting.
LAST_LOOK = 7


class Call(Frozen):
    """A call of a script, checked as far as the gateway does."""

    script: Script
    words: tuple[str, ...]


class Wire:
    """The three routes of our commands."""

    def __init__(
        self,
        namespace: str,
        pool: ConnectionPool,
        waits: ClientWaits,
        audit: AuditLog,
    ) -> None:
        self._namespace = namespace
        self._pool = pool
        self._waits = waits
        self._audit = audit

    async def call(
        self,
        access: ClientAccess,
        body: Body,
        request: Request,  # noqa: ARG002
    ) -> Mapping[str, object]:
        """Run a script, and return its reply or its refusal."""
        key = keys.meta(self._namespace)
        if self._name_in(_text(body, "key"), key):
            raise errors.Usage(reason="key is not that of a namespace.")
        call = checked(access, _text(body, "script"), body.get("arguments"))
        words = _own_request(access, call.words)
        try:
            reply: Reply = await self._pool.run(
                lambda connection: connection.run_script(
                    call.script, key, words
                )
            )
        except ScriptError as refusal:
            self._audit.record(access, call.script, call.words, str(refusal))
            return {"refusal": str(refusal)}
        except errors.TaskOrchestratorError as error:
            self._audit.record(access, call.script, call.words, error.word)
            raise
        self._audit.record(access, call.script, call.words, "")
        if call.script.name == "claim" and call.words[LAST_LOOK] == "1":
            # it may have passed its wake token on, of which no event tells
            self._waits.wake(call.words[AGENT])
        return {"reply": reply}

    async def wait(
        self, access: ClientAccess, body: Body, request: Request
    ) -> Mapping[str, object]:
        """Wait for an item of the caller's queue."""
        prefix = keys.wake(self._namespace, "")
        agent = self._name_in(_text(body, "key"), prefix)
        _need_role(access, "claim")
        _need_name(access, agent)
        wait = self._waits.for_item_of(agent, _seconds(body))
        return {"reply": await while_connected(request, wait)}

    async def follow(
        self, access: ClientAccess, body: Body, request: Request
    ) -> Mapping[str, object]:
        """Wait for an event, or for a report on an item."""
        key, cursor = _text(body, "key"), _text(body, "cursor")
        if not limits.is_cursor(cursor):
            raise errors.Usage(reason="cursor is not the id of an entry.")
        seconds = _seconds(body)
        if key == keys.events(self._namespace):
            _need_role(access, "events")
            wait = self._waits.for_event(cursor, seconds)
        else:
            item = self._name_in(key, keys.reports(self._namespace, ""))
            await self._need_visible(access, limits.item_id(item))
            wait = self._waits.for_report(item, cursor, seconds)
        return {"reply": await while_connected(request, wait)}

    async def _need_visible(self, access: ClientAccess, item: str) -> None:
        """Raise errors.NoItem for an item that a confined token does not see."""
        if not access.project:
            return
        request = f"{os.urandom(8).hex()}{CONFINED}{access.project}"
        words = (request, NAME, "", "", "", __version__, item)
        key = keys.meta(self._namespace)
        script = scripts.load("standing")
        try:
            await self._pool.run(
                lambda connection: connection.run_script(script, key, words)
            )
        except ScriptError as refusal:
            raise scripts.error_of(str(refusal)) from None

    def _need_namespace(self, key: str) -> None:
        """Raise errors.OtherNamespace for a key of another namespace."""
        if not key.startswith(keys.tag(self._namespace)):
            match = re.match(_TAG, key)
            raise errors.OtherNamespace(
                namespace=match[1] if match else "", url=""
            )

    def _name_in(self, key: str, prefix: str) -> str:
        """Return what follows a prefix in a key. Raises errors.Usage."""
        self._need_namespace(key)
        if not key.startswith(prefix):
            raise errors.Usage(
                reason="key is not one of those that are waited for."
            )
        return key.removeprefix(prefix)


def checked(access: ClientAccess, name: str, given: object) -> Call:
    """Return a call that a token allows.

    Raises errors.Usage for words of the wrong form, errors.NotAllowed for a script or a
    caller that the token is not for, and errors.OtherVersion.
    """
    if name not in SCRIPTS:
        raise errors.Usage(reason="There is no such script.")
    _need_role(access, name)
    _need_scope(access, name)
    words = _words(given)
    _need_version(words[VERSION])
    _need_name(access, words[AGENT])
    if access.role is not Role.ADMIN:
        _need_no_mirror(name, words)
    return Call(script=scripts.load(name), words=words)


def _words(given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or len(given) < CALLER_WORDS:
        raise errors.Usage(reason="arguments is not a list of a call's words.")
    for word in given:
        if not isinstance(word, str):
            raise errors.Usage(reason="Each argument is text.")
        with suppress(UnicodeEncodeError):
            word.encode()
            continue
        raise errors.Usage(reason="An argument is not valid text.")
    words = tuple(cast("list[str]", given))
    if not re.fullmatch(_REQUEST, words[REQUEST]):
        raise errors.Usage(reason="The first argument is not a request id.")
    for word in words[HOST:CALLER_WORDS]:
        if len(word) > WORD_CHARACTERS:
            raise errors.Usage(
                reason=f"Host, pid, session and version have at most "
                f"{WORD_CHARACTERS} characters."
            )
    return words


def _need_role(access: ClientAccess, script: str) -> None:
    if not roles.may_run(access.role, script):
        raise errors.NotAllowed(
            reason=f"its role is {access.role}, which may not run {script}."
        )


def _need_scope(access: ClientAccess, script: str) -> None:
    """Raise errors.NotAllowed for a confined token and a script of all projects."""
    if access.project and not roles.may_run_in_a_project(script):
        raise errors.NotAllowed(
            reason=f"it is for {access.project}, and {script} shows all projects."
        )


def _need_name(access: ClientAccess, name: str) -> None:
    """Raise errors.NotAllowed for a caller with another name than the token's.

    An administrator may act as anyone: its service imports the reports of all agents.
    """
    if access.role is Role.ADMIN or name == access.name:
        return
    setting = "AGENT_ID" if access.role is Role.WORKER else "ORCHESTRATOR_ID"
    raise errors.NotAllowed(
        reason=f"it is for {access.name}. Set {setting}={access.name}"
    )


def _need_version(version: str) -> None:
    """Raise errors.OtherVersion for a client whose scripts may take other words."""
    if version.split(".")[:2] != __version__.split(".")[:2]:
        raise errors.OtherVersion(
            client=limits.shortened(version), gateway=__version__, url=""
        )


def _need_no_mirror(name: str, words: Sequence[str]) -> None:
    """Raise errors.NotAllowed for what only the file mirror may do.

    It imports the reports of other agents, and reads their fencing tokens.
    """
    if _has_origin(name, words):
        raise errors.NotAllowed(
            reason="only an administrator imports reports of files."
        )
    if name == "records" and any(words[CALLER_WORDS : CALLER_WORDS + 1]):
        raise errors.NotAllowed(
            reason="only an administrator reads the leases of others."
        )


def _has_origin(name: str, words: Sequence[str]) -> bool:
    """Return whether a report states an origin behind its other words."""
    if name == "complete":
        count = words[COMPLETE_COUNT] if len(words) > COMPLETE_COUNT else ""
        if not re.fullmatch(r"[1-9][0-9]{0,2}", count):
            raise errors.Usage(reason="The number of items is not a number.")
        return len(words) > COMPLETE_WORDS + ITEM_WORDS * int(count)
    return len(words) > WITHOUT_ORIGIN.get(name, len(words))


def _own_request(
    access: ClientAccess, words: tuple[str, ...]
) -> tuple[Argument, ...]:
    """Return the words with a request id that no other token can name.

    Kept replies are found by this id, so no client reads a reply kept for another. The
    project that the token is confined to follows it.
    """
    request = words[REQUEST].removesuffix(REPEAT)
    mark = words[REQUEST].removeprefix(request)
    own = sha256(f"{access.token} {request}".encode()).hexdigest()[:16]
    if access.project:
        own += CONFINED + access.project
    return own + mark, *words[1:]


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise errors.Usage(reason=f"{name} is not text.")
    return value


def _seconds(body: Body) -> float:
    value = body.get("seconds")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise errors.Usage(reason="seconds is not a number.")
    return min(max(float(value), 0.0), LONGEST_WAIT_S)
