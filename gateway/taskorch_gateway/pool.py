"""The connections of the gateway to Redis: each serves one thread at a time."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import LifoQueue
from typing import TypeVar

from taskorch.config.settings import Settings
from taskorch.connections import open_connection
from taskorch.domain.access import Access
from taskorch.queue.port import Connection

#: The name under which the gateway itself calls Redis.
NAME = "gateway"
#: Calls of Redis at the same time. Redis itself runs one script at a time.
SIZE = 8

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class ConnectionPool:
    """Runs functions that call Redis in threads, so that the event loop does not block."""

    def __init__(self, settings: Settings) -> None:
        """Connect to nothing yet. Raises errors.Usage for an invalid address."""
        self._free: LifoQueue[Connection] = LifoQueue()
        for _ in range(SIZE):
            self._free.put(open_connection(settings, _log.info, Access.CREATE))
        # they cost less than those of anyio, which starlette would use
        self._threads = ThreadPoolExecutor(SIZE, thread_name_prefix=NAME)

    async def run(self, use: Callable[[Connection], Result]) -> Result:
        """Return what a function returns for a connection of its own."""
        return await get_running_loop().run_in_executor(
            self._threads, self._with_connection, use
        )

    def close(self) -> None:
        """Close the connections that are free; the threads end with their calls."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while not self._free.empty():
            self._free.get().close()

    def _with_connection(self, use: Callable[[Connection], Result]) -> Result:
        connection = self._free.get()
        try:
            return use(connection)
        finally:
            self._free.put(connection)
