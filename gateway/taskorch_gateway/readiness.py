"""Whether the gateway can serve: Redis answers."""

from asyncio import Task, create_task, shield
from time import monotonic

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue

from taskorch_gateway.exchange import error_response
from taskorch_gateway.pool import NAME, ConnectionPool

#: How long an answer of Redis is valid: everyone may ask, without a token.
FRESH_S = 0.5


class Readiness:
    """Asks Redis at most once at a time, whoever asks."""

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        self._namespace = settings.namespace
        self._pool = pool
        self._asking: Task[Response] | None = None
        #: When the newest answer became known.
        self._since = 0.0

    async def respond(self, _: Request) -> Response:
        """Tell whether Redis answers."""
        if self._asking is None or self._is_stale(self._asking):
            self._asking = create_task(self._ask())
        return await shield(self._asking)

    def _is_stale(self, asked: Task[Response]) -> bool:
        return asked.done() and monotonic() > self._since + FRESH_S

    async def _ask(self) -> Response:
        try:
            await self._pool.run(self._look)
        except errors.TaskOrchestratorError as error:
            return error_response(error)
        finally:
            self._since = monotonic()
        return JSONResponse({"ready": True})

    def _look(self, connection: Connection) -> None:
        queue = Queue(connection, self._namespace, Caller(agent=NAME))
        queue.views.projects(limit=1)
