"""The wire of our own commands: the port `Connection` over HTTP.

A client names a script and its arguments, never its text.
"""

import re
from collections.abc import Mapping
from functools import partial

from starlette.requests import Request
from taskorch.domain import errors, limits
from taskorch.domain.access_token import ClientAccess
from taskorch.queue import keys, scripts
from taskorch.queue.port import ScriptError

from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.checks import (
    checked,
    need_name,
    need_pools,
    need_role,
    own_request,
)
from taskorch_gateway.client_connection import recorded
from taskorch_gateway.direct_calls import DirectCalls
from taskorch_gateway.exchange import Body, Exchange, while_connected
from taskorch_gateway.waits import (
    LONGEST_WAIT_S,
    Admits,
    ClientWaits,
    confined_caller,
)

_TAG = r"taskorch:\{([A-Za-z0-9_.-]{1,64})\}:"


class Wire:
    """The three routes of our commands."""

    def __init__(
        self,
        namespace: str,
        exchange: Exchange,
        calls: DirectCalls,
        waits: ClientWaits,
        audit: AuditLog,
    ) -> None:
        self._namespace = namespace
        self._exchange = exchange
        self._calls = calls
        self._waits = waits
        self._audit = audit

    async def call(
        self,
        access: ClientAccess,
        body: Body,
        request: Request,  # noqa: ARG002  as the others
    ) -> Mapping[str, object]:
        """Run a script, and return its reply or its refusal."""
        key = keys.meta(self._namespace)
        if self._name_in(_text(body, "key"), key):
            raise errors.Usage(reason="key is not that of a namespace.")
        call = checked(access, _text(body, "script"), body.get("arguments"))
        words = own_request(access, call.words)
        try:
            with recorded(self._audit, access, call):
                reply = await self._calls.run_script(call.script, key, words)
        except ScriptError as refusal:
            return {"refusal": str(refusal)}
        return {"reply": reply}

    async def wait(
        self, access: ClientAccess, body: Body, request: Request
    ) -> Mapping[str, object]:
        """Wait for an item of the caller's queue, or of its pools."""
        prefix = keys.wake(self._namespace, "")
        agent = self._name_in(_text(body, "key"), prefix)
        pools = [
            self._name_in(key, prefix + keys.POOL)
            for key in _texts(body, "pool_keys")
        ]
        need_role(access, "claim")
        need_name(access, agent)
        need_pools(access, pools)
        owners = keys.owners(agent, pools)
        wait = self._waits.for_item_of(owners, _seconds(body), access.project)
        own = self._waits.of_client(access, wait, self._admits(request))
        return {"reply": await while_connected(request.receive, own)}

    async def follow(
        self, access: ClientAccess, body: Body, request: Request
    ) -> Mapping[str, object]:
        """Wait for an event, a report on an item, or a line of the audit log."""
        key, cursor = _text(body, "key"), _text(body, "cursor")
        if not limits.is_cursor(cursor):
            raise errors.Usage(reason="cursor is not the id of an entry.")
        seconds = _seconds(body)
        if key == keys.events(self._namespace):
            need_role(access, "events")
            wait = self._waits.for_event(cursor, seconds, access.project)
        elif key == keys.audit_log(self._namespace):
            need_role(access, "audit_log")
            wait = self._waits.for_audit_line(cursor, seconds)
        else:
            item = self._name_in(key, keys.reports(self._namespace, ""))
            await self._need_visible(access, limits.item_id(item))
            wait = self._waits.for_report(item, cursor, seconds)
        own = self._waits.of_client(access, wait, self._admits(request))
        return {"reply": await while_connected(request.receive, own)}

    def _admits(self, request: Request) -> Admits:
        return partial(self._exchange.admits, request)

    async def _need_visible(self, access: ClientAccess, item: str) -> None:
        """Raise errors.NoItem for an item that a confined token does not see."""
        if not access.project:
            return
        words = (*confined_caller(access.project), item, "")
        key = keys.meta(self._namespace)
        script = scripts.load("standing")
        try:
            await self._calls.run_script(script, key, words)
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


def _text(body: Body, name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str):
        raise errors.Usage(reason=f"{name} is not text.")
    return value


def _texts(body: Body, name: str) -> list[str]:
    """Return a list of texts, such as the keys of pools; [] if it is missing."""
    values = body.get(name, [])
    if not isinstance(values, list) or len(values) > limits.POOLS:
        raise errors.Usage(reason=f"{name} is not a list of a few texts.")
    if not all(isinstance(value, str) for value in values):
        raise errors.Usage(reason=f"{name} is not a list of texts.")
    return values


def _seconds(body: Body) -> float:
    value = body.get("seconds")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise errors.Usage(reason="seconds is not a number.")
    # a whole number may be beyond all floats
    return float(min(max(value, 0), LONGEST_WAIT_S))
