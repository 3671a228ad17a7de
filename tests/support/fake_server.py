"""A server on loopback that only pretends to be Redis."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread


@contextmanager
def fake_server(answer: Callable[[bytes], bytes]) -> Iterator[int]:
    """Run a server that answers each message by a function; yield its port."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            while message := self.request.recv(65536):
                self.request.sendall(answer(message))

    with ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(
            target=server.serve_forever, kwargs={"poll_interval": 0.01}
        )
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
