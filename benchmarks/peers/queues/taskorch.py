"""Ours: `create` with its assignment, one at a time; `claim` and `complete`; a waiting `claim`.

At a concurrency of 10 it is ten threads with a connection each.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from threading import Thread

from taskorch.connections import connect
from taskorch.domain.item import Caller, NewItem
from taskorch.queue.queue import Queue

from benchmarks.peers.stopwatch import URL, Send, handle, run

AGENT = "specialist"


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Open a project, and create an item for each text."""
    queue = _queue()
    project = queue.project("Many items")

    async def send(text: str) -> None:
        queue.create(
            project, NewItem(title="An item", description=text, agent=AGENT)
        )

    yield send


def work(concurrency: int) -> None:
    """Claim and complete, in `concurrency` threads."""
    threads = [Thread(target=_work) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _work() -> None:
    queue = _queue().agent_queue(AGENT)
    while True:
        claim = queue.claim(wait_s=60)
        if claim and claim.lease:
            handle(claim.package.item.description)
            queue.complete(claim.lease, "done")


def _queue() -> Queue:
    return Queue(connect(URL), "peers", Caller(agent="planner"))


if __name__ == "__main__":
    run(sender, work)
