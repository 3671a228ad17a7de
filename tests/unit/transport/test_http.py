"""Replies over HTTP: those of a gateway, of proxies, and of what is neither."""

import socket
from collections.abc import Iterator

import pytest
from taskorch.transport import http

CHUNKED = (
    b"HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: 1\r\n\r\n"
)
REPLIES = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\ncontent-length:5\r\n\r\nhello",
    CHUNKED,
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello",
    b"HTTP/1.0 200 OK\r\n\r\nhello",
)
BROKEN = (
    b"",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"HTTP/2 200\r\n\r\n",
    b"HTTP/1.1 OK\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000,
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000,
)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Return both ends of a connection."""
    ours, theirs = socket.socketpair()
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("reply", REPLIES)
def test_reply_of_any_form_is_read(
    ends: tuple[socket.socket, socket.socket], reply: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(reply)
    theirs.shutdown(socket.SHUT_WR)

    read = http.read_reply(ours)

    assert (read.status, read.body) == (200, b"hello")


@pytest.mark.parametrize("reply", BROKEN)
def test_broken_reply_is_an_error_of_the_connection(
    ends: tuple[socket.socket, socket.socket], reply: bytes
) -> None:
    ours, theirs = ends
    theirs.sendall(reply)
    theirs.shutdown(socket.SHUT_WR)

    with pytest.raises(OSError, match=r"\w+"):
        http.read_reply(ours)


def test_two_replies_are_read_one_by_one(
    ends: tuple[socket.socket, socket.socket],
) -> None:
    ours, theirs = ends

    for body in (b"one", b"three"):
        length = str(len(body)).encode()
        theirs.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Length: "
            + length
            + b"\r\n\r\n"
            + body
        )
        assert http.read_reply(ours).body == body


@pytest.mark.parametrize(
    ("reply", "state"), [(REPLIES[0], "open"), (REPLIES[-1], "closed")]
)
def test_reply_says_whether_it_is_the_last(
    ends: tuple[socket.socket, socket.socket], reply: bytes, state: str
) -> None:
    ours, theirs = ends
    theirs.sendall(reply)
    theirs.shutdown(socket.SHUT_WR)

    assert http.read_reply(ours).is_last is (state == "closed")
