"""Ours, 100 items at a time: `claim_many`, `complete_many` with 20; `create_many` with 50; a waiting `claim_many`.

Each item has a lease and a token of its own. At a concurrency of 10 it is ten threads with a connection each.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from taskorch.domain import limits
from taskorch.domain.item import NewItem

from benchmarks.peers.queues.taskorch import (
    AGENT,
    LEASE_MS,
    in_threads,
    open_queue,
)
from benchmarks.peers.stopwatch import Send, handle, run

#: Items of a call; a wake-up is that of a single item.
CREATED = 50 if sys.argv[1] == "enqueue" else 1
CLAIMED = 100
COMPLETED = limits.BATCH_STEPS


@asynccontextmanager
async def sender() -> AsyncIterator[Send]:
    """Open a project, and create the items of 50 texts in one call."""
    queue = open_queue()
    project = queue.project("Many items")
    items: list[NewItem] = []

    async def send(text: str) -> None:
        items.append(NewItem(title="An item", description=text, agent=AGENT))
        if len(items) == CREATED:
            queue.create_many(project, items)
            items.clear()

    yield send
    if items:
        queue.create_many(project, items)


def work(concurrency: int) -> None:
    """Claim and complete, in `concurrency` threads."""
    in_threads(concurrency, _work)


def _work() -> None:
    queue = open_queue().agent_queue(AGENT)
    while True:
        claims = queue.claim_many(CLAIMED, wait_s=60, lease_ms=LEASE_MS)
        for claim in claims:
            handle(claim.package.item.description)
        leases = [claim.lease for claim in claims if claim.lease]
        for done in range(0, len(leases), COMPLETED):
            queue.complete_many(
                [
                    (lease, "done", {})
                    for lease in leases[done : done + COMPLETED]
                ]
            )


if __name__ == "__main__":
    run(sender, work)
