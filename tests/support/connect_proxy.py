"""The proxy of a sandbox: it tunnels TLS connections to the hosts that it allows.

It listens on a Unix socket, which processes in a network of their own can reach.
"""

import asyncio
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

READ_BYTES = 65536
#: What clients show to it.
USER = "agent:s3cret"


class ConnectProxy:
    """The tunnels of a proxy, and what it refused."""

    def __init__(self, hosts: Mapping[str, tuple[str, int]]) -> None:
        """`hosts` are the places that it allows, as clients name them."""
        self._hosts = hosts
        #: The places to which it opened tunnels, and those that it refused.
        self.tunnels: list[str] = []
        self.refused: list[str] = []

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client until either side closes."""
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                await self._answer(head, reader, writer)
        finally:
            writer.transport.abort()

    async def _answer(
        self,
        head: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        method, place, *_ = head.split()
        shown = b64encode(USER.encode()).decode()
        is_known = (
            f"proxy-authorization: basic {shown}".lower() in head.lower()
        )
        if method != "CONNECT" or place not in self._hosts or not is_known:
            self.refused.append(place)
            writer.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            await writer.drain()
            return
        self.tunnels.append(place)
        there = await asyncio.open_connection(*self._hosts[place])
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        pumps = [
            asyncio.ensure_future(_pump(reader, there[1])),
            asyncio.ensure_future(_pump(there[0], writer)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            there[1].transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    while data := await reader.read(READ_BYTES):
        writer.write(data)
        await writer.drain()


@contextmanager
def running(
    path: Path, hosts: Mapping[str, tuple[str, int]]
) -> Iterator[ConnectProxy]:
    """Run a proxy on a Unix socket, in a thread."""
    proxy, loop, ended = (
        ConnectProxy(hosts),
        asyncio.new_event_loop(),
        asyncio.Event(),
    )
    listening = loop.run_until_complete(
        asyncio.start_unix_server(proxy.serve, path)
    )
    thread = threading.Thread(
        target=loop.run_until_complete, args=[_serving(listening, ended)]
    )
    thread.start()
    try:
        yield proxy
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
