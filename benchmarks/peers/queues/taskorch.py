"""Ours: `create` with its assignment, one at a time; `complete`, which claims the next item; a waiting `claim`.

At a concurrency of 10 it is ten threads with a connection each.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from threading import Thread

from taskorch.connections import connect
from taskorch.domain.item import Caller, Claim, Delivery, NewItem
from taskorch.queue.queue import Queue

from benchmarks.peers.stopwatch import URL, Send, handle, run

AGENT = "specialist"
#: The lease, after which the item of a killed worker comes back.
LEASE_MS = 5000


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Open a project, and create an item for each text."""
    queue = open_queue()
    project = queue.project("Many items")

    async def send(text: str) -> None:
        queue.create(
            project, NewItem(title="An item", description=text, agent=AGENT)
        )

    yield send


def work(concurrency: int) -> None:
    """Claim and complete, in `concurrency` threads."""
    in_threads(concurrency, _work)


def _work() -> None:
    queue = open_queue().agent_queue(AGENT)
    claims: tuple[Claim, ...] = ()
    while True:
        claims = claims or queue.claim_many(1, wait_s=60, lease_ms=LEASE_MS)
        for claim in claims:
            assert claim.lease  # noqa: S101  every claim of this agent has one
            handle(claim.package.item.description)
            _, claims = queue.complete_and_claim(
                claim.lease,
                Delivery(summary="done"),
                count=1,
                lease_ms=LEASE_MS,
            )


def in_threads(concurrency: int, loop: Callable[[], object]) -> None:
    """Run a loop in `concurrency` threads."""
    threads = [Thread(target=loop) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def open_queue() -> Queue:
    """Return the queue of the measurement."""
    return Queue(connect(URL), "peers", Caller(agent="planner"))


if __name__ == "__main__":
    run(sender, work)
