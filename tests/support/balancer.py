"""A load balancer: it forwards each connection to one of several servers that answers."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle

from support import tunnels


class Balancer:
    """Forwards connections to the servers in turns; those that are down are left out."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._number = len(ports)
        self._ports = cycle(ports)
        #: Its own port, once it is listening.
        self.port = 0

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client until either side closes."""
        try:
            for _ in range(self._number):
                with suppress(ConnectionRefusedError):
                    server = await asyncio.open_connection(
                        "127.0.0.1", next(self._ports)
                    )
                    await tunnels.forward(reader, writer, *server)
                    return
        finally:
            writer.transport.abort()


@contextmanager
def running(ports: Sequence[int]) -> Iterator[Balancer]:
    """Run a balancer in front of the servers on these ports, in a thread."""
    balancer, loop = Balancer(ports), asyncio.new_event_loop()
    listening = loop.run_until_complete(
        asyncio.start_server(balancer.serve, "127.0.0.1", 0)
    )
    balancer.port = listening.sockets[0].getsockname()[1]
    with tunnels.served(loop, listening):
        yield balancer
