"""The bounds of a connection that only a whole server has: a client that does not read."""

import socket
import sys
from asyncio import Transport
from collections.abc import Iterator
from contextlib import closing, contextmanager
from threading import Event, Thread

import pytest
import uvicorn
from support.commands import eventually
from taskorch_gateway import bounded_http
from uvicorn._types import ASGIReceiveCallable, ASGISendCallable, Scope

#: More than the buffers of two sockets take.
REPLY = b"x" * (64 << 20)


@contextmanager
def served(sent: Event) -> Iterator[int]:
    """Serve a large reply on loopback; yield the port. `sent` says that its end came."""

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

    server = uvicorn.Server(
        uvicorn.Config(
            app,
            port=0,
            http=bounded_http.BoundedHttp,
            lifespan="off",
            log_level="critical",
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


def test_client_that_reads_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounded_http, "REPLY_S", 0.2)
    sent = Event()

    with (
        served(sent) as port,
        closing(socket.create_connection(("127.0.0.1", port))) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")

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
        served(Event()) as port,
        closing(socket.create_connection(("127.0.0.1", port))),
    ):
        eventually(lambda: limits == [1000 * bounded_http.VANISHED_S])
