"""`/metrics`: the metrics of the namespace, and those of the gateway's own requests.

Each process of a gateway counts its requests. With several processes, `prometheus_client`
keeps the counts in files of a folder, so that each process can serve those of all.
"""

import os
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from hashlib import sha256
from tempfile import TemporaryDirectory
from time import monotonic
from typing import Any

from anyio import CapacityLimiter, to_thread
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import MultiProcessCollector
from starlette.requests import Request
from starlette.responses import Response
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.queue import roles
from taskorch_orchestrator.metrics.collector import (
    COUNTER,
    HISTOGRAM,
    Definition,
)

from taskorch_gateway.exchange import Exchange, error_response

#: The variable by which the processes of a gateway learn the folder of their counts.
FOLDER = "PROMETHEUS_MULTIPROC_DIR"
#: Requests that match no route, whatever their paths.
NO_ROUTE = "none"
#: Waits of clients last up to a minute.
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 15, 60)
#: Pages that are made at the same time.
PAGES = 2
#: Tokens that may read the page while Redis is unreachable, because they could before.
KEPT = 100
#: The script that stands for the page in the table of roles.
SCRIPT = "metrics"

REQUESTS = Definition(
    "taskorch_gateway_requests_total",
    COUNTER,
    ("route", "code"),
    "Requests to the gateway by their route and the status of the reply.",
)
SECONDS = Definition(
    "taskorch_gateway_request_seconds",
    HISTOGRAM,
    ("route",),
    "Time from a request to the end of its reply; a client that waits for work is answered after up to 55 s.",
)
DEFINITIONS = (REQUESTS, SECONDS)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


@contextmanager
def counted_together(workers: int) -> Iterator[None]:
    """Let the processes that start in the block count their requests together."""
    if workers == 1:
        os.environ.pop(FOLDER, None)
        yield
        return
    with TemporaryDirectory(prefix="taskorch-metrics-") as folder:
        os.environ[FOLDER] = folder
        yield


class RequestMetrics:
    """The counts of requests."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """Show them in a registry."""
        # when a count began is no metric of its own
        disable_created_metrics()  # type: ignore[no-untyped-call]
        kept_in: CollectorRegistry | None = registry
        if FOLDER in os.environ:
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
            kept_in = None
        self._requests = Counter(
            REQUESTS.name, REQUESTS.meaning, REQUESTS.labels, registry=kept_in
        )
        self._seconds = Histogram(
            SECONDS.name,
            SECONDS.meaning,
            SECONDS.labels,
            buckets=BUCKETS,
            registry=kept_in,
        )

    def count(self, route: str, code: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(route, str(code)).inc()
        self._seconds.labels(route).observe(seconds)


class CountedRequests:
    """Counts the requests to an application: a middleware."""

    def __init__(self, app: Application, metrics: RequestMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(
        self, scope: Message, receive: Receive, send: Send
    ) -> None:
        """Answer a request, and count it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, code = monotonic(), 500

        async def sent(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self._metrics.count(route, code, monotonic() - started)


class MetricsPage:
    """The page, for tokens that may read it, or for all."""

    def __init__(
        self,
        registry: CollectorRegistry,
        exchange: Exchange,
        *,
        is_open: bool,
    ) -> None:
        self._registry = registry
        self._exchange = exchange
        self._is_open = is_open
        #: SHA-256 of the headers that were accepted last.
        self._accepted: set[bytes] = set()
        self._limiter = CapacityLimiter(PAGES)

    async def respond(self, request: Request) -> Response:
        """Return the page in the format that the client accepts."""
        try:
            if not self._is_open:
                await self._admit(request)
        except errors.TaskOrchestratorError as error:
            return error_response(error)
        encode, content_type = choose_encoder(
            request.headers.get("accept", "")
        )
        content = await to_thread.run_sync(
            encode, self._registry, limiter=self._limiter
        )
        return Response(content, headers={"Content-Type": content_type})

    async def _admit(self, request: Request) -> None:
        """Raise errors.TokenRefused, errors.NotAllowed, errors.RateLimited.

        The page must tell that Redis is unreachable. So a token that it was shown before
        is accepted then.
        """
        header = request.headers.get("authorization", "")
        key = sha256(header.encode()).digest()
        request.state.verb = SCRIPT
        try:
            access = await self._exchange.admit(request)
        except errors.RateLimited:
            raise
        except errors.Unavailable:
            if key in self._accepted:
                return
            raise
        except errors.TokenRefused:
            self._accepted.discard(key)
            raise
        with self._exchange.noting(access, request):
            _need_right(access)
        if len(self._accepted) >= KEPT:
            self._accepted.clear()
        self._accepted.add(key)


def _need_right(access: ClientAccess) -> None:
    """Raise errors.NotAllowed for a token that may not read metrics."""
    if not roles.may_run(access.role, SCRIPT):
        raise errors.NotAllowed(
            reason=f"its role is {access.role}, which may not read metrics."
        )
    if access.project:
        raise errors.NotAllowed(
            reason=f"it is for {access.project}, and metrics show all projects."
        )
