"""A target of notifications on loopback: it answers well, slowly, wrongly or not at all."""

import json
import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.client import parse_headers
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Event, Thread
from typing import Any

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass(frozen=True)
class Request:
    """A request that arrived."""

    path: str
    #: By lower-case name.
    headers: dict[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document in its body."""
        document: dict[str, Any] = json.loads(self.body)
        return document

    @property
    def items(self) -> list[str]:
        """The items of its notifications."""
        return [each["item"] for each in self.document["notifications"]]


@dataclass
class Target:
    """The target: where it is, what has arrived, and how it answers."""

    port: int = 0
    scheme: str = "http"
    requests: list[Request] = field(default_factory=list)
    #: Writes the answer to a request; it may wait for `released`.
    answer: Callable[["Target", socket.socket], None] = lambda _, client: (
        client.sendall(OK)
    )
    released: Event = field(default_factory=Event)

    @property
    def url(self) -> str:
        """Its address."""
        return self.url_at("127.0.0.1")

    def url_at(self, host: str) -> str:
        """Return its address under another name."""
        return f"{self.scheme}://{host}:{self.port}/hook?key=s3cret"


def answers(reply: bytes) -> Callable[[Target, socket.socket], None]:
    """Return an answer of these bytes."""
    return lambda _, client: client.sendall(reply)


def status(
    number: int, *headers: str
) -> Callable[[Target, socket.socket], None]:
    """Return an answer with a status."""
    lines = [f"HTTP/1.1 {number} X", "Content-Length: 0", *headers, "", ""]
    return answers("\r\n".join(lines).encode())


def hangs(target: Target, _: socket.socket) -> None:
    """Answer nothing."""
    target.released.wait()


def drips(target: Target, client: socket.socket) -> None:
    """Answer a byte at a time, for ever."""
    with suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not target.released.wait(0.02):
            client.sendall(b"x")


def floods(target: Target, client: socket.socket) -> None:
    """Answer with a body without an end."""
    with suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while not target.released.is_set():
            client.sendall(b"x" * 65536)


def floods_head(target: Target, client: socket.socket) -> None:
    """Answer with a header without an end."""
    with suppress(OSError):
        client.sendall(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not target.released.is_set():
            client.sendall(b"x" * 65536)


@contextmanager
def running(tls: ssl.SSLContext | None = None) -> Iterator[Target]:
    """Run a target, with TLS if it has a context for it, until the end of the block."""
    target = Target(scheme="https" if tls else "http")

    class Handler(StreamRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                request = _read(self.rfile)
                target.requests.append(request)
                target.answer(target, self.request)

    class Server(ThreadingTCPServer):
        daemon_threads = False

        def finish_request(self, request: Any, client_address: Any) -> None:
            if tls is None:
                super().finish_request(request, client_address)
                return
            with (
                suppress(OSError),  # a client that does not trust it
                tls.wrap_socket(request, server_side=True) as encrypted,
            ):
                super().finish_request(encrypted, client_address)

    with Server(("127.0.0.1", 0), Handler) as server:
        target.port = server.server_address[1]
        thread = Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        try:
            yield target
        finally:
            target.released.set()
            server.shutdown()
            thread.join()


def _read(stream: Any) -> Request:
    line = stream.readline().decode()
    if not line:
        raise OSError("no request")
    headers = {
        name.lower(): value for name, value in parse_headers(stream).items()
    }
    body = stream.read(int(headers["content-length"]))
    return Request(path=line.split()[1], headers=headers, body=body)
