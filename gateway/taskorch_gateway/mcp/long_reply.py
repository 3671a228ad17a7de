"""A reply that may take long: JSON if it is ready soon, else a stream of events.

The stream keeps proxies from closing an idle connection. If the client closes it, the
work is cancelled.
"""

import json
from asyncio import FIRST_COMPLETED, Task, create_task, wait
from collections.abc import Callable, Coroutine, Mapping
from time import monotonic
from typing import Any

from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from taskorch.domain.frozen import Frozen
from taskorch.mcp import messages

from taskorch_gateway.exchange import client_left

#: How often a stream sends something, at least.
PING_S = 15.0
PING = b": ping\r\n\r\n"
HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache, no-transform"),
    (b"x-accel-buffering", b"no"),
]
#: When a client that asks for progress is first notified, and how often after that.
FIRST_PROGRESS_S, PROGRESS_S = 1.0, 10.0

Message = Mapping[str, Any]


class ReplyMessage(Frozen):
    """The message that answers a request, and its status."""

    message: Message
    status: int = 200
    #: Called if the client is gone before it has the message.
    undo: Callable[[], None] | None = None


class LongReply(Response):
    """The reply to a call, whose result is that of some work."""

    def __init__(
        self,
        work: Coroutine[None, None, ReplyMessage],
        *,
        cancelled: ReplyMessage,
        streams: bool,
        progress_token: object = None,
        started: Callable[[Task[ReplyMessage]], None] = lambda _: None,
    ) -> None:
        """Answer with events if `streams`, and with `cancelled` if others end the work.

        `started` gets the work once it runs.
        """
        super().__init__()
        self._work = work
        self._cancelled = cancelled
        self._streams = streams
        self._progress_token = progress_token
        self._started = started

    async def __call__(
        self, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Do the work and send its outcome, unless the client leaves."""
        working = create_task(self._work)
        self._started(working)
        leaving = create_task(client_left(receive))
        stream = _EventStream(send)
        try:
            await self._keep_alive(working, leaving, stream)
            if not working.done():
                return
            is_cancelled = working.cancelled()
            outcome = self._cancelled if is_cancelled else working.result()
            if leaving.done():
                if outcome.undo:
                    outcome.undo()
            elif stream.is_open:
                await stream.end(outcome.message)
            else:
                reply = JSONResponse(outcome.message, outcome.status)
                await reply(scope, receive, send)
        finally:
            working.cancel()
            leaving.cancel()

    async def _keep_alive(
        self,
        working: Task[ReplyMessage],
        leaving: Task[None],
        stream: "_EventStream",
    ) -> None:
        """Send signs of life until the work is done or the client has left."""
        reports = messages.is_id(self._progress_token)
        pause_s = FIRST_PROGRESS_S if reports else PING_S
        began = monotonic()
        while True:
            await wait(
                (working, leaving),
                timeout=pause_s,
                return_when=FIRST_COMPLETED,
            )
            if working.done() or leaving.done():
                return
            if not self._streams:
                continue
            if reports:
                pause_s = PROGRESS_S
                await stream.send(self._progress(monotonic() - began))
            else:
                await stream.ping()

    def _progress(self, passed_s: float) -> Message:
        return messages.progress(self._progress_token, passed_s)


class _EventStream:
    """The body of a reply, as events; the first one opens it."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.is_open = False

    async def ping(self) -> None:
        """Send a comment, which clients ignore."""
        await self._write(PING)

    async def send(self, message: Message) -> None:
        """Send a message as an event."""
        await self._write(_event(message))

    async def end(self, message: Message) -> None:
        """Send the last message."""
        await self._write(_event(message), more=False)

    async def _write(self, content: bytes, *, more: bool = True) -> None:
        if not self.is_open:
            self.is_open = True
            await self._send(
                {
                    "type": "http.response.start",
                    "status": 200,
                    "headers": HEADERS,
                }
            )
        await self._send(
            {"type": "http.response.body", "body": content, "more_body": more}
        )


def _event(message: Message) -> bytes:
    data = json.dumps(message, separators=(",", ":"))
    return f"event: message\r\ndata: {data}\r\n\r\n".encode()
