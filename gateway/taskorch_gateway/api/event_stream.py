"""The events as a stream of server-sent events (SSE), from a cursor on.

A stream first reads what it has missed. Then it gets the events that its process
follows for all: an idle stream costs Redis nothing.
"""

from asyncio import Future
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import cast

from starlette.requests import Request
from starlette.responses import Response
from taskorch.cli.json_output import line
from taskorch.domain import errors, limits
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.events import Events, position
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.api.request_arguments import pairs_of
from taskorch_gateway.client_connection import Client
from taskorch_gateway.client_queue import queue_of
from taskorch_gateway.exchange import ClientStream, Exchange, address_of
from taskorch_gateway.performer import Performer
from taskorch_gateway.waits import LOST, ClientWaits, Subscription

#: The header of a client that reconnects: the id of the last event that it has read.
LAST_ID = "last-event-id"
PARAMETERS = ("since", "project")
#: How often an idle stream sends a comment, so that proxies keep its connection.
KEEP_ALIVE_S = 15.0
COMMENT = ": the connection is alive\n\n"
#: Tells that events after a cursor are lost, because their stream is capped.
GAP = "event: gap\ndata: {}\n\n"
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class ReadEvents(ToolArguments):
    """Read the events after a cursor, or with "" only the cursor of the newest."""

    name = "events"
    read_only = True
    since: str = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Read a page of events."""
        waits = queue_of(call).waits()
        if self.since:
            return ToolResult(waits.page(self.since))
        newest = waits.newest_cursor()
        return ToolResult(Events(known=True, newest=newest, entries=()))


class EventStreams:
    """The streams of events of one process."""

    def __init__(
        self, exchange: Exchange, performer: Performer, waits: ClientWaits
    ) -> None:
        self._exchange = exchange
        self._performer = performer
        self._waits = waits

    async def respond(
        self, access: ClientAccess, request: Request
    ) -> Response:
        """Answer with the events after a cursor, as they happen."""
        given = _parameters(request)
        project = given.get("project", "")
        if project:
            limits.project_id(project)
        cursor = request.headers.get(LAST_ID, "") or given.get("since", "")
        if cursor:
            limits.cursor(cursor)
        client = Client(access=access, address=address_of(request))
        news = await self._waits.subscribe()
        found = await self.read(client, cursor)
        stream = _Stream(self, client, request, news, project)
        return ClientStream(
            stream.parts(found, cursor or found.newest),
            media_type="text/event-stream",
            headers=HEADERS,
        )

    async def read(self, client: Client, cursor: str) -> Events:
        """Return a page of events after a cursor."""
        performed = await self._performer.perform(
            client, ReadEvents(since=cursor)
        )
        return cast("Events", performed.result.data)

    def changes_of(
        self, client: Client
    ) -> AbstractContextManager[Future[None]]:
        """Return what is done as soon as the token of a client changes."""
        return self._waits.changes.of(client.access)

    async def is_admitted(self, request: Request) -> bool:
        """Return whether the token of a request is still valid."""
        return await self._exchange.admits(request)


class _Stream:
    """One stream: what a client has missed, and then the news."""

    def __init__(
        self,
        streams: EventStreams,
        client: Client,
        request: Request,
        news: Subscription,
        project: str,
    ) -> None:
        self._streams = streams
        self._client = client
        self._request = request
        self._news = news
        self._project = project
        #: The project that the token is confined to; "" for none.
        self._own = client.access.project
        self._cursor = ""

    async def parts(self, found: Events, cursor: str) -> AsyncIterator[str]:
        """Yield the stream, until the client goes or its token is revoked."""
        self._cursor = cursor
        try:
            yield COMMENT
            while True:
                # a change after the check ends the stream, however slow the client is
                with self._streams.changes_of(self._client) as change:
                    change.add_done_callback(lambda _: self._news.put(LOST))
                    if not await self._streams.is_admitted(self._request):
                        return
                    async for part in self._missed(found):
                        yield part
                    async for part in self._followed():
                        yield part
                found = await self._streams.read(self._client, self._cursor)
        except errors.TaskOrchestratorError:
            return  # the client connects again, with the id of its last event

    async def _missed(self, found: Events) -> AsyncIterator[str]:
        """Yield the events from a first page on, up to the newest.

        A page may have none of them: those that it has looked at are of other projects,
        or damaged.
        """
        while True:
            if not found.known:
                yield GAP.format(line({"cursor": self._cursor}))
            for part in self._shown(found):
                yield part
            self._cursor = found.cursor
            yield f"id: {self._cursor}\n\n"
            if position(found.cursor) >= position(found.newest):
                return
            found = await self._streams.read(self._client, self._cursor)

    async def _followed(self) -> AsyncIterator[str]:
        """Yield the news, until some are lost or the token is no longer valid."""
        while True:
            batch = await self._news.next(KEEP_ALIVE_S)
            if batch is None:
                yield COMMENT
                continue
            is_admitted = await self._streams.is_admitted(self._request)
            if not (batch.known and is_admitted):
                return
            for part in self._shown(batch):
                yield part

    def _shown(self, batch: Events) -> Iterator[str]:
        """Yield the events of a batch that are new to the client."""
        for event in batch.entries:
            if position(event.cursor) <= position(self._cursor):
                continue
            self._cursor = event.cursor
            if self._own not in ("", event.project):
                continue
            if event.is_of(self._project):
                yield f"id: {event.cursor}\ndata: {line(event)}\n\n"
            else:
                yield f"id: {event.cursor}\n\n"


def _parameters(request: Request) -> Mapping[str, str]:
    given: dict[str, str] = {}
    for name, value in pairs_of(request.url.query):
        if name not in PARAMETERS or name in given:
            shown = limits.shortened(name)
            raise errors.Usage(
                reason=f"{shown} is given twice, or unknown: there are since and "
                "project."
            )
        given[name] = value
    return given
