"""Growth of the cost of a step with queued items, agents and the size of a project."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import cycle
from statistics import median
from time import perf_counter

from taskorch.domain.item import Lease
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import AGENT, agent, filled, memory, new, server
from benchmarks.report import report

#: The largest number of queued items; a million takes some more minutes and about 3 GB.
MOST = int(os.environ.get("BENCH_ITEMS", "100000"))
ITEMS = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= MOST]
AGENTS = (1, 100, 10_000)
SPREAD_ITEMS = 20_000
#: The minimum number of items per agent.
FEWEST = SPREAD_ITEMS // max(AGENTS)
#: The views of a project show its first thousand items, and as many discoveries.
PROJECTS = (50, 500, 1_000, 5_000)
TURNS, VIEWS, ROUNDS = 200, 5, 5
FIGURES = {
    "claim": Figure(title="claim, ms", digits=2),
    "check": Figure(title="check, ms", digits=2),
    "list": Figure(title="a page of list, ms", digits=2),
    "memory": Figure(title="memory for an item, bytes", compared=False),
}
VIEW_FIGURES = {
    "progress": Figure(title="progress PROJECT, ms", digits=1),
    "discoveries": Figure(title="discoveries, ms", digits=1),
}

#: A measured step on a queue of one size: it returns its duration in seconds.
Step = Callable[[], float]
Steps = Mapping[str, Step]


def measure() -> Iterator[Comparison]:
    """Measure the growth with items, with agents and with the size of a project."""
    yield _items()
    yield _agents()
    yield _projects()


def _items() -> Comparison:
    with server() as url:
        steps: dict[str, Steps] = {}
        taken: dict[str, float] = {}
        for size in ITEMS:
            before = memory(url)
            queue = filled(url, f"queued-{size}", size)
            taken[f"{size:,}"] = (memory(url) - before) / size
            steps[f"{size:,}"] = _of_queue(queue, [AGENT], check=20)
        rounds = [_round(steps, TURNS) for _ in range(ROUNDS)]
    rounds = [
        {
            name: {**times, "memory": taken[name]}
            for name, times in each.items()
        }
        for each in rounds
    ]
    return _comparison("growth", "items queued", FIGURES, rounds)


def _agents() -> Comparison:
    figures = {name: FIGURES[name] for name in ("claim", "check", "list")}
    with server() as url:
        steps = {}
        for number in AGENTS:
            queue = filled(
                url, f"agents-{number}", SPREAD_ITEMS, agents=number
            )
            some = range(0, number, max(number // TURNS, 1))
            steps[f"{number:,}"] = _of_queue(
                queue, [agent(each) for each in some], check=FEWEST
            )
        rounds = [_round(steps, TURNS) for _ in range(ROUNDS)]
    return _comparison("agents", "agents", figures, rounds)


def _projects() -> Comparison:
    with server() as url:
        steps = {
            f"{size:,}": _of_project(
                filled(url, f"project-{size}", size), size
            )
            for size in PROJECTS
        }
        rounds = [_round(steps, VIEWS) for _ in range(ROUNDS)]
    return _comparison(
        "projects",
        "items and discoveries of the project",
        VIEW_FIGURES,
        rounds,
    )


def _comparison(
    name: str,
    rows: str,
    figures: Mapping[str, Figure],
    rounds: Sequence[Round],
) -> Comparison:
    return Comparison(
        name=name,
        rows=rows,
        figures=figures,
        rounds=rounds,
        baseline=next(iter(rounds[0])),
    )


def _of_queue(queue: Queue, names: Sequence[str], *, check: int) -> Steps:
    """Return the steps on a queue, for one agent after another; a check shows `shown` items."""
    turn = cycle([(name, queue.agent_queue(name)) for name in names])
    (project,) = (found.id for found in queue.views.projects())
    return {
        "claim": lambda: _claim(queue, project, *next(turn)),
        "check": lambda: _time(partial(next(turn)[1].check, limit=check)),
        "list": lambda: _time(queue.views.list),
    }


def _of_project(queue: Queue, size: int) -> Steps:
    """Return the views of a project with equal numbers of discoveries and items."""
    (project,) = (found.id for found in queue.views.projects())
    claim = queue.agent_queue(AGENT).claim()
    lease = claim.lease if claim and claim.lease else Lease(item="")
    for number in range(size):
        queue.agent_queue(AGENT).discover(lease, f"Discovery {number}")
    return {
        "progress": lambda: _time(lambda: queue.views.progress(project)),
        "discoveries": lambda: _time(lambda: queue.views.discoveries(project)),
    }


def _claim(queue: Queue, project: str, name: str, worker: AgentQueue) -> float:
    """Return the duration of a claim, then complete the item and create another one."""
    start = perf_counter()
    claim = worker.claim()
    taken = perf_counter() - start
    if claim is None or claim.lease is None:
        raise RuntimeError("the queue ran empty")
    worker.complete(claim.lease)
    queue.create(project, new(name))
    return taken


def _time(step: Callable[[], object]) -> float:
    start = perf_counter()
    step()
    return perf_counter() - start


def _round(steps: Mapping[str, Steps], turns: int) -> Round:
    """Return the median time in ms of each step at each size; the sizes take turns, so noise affects all."""
    times: dict[str, dict[str, list[float]]] = {
        size: {name: [] for name in of} for size, of in steps.items()
    }
    for name in next(iter(steps.values())):
        for _ in range(turns):
            for size, of in steps.items():
                times[size][name].append(of[name]() * 1000)
    return {
        size: {name: median(taken) for name, taken in of.items()}
        for size, of in times.items()
    }


if __name__ == "__main__":
    report(measure)
