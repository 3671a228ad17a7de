"""One of several processes that work at random until they read a line.

Each prints `ready`, and `enough` when it has made ENOUGH accepted steps. Run as
`python worker_under_audit.py URL NAMESPACE SEED`; it is not a test itself.
"""

import os
import select
import sys
from contextlib import suppress
from random import Random

from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.queue import Queue

#: Accepted steps after which the load on the audits was real.
ENOUGH = 100


class Worker:
    """Two agents and their orchestrator in one process; each step is random."""

    def __init__(self, queue: Queue, seed: str) -> None:
        self._queue, self._seed, self._random = queue, seed, Random(seed)
        self._project = queue.project(f"Of {seed}")
        self._items = [
            queue.create(self._project, NewItem(title="first", agent="ada"))
        ]
        self._leases = [Lease(item=self._items[0])]

    def step(self) -> None:
        """Do one step, which may be refused."""
        me = self._queue.agent_queue(
            self._random.choice(("ada", "bob")), session=self._seed
        )
        lease, item, other = (
            self._random.choice(self._leases),
            *self._random.choices(self._items, k=2),
        )
        match self._random.randrange(9):
            case 0:
                agent = self._random.choice(("", "ada", "bob"))
                new = NewItem(
                    title="x",
                    agent=agent,
                    depends_on=(item, other)[: self._random.randrange(3)],
                )
                self._items.append(self._queue.create(self._project, new))
            case 1 | 2 if (claim := me.claim()) and claim.lease:
                self._leases.append(claim.lease)
            case 3:
                me.complete(lease)
            case 4:
                me.fail(lease, "no luck", retry=self._random.random() < 0.5)
            case 5:
                me.blocker(lease, "?")
            case 6:
                me.release(lease)
            case _:
                self._orchestrate(lease.item, item, other)

    def _orchestrate(self, held: str, item: str, other: str) -> None:
        match self._random.randrange(5):
            case 0:
                self._queue.answer(held, "!")
            case 1:
                self._queue.cancel(item)
            case 2:
                self._queue.requeue(item)
            case 3:
                self._queue.assign(item, "bob", force=True)
            case 4:
                self._queue.depend(item, [other])


def main(url: str, namespace: str, seed: str) -> None:
    caller = Caller(agent="planner", pid=os.getpid())
    worker = Worker(Queue(connect(url), namespace, caller), seed)
    steps = 0
    tell("ready")
    while not select.select([sys.stdin], [], [], 0)[0]:
        with suppress(errors.Invalid, errors.Conflict, errors.NotYours):
            worker.step()
            steps += 1
            if steps == ENOUGH:
                tell("enough")


def tell(word: str) -> None:
    """Print a line for the test that started this process."""
    sys.stdout.write(f"{word}\n")
    sys.stdout.flush()


main(*sys.argv[1:])
