"""The socket of direct calls: no change is acknowledged before it is saved."""

import asyncio
import socket

import hiredis
import pytest
from taskorch.domain import errors
from taskorch.queue import scripts
from taskorch_gateway.direct_calls import SharedSocket

#: How long a test waits before it fails, in seconds.
LIMIT_S = 60


def replied(reply: bytes, *, to_ping: bytes) -> object:
    """Return the result of a claim at a server that saves what it changes, or not."""

    async def run() -> object:
        ours, server = socket.socketpair()
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        _, opened = await loop.create_connection(
            lambda: SharedSocket(confirms=True), sock=ours
        )
        call = asyncio.create_task(
            opened.run(scripts.load("claim"), "key", ())
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                await loop.sock_recv(server, 4096)
                await loop.sock_sendall(server, reply)
                asked = await loop.sock_recv(server, 4096)
                assert asked == hiredis.pack_command(("PING",))
                await loop.sock_sendall(server, to_ping)
                return await call
        finally:
            opened.close()
            server.close()

    return asyncio.run(run())


def test_direct_change_is_acknowledged_when_saved() -> None:
    assert replied(b"+OK\r\n", to_ping=b"+PONG\r\n") == "OK"


def test_unsaved_direct_change_is_not_acknowledged() -> None:
    with pytest.raises(errors.NotSaved):
        replied(b"+OK\r\n", to_ping=b"-MISCONF No space left\r\n")
