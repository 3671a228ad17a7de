# /// script
# dependencies = ["rq>=3,<4", "hiredis>=3.2,<4"]
# ///
"""RQ: its SimpleWorker, because the Worker forks per job; no results kept (`result_ttl=0`), no line logged per job."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis import Redis
from rq import Queue, SimpleWorker

from benchmarks.peers.stopwatch import URL, Send, handle, run


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Enqueue a job for each text."""
    queue = Queue(connection=Redis.from_url(URL))

    async def send(text: str) -> None:
        queue.enqueue(handle, text, result_ttl=0)

    yield send


def work(_: int) -> None:
    """Work; more than one job at a time would be more than one process."""
    connection = Redis.from_url(URL)
    SimpleWorker([Queue(connection=connection)], connection=connection).work(
        logging_level="WARNING"
    )


if __name__ == "__main__":
    run(sender, work, most=1)
