"""Does a step cost more when more is queued? `claim` and `check` with 100 and with 1,000,000 queued items, in turns."""

import os
from collections.abc import Callable
from statistics import median
from time import perf_counter

from rich.console import Console
from rich.table import Table
from taskorch.agent_queue import AgentQueue

from benchmarks.queues import AGENT, filled, server

FEW = 100
MANY = int(os.environ.get("BENCH_ITEMS", "1000000"))
TURNS = 500
ROUNDS = 5


def main() -> None:
    """Measure, and print a table with the ratios."""
    with server() as url:
        queues = {size: filled(url, f"queued-{size}", size).agent(AGENT) for size in (FEW, MANY)}
        verbs = {"claim": _claim, "check --limit 20": _check}
        table = Table("step", f"{FEW:,} queued, ms", f"{MANY:,} queued, ms", "ratio: median", "min", "max", box=None)
        for name, verb in verbs.items():
            rounds = [_round(queues, verb) for _ in range(ROUNDS)]
            ratios = [of[MANY] / of[FEW] for of in rounds]
            medians = [median(of[size] for of in rounds) for size in (FEW, MANY)]
            times = [f"{time * 1000:.3f}" for time in medians]
            table.add_row(name, *times, *(f"{ratio:.2f}" for ratio in (median(ratios), min(ratios), max(ratios))))
        Console().print(table)


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
