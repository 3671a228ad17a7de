# /// script
# dependencies = ["celery[redis]>=5.5,<6", "hiredis>=3.2,<4"]
# ///
"""Celery: results ignored, a large prefetch as its guide advises for short tasks; one process: solo, or 10 threads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from celery import Celery

from benchmarks.peers.stopwatch import URL, Send, handle, run

app = Celery("peers", broker=URL)
app.conf.update(
    task_ignore_result=True,
    worker_prefetch_multiplier=64,
    broker_connection_retry_on_startup=True,
)
task = app.task(handle, name="handle")


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Send a task for each text."""

    async def send(text: str) -> None:
        task.delay(text)

    yield send


def work(concurrency: int) -> None:
    """Work in this process, without what only matters to several workers."""
    pool = (
        ["--pool=solo"]
        if concurrency == 1
        else ["--pool=threads", f"--concurrency={concurrency}"]
    )
    alone = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
    app.worker_main(["--quiet", "worker", "--loglevel=WARNING", *pool, *alone])


if __name__ == "__main__":
    run(sender, work)
