# /// script
# dependencies = ["taskiq>=0.13,<1", "taskiq-redis>=1.2,<2", "hiredis>=3.2,<4"]
# ///
"""taskiq: the stream broker, the one that acknowledges; no result backend; a message is kept when it is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskiq.api import run_receiver_task
from taskiq_redis import RedisStreamBroker

from benchmarks.peers.stopwatch import URL, Send, handle, run

broker = RedisStreamBroker(URL)


async def item(text: str) -> None:
    """Do nothing, as the function of a task."""
    handle(text)


task = broker.task(task_name="item")(item)


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Send a task for each text."""
    await broker.startup()

    async def send(text: str) -> None:
        await task.kiq(text)

    yield send


def work(concurrency: int) -> None:
    """Work on `concurrency` tasks at a time."""
    asyncio.run(
        run_receiver_task(
            broker, max_async_tasks=concurrency, run_startup=True
        )
    )


if __name__ == "__main__":
    run(sender, work, waits=10)
