"""Does a step cost more when more is queued? `claim` and `check` with 100 and with 1,000,000 queued items, in turns."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter

import redis
from rich.console import Console
from rich.table import Table
from taskorch import __version__, address, embedded, keys, script
from taskorch.agent_queue import AgentQueue
from taskorch.connection import connect
from taskorch.item import Caller
from taskorch.queue import Queue
from taskorch.settings import resolve

FEW = 100
MANY = int(os.environ.get("BENCH_ITEMS", "1000000"))
TURNS = 500
ROUNDS = 5
BATCH = 1000
AGENT = "specialist"


def main() -> None:
    """Measure, and print a table with the ratios."""
    with _server() as url:
        queues = {size: _filled(url, f"queued-{size}", size) for size in (FEW, MANY)}
        verbs = {"claim": _claim, "check --limit 20": _check}
        table = Table("step", f"{FEW:,} queued, ms", f"{MANY:,} queued, ms", "ratio: median", "min", "max", box=None)
        for name, verb in verbs.items():
            rounds = [_round(queues, verb) for _ in range(ROUNDS)]
            ratios = [of[MANY] / of[FEW] for of in rounds]
            medians = [median(of[size] for of in rounds) for size in (FEW, MANY)]
            times = [f"{time * 1000:.3f}" for time in medians]
            table.add_row(name, *times, *(f"{ratio:.2f}" for ratio in (median(ratios), min(ratios), max(ratios))))
        Console().print(table)


@contextmanager
def _server() -> Iterator[str]:
    """Run the bundled server, as anybody's first command starts it, in a folder that goes with it."""
    with TemporaryDirectory(prefix="bench-") as folder:
        settings = resolve({}, {"TASKORCH_ROOT": folder}, Path(folder))
        embedded.start(settings)
        try:
            yield address.of(settings)
        finally:
            embedded.stop(settings)


def _claim(queue: AgentQueue) -> float:
    """Return how long a claim takes; the item is given back afterwards."""
    start = perf_counter()
    claim = queue.claim()
    taken = perf_counter() - start
    if claim is None or claim.lease is None:
        raise RuntimeError("the queue ran empty")
    queue.release(claim.lease)
    return taken


def _check(queue: AgentQueue) -> float:
    start = perf_counter()
    queue.check(limit=20)
    return perf_counter() - start


def _round(queues: dict[int, AgentQueue], verb: Callable[[AgentQueue], float]) -> dict[int, float]:
    """Return the median time of a step for each queue; they take turns, so that a noisy moment hits both."""
    times: dict[int, list[float]] = {size: [] for size in queues}
    for _ in range(TURNS):
        for size, queue in queues.items():
            times[size].append(verb(queue))
    return {size: median(taken) for size, taken in times.items()}


def _filled(url: str, namespace: str, size: int) -> AgentQueue:
    """Return an agent's queue with so many items; they are created in pipelines, for a million takes a while."""
    planner = Queue(connect(url), namespace, Caller(agent="planner"))
    project = planner.project("Many items")
    create = script.load("create")
    with redis.Redis.from_url(url) as client:
        client.script_load(create.text)
        for done in range(0, size, BATCH):
            with client.pipeline(transaction=False) as pipeline:
                for _ in range(min(BATCH, size - done)):
                    pipeline.execute_command("EVALSHA", create.sha, 1, keys.meta(namespace), *_arguments(project))
                pipeline.execute()
        # Their replies are kept for ten minutes; a million of them would be swept up during the measurement.
        for key in client.scan_iter(f"{keys.tag(namespace)}req:*", count=10000):
            client.unlink(key)
    return planner.agent(AGENT)


def _arguments(project: str) -> tuple[str | int, ...]:
    caller = (os.urandom(8).hex(), "planner", "", 0, "", __version__)
    fields = ("title", "An item", "priority", 2, "lease_ms", 14_400_000, "max_attempts", 3, "description", "x" * 300)
    return (*caller, project, script.random_digits(), "", AGENT, 0, 0, 0, *fields)
