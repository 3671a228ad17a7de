"""A load balancer: it forwards each connection to one of several servers that answers."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import cycle

READ_BYTES = 65536


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
                    await _forward(reader, writer, *server)
                    return
        finally:
            writer.transport.abort()


async def _forward(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> None:
    pumps = [
        asyncio.ensure_future(_pump(reader, server_writer)),
        asyncio.ensure_future(_pump(server_reader, writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)
        server_writer.transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


@contextmanager
def running(ports: Sequence[int]) -> Iterator[Balancer]:
    """Run a balancer in front of the servers on these ports, in a thread."""
    balancer, loop, ended = (
        Balancer(ports),
        asyncio.new_event_loop(),
        asyncio.Event(),
    )
    listening = loop.run_until_complete(
        asyncio.start_server(balancer.serve, "127.0.0.1", 0)
    )
    balancer.port = listening.sockets[0].getsockname()[1]
    thread = threading.Thread(
        target=loop.run_until_complete, args=[_serving(listening, ended)]
    )
    thread.start()
    try:
        yield balancer
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


async def _serving(listening: asyncio.Server, ended: asyncio.Event) -> None:
    await ended.wait()
    listening.close()
    while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
