"""A server of the tests closes every connection at its end."""

import asyncio
import socket
from contextlib import ExitStack, suppress

from support import leaks, tunnels

ROUNDS, CLIENTS = 30, 8


async def wait_for_end(
    reader: asyncio.StreamReader, _: asyncio.StreamWriter
) -> None:
    await reader.read()


def test_connections_of_last_moment_are_closed() -> None:
    before = leaks.Open.now()

    for _ in range(ROUNDS):
        with (
            ExitStack() as clients,
            tunnels.serving(wait_for_end) as listening,
        ):
            for _ in range(CLIENTS):
                clients.enter_context(begun(listening))

    assert leaks.unclosed(before) == []


def test_connections_to_servers_behind_are_closed() -> None:
    before = leaks.Open.now()

    with tunnels.serving(wait_for_end) as behind:

        async def forward(
            reader: asyncio.StreamReader, writer: asyncio.StreamWriter
        ) -> None:
            port = tunnels.port_of(behind)
            server = await asyncio.open_connection("127.0.0.1", port)
            await tunnels.forward(reader, writer, *server)

        for each in range(ROUNDS):
            with tunnels.serving(forward) as listening:
                client = socket.create_connection(
                    ("127.0.0.1", tunnels.port_of(listening))
                )
                # ends while the server is connected, forwards, or ends
                client.settimeout(each / 10_000)
                with suppress(TimeoutError, BlockingIOError):
                    client.recv(1)
                client.close()

    assert leaks.unclosed(before) == []


def begun(listening: asyncio.Server) -> socket.socket:
    """Return a connection that the server may not have accepted yet."""
    client = socket.socket()
    client.setblocking(False)
    client.connect_ex(("127.0.0.1", tunnels.port_of(listening)))
    return client
