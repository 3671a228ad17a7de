# /// script
# dependencies = ["pydocket>=0.27,<1", "hiredis>=3.2,<4"]
# ///
"""docket: nothing kept of a finished task (`execution_ttl=0`)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

from docket import Docket, Worker

from benchmarks.peers.stopwatch import URL, Send, handle, run


async def item(text: str) -> None:
    """Do nothing, as the function of a task."""
    handle(text)


def _docket() -> Docket:
    return Docket(name="peers", url=URL, execution_ttl=timedelta(0))


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Add a task for each text."""
    async with _docket() as docket:
        docket.register(item)

        async def send(text: str) -> None:
            await docket.add(item)(text)

        yield send


async def _work(concurrency: int) -> None:
    async with _docket() as docket:
        docket.register(item)
        async with Worker(docket, concurrency=concurrency) as worker:
            await worker.run_forever()


def work(concurrency: int) -> None:
    """Work on `concurrency` tasks at a time."""
    asyncio.run(_work(concurrency))


if __name__ == "__main__":
    run(sender, work, waits=10)
