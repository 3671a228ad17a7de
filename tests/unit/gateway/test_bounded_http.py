"""The bounds of connections that only a whole server has.

Clients that do not read their replies, and more clients than there are connections.
"""

import socket
import sys
from asyncio import AbstractEventLoop, Transport, get_running_loop
from asyncio import Event as AsyncEvent
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from threading import Event, Thread

import pytest
import uvicorn
from support.commands import eventually
from taskorch_gateway import bounded_http
from uvicorn._types import (
    ASGI3Application,
    ASGIReceiveCallable,
    ASGISendCallable,
    ASGISendEvent,
    Scope,
)

#: More than the buffers of two sockets take.
REPLY = b"x" * (64 << 20)
EMPTY: list[ASGISendEvent] = [
    {
        "type": "http.response.start",
        "status": 200,
        "headers": [(b"content-length", b"0")],
        "trailers": False,
    },
    {"type": "http.response.body", "body": b"", "more_body": False},
]
CONNECTIONS = 4
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Held:
    """An application that answers no request until it may."""

    def __init__(self) -> None:
        self.requests = 0
        self._may_answer = AsyncEvent()
        self._loop: AbstractEventLoop | None = None

    async def __call__(
        self,
        _scope: Scope,
        _receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        """Take a request."""
        self._loop = get_running_loop()
        self.requests += 1
        await self._may_answer.wait()
        for part in EMPTY:
            await send(part)

    def has_taken(self, requests: int) -> bool:
        """Return whether it has taken this number of requests."""
        return self.requests == requests

    def answer(self) -> None:
        """Answer all requests from now on."""
        assert self._loop
        self._loop.call_soon_threadsafe(self._may_answer.set)


@pytest.fixture
def held() -> Held:
    return Held()


@contextmanager
def served(
    app: ASGI3Application,
    connections: int | None = None,
    keep_alive_s: int = 75,
) -> Iterator[int]:
    """Serve an application on loopback; yield the port."""
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            http=bounded_http.BoundedHttp,
            lifespan="off",
            log_level="critical",
            limit_concurrency=connections,
            timeout_keep_alive=keep_alive_s,
            timeout_graceful_shutdown=1,
        )
    )
    thread = Thread(target=server.run)
    thread.start()
    try:
        eventually(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


def large_reply(sent: Event) -> ASGI3Application:
    """Return an application with a large reply. `sent` says that its end came."""

    async def app(
        _scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable
    ) -> None:
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [],
                "trailers": False,
            }
        )
        for body, more in ((REPLY, True), (b"", False)):  # waits in between
            await send(
                {
                    "type": "http.response.body",
                    "body": body,
                    "more_body": more,
                }
            )
        sent.set()

    return app


def test_client_that_reads_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "REPLY_S", 0.2)
    sent = Event()

    with (
        served(large_reply(sent)) as port,
        closing(socket.create_connection(("127.0.0.1", port))) as client,
    ):
        client.sendall(REQUEST)

        # what is written to a connection that was cut has no one to wait for
        assert sent.wait(20)


@pytest.mark.skipif(sys.platform != "linux", reason="the option is Linux's")
def test_vanished_client_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits: list[int] = []
    made = bounded_http.BoundedHttp.connection_made

    def look(self: bounded_http.BoundedHttp, transport: Transport) -> None:
        made(self, transport)
        client = transport.get_extra_info("socket")
        option = socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT
        limits.append(client.getsockopt(*option))

    monkeypatch.setattr(bounded_http.BoundedHttp, "connection_made", look)

    with (
        served(large_reply(Event())) as port,
        closing(socket.create_connection(("127.0.0.1", port))),
    ):
        eventually(lambda: limits == [1000 * bounded_http.VANISHED_S])


def connect(
    stack: ExitStack, port: int, content: bytes = b""
) -> socket.socket:
    """Open a connection, and send something."""
    client = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
    client.settimeout(20)
    client.sendall(content)
    return client


def connect_busy(stack: ExitStack, port: int, held: Held, number: int) -> None:
    """Open connections whose requests are not answered, one after the other."""
    while held.requests < number:
        taken = held.requests
        connect(stack, port, REQUEST)
        eventually(partial(held.has_taken, taken + 1))


def is_cut(client: socket.socket) -> bool:
    """Return whether a connection ends before there is a reply."""
    with suppress(ConnectionError):
        return client.recv(1) == b""
    return True


def test_new_connections_are_served_while_all_are_busy(held: Held) -> None:
    with served(held, CONNECTIONS) as port, ExitStack() as stack:
        connect_busy(stack, port, held, CONNECTIONS)

        first = connect(stack, port)
        second = connect(stack, port, REQUEST)
        first.sendall(REQUEST)

        eventually(lambda: held.has_taken(CONNECTIONS + 2))
        held.answer()
        assert first.recv(8) == second.recv(8) == b"HTTP/1.1"


def test_busy_connections_have_a_maximum(held: Held) -> None:
    with served(held, CONNECTIONS) as port, ExitStack() as stack:
        connect_busy(stack, port, held, CONNECTIONS + bounded_http.SPARE)

        assert is_cut(connect(stack, port))

        held.answer()


def test_oldest_idle_connection_gives_way(held: Held) -> None:
    connections = CONNECTIONS + bounded_http.SPARE
    with served(held, connections) as port, ExitStack() as stack:
        idle = [connect(stack, port) for _ in range(connections + 1)]

        assert is_cut(idle[0])

        idle[1].sendall(REQUEST)
        eventually(lambda: held.has_taken(1))
        held.answer()
        assert idle[1].recv(8) == b"HTTP/1.1"


async def refuse(
    _scope: Scope, _receive: ASGIReceiveCallable, send: ASGISendCallable
) -> None:
    """Answer a request without its body."""
    for part in EMPTY:
        await send(part)


def test_idle_connection_is_closed_after_a_late_body() -> None:
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n"
    with served(refuse, keep_alive_s=1) as port, ExitStack() as stack:
        client = connect(stack, port, head)
        reply = client.recv(4096)
        client.sendall(b"{}")

        assert reply.startswith(b"HTTP/1.1 200")
        assert is_cut(client)
