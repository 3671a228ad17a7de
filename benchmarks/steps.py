"""Steps of the library, for `benchmarks.revision`: any version of the library can run them.

As a program, in a folder with a bundled server that is running (TASKORCH_ROOT):

    python benchmarks/steps.py

It prints the version of the server and the names of the steps that this version of the
library has, as JSON. For each line that it reads, `TIMES STEP`, it prints the seconds that
a step takes on average: by the clock, of the processor for the server's main thread, and
of the processor for this process.
"""

import json
import os
import sys
from collections.abc import Callable, Mapping
from inspect import signature
from pathlib import Path
from time import perf_counter, process_time
from typing import Any, NamedTuple

import redis
from taskorch import NewItem, Queue, Task, Worker
from taskorch.config.settings import resolve
from taskorch.domain import item
from taskorch.queue.agent_queue import AgentQueue
from taskorch.transport import address

AGENT, OTHER = "specialist", "another"
TEXT_BYTES = 300
PREFETCH = 10
PAYING, POOLS = "another_specialist", ("backend", "python")
CREATE, CLAIM, POOLED, PAIR, NEXT, WORKER = (
    "create",
    "claim",
    "claim, with a budget and two pools",
    "claim, then complete",
    "complete, which claims the next",
    "Worker",
)
#: What completes an item; earlier versions take a summary and deliverables.
DONE: tuple[Any, ...] = ("Done", {})
if hasattr(item, "Delivery"):
    DONE = (item.Delivery(summary="Done"),)
PREFETCHING = f"{WORKER}, prefetch={PREFETCH}"


class Reading(NamedTuple):
    """Seconds of the clocks at a moment."""

    wall: float
    server: float
    client: float


class Steps:
    """The steps, on a queue of their own."""

    def __init__(self, server: int) -> None:
        """Read the processor time of the main thread of the process `server`."""
        self._schedstat = Path(f"/proc/{server}/schedstat")
        self._queue = Queue.open()
        self._project = self._queue.project("Many items")
        self._agent: AgentQueue = self._queue.agent(AGENT).queue
        self.all: dict[str, Callable[[int], Reading]] = {
            CREATE: self._create,
            CLAIM: self._claim,
            PAIR: self._pair,
            WORKER: self._work,
        }
        if "pools" in signature(Queue.agent_queue).parameters:
            self.all[POOLED] = self._claim_from_pool
        if hasattr(AgentQueue, "complete_and_claim"):
            self.all[NEXT] = self._next
        if "prefetch" in signature(Worker).parameters:
            self.all[PREFETCHING] = self._prefetch

    def average(self, step: str, times: int) -> Mapping[str, float]:
        """Return the seconds of a step, on average."""
        taken = self.all[step](times)._asdict()
        return {clock: seconds / times for clock, seconds in taken.items()}

    def _create(self, times: int) -> Reading:
        began = self._read()
        self._fill(times, agent=OTHER)
        return self._since(began)

    def _claim(self, times: int) -> Reading:
        self._fill(times, agent=AGENT)
        return self._claimed(times, self._agent)

    def _claim_from_pool(self, times: int) -> Reading:
        """Measure claims of items that wait in the last pool of an agent with a budget."""
        self._fill(1, agent=PAYING)
        agent = self._queue.agent_queue(PAYING, pools=POOLS)
        self._claimed(1, agent)
        self._queue.set_budget(PAYING, period="total", limit_micros=10**9)
        self._fill(times, pool=POOLS[-1])
        return self._claimed(times, agent)

    def _claimed(self, times: int, agent: AgentQueue) -> Reading:
        """Add up what claims take; what completes the items is left out."""
        taken = Reading(0, 0, 0)
        for _ in range(times):
            began = self._read()
            claim = agent.claim()
            since = self._since(began)
            taken = Reading(*map(sum, zip(taken, since, strict=True)))
            assert claim  # noqa: S101
            assert claim.lease  # noqa: S101
            agent.complete(claim.lease, "Done")
        return taken

    def _pair(self, times: int) -> Reading:
        self._fill(times, agent=AGENT)
        began = self._read()
        for _ in range(times):
            claim = self._agent.claim()
            assert claim  # noqa: S101
            assert claim.lease  # noqa: S101
            self._agent.complete(claim.lease, "Done")
        return self._since(began)

    def _next(self, times: int) -> Reading:
        self._fill(times, agent=AGENT)
        began = self._read()
        claims = self._agent.claim_many(1)
        for _ in range(times):
            (claim,) = claims
            assert claim.lease  # noqa: S101
            _, claims = self._agent.complete_and_claim(
                claim.lease, *DONE, count=1
            )
        return self._since(began)

    def _work(self, times: int, **options: int) -> Reading:
        """Measure from the start of the first handler to that of the one after the last."""
        self._fill(times + 1, agent=AGENT)
        readings: list[Reading] = []
        left = iter(range(times, -1, -1))

        def handle(_: Task) -> str:
            number = next(left)
            if number == times:
                readings.append(self._read())
            if number == 0:
                readings.append(self._since(readings[0]))
                worker.stop()
            return "Done"

        worker = Worker(AGENT, handle, queue=self._queue, **options)
        worker.run()
        return readings[1]

    def _prefetch(self, times: int) -> Reading:
        return self._work(times, prefetch=PREFETCH)

    def _fill(self, times: int, **to: Any) -> None:  # noqa: ANN401  as NewItem says
        new = NewItem(title="An item", description="x" * TEXT_BYTES, **to)
        for _ in range(times):
            self._queue.create(self._project, new)

    def _read(self) -> Reading:
        ran_ns = self._schedstat.read_text(encoding="utf-8").split()[0]
        return Reading(perf_counter(), int(ran_ns) / 1e9, process_time())

    def _since(self, began: Reading) -> Reading:
        now = self._read()
        return Reading(
            now.wall - began.wall,
            now.server - began.server,
            now.client - began.client,
        )


def main() -> None:
    """Run the program."""
    root = Path(os.environ["TASKORCH_ROOT"])
    url = address.url_of(resolve({}, os.environ, root))
    with redis.Redis.from_url(url) as client:
        server = client.info("server")
    steps = Steps(int(server["process_id"]))
    version = server.get("valkey_version", server["redis_version"])
    _print({"server": version, "steps": list(steps.all)})
    for line in sys.stdin:
        times, _, step = line.strip().partition(" ")
        _print(steps.average(step, int(times)))


def _print(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
