"""HTTP as uvicorn reads it, with bounds on the head of a request.

The parser in C has none: an endless head would fill the memory, and one that arrives
byte by byte would keep its connection for ever.
"""

from asyncio import TimerHandle, Transport, get_running_loop

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 65536
#: How long a head may take from the opening of its connection, or from its first byte.
HEAD_S = 15.0


class BoundedHttp(HttpToolsProtocol):
    """Cuts a connection whose request has too long or too slow a head."""

    _is_in_head = True
    _head_bytes = 0
    #: Whether a request has ended within the newest part.
    _has_ended = False
    _limit: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop waiting."""
        self._end_limit()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if self._is_in_head and not self._limit:
            self._limit_time()
        self._has_ended = False
        super().data_received(data)
        if self._is_in_head and not self._has_ended:
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
        """End the head."""
        self._is_in_head = False
        self._head_bytes = 0
        self._end_limit()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """End the request; the next head may begin."""
        super().on_message_complete()
        self._is_in_head = self._has_ended = True
        self._head_bytes = 0

    def _limit_time(self) -> None:
        self._limit = get_running_loop().call_later(
            HEAD_S, self.transport.abort
        )

    def _end_limit(self) -> None:
        if self._limit:
            self._limit.cancel()
            self._limit = None
