"""The routes of the API: one for each path of the table, and those about the API."""

import re
from collections.abc import Collection, Mapping, Sequence
from functools import partial

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send
from taskorch.cli.json_output import damage, document, error_document
from taskorch.domain import errors, limits
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.version import __version__

from taskorch_gateway.api import openapi, request_arguments
from taskorch_gateway.api.event_stream import EventStreams
from taskorch_gateway.api.table import PREFIX, VERBS, Identity, VerbRow
from taskorch_gateway.checks import need_role
from taskorch_gateway.client_connection import Client
from taskorch_gateway.client_leases import shown
from taskorch_gateway.exchange import (
    Endpoint,
    Exchange,
    address_of,
    body_of,
    error_response,
    response_of,
    while_connected,
)
from taskorch_gateway.performer import Performed, Performer

KEY_HEADER = "idempotency-key"
#: A key is visible ASCII.
_KEY = r"[!-~]{1,255}"
#: The exit code of errors that only say that there is nothing.
NOTHING = errors.NothingToDo.exit_code


class Api:
    """The HTTP API of one namespace."""

    def __init__(
        self,
        namespace: str,
        exchange: Exchange,
        performer: Performer,
        streams: EventStreams,
    ) -> None:
        self._namespace = namespace
        self._exchange = exchange
        self._performer = performer
        self._streams = streams

    def routes(self) -> Sequence[Route]:
        """Return the routes."""
        paths: dict[str, dict[str, VerbRow]] = {}
        for row in VERBS:
            paths.setdefault(row.path, {})[row.method] = row
        about = {
            "openapi.json": describe,
            "whoami": self._exchange.guarded(self._whoami),
            "events": self._exchange.guarded(self._streams.respond),
        }
        methods: dict[str, Collection[str]] = {
            f"{PREFIX}/{name}": ["GET"] for name in about
        }
        methods.update(paths)
        return [
            *(
                _route(f"{PREFIX}/{name}", endpoint, ["GET"])
                for name, endpoint in about.items()
            ),
            *(
                _route(path, self._endpoint(rows), rows)
                for path, rows in paths.items()
            ),
            Route("/api/{path:path}", NoSuchVerb(methods)),
        ]

    def _endpoint(self, rows: dict[str, VerbRow]) -> Endpoint:
        async def respond(access: ClientAccess, request: Request) -> Response:
            return await self._respond(rows[request.method], access, request)

        return self._exchange.guarded(respond)

    async def _respond(
        self, row: VerbRow, access: ClientAccess, request: Request
    ) -> Response:
        """Perform a verb, and return its document."""
        need_role(access, row.script)
        verb = (
            request_arguments.of_query(request.url.query, row.verb)
            if row.verb.read_only
            else request_arguments.of_body(await body_of(request), row.verb)
        )
        token = getattr(verb, "token", "")
        performing = self._performer.perform(
            Client(access=access, address=address_of(request)),
            verb,
            lease=shown(getattr(verb, "item", ""), token),
            key=_key(request, row),
            admits=partial(self._exchange.admits, request),
        )
        try:
            if verb.waits_for:
                performed = await while_connected(request.receive, performing)
            else:
                performed = await performing
        except TaskOrchestratorError as error:
            if error.exit_code != NOTHING:
                raise
            nothing = error_document(error)["error"]
            return response_of(document(None, {"error": nothing}))
        give_back = performed.undo if performed.tokens else None
        if give_back and await request.is_disconnected():
            give_back()
        return response_of(_document(performed))

    async def _whoami(
        self,
        access: ClientAccess,
        request: Request,  # noqa: ARG002
    ) -> Response:
        """Tell a client who it is, and what its role may call."""
        about = Identity(
            token=access.token,
            name=access.name,
            role=access.role,
            project=access.project,
            namespace=self._namespace,
            version=__version__,
            verbs=tuple(
                f"{row.method} {row.path}"
                for row in VERBS
                if access.role in row.roles
            ),
        )
        return response_of(document(about, {}))


class NoSuchVerb:
    """The answer to any other path of the API, and to any other method."""

    def __init__(self, paths: Mapping[str, Collection[str]]) -> None:
        """`paths` has the methods of each path."""
        self._paths = paths

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Answer with an error."""
        path = scope["path"]
        verb = limits.shortened(f"{scope['method']} {path}")
        response = error_response(
            errors.NoVerb(verb=verb, description=f"{PREFIX}/openapi.json")
        )
        known = self._paths.get(path)
        if known:
            response.status_code = 405
            response.headers["Allow"] = ", ".join(known)
        await response(scope, receive, send)


def _route(path: str, endpoint: Endpoint, methods: Collection[str]) -> Route:
    """Return a route for some methods; starlette adds HEAD to GET."""
    route = Route(path, endpoint)
    route.methods = set(methods)
    return route


async def describe(_: Request) -> Response:
    """Return the description of the API."""
    return JSONResponse(openapi.description())


def _document(performed: Performed) -> dict[str, object]:
    meta = dict(performed.result.meta)
    if performed.tokens:
        meta["tokens"] = performed.tokens
    if performed.damage:
        meta["damaged"] = damage(performed.damage)
    return dict(document(performed.result.data, meta))


def _key(request: Request, row: VerbRow) -> str:
    """Return the key of a request, "" for none. Raises errors.Usage."""
    key = request.headers.get(KEY_HEADER)
    if key is None or not row.takes_key:
        return ""
    if not re.fullmatch(_KEY, key):
        raise errors.Usage(
            reason="Idempotency-Key is not 1 to 255 visible ASCII characters."
        )
    return f"{row.method} {row.path} {key}"
