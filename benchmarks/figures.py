"""Summaries of rounds: median, minimum, maximum and the ratio to the baseline of the round."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from rich.table import Table

#: The measurements of one round: row -> figure -> number.
Round = Mapping[str, Mapping[str, float]]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A figure: its title, whether more is better, and whether its ratio to the baseline is shown."""

    title: str
    more_is_better: bool = False
    digits: int = 0
    compared: bool = True

    def shown(self, value: float) -> str:
        """Format a number with the digits of the figure."""
        return f"{value:,.{self.digits}f}"


@dataclass(frozen=True, kw_only=True)
class Spread:
    """The median and the range of numbers."""

    median: float
    least: float
    most: float


@dataclass(frozen=True, kw_only=True)
class Result:
    """One row in one figure, over all rounds."""

    name: str
    values: Spread
    #: The ratios to the baseline of the same round; None without a baseline.
    ratios: Spread | None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows that were measured in turns, in several rounds, and their baseline."""

    name: str
    #: The name of the rows.
    rows: str
    figures: Mapping[str, Figure]
    rounds: Sequence[Round]
    #: The baseline: the row that is 1.
    baseline: str = ""
    #: Remarks on the run: sizes, the load of the machine.
    remarks: Sequence[str] = field(default=())

    def results(self, figure: str) -> list[Result]:
        """Return the rows that have the figure."""
        return results(
            self.rounds,
            figure,
            self.baseline if self.figures[figure].compared else "",
        )


def spread(values: Sequence[float]) -> Spread:
    """Return the median, the minimum and the maximum."""
    return Spread(median=median(values), least=min(values), most=max(values))


def results(
    rounds: Sequence[Round], figure: str, baseline: str
) -> list[Result]:
    """Return the rows that have the figure, in order."""
    names = dict.fromkeys(name for each in rounds for name in each)
    return [
        result
        for name in names
        if (result := _result(name, rounds, figure, baseline))
    ]


def _result(
    name: str, rounds: Sequence[Round], figure: str, baseline: str
) -> Result | None:
    having = [each for each in rounds if figure in each.get(name, {})]
    ratios = [
        each[name][figure] / each[baseline][figure]
        for each in having
        if each.get(baseline, {}).get(figure)
    ]
    if not having:
        return None
    values = spread([each[name][figure] for each in having])
    return Result(
        name=name, values=values, ratios=spread(ratios) if ratios else None
    )


def table(comparison: Comparison) -> Table:
    """Return a comparison as a table for the terminal."""
    head, *lines = _cells(comparison)
    shown = Table(*head, box=None)
    for line in lines:
        shown.add_row(*line)
    return shown


def markdown(comparison: Comparison) -> str:
    """Return a comparison as a table for the documentation, and the remarks on it."""
    head, *lines = _cells(comparison)
    written = [f"| {' | '.join(line)} |" for line in (head, *lines)]
    written.insert(1, "|---" * len(head) + "|")
    return "\n".join(("\n".join(written), "", *comparison.remarks)) + "\n"


def document(comparison: Comparison) -> dict[str, Any]:
    """Return a comparison as JSON: all rounds and their summary."""
    come_to = {
        figure: {
            result.name: _numbers(result)
            for result in comparison.results(figure)
        }
        for figure in comparison.figures
    }
    return {
        "rows": comparison.rows,
        "baseline": comparison.baseline,
        "remarks": list(comparison.remarks),
        "figures": {
            name: figure.title for name, figure in comparison.figures.items()
        },
        "results": come_to,
        "rounds": list(comparison.rounds),
    }


def _cells(comparison: Comparison) -> list[list[str]]:
    """Return the header and the rows: `median (minimum to maximum)` per figure, and its ratios."""
    by_row = {
        name: {result.name: result for result in comparison.results(name)}
        for name in comparison.figures
    }
    names = list(
        dict.fromkeys(name for found in by_row.values() for name in found)
    )
    head, lines = [comparison.rows], [[name] for name in names]
    for figure, described in comparison.figures.items():
        head.append(described.title)
        found = [by_row[figure].get(name) for name in names]
        for line, result in zip(lines, found, strict=True):
            line.append(_span(described, result.values) if result else "-")
        if comparison.baseline and described.compared:
            head.append(f"{comparison.baseline} = 1")
            for line, result in zip(lines, found, strict=True):
                line.append(
                    _span(Figure(title="", digits=2), result.ratios)
                    if result and result.ratios
                    else "-"
                )
    return [head, *lines]


def _span(figure: Figure, values: Spread) -> str:
    median, least, most = (
        figure.shown(value)
        for value in (values.median, values.least, values.most)
    )
    return median if least == most else f"{median} ({least} to {most})"


def _numbers(result: Result) -> dict[str, float]:
    values, ratios = result.values, result.ratios
    numbers = {
        "median": values.median,
        "min": values.least,
        "max": values.most,
    }
    if ratios:
        numbers |= {
            "ratio": ratios.median,
            "ratio_min": ratios.least,
            "ratio_max": ratios.most,
        }
    return numbers
