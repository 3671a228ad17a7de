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
        for _ in range(self._number):
            with suppress(ConnectionRefusedError):
                server = await asyncio.open_connection(
                    "127.0.0.1", next(self._ports)
                )
                await tunnels.forward(reader, writer, *server)
                return


@contextmanager
def running(ports: Sequence[int]) -> Iterator[Balancer]:
    """Run a balancer in front of the servers on these ports, in a thread."""
    balancer = Balancer(ports)
    with tunnels.serving(balancer.serve) as listening:
        balancer.port = tunnels.port_of(listening)
        yield balancer
