# /// script
# dependencies = ["saq[redis,hiredis]>=0.26,<1", "typing-extensions>=4"]
# ///
"""saq: with its defaults."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker

from benchmarks.peers.stopwatch import URL, Send, handle, run


async def item(_: dict[str, Any], *, text: str) -> None:
    """Do nothing, as the function of a job."""
    handle(text)


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Enqueue a job for each text."""
    queue = Queue.from_url(URL)
    await queue.connect()

    async def send(text: str) -> None:
        await queue.enqueue("item", text=text)

    yield send


async def _work(concurrency: int) -> None:
    queue = Queue.from_url(URL)
    await queue.connect()
    await Worker(queue, [item], concurrency=concurrency).start()


def work(concurrency: int) -> None:
    """Work with `concurrency` coroutines."""
    asyncio.run(_work(concurrency))


if __name__ == "__main__":
    run(sender, work, waits=10)
