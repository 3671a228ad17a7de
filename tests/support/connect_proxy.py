"""The proxy of a sandbox: it tunnels TLS connections to the hosts that it allows.

It listens on a Unix socket, which processes in a network of their own can reach, or on
loopback.
"""

import asyncio
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from support import tunnels

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
        self.port = 0

    @property
    def url(self) -> str:
        """Its address on loopback, as HTTPS_PROXY has it."""
        return f"http://{USER}@127.0.0.1:{self.port}"

    async def serve(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Serve one client until either side closes."""
        with suppress(OSError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            await self._answer(head, reader, writer)

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
        await tunnels.forward(reader, writer, *there)


@contextmanager
def running(
    path: Path, hosts: Mapping[str, tuple[str, int]]
) -> Iterator[ConnectProxy]:
    """Run a proxy on a Unix socket, in a thread."""
    proxy = ConnectProxy(hosts)
    with tunnels.serving(proxy.serve, path=path):
        yield proxy


@contextmanager
def on_loopback(
    hosts: Mapping[str, tuple[str, int]],
) -> Iterator[ConnectProxy]:
    """Run a proxy on a port of loopback, in a thread."""
    proxy = ConnectProxy(hosts)
    with tunnels.serving(proxy.serve) as listening:
        proxy.port = tunnels.port_of(listening)
        yield proxy
