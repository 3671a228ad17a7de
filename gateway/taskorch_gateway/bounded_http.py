"""HTTP as uvicorn reads and writes it, with bounds on what a client can make it hold.

The parser in C has none: an endless head would fill the memory, and a client that sends
its request byte by byte, or never reads its reply, would keep its connection for ever.
"""

import socket
import sys
from asyncio import Handle, TimerHandle, Transport, get_running_loop
from typing import Any, TypeAlias, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from taskorch_gateway.unread_replies import UnreadReplies

HEAD_BYTES = 65536
#: How long a head may take from the opening of its connection, or from its first byte.
HEAD_S = 15.0
#: How long a body may take that no one reads any more. One that is read may take
#: exchange.BODY_S, and gets a reply then.
BODY_S = 40.0
#: The time in which a client takes this part of its reply, or all that is left.
REPLY_S = 15.0
REPLY_BYTES = 256 * 1024
#: How long a client may leave what it was sent unacknowledged: its machine has vanished
#: then, and a stream would go on for a quarter of an hour.
VANISHED_S = 30
#: What is read of a connection at a time. More than uvicorn asks for stays in memory.
READ_BYTES = 16 * 1024
#: A larger part of a reply is not copied behind its head.
COPIED_BYTES = 64 * 1024
#: Maximum number of requests that a client sends before the reply to an earlier one.
AHEAD = 8
#: This many more connections may be open while no more than this many wait for a request:
#: the others may get their replies at any moment, and then one of them gives way.
SPARE = 32
#: Where the connections that wait for a request are, and those whose clients have to read
#: a reply, in the state of the application.
_IDLE, _UNREAD = "idle connections", "unread replies"

_Idle: TypeAlias = dict["BoundedHttp", None]


class TooFarAhead(Exception):
    """A client sends requests and does not wait for replies."""


class BoundedHttp(HttpToolsProtocol):
    """Cuts a connection whose request or reply is too long or takes too long.

    If there are too many connections, the one is closed that has waited longest for a
    request.
    """

    # the object has more attributes than Python stores compactly without this
    __slots__ = (
        "_has_ended",
        "_head_bytes",
        "_idle",
        "_is_in_head",
        "_limit",
        "_most",
        "_reply_limit",
        "_unread",
        "_unsent",
    )

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401  uvicorn's
        super().__init__(*arguments, **named)
        self._is_in_head = True
        self._head_bytes = 0
        #: Whether a request has ended within the newest part.
        self._has_ended = False
        #: The limit of the head or of the body.
        self._limit: TimerHandle | None = None
        self._reply_limit: TimerHandle | None = None
        #: The size of what was left of a reply when its limit began.
        self._unsent = 0
        # uvicorn would refuse requests of new connections and keep the old ones
        self._most, self.limit_concurrency = self.limit_concurrency, None
        #: The connections of the process that wait for a request, the longest first.
        self._idle: _Idle = self.app_state.setdefault(_IDLE, {})
        self._unread: UnreadReplies = self.app_state.setdefault(
            _UNREAD, UnreadReplies()
        )

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        # pause_writing() is called for everything that the kernel does not take; a
        # transport of TLS would call it for nothing, too
        transport.set_write_buffer_limits(
            high=1 if self.scheme == "https" else 0
        )
        transport.max_size = READ_BYTES  # type: ignore[attr-defined]
        if sys.platform == "linux":
            transport.get_extra_info("socket").setsockopt(
                socket.IPPROTO_TCP,
                socket.TCP_USER_TIMEOUT,
                VANISHED_S * 1000,
            )
        self._limit_time(HEAD_S)
        self._idle[self] = None
        if self._most and len(self.connections) > self._most + self._spare():
            oldest = next(iter(self._idle))
            del self._idle[oldest]
            oldest.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end_limit()
        self._end_reply_limit()
        self._unread.remove(self)
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
        self._unset_keepalive_if_required()
        self._idle.pop(self, None)
        super().on_headers_complete()
        self.cycle.transport = cast("Transport", ReplyWriter(self.transport))
        if len(self.pipeline) > AHEAD:
            raise TooFarAhead

    def on_message_complete(self) -> None:
        """End the request; the next head may begin."""
        super().on_message_complete()
        self._end_limit()
        self._is_in_head = self._has_ended = True
        self._head_bytes = 0
        if self.cycle.response_complete:
            self._limit_idle_time()

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
        self._unread.add(self)

    def resume_writing(self) -> None:
        """End the reply."""
        self._end_reply_limit()
        self._unread.remove(self)
        super().resume_writing()

    def left_of_reply(self) -> int:
        """Return the size of what the client has not read yet."""
        return self.transport.get_write_buffer_size()

    def cut(self) -> None:
        """Close the connection without sending the rest."""
        self.transport.abort()

    def _spare(self) -> int:
        """Return how many connections may be open beyond the maximum."""
        return 0 if len(self._idle) > SPARE else SPARE

    def _limit_idle_time(self) -> None:
        """Close the connection if no other request follows.

        uvicorn does so at the end of a reply, but forgets it when the rest of the body
        comes after the reply.
        """
        self._unset_keepalive_if_required()
        self.timeout_keep_alive_task = get_running_loop().call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )

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
        self._unsent = self.left_of_reply()
        self._reply_limit = get_running_loop().call_later(
            REPLY_S, self._check_reply
        )

    def _check_reply(self) -> None:
        """Cut a client that reads its reply too slowly, or not at all."""
        if self.left_of_reply() > self._unsent - REPLY_BYTES:
            self.cut()
        else:
            self._limit_reply()

    def _end_reply_limit(self) -> None:
        if self._reply_limit:
            self._reply_limit.cancel()
            self._reply_limit = None


class ReplyWriter:
    """Writes the head of a reply together with the first part behind it.

    uvicorn writes it by itself: that is one more packet, for which the client wakes up,
    and one more call of the system for each reply. A stream sends its head at once if
    it has nothing more to send.
    """

    __slots__ = ("_held", "_sending", "_transport")

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._held = b""
        self._sending: Handle | None = None

    def write(self, data: bytes) -> None:
        """Write a part of the reply; the first one is its head."""
        if self._sending is None:
            self._held = data
            self._sending = get_running_loop().call_soon(self._send_held)
        elif self._held and len(data) <= COPIED_BYTES:
            data, self._held = self._held + data, b""
            self._sending.cancel()
            self._transport.write(data)
        else:
            self._send_held()
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection behind the reply."""
        self._send_held()
        self._transport.close()

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._transport.is_closing()

    def _send_held(self) -> None:
        held, self._held = self._held, b""
        if held:
            self._transport.write(held)
