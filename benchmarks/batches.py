"""Cost per item of calls with many items: create with assignment, assign, claim, complete."""

import os
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter

from taskorch.domain import limits
from taskorch.domain.item import Lease
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from benchmarks.figures import Comparison, Figure
from benchmarks.queues import AGENT, BATCH, filled, new, server, settle
from benchmarks.report import report

ITEMS = int(os.environ.get("BENCH_BATCHED", "2000"))
ROUNDS = 5
SIZES = (1, 10, limits.BATCH_STEPS)
FIGURES = {
    "create": Figure(title="create, µs an item"),
    "assign": Figure(title="assign, µs an item"),
    "pair": Figure(title="claim + complete, µs an item"),
    "rate": Figure(title="pairs/s", more_is_better=True, compared=False),
}


def measure() -> Iterator[Comparison]:
    """Measure each size in turn, in several rounds."""
    with server() as url:
        queue = filled(url, "batches", ITEMS)
        project = queue.project("In batches")
        _figures(queue, project, SIZES[-1])
        settle(url, "batches")
        rounds = [
            {_name(size): _figures(queue, project, size) for size in SIZES}
            for _ in range(ROUNDS)
        ]
    remark = f"{ROUNDS} rounds of {ITEMS:,} items each, on one connection, through the library."
    yield Comparison(
        name="batches",
        rows="items in a call",
        figures=FIGURES,
        rounds=rounds,
        baseline=_name(1),
        remarks=(remark,),
    )


def _name(size: int) -> str:
    return f"{size}"


def _figures(queue: Queue, project: str, size: int) -> dict[str, float]:
    create_s = _timed(size, lambda: _created(queue, project, size))
    items = [
        item.id
        for _ in range(0, ITEMS, BATCH)
        for item in queue.create_many(project, [new("")] * BATCH)
    ]
    parts = iter([items[at : at + size] for at in range(0, ITEMS, size)])
    assign_s = _timed(size, lambda: _assigned(queue, next(parts)))
    agent = queue.agent_queue(AGENT)
    pair_s = _timed(size, lambda: _completed(agent, size))
    return {
        "create": create_s * 1e6,
        "assign": assign_s * 1e6,
        "pair": pair_s * 1e6,
        "rate": 1 / pair_s,
    }


def _timed(size: int, step: Callable[[], object]) -> float:
    """Return the seconds that a step takes per item."""
    began = perf_counter()
    for _ in range(ITEMS // size):
        step()
    return (perf_counter() - began) / ITEMS


def _created(queue: Queue, project: str, size: int) -> None:
    if size == 1:
        queue.create(project, new(AGENT))
    else:
        for done in range(0, size, BATCH):
            queue.create_many(project, [new(AGENT)] * min(BATCH, size - done))


def _assigned(queue: Queue, items: Sequence[str]) -> None:
    if len(items) == 1:
        queue.assign(items[0], AGENT)
    else:
        queue.assign_many(items, AGENT)


def _completed(agent: AgentQueue, size: int) -> None:
    if size == 1:
        agent.complete(_claimed(agent, 1)[0], "done")
    else:
        agent.complete_many(
            [(lease, "done", {}) for lease in _claimed(agent, size)]
        )


def _claimed(agent: AgentQueue, size: int) -> list[Lease]:
    claims = (
        agent.claim_many(size) if size > 1 else filter(None, [agent.claim()])
    )
    return [claim.lease for claim in claims if claim.lease]


if __name__ == "__main__":
    report(measure)
