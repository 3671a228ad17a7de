"""The HTTP application of the gateway: its parts, its routes, its start and its end."""

from asyncio import create_task, sleep, timeout, wait
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from taskorch.cli.json_output import error_document
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Caller
from taskorch_orchestrator.metrics.collector import registry_of
from taskorch_orchestrator.metrics.figures import reader_of

from taskorch_gateway.api.event_stream import EventStreams
from taskorch_gateway.api.routes import Api
from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.authentication import Authentication
from taskorch_gateway.board import pages
from taskorch_gateway.board.live import LiveBoards
from taskorch_gateway.board.routes import Board
from taskorch_gateway.cut_off_requests import CutOffRequests
from taskorch_gateway.direct_calls import DirectCalls
from taskorch_gateway.exchange import Exchange
from taskorch_gateway.hosts import HostCheck
from taskorch_gateway.mcp import endpoints
from taskorch_gateway.metrics import (
    CountedRequests,
    MetricsPage,
    RequestMetrics,
)
from taskorch_gateway.performer import Performer
from taskorch_gateway.pool import NAME, ConnectionPool
from taskorch_gateway.rates import Rates
from taskorch_gateway.readiness import Readiness
from taskorch_gateway.refusals import Refusals
from taskorch_gateway.signals import SignalReceiver
from taskorch_gateway.waits import ClientWaits
from taskorch_gateway.wire import Wire

#: How long a gateway serves before it prepares for a board, in seconds.
COMPILE_AFTER_S = 1.0
#: How long a gateway that stops waits until what it has taken for clients that it has cut
#: off is given back, in seconds. Redis may hang.
LAST_STEPS_S = 5.0
#: The page with the routes.
DESCRIPTION = "orchestrate docs gateway"


class Options(Frozen):
    """How the gateway serves its clients."""

    #: Names in the header `Host` that it answers to; () for any.
    hosts: Sequence[str]
    #: Calls a second of one access token; 0 for any number.
    calls_per_second: int
    #: Maximum number of connections of a process.
    connections: int
    #: Whether clients without an access token may read the metrics.
    metrics_are_open: bool = False
    #: Whether a browser opens the board as soon as it serves.
    opens_board: bool = False


def create(settings: Settings, options: Options) -> Starlette:
    """Return the application for the queue of the settings.

    Raises errors.Usage for an invalid address of Redis.
    """
    pool = ConnectionPool(settings)
    waits = ClientWaits(settings, pool)
    refusals = Refusals(settings, pool)
    authentication = Authentication(settings, pool, refusals)
    rates = Rates(options.calls_per_second)
    exchange = Exchange(authentication, rates, options.connections, refusals)
    audit = AuditLog()
    calls = DirectCalls(settings, pool)
    wire = Wire(settings.namespace, exchange, calls, waits, audit)
    performer = Performer(settings, pool, waits, audit)
    streams = EventStreams(exchange, performer, waits)
    api = Api(settings.namespace, exchange, performer, streams)
    live = LiveBoards(settings.namespace, performer, waits)
    board = Board(
        settings.namespace, exchange, authentication, performer, live
    )
    readiness = Readiness(settings, pool)
    signals = SignalReceiver(settings, authentication, waits, live)
    figures = reader_of(settings, Caller(agent=NAME))
    registry = registry_of(settings.namespace, figures)
    page = MetricsPage(registry, exchange, is_open=options.metrics_are_open)

    async def refused(request: Request, error: Exception) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return await board.unknown(request, error)
        return await no_route(request, error)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        waits.start()
        signals.start()
        writing = create_task(refusals.write_until_end())
        compiling = create_task(
            _compile_pages(0 if options.opens_board else COMPILE_AFTER_S)
        )
        yield
        with suppress(TimeoutError):
            async with timeout(LAST_STEPS_S):
                await performer.end()
                await waits.end()
        refusals.end()
        compiling.cancel()
        await wait([writing, compiling])
        calls.close()
        pool.close()
        figures.close()

    return Starlette(
        routes=[
            Route("/call", exchange.endpoint(wire.call), methods=["POST"]),
            Route("/wait", exchange.endpoint(wire.wait), methods=["POST"]),
            Route("/follow", exchange.endpoint(wire.follow), methods=["POST"]),
            Route("/healthz", healthy),
            Route("/readyz", readiness.respond),
            Route("/metrics", page.respond),
            *api.routes(),
            *endpoints.routes(exchange, performer),
            *board.routes(),
        ],
        middleware=[
            Middleware(CountedRequests, metrics=RequestMetrics(registry)),
            Middleware(CutOffRequests),
            Middleware(HostCheck, hosts=options.hosts),
        ],
        exception_handlers={HTTPException: refused},
        lifespan=life,
    )


async def _compile_pages(after_s: float) -> None:
    """Compile the pages of the board after some seconds."""
    await sleep(after_s)
    await pages.compile_all()


async def no_route(request: Request, error: Exception) -> Response:
    """Tell that there is no such route, or that it takes another method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    headers = error.headers if isinstance(error, HTTPException) else None
    verb = limits.shortened(f"{request.method} {request.url.path}")
    unknown = errors.NoVerb(verb=verb, description=DESCRIPTION)
    return JSONResponse(error_document(unknown), status, headers)


async def healthy(_: Request) -> Response:
    """Tell that the process answers."""
    return JSONResponse({"healthy": True})
