"""What servers in front of others share: how they forward, and how they run in a thread."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

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
def served(
    loop: asyncio.AbstractEventLoop, listening: asyncio.Server
) -> Iterator[None]:
    """Serve in a thread, until the block ends."""
    ended = asyncio.Event()
    thread = threading.Thread(
        target=loop.run_until_complete, args=[_serving(listening, ended)]
    )
    thread.start()
    try:
        yield
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
