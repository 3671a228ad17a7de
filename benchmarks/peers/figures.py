"""What the rounds come to: for each figure and queue the median, the least and the most, and the ratio to ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypedDict

from rich.table import Table

from benchmarks.peers.install import OURS

#: What was measured in a round: queue -> figure -> number.
Round = Mapping[str, Mapping[str, float]]


class Measured(TypedDict):
    """A run, as it is kept in a file."""

    versions: Mapping[str, str]
    items: int
    rounds: Sequence[Round]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure: what it is called, and whether more of it is better."""

    title: str
    more_is_better: bool
    digits: int = 0


FIGURES = {
    "enqueue_rate": Figure(title="enqueue, items/s", more_is_better=True),
    "enqueue_cpu": Figure(title="enqueue, processor time, µs", more_is_better=False),
    "process_1_rate": Figure(title="process, concurrency 1, items/s", more_is_better=True),
    "process_1_cpu": Figure(title="process, concurrency 1, processor time, µs", more_is_better=False),
    "process_10_rate": Figure(title="process, concurrency 10, items/s", more_is_better=True),
    "process_10_cpu": Figure(title="process, concurrency 10, processor time, µs", more_is_better=False),
    "wake_p50": Figure(title="wake-up p50, ms", more_is_better=False, digits=2),
    "wake_p99": Figure(title="wake-up p99, ms", more_is_better=False, digits=2),
    "memory": Figure(title="memory per queued item, bytes", more_is_better=False),
}


@dataclass(frozen=True, kw_only=True)
class Result:
    """One queue in one figure, over all rounds."""

    queue: str
    median: float
    least: float
    most: float
    #: To ours, in the same round; the median of these.
    ratio: float


def results(rounds: Sequence[Round], figure: str) -> list[Result]:
    """Return the queues that have the figure, the best first."""
    listed = [_result(queue, rounds, figure) for queue in dict.fromkeys(queue for each in rounds for queue in each)]
    found = [result for result in listed if result]
    return sorted(found, key=lambda result: result.median, reverse=FIGURES[figure].more_is_better)


def _result(queue: str, rounds: Sequence[Round], figure: str) -> Result | None:
    measured = [each[queue][figure] for each in rounds if figure in each.get(queue, {})]
    ratios = [
        each[queue][figure] / each[OURS][figure]
        for each in rounds
        if figure in each.get(queue, {}) and figure in each.get(OURS, {})
    ]
    if not measured or not ratios:
        return None
    return Result(queue=queue, median=median(measured), least=min(measured), most=max(measured), ratio=median(ratios))


def table(rounds: Sequence[Round], figure: str, versions: Mapping[str, str]) -> Table:
    """Return a figure as a table for the terminal."""
    shown = Table(FIGURES[figure].title, "median", "min", "max", f"ratio, {OURS} = 1", box=None)
    for result in results(rounds, figure):
        numbers = (number(figure, value) for value in (result.median, result.least, result.most))
        name = f"{result.queue} {versions.get(result.queue, '')}"
        shown.add_row(f"[bold]{name}[/]" if result.queue == OURS else name, *numbers, f"{result.ratio:.2f}")
    return shown


def markdown(rounds: Sequence[Round], versions: Mapping[str, str]) -> str:
    """Return all figures as a table for the documentation: medians, and the ratios to ours."""
    by_queue = {figure: {result.queue: result for result in results(rounds, figure)} for figure in FIGURES}
    names = " | ".join(f"{queue} {version}" for queue, version in versions.items())
    lines = [f"| | {names} |", "|---" * (len(versions) + 1) + "|"]
    for figure, described in FIGURES.items():
        cells = [_cell(figure, by_queue[figure].get(queue)) for queue in versions]
        lines.append(f"| {described.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def number(figure: str, value: float) -> str:
    """Return a number with the digits that the figure is worth."""
    return f"{value:,.{FIGURES[figure].digits}f}"


def _cell(figure: str, result: Result | None) -> str:
    if result is None:
        return "-"
    ratio = "" if result.queue == OURS else f" ({result.ratio:.2f})"
    return f"{number(figure, result.median)}{ratio}"
