"""What servers in front of others share: how they forward, and how they run in a thread."""

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from ssl import SSLContext
from typing import Any

#: Serves one client until either side closes.
Serve = Callable[
    [asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]
]
READ_BYTES = 65536


async def forward(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    server_reader: asyncio.StreamReader,
    server_writer: asyncio.StreamWriter,
) -> None:
    """Forward both ways until either side closes."""
    pumps = [
        asyncio.ensure_future(_pump(reader, server_writer)),
        asyncio.ensure_future(_pump(server_reader, writer)),
    ]
    try:
        await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
    finally:
        server_writer.transport.abort()  # also if this task is cancelled again
        await cancelled(pumps)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


class _Clients:
    """The clients of a server, each with a task that serves it.

    They are not left to asyncio: a task of its own that is cancelled before its first
    step leaves the socket open.
    """

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._writers: list[asyncio.StreamWriter] = []

    def accept(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve a client in a task, and close its connection at the end."""
        self._writers.append(writer)
        task = asyncio.ensure_future(self._serve(reader, writer))
        task.add_done_callback(lambda _: writer.transport.abort())

    async def cut_off(self) -> None:
        """Close the connections of all clients, once the server accepts no more."""
        while tasks := asyncio.all_tasks() - {asyncio.current_task()}:
            await cancelled(tasks)
        closed = [writer.wait_closed() for writer in self._writers]
        await asyncio.gather(*closed, return_exceptions=True)


@contextmanager
def serving(
    serve: Serve, *, path: Path | None = None, tls: SSLContext | None = None
) -> Iterator[asyncio.Server]:
    """Serve clients in a thread, on a Unix socket or a port of loopback, until the block ends.

    Clients speak TLS where there is a context.
    """
    loop, ended, clients = (
        asyncio.new_event_loop(),
        asyncio.Event(),
        _Clients(serve),
    )
    starting = (
        asyncio.start_unix_server(clients.accept, path)
        if path
        else asyncio.start_server(clients.accept, "127.0.0.1", 0, ssl=tls)
    )
    listening = loop.run_until_complete(starting)

    async def serve_to_the_end() -> None:
        await ended.wait()
        for each in listening.sockets:
            loop.remove_reader(each.fileno())
        # a server that is closed leaves open what it has accepted in this round
        await asyncio.sleep(0)
        listening.close()
        await clients.cut_off()

    thread = threading.Thread(
        target=loop.run_until_complete, args=[serve_to_the_end()]
    )
    thread.start()
    try:
        yield listening
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()
        loop.close()


def port_of(listening: asyncio.Server) -> int:
    """Return the port of a server on loopback."""
    port: int = listening.sockets[0].getsockname()[1]
    return port


async def cancelled(tasks: Collection[asyncio.Task[None]]) -> None:
    """Cancel tasks, and wait for their end."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
