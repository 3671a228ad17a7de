"""HTTP as uvicorn reads and writes it, with bounds on what a client can make it hold.

The parser in C has none: an endless head would fill the memory, and a client that sends
its request byte by byte, or never reads its reply, would keep its connection for ever.
"""

from asyncio import TimerHandle, Transport, get_running_loop
from typing import Any, TypeAlias

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65536
#: How long a head may take from the opening of its connection, or from its first byte.
HEAD_S = 15.0
#: How long a body may take that no one reads any more. One that is read may take
#: exchange.BODY_S, and gets a reply then.
BODY_S = 40.0
#: The time in which a client takes this part of its reply, or all that is left.
REPLY_S = 15.0
REPLY_BYTES = 256 * 1024
#: What is read of a connection at a time. More than uvicorn asks for stays in memory.
READ_BYTES = 16 * 1024
#: Maximum number of requests that a client sends before the reply to an earlier one.
AHEAD = 8
#: Where the connections that wait for a request are, in the state of the application.
_IDLE = "idle connections"

_Idle: TypeAlias = dict["BoundedHttp", None]


class TooFarAhead(Exception):
    """A client sends requests and does not wait for replies."""


class BoundedHttp(HttpToolsProtocol):
    """Cuts a connection whose request or reply is too long or takes too long.

    If there are too many connections, the one is closed that has waited longest for a
    request.
    """

    _is_in_head = True
    _head_bytes = 0
    #: Whether a request has ended within the newest part.
    _has_ended = False
    #: The limit of the head or of the body.
    _limit: TimerHandle | None = None
    _reply_limit: TimerHandle | None = None
    #: The size of what was left of a reply when its limit began.
    _unsent = 0

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*arguments, **named)
        # uvicorn would refuse requests of new connections and keep the old ones
        self._most, self.limit_concurrency = self.limit_concurrency, None
        #: The connections of the process that wait for a request, the longest first.
        self._idle: _Idle = self.app_state.setdefault(_IDLE, {})

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        # pause_writing() is called for everything that the kernel does not take; a
        # transport of TLS would call it for nothing, too
        transport.set_write_buffer_limits(
            high=1 if self.scheme == "https" else 0
        )
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        self._limit_time(HEAD_S)
        self._idle[self] = None
        if self._most and len(self.connections) > self._most:
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end_limit()
        self._end_reply_limit()
        self._idle.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        self._has_ended = False
        super().data_received(data)
        if self._has_ended and self._is_in_head:
            return  # most requests have one part
        if not self._limit:
            self._limit_time(HEAD_S if self._is_in_head else BODY_S)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a body is followed by none."""
        if not self._is_in_head:
            self.transport.abort()
            return
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head, and begin to wait for the body.

        Raises TooFarAhead, for which the parser stops and the connection is closed.
        """
        self._is_in_head = False
        self._head_bytes = 0
        self._end_limit()
        self._idle.pop(self, None)
        super().on_headers_complete()
        if len(self.pipeline) > AHEAD:
            raise TooFarAhead

    def on_message_complete(self) -> None:
        """End the request; the next head may begin."""
        super().on_message_complete()
        self._end_limit()
        self._is_in_head = self._has_ended = True
        self._head_bytes = 0

    def on_response_complete(self) -> None:
        """Begin to wait for the next request."""
        super().on_response_complete()
        if self.cycle.response_complete:
            self.cycle.body.clear()  # what no one has read
            if not self.transport.is_closing():
                self._idle[self] = None

    def pause_writing(self) -> None:
        """Begin to wait for the client to read its reply."""
        super().pause_writing()
        self._limit_reply()

    def resume_writing(self) -> None:
        """End the reply."""
        self._end_reply_limit()
        super().resume_writing()

    def _limit_time(self, seconds: float) -> None:
        self._limit = get_running_loop().call_later(
            seconds, self.transport.abort
        )

    def _end_limit(self) -> None:
        if self._limit:
            self._limit.cancel()
            self._limit = None

    def _limit_reply(self) -> None:
        self._end_reply_limit()
        self._unsent = self._left_of_reply()
        self._reply_limit = get_running_loop().call_later(
            REPLY_S, self._check_reply
        )

    def _check_reply(self) -> None:
        """Cut a client that reads its reply too slowly, or not at all."""
        if self._left_of_reply() > self._unsent - REPLY_BYTES:
            self.transport.abort()
        else:
            self._limit_reply()

    def _end_reply_limit(self) -> None:
        if self._reply_limit:
            self._reply_limit.cancel()
            self._reply_limit = None

    def _left_of_reply(self) -> int:
        return self.transport.get_write_buffer_size()
