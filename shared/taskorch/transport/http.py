"""One HTTP/1.1 exchange over an open socket.

http.client would cost a short command as much time as all else that it imports.
"""

import socket
from collections.abc import Iterator

from taskorch.domain.frozen import Frozen

CHUNK_BYTES = 65536
#: Maximum size of the head of a reply, and of a reply.
HEAD_BYTES = 65536
REPLY_BYTES = 256 * 1024 * 1024
#: Statuses without a body.
NO_CONTENT = (204, 304)


class NotHttp(OSError):
    """The reply is not HTTP, or is longer than any reply of a gateway."""


class HttpReply(Frozen):
    """The reply to a request."""

    status: int
    #: By lower-case name.
    headers: dict[str, str]
    body: bytes

    @property
    def is_last(self) -> bool:
        """Whether the server closes the connection behind it."""
        return self.headers.get("connection", "").lower() == "close"


def request(method: str, target: str, headers: dict[str, str]) -> bytes:
    """Return the head of a request."""
    lines = [f"{method} {target} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def read_reply(opened: socket.socket, *, has_body: bool = True) -> HttpReply:
    """Read a reply. Raises OSError if it does not arrive, NotHttp if it is not one.

    The reply to CONNECT has no body.
    """
    reader = _Reader(opened)
    while True:
        status, headers = _head(reader)
        if status >= 200:  # noqa: PLR2004  the others announce another reply
            break
    body = b""
    if has_body and status not in NO_CONTENT:
        body = b"".join(_body(reader, headers))
    return HttpReply(status=status, headers=headers, body=body)


class _Reader:
    """Reads lines and bytes of a socket."""

    def __init__(self, opened: socket.socket) -> None:
        self._socket = opened
        self._unread = bytearray()
        self._left = REPLY_BYTES

    def line(self) -> str:
        """Return a line without its end."""
        while b"\n" not in self._unread:
            if len(self._unread) > HEAD_BYTES or not self._receive():
                raise NotHttp("the reply is not HTTP")
        line, _, self._unread = self._unread.partition(b"\n")
        return line.decode("latin-1").rstrip("\r")

    def take(self, count: int) -> bytes:
        """Return this number of bytes."""
        while len(self._unread) < count:
            if not self._receive():
                raise ConnectionResetError("the reply is not complete")
        found = bytes(self._unread[:count])
        del self._unread[:count]
        return found

    def rest(self) -> bytes:
        """Return all bytes until the server closes the connection."""
        while self._receive():
            pass
        return bytes(self._unread)

    def _receive(self) -> bool:
        """Receive more; return False at the end."""
        chunk = self._socket.recv(CHUNK_BYTES)
        self._left -= len(chunk)
        if self._left < 0:
            raise NotHttp("the reply is too long")
        self._unread += chunk
        if not chunk and not self._unread:
            raise ConnectionResetError("the gateway closed the connection")
        return bool(chunk)


def _head(reader: _Reader) -> tuple[int, dict[str, str]]:
    version, _, status = reader.line().partition(" ")
    if not version.startswith("HTTP/1.") or not status[:3].isdecimal():
        raise NotHttp("the reply is not HTTP")
    headers: dict[str, str] = {}
    length = 0
    while line := reader.line():
        length += len(line)
        if length > HEAD_BYTES:
            raise NotHttp("the head of the reply is too long")
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    if version == "HTTP/1.0":
        headers.setdefault("connection", "close")
    return int(status[:3]), headers


def _body(reader: _Reader, headers: dict[str, str]) -> Iterator[bytes]:
    try:
        if headers.get("transfer-encoding", "").lower() == "chunked":
            yield from _chunks(reader)
        elif "content-length" in headers:
            yield reader.take(_size(headers["content-length"], 10))
        else:
            headers["connection"] = "close"
            yield reader.rest()
    except ValueError:
        raise NotHttp("the length of the reply is not a number") from None


def _chunks(reader: _Reader) -> Iterator[bytes]:
    while size := _size(reader.line().partition(";")[0], 16):
        yield reader.take(size)
        reader.line()
    while reader.line():  # trailers
        pass


def _size(digits: str, base: int) -> int:
    size = int(digits, base)
    if not 0 <= size <= REPLY_BYTES:
        raise NotHttp("the reply is too long")
    return size
