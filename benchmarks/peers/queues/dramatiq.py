# /// script
# dependencies = ["dramatiq[redis]>=2.1,<3", "hiredis>=3.2,<4"]
# ///
"""Dramatiq: its Redis broker with its defaults, no result backend."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from benchmarks.peers.stopwatch import URL, Send, handle, run

broker = RedisBroker(url=URL)
dramatiq.set_broker(broker)
actor = dramatiq.actor(handle, actor_name="handle")


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Send a message for each text."""

    async def send(text: str) -> None:
        actor.send(text)

    yield send


def work(concurrency: int) -> None:
    """Work in `concurrency` threads."""
    dramatiq.Worker(broker, worker_threads=concurrency).start()
    while True:
        time.sleep(60)


if __name__ == "__main__":
    run(sender, work, waits=8)
