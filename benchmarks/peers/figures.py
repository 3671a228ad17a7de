"""Summaries of the rounds: the queues per figure, the best first, with the ratio to ours."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from rich.table import Table

from benchmarks import figures
from benchmarks.figures import Figure, Result, Round
from benchmarks.peers.install import OURS


class Measured(TypedDict):
    """A run, as it is stored in a file."""

    versions: Mapping[str, str]
    items: int
    rounds: Sequence[Round]


FIGURES = {
    "enqueue_rate": Figure(title="enqueue, items/s", more_is_better=True),
    "enqueue_cpu": Figure(title="enqueue, processor time, µs"),
    "process_1_rate": Figure(
        title="process, concurrency 1, items/s", more_is_better=True
    ),
    "process_1_cpu": Figure(
        title="process, concurrency 1, processor time, µs"
    ),
    "process_10_rate": Figure(
        title="process, concurrency 10, items/s", more_is_better=True
    ),
    "process_10_cpu": Figure(
        title="process, concurrency 10, processor time, µs"
    ),
    "wake_p50": Figure(title="wake-up p50, ms", digits=2),
    "wake_p99": Figure(title="wake-up p99, ms", digits=2),
    "memory": Figure(title="memory per queued item, bytes"),
}


def results(rounds: Sequence[Round], figure: str) -> list[Result]:
    """Return the queues that have the figure, the best first."""
    found = [
        result
        for result in figures.results(rounds, figure, OURS)
        if result.ratios
    ]
    return sorted(
        found,
        key=lambda result: result.values.median,
        reverse=FIGURES[figure].more_is_better,
    )


def table(
    rounds: Sequence[Round], figure: str, versions: Mapping[str, str]
) -> Table:
    """Return a figure as a table for the terminal."""
    shown = Table(
        FIGURES[figure].title,
        "median",
        "min",
        "max",
        f"ratio, {OURS} = 1",
        box=None,
    )
    for result in results(rounds, figure):
        values = (
            result.values.median,
            result.values.least,
            result.values.most,
        )
        name = f"{result.name} {versions.get(result.name, '')}"
        numbers = (FIGURES[figure].shown(value) for value in values)
        shown.add_row(
            f"[bold]{name}[/]" if result.name == OURS else name,
            *numbers,
            _ratio(result),
        )
    return shown


def markdown(rounds: Sequence[Round], versions: Mapping[str, str]) -> str:
    """Return all figures as a table for the documentation: medians, and the ratios to ours."""
    by_queue = {
        figure: {result.name: result for result in results(rounds, figure)}
        for figure in FIGURES
    }
    names = " | ".join(
        f"{queue} {version}" for queue, version in versions.items()
    )
    lines = [f"| | {names} |", "|---" * (len(versions) + 1) + "|"]
    for figure, described in FIGURES.items():
        cells = [
            _cell(figure, by_queue[figure].get(queue)) for queue in versions
        ]
        lines.append(f"| {described.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _cell(figure: str, result: Result | None) -> str:
    if result is None:
        return "-"
    ratio = "" if result.name == OURS else f" ({_ratio(result)})"
    return f"{FIGURES[figure].shown(result.values.median)}{ratio}"


def _ratio(result: Result) -> str:
    return f"{result.ratios.median:.2f}" if result.ratios else "-"
