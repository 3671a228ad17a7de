"""One request and its reply: the token, the limits, and errors as HTTP.

Every route that needs a token goes through `guarded`.
"""

import json
import logging
from asyncio import Semaphore, create_task, timeout
from collections import defaultdict
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterator,
    Mapping,
)
from contextlib import contextmanager, suppress
from typing import NoReturn, TypeVar, cast

from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    JSONResponse,
    Response,
    StreamingResponse,
)
from starlette.types import Receive, Scope, Send
from taskorch.cli.json_output import Json, error_document
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen

from taskorch_gateway.authentication import Authentication
from taskorch_gateway.checks import SCRIPTS
from taskorch_gateway.event_loop import ends
from taskorch_gateway.open_requests import OpenRequests
from taskorch_gateway.rates import Rates
from taskorch_gateway.refusals import Refusals

#: Maximum size of the body of a request. The items of a call have at most 1.25 MiB.
BODY_BYTES = 8 * 1024 * 1024
#: A larger body is large: each token has few of them in memory, the others wait.
SMALL_BYTES = 64 * 1024
LARGE_BODIES = 4
#: Where a request has the turns of large bodies, and holds its own until it is answered.
_TURNS = "taskorch.turns"
_HELD = "taskorch.held"
#: Where a request without a valid token has the bound on the bodies of such requests.
_STRANGERS = "taskorch.strangers"
STRANGERS_BODIES = "bodies at a time without a valid access token"
#: Timeout of a body, in seconds.
BODY_S = 30.0
#: Maximum size of a reply.
REPLY_BYTES = 64 * 1024 * 1024
#: The longest address, with the zone of an interface.
ADDRESS_CHARACTERS = 64
#: Exit code of an error -> status of the reply.
STATUS = {2: 400, 3: 404, 4: 503, 5: 422, 6: 409, 7: 403, 8: 200}
UNEXPECTED = 500
RETRY_AFTER_S = 1

Body = Mapping[str, object]
Result = TypeVar("Result")
Answer = Callable[
    [ClientAccess, Body, Request], Awaitable[Mapping[str, object]]
]
Respond = Callable[[ClientAccess, Request], Awaitable[Response]]
Endpoint = Callable[[Request], Awaitable[Response]]
_log = logging.getLogger(__name__)


class TooLong(errors.Invalid):
    """A body or a reply is longer than the gateway accepts."""

    message = "The {what} is longer than {limit} bytes."


class Stopping(errors.Unreachable):
    """The gateway stops before a request is answered."""

    def __init__(self) -> None:
        super().__init__(url="", reason="the gateway is stopping")


class ClientKind(Frozen):
    """How clients of a kind show their tokens, and read errors."""

    #: Returns the token of a request, as the header `Authorization` shows it. Raises
    #: errors.TokenRefused for a request without one.
    authorization: Callable[[Request], str]
    refused: Callable[[Request, TaskOrchestratorError], Awaitable[Response]]


async def _error_document(
    _: Request, error: TaskOrchestratorError
) -> Response:
    return error_response(error)


#: They send their token in a header, and read errors as JSON.
PROGRAMS = ClientKind(
    authorization=lambda request: request.headers.get("authorization", ""),
    refused=_error_document,
)


class HeldByToken(errors.Held):
    """An item is held, maybe by a client that has not shown its token."""

    def hint(self) -> str:
        """Return what the caller can do about it, its own token first."""
        return (
            "If you have claimed it, pass its token from meta.tokens as token. "
            f"Otherwise: {super().hint()}"
        )


class Exchange:
    """Answers requests that show a token."""

    def __init__(
        self,
        authentication: Authentication,
        rates: Rates,
        connections: int,
        refusals: Refusals,
    ) -> None:
        """Share `connections`, those of a process, between tokens and strangers."""
        self._authentication = authentication
        self._rates = rates
        self._open = OpenRequests(connections)
        self._strangers = OpenRequests(connections, STRANGERS_BODIES)
        self._refusals = refusals
        #: Token -> the turns of its large bodies; "" for clients without one.
        self._large: dict[str, Semaphore] = defaultdict(
            lambda: Semaphore(LARGE_BODIES)
        )

    def endpoint(self, answer: Answer) -> Endpoint:
        """Return the endpoint of a route whose requests and replies are JSON objects."""

        async def respond(access: ClientAccess, request: Request) -> Response:
            body = _parsed(await body_of(request))
            request.state.verb = _verb(body)
            return response_of(await answer(access, body, request))

        return self.guarded(respond)

    def guarded(
        self, respond: Respond, kind: ClientKind = PROGRAMS
    ) -> Endpoint:
        """Return the endpoint of a route, for clients whose token is valid."""

        async def respond_to_client(request: Request) -> Response:
            access = await self.admit(request, kind)
            request.scope[_TURNS] = self._large[access.token]
            with self.noting(access, request):
                return await respond(access, request)

        return self.for_anyone(respond_to_client, kind)

    def for_anyone(
        self, respond: Endpoint, kind: ClientKind = PROGRAMS
    ) -> Endpoint:
        """Return the endpoint of a route, for clients with or without a token."""

        async def guard(request: Request) -> Response:
            request.scope[_TURNS] = self._large[""]
            request.scope[_STRANGERS] = self._strangers
            held: list[Semaphore] = []
            request.scope[_HELD] = held
            try:
                return await _answered(respond, kind, request)
            except Exception:  # noqa: BLE001
                # the last resort of a server: an error, and a log entry
                _log.exception("A request failed.")
                return await kind.refused(
                    request,
                    TaskOrchestratorError(reason="a request failed"),
                )
            finally:
                for turn in held:
                    turn.release()

        return guard

    async def admits(
        self, request: Request, kind: ClientKind = PROGRAMS
    ) -> bool:
        """Return whether the token of a request is valid, and has the same role.

        Raises errors.Unavailable.
        """
        try:
            access = await self._access(request, kind)
        except errors.TokenRefused:
            return False
        return bool(access.role is request.state.role)

    async def admit(
        self, request: Request, kind: ClientKind = PROGRAMS
    ) -> ClientAccess:
        """Return what the client may do. Its request counts as open until it is over.

        Raises errors.TokenRefused, errors.RateLimited and errors.Unavailable.
        """
        access = await self._access(request, kind)
        request.state.role = access.role
        with self.noting(access, request):
            self._rates.count(access.token)
            self._open.add(access.token)
        request.scope.pop(_STRANGERS, None)
        return access

    async def _access(
        self, request: Request, kind: ClientKind
    ) -> ClientAccess:
        return await self._authentication.access(
            kind.authorization(request), address_of(request)
        )

    @contextmanager
    def noting(self, access: ClientAccess, request: Request) -> Iterator[None]:
        """Note for the audit log what a token does not allow."""
        try:
            yield
        except (
            errors.NotAllowed,
            errors.OtherNamespace,
            errors.RateLimited,
        ) as error:
            self._refusals.note(
                error.word,
                address_of(request),
                access=access,
                verb=getattr(request.state, "verb", ""),
            )
            raise


async def _answered(
    respond: Endpoint, kind: ClientKind, request: Request
) -> Response:
    try:
        return await respond(request)
    except TaskOrchestratorError as error:
        return await kind.refused(request, error)
    except ClientDisconnect:
        return Response(status_code=400)


async def while_connected(
    receive: Receive, work: Coroutine[None, None, Result]
) -> Result:
    """Return the result of some work; cancel it when the client disconnects.

    Raises ClientDisconnect then.
    """
    leaving = create_task(client_left(receive))
    try:
        async with timeout(None) as connected:
            leaving.add_done_callback(ends(connected))
            return await work
    except TimeoutError:
        if not connected.expired():
            raise
        raise ClientDisconnect from None
    finally:
        leaving.cancel()


class ClientStream(StreamingResponse):
    """A stream that ends as soon as its client leaves.

    That of starlette has a group of tasks, which take more memory.
    """

    async def __call__(
        self,
        scope: Scope,  # noqa: ARG002  starlette's
        receive: Receive,
        send: Send,
    ) -> None:
        """Send the stream."""
        with suppress(ClientDisconnect):
            await while_connected(receive, self.stream_response(send))


async def client_left(receive: Receive) -> None:
    """Wait until the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def address_of(request: Request) -> str:
    """Return the address of the client, or of the last proxy in front of us.

    A client on this machine may claim any other one, in the header of a proxy.
    """
    return request.client.host[:ADDRESS_CHARACTERS] if request.client else ""


def error_response(error: TaskOrchestratorError) -> Response:
    """Return the reply for an error."""
    error = outward(error)
    status = STATUS.get(error.exit_code, UNEXPECTED)
    headers = {}
    if isinstance(error, errors.TokenRefused):
        status, headers = 401, {"WWW-Authenticate": "Bearer"}
    elif isinstance(error, errors.RateLimited):
        status, headers = 429, {"Retry-After": str(error.details["seconds"])}
    elif isinstance(error, TooLong):
        status = 413
    elif isinstance(error, errors.Unavailable):
        headers = {"Retry-After": str(RETRY_AFTER_S)}
    more: dict[str, Json] = {}
    if isinstance(error, errors.NotReplicated):
        # the step was done, and the client may have to undo a part of it
        more["reply"] = cast("Json", error.reply)
    return JSONResponse(error_document(error, **more), status, headers)


def outward(error: TaskOrchestratorError) -> TaskOrchestratorError:
    """Return an error as a client may see it.

    Why Redis is unavailable concerns those who run the gateway, and is logged.
    """
    if isinstance(error, errors.Unavailable):
        return _without_address(error)
    if isinstance(error, errors.Held) and error.is_own():
        return HeldByToken(**error.details)
    if error.exit_code == TaskOrchestratorError.exit_code:
        _log.error("%s", error)
        return TaskOrchestratorError(reason="the log of the gateway has it")
    return error


def _without_address(error: errors.Unavailable) -> errors.Unavailable:
    if isinstance(error, (errors.RateLimited, Stopping)):
        return error
    _log.warning("%s", error)
    details = {
        name: value for name, value in error.details.items() if name != "url"
    }
    if isinstance(error, (errors.Stalled, errors.NotSaved)):
        return type(error)(**details, url="")
    if isinstance(error, errors.NotReplicated):
        outward = errors.NotReplicated(**details, url="")
        outward.reply = error.reply
        return outward
    return errors.Unreachable(url="", reason="the gateway cannot reach Redis")


async def body_of(request: Request, most_bytes: int = BODY_BYTES) -> bytes:
    """Return the body of a request. Raises errors.Usage and TooLong.

    A large body waits for its turn, and has it until the request is answered. Raises
    errors.RateLimited for a body of too many without a valid token.
    """
    if strangers := request.scope.get(_STRANGERS):
        strangers.add("")
    content = bytearray()
    is_large = False
    try:
        async with timeout(BODY_S):
            async for chunk in request.stream():
                content += chunk
                if len(content) > most_bytes:
                    raise TooLong(what="request", limit=most_bytes)
                if len(content) > SMALL_BYTES and not is_large:
                    is_large = True
                    turn = request.scope[_TURNS]
                    await turn.acquire()
                    request.scope[_HELD].append(turn)
    except TimeoutError:
        raise errors.Usage(reason="The request took too long.") from None
    return bytes(content)


def _parsed(content: bytes) -> Body:
    """Return the JSON object that a body holds. Raises errors.Usage."""
    try:
        body = json.loads(content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise errors.Usage(reason="The request is not JSON.") from None
    if not isinstance(body, dict):
        raise errors.Usage(reason="The request is not a JSON object.")
    return body


def _refuse_constant(name: str) -> NoReturn:
    """Refuse NaN, which is equal to nothing: a timer with it stops an event loop."""
    raise errors.Usage(reason=f"{name} is not JSON.")


def _verb(body: Body) -> str:
    """Return the script that a request names, "" for none that exists."""
    name = body.get("script")
    return name if isinstance(name, str) and name in SCRIPTS else ""


def response_of(content: Mapping[str, object]) -> Response:
    """Return a reply with a JSON object."""
    text = json.dumps(content, separators=(",", ":"))
    if len(text) > REPLY_BYTES:
        error = TooLong(what="reply", limit=REPLY_BYTES)
        return error_response(error)
    return Response(text, media_type="application/json")
