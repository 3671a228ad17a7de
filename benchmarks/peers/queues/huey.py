# /// script
# dependencies = ["huey>=3,<4", "redis>=7,<9", "hiredis>=3.2,<4"]
# ///
"""huey: its default storage, which blocks for work; no results kept."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from huey import RedisHuey

from benchmarks.peers.stopwatch import URL, Send, handle, run

huey = RedisHuey("peers", url=URL, results=False)
task = huey.task(name="handle")(handle)


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Enqueue a task for each text."""

    async def send(text: str) -> None:
        task(text)

    yield send


def work(concurrency: int) -> None:
    """Work in `concurrency` threads."""
    huey.create_consumer(workers=concurrency).run()


if __name__ == "__main__":
    run(sender, work)
