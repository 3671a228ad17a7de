# /// script
# dependencies = ["arq>=0.28,<1", "hiredis>=3.2,<4"]
# ///
"""arq: no results kept (`keep_result=0`); it polls every 0.5 s, its default."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import Worker

from benchmarks.peers.stopwatch import URL, Send, handle, run


async def item(_: dict[str, Any], text: str) -> None:
    """Do nothing, as the function of a job."""
    handle(text)


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Enqueue a job for each text."""
    pool = await create_pool(RedisSettings.from_dsn(URL))

    async def send(text: str) -> None:
        await pool.enqueue_job("item", text)

    yield send


async def _work(concurrency: int) -> None:
    settings = RedisSettings.from_dsn(URL)
    await Worker(
        [item], redis_settings=settings, max_jobs=concurrency, keep_result=0
    ).async_run()


def work(concurrency: int) -> None:
    """Work on `concurrency` jobs at a time."""
    asyncio.run(_work(concurrency))


if __name__ == "__main__":
    run(sender, work, waits=10)
