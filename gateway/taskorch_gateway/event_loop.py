"""The event loop of the gateway: asyncio's, with bounds on connections of TLS."""

from asyncio import (
    AbstractEventLoop,
    Future,
    SelectorEventLoop,
    Timeout,
    get_running_loop,
    sslproto,
)
from asyncio.base_events import Server
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

#: How long a client may take for its handshake.
HANDSHAKE_S = 15.0
#: What a connection of TLS reads at a time, and holds while it is idle.
READ_BYTES = 4 * 1024

Argument = TypeVar("Argument")


class EventLoop(SelectorEventLoop):
    """An event loop whose servers do not wait for slow handshakes."""

    def __init__(self) -> None:
        super().__init__()
        # 256 KiB for each of a thousand waits would fill the memory
        sslproto.SSLProtocol.max_size = READ_BYTES

    async def create_server(
        self,
        *arguments: Any,  # noqa: ANN401  asyncio's
        **named: Any,  # noqa: ANN401
    ) -> Server:
        """Create a server; see asyncio."""
        if named.get("ssl"):
            named.setdefault("ssl_handshake_timeout", HANDSHAKE_S)
        return await super().create_server(*arguments, **named)


def call_from_thread(
    loop: AbstractEventLoop,
    function: Callable[[Argument], object],
    argument: Argument,
) -> None:
    """Call a function in a loop, unless that is closed, because the process ends."""
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(function, argument)


def ends(block: Timeout) -> Callable[[Future[None]], None]:
    """Return a callback for a future that ends a block as its timeout would.

    A task that waits for both would cost a connection more memory.
    """
    return partial(_end, block)


def _end(block: Timeout, _: Future[None]) -> None:
    with suppress(RuntimeError):  # it is over
        block.reschedule(get_running_loop().time())
