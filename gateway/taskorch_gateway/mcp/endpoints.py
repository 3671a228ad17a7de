"""MCP over streamable HTTP: the tools of a role, in the name of an access token.

Every request stands alone, so any process can answer it. Since 2026-07-28, a request
names its version. Older clients open with a handshake, which binds nothing here: they get
an id of a session, by which they can cancel a call of theirs in this process.
"""

import logging
import secrets
from asyncio import Task
from collections.abc import Callable, Collection, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.role import Role
from taskorch.mcp import answers, messages, protocol
from taskorch.mcp.messages import Message, ProtocolError
from taskorch.mcp.protocol import ClientSession, Server
from taskorch.mcp.tool import Continued, ToolResult
from taskorch.mcp.tool_set import Requested, ToolSet
from taskorch_orchestrator import mcp_tools as of_orchestrator
from taskorch_worker import mcp_tools as of_worker

from taskorch_gateway import client_leases
from taskorch_gateway.client_connection import Client
from taskorch_gateway.exchange import (
    Exchange,
    address_of,
    body_of,
    outward,
)
from taskorch_gateway.mcp import headers as mcp_headers
from taskorch_gateway.mcp.headers import Accepted
from taskorch_gateway.mcp.long_reply import LongReply, ReplyMessage
from taskorch_gateway.open_requests import OpenRequests
from taskorch_gateway.performer import Performed, Performer

UNAUTHORIZED = 401
#: Where clients learn how to get a token: they need one that a person gives them.
METADATA = "/.well-known/oauth-protected-resource"
#: The status of an error, for a client of 2026-07-28.
STATUS = {
    messages.PARSE_ERROR: 400,
    messages.INVALID_REQUEST: 400,
    messages.INVALID_PARAMS: 400,
    messages.HEADER_MISMATCH: 400,
    messages.MISSING_CAPABILITY: 400,
    messages.UNSUPPORTED_VERSION: 400,
    messages.METHOD_NOT_FOUND: 404,
}
#: The errors for which older clients get a status, too.
UNREADABLE = (messages.PARSE_ERROR, messages.INVALID_REQUEST)
#: Maximum number of concurrent calls in a process.
MOST_CALLS = 1000
TOOL_CALLS = "calls of tools of one access token at a time"
TOKEN = {"type": "string", "description": "Of the item, from meta.tokens"}
KEEP_TOKENS = (
    "A claim returns its item's token in meta.tokens: pass it as token in later calls on "
    "the item. If you have lost it: get with takeover=true."
)
_log = logging.getLogger(__name__)

Json = dict[str, Any]


class Endpoint(Frozen):
    """The server of a role."""

    path: str
    #: The roles of tokens that may use it.
    roles: Collection[Role]
    #: A name -> the tools of the agent or orchestrator with that name.
    tools_of: Callable[[str], ToolSet]
    #: Whether its calls on items show the token of their lease.
    has_tokens: bool


ENDPOINTS = (
    Endpoint(
        path="/mcp/worker",
        roles=(Role.WORKER, Role.ADMIN),
        tools_of=of_worker.tools_of,
        has_tokens=True,
    ),
    Endpoint(
        path="/mcp/orchestrator",
        roles=(Role.ORCHESTRATOR, Role.VIEWER, Role.ADMIN),
        tools_of=lambda _: of_orchestrator.TOOL_SET,
        has_tokens=False,
    ),
)


class _McpRequest(Frozen):
    """A message of a client that may send it."""

    http: Request
    access: ClientAccess
    message: Message
    is_modern: bool
    accepted: Accepted


class McpServer:
    """Answers the requests of one endpoint."""

    def __init__(
        self, endpoint: Endpoint, exchange: Exchange, performer: Performer
    ) -> None:
        self._endpoint = endpoint
        self._exchange = exchange
        self._performer = performer
        self._number = 0
        self._open = OpenRequests(MOST_CALLS, TOOL_CALLS)
        #: Token, session and id of a request -> its call.
        self._calls: dict[tuple[str, str, object], Task[ReplyMessage]] = {}

    async def respond(self, request: Request) -> Response:
        """Return the reply to a request."""
        response = await self._exchange.guarded(self._admitted)(request)
        if response.status_code == UNAUTHORIZED:
            _add_challenge(request, self._endpoint.path, response)
        return response

    async def _admitted(
        self, access: ClientAccess, request: Request
    ) -> Response:
        if access.role not in self._endpoint.roles:
            raise errors.NotAllowed(
                reason=f"its role is {access.role}, which has no tools at "
                f"{self._endpoint.path}."
            )
        return await self._answer(request, access)

    async def _answer(self, http: Request, access: ClientAccess) -> Response:
        """Return the reply to a client that may use the endpoint."""
        headers = http.headers
        accepted = Accepted(headers.get("accept"))
        if not (accepted.json or accepted.events):
            return Response(status_code=406)
        kind = headers.get("content-type", "").partition(";")[0].strip()
        if kind.lower() != "application/json":
            return Response(status_code=415)
        content = await body_of(http)
        try:
            message = messages.read(_text(content))
        except ProtocolError as error:
            is_modern = mcp_headers.is_modern(headers, None)
            return _refusal(error.id, error, is_modern=is_modern)
        if message is None or message.id is None:
            return self._notified(http, access, message)
        is_modern = mcp_headers.is_modern(headers, message)
        try:
            if is_modern:
                mcp_headers.check(headers, message)
            request = _McpRequest(
                http=http,
                access=access,
                message=message,
                is_modern=is_modern,
                accepted=accepted,
            )
            return self._reply(request)
        except ProtocolError as error:
            return _refusal(message.id, error, is_modern=is_modern)

    def _notified(
        self, http: Request, access: ClientAccess, message: Message | None
    ) -> Response:
        """Take a notification, or a response that no request of ours has asked for."""
        if message and message.method == "notifications/cancelled":
            session = http.headers.get(mcp_headers.SESSION, "")
            id_ = message.params.get("requestId")
            if session and messages.is_id(id_):
                call = self._calls.get((access.token, session, id_))
                if call:
                    call.cancel()
        return Response(status_code=202)

    def _reply(self, request: _McpRequest) -> Response:
        """Return the reply to a request. Raises ProtocolError."""
        message = request.message
        tool_set = self._endpoint.tools_of(request.access.name)
        session = ClientSession(
            self._server(tool_set), is_modern=request.is_modern
        )
        result = session.answer(message)
        if result is not None:
            headers = {}
            if message.method == "initialize":
                headers[mcp_headers.SESSION] = secrets.token_hex(16)
            return JSONResponse(
                messages.result(message.id, result), headers=headers
            )
        requested = tool_set.requested(message)
        if self._number >= MOST_CALLS:
            raise too_many_calls()
        self._open.add(request.access.token)
        return LongReply(
            self._call(request, session, tool_set, requested),
            streams=request.accepted.events,
            cancelled=_cancelled(message.id),
            progress_token=message.meta.get("progressToken"),
            started=lambda task: self._add(request, task),
        )

    def _server(self, tool_set: ToolSet) -> Server:
        server = tool_set.server()
        if not self._endpoint.has_tokens:
            return server
        return replace(
            server,
            instructions=f"{server.instructions} {KEEP_TOKENS}",
            tools=[_with_token(tool) for tool in server.tools],
        )

    def _add(self, request: _McpRequest, task: Task[ReplyMessage]) -> None:
        """Make a call known to the cancellations of its client."""
        key = (
            request.access.token,
            request.http.headers.get(mcp_headers.SESSION, ""),
            request.message.id,
        )
        self._number += 1
        self._calls[key] = task

        def forget(_: object) -> None:
            self._number -= 1
            if self._calls.get(key) is task:
                del self._calls[key]

        task.add_done_callback(forget)

    async def _call(
        self,
        request: _McpRequest,
        session: ClientSession,
        tool_set: ToolSet,
        requested: Requested,
    ) -> ReplyMessage:
        """Perform a call, and return the message with its result."""
        id_ = request.message.id
        undo = None
        try:
            content, undo = await self._perform(request, tool_set, requested)
        except ProtocolError as error:
            status = 200
            if request.is_modern:
                status = STATUS.get(error.code, status)
            return ReplyMessage(
                message=messages.refusal(id_, error), status=status
            )
        result = session.completed(content)
        return ReplyMessage(message=messages.result(id_, result), undo=undo)

    async def _perform(
        self, request: _McpRequest, tool_set: ToolSet, requested: Requested
    ) -> tuple[Json, Callable[[], None] | None]:
        """Perform a call. Return its result, and what gives back what it claimed.

        Raises ProtocolError for a method that fails.
        """
        client = Client(
            access=request.access,
            address=address_of(request.http),
            takes_tasks=protocol.takes_tasks(request.message),
        )
        tool, arguments = requested.tool, dict(requested.arguments)

        async def admits() -> bool:
            return await self._exchange.admits(request.http)

        try:
            lease = None
            if self._endpoint.has_tokens:
                shown = str(arguments.pop("token", None) or "")
                item = str(arguments.get("item", ""))
                lease = client_leases.shown(item, shown)
            verb = tool.parse(arguments)
            performed = await self._performer.perform(
                client, verb, lease=lease, admits=admits
            )
            if isinstance(performed.result, Continued):
                performed = await self._performer.perform(
                    client, performed.result.rest, admits=admits
                )
            content = answers.of_result(
                _with_tokens(performed),
                tool,
                tool_set.commands,
                performed.damage,
            )
        except errors.TaskOrchestratorError as error:
            return answers.of_error(
                outward(error), tool, tool_set.commands
            ), None
        except ProtocolError:
            raise
        except Exception as error:  # noqa: BLE001
            # the last resort of a server: an error, and a log entry
            _log.exception("A tool failed.")
            failure = outward(answers.unexpected(error))
            return answers.of_error(failure, tool, tool_set.commands), None
        return content, performed.undo


def too_many_calls() -> errors.RateLimited:
    """Return the error for a call beside MOST_CALLS others."""
    return errors.RateLimited(
        url="", calls=MOST_CALLS, what="calls of tools at a time", seconds=1
    )


async def metadata(request: Request) -> Response:
    """Describe an endpoint as a resource that needs a token (RFC 9728)."""
    path = request.url.path.removeprefix(METADATA)
    return JSONResponse(
        {
            "resource": _url(request, path),
            "resource_name": "Task Orchestrator",
            "bearer_methods_supported": ["header"],
        }
    )


def _add_challenge(request: Request, path: str, response: Response) -> None:
    """Add where a client without a valid token learns how to get one."""
    where = _url(request, METADATA + path)
    challenge = f'Bearer resource_metadata="{where}"'
    if "authorization" in request.headers:
        challenge += ', error="invalid_token"'
    response.headers["WWW-Authenticate"] = challenge


def _url(request: Request, path: str) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', '')}{path}"


def _cancelled(id_: messages.RequestId | None) -> ReplyMessage:
    """Return what a client gets for a call that it has cancelled."""
    reason = "The client has cancelled the call."
    error = ProtocolError(messages.INTERNAL_ERROR, reason)
    return ReplyMessage(message=messages.refusal(id_, error))


def _text(content: bytes) -> str:
    """Return the text of a body. Raises ProtocolError."""
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise ProtocolError(messages.PARSE_ERROR, f"{error}") from None


def _refusal(
    id_: messages.RequestId | None, error: ProtocolError, *, is_modern: bool
) -> Response:
    status = 200
    if is_modern or error.code in UNREADABLE:
        status = STATUS.get(error.code, status)
    return JSONResponse(messages.refusal(id_, error), status)


def _with_token(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a listed tool whose calls on an item show its token."""
    schema = tool["inputSchema"]
    if "item" not in schema.get("required", ()):
        return tool
    properties = {**schema["properties"], "token": TOKEN}
    return {**tool, "inputSchema": {**schema, "properties": properties}}


def _with_tokens(performed: Performed) -> ToolResult:
    """Return the result of a call with the tokens of what it has claimed."""
    result = performed.result
    if performed.tokens:
        result.meta["tokens"] = dict(performed.tokens)
    return result


def routes(exchange: Exchange, performer: Performer) -> list[Route]:
    """Return the routes of the servers of both roles, and of their descriptions."""
    found = []
    for endpoint in ENDPOINTS:
        server = McpServer(endpoint, exchange, performer)
        found.append(Route(endpoint.path, server.respond, methods=["POST"]))
        found.append(Route(METADATA + endpoint.path, metadata))
    return [*found, Route(METADATA, metadata)]
