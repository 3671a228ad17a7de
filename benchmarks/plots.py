"""Plots of the figures as SVG, with matplotlib; equal figures give equal bytes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.figures import Comparison, Result, Spread

OUR_COLOUR, THEIR_COLOUR, LINE_COLOUR = "#b3541e", "#8fa3b0", "#333333"
PANEL_INCHES = 5
BAR_INCHES = 0.24
OURS = ("orchestrate", "worker")
#: A row that would make all others too small to see.
NOT_DRAWN = "PING"

#: The plots of `make bench`: comparison -> bars or a line over the rows, and the
#: figures.
DRAWN = {
    "commands": ("bars", ("wall", "cpu")),
    "limit": ("bars", ("1", "50")),
    "growth": ("line", ("claim", "check", "list", "memory")),
    "agents": ("line", ("claim", "check")),
    "projects": ("line", ("progress", "discoveries")),
    "fleet": ("bars", ("p50", "p99")),
    "network": ("bars", ("trips",)),
    "guards": ("bars", ("cpu", "time")),
    "batches": ("bars", ("create", "assign", "pair")),
}


def draw(comparison: Comparison, folder: Path) -> None:
    """Write `<comparison>.svg` into the folder if the comparison has a plot."""
    kind, figures = DRAWN.get(comparison.name, ("", ()))
    shown = [name for name in figures if name in comparison.figures]
    if not shown:
        return
    rows = len(comparison.results(shown[0]))
    height = BAR_INCHES * rows + 1 if kind == "bars" else 2.6
    with panels(folder / f"{comparison.name}.svg", len(shown), height) as axes:
        for each, figure in zip(axes, shown, strict=True):
            (_compared if kind == "bars" else _line)(each, comparison, figure)


@contextmanager
def panels(file: Path, number: int, height: float) -> Iterator[Sequence[Axes]]:
    """Yield panels side by side, then write them into the file."""
    mpl.rcParams.update(
        {"svg.hashsalt": "taskorch", "svg.fonttype": "none", "font.size": 9}
    )
    canvas = Canvas(
        figsize=(PANEL_INCHES * number, height), layout="constrained"
    )
    yield canvas.subplots(1, number, squeeze=False)[0]
    file.parent.mkdir(exist_ok=True)
    canvas.savefig(file, metadata={"Date": None, "Creator": None})


def bars(
    axes: Axes,
    spreads: Sequence[tuple[str, Spread]],
    ours: Sequence[str],
    label: Callable[[float], str],
) -> None:
    """Draw a bar per median, with a line from the minimum to the maximum."""
    medians = [each.median for _, each in spreads]
    ranges = [
        [each.median - each.least for _, each in spreads],
        [each.most - each.median for _, each in spreads],
    ]
    colours = [
        OUR_COLOUR if name in ours else THEIR_COLOUR for name, _ in spreads
    ]
    names = [name for name, _ in spreads]
    drawn = axes.barh(
        names,
        medians,
        xerr=ranges,
        color=colours,
        ecolor=LINE_COLOUR,
        capsize=2,
    )
    axes.bar_label(drawn, [label(value) for value in medians], padding=4)
    axes.invert_yaxis()
    axes.margins(x=0.25, y=0.02)
    axes.spines[["top", "right"]].set_visible(False)


def _compared(axes: Axes, comparison: Comparison, figure: str) -> None:
    """Draw the ratios to the baseline, or the figures without a baseline."""
    described = comparison.figures[figure]
    found = [
        result
        for result in comparison.results(figure)
        if not result.name.startswith(NOT_DRAWN)
    ]
    if all(result.ratios for result in found):
        spreads = [
            (result.name, result.ratios) for result in found if result.ratios
        ]
        axes.axvline(1, color=LINE_COLOUR, linewidth=0.6)
        axes.set_title(
            f"{described.title}\n{comparison.baseline} = 1",
            fontsize=10,
            loc="right",
        )
        bars(axes, spreads, _ours(found, comparison), "{:.2f}".format)
    else:
        axes.set_title(described.title, fontsize=10)
        bars(
            axes,
            [(each.name, each.values) for each in found],
            _ours(found, comparison),
            described.shown,
        )


def _ours(found: Sequence[Result], comparison: Comparison) -> list[str]:
    return [
        each.name
        for each in found
        if each.name.startswith(OURS)
        or each.name.endswith("the library")
        or not comparison.baseline
    ]


def _line(axes: Axes, comparison: Comparison, figure: str) -> None:
    found = comparison.results(figure)
    sizes = [
        int(result.name.replace(",", "").partition(" ")[0]) for result in found
    ]
    axes.plot(
        sizes,
        [result.values.median for result in found],
        color=OUR_COLOUR,
        marker="o",
    )
    spreads = [result.values for result in found]
    axes.fill_between(
        sizes,
        [s.least for s in spreads],
        [s.most for s in spreads],
        color=OUR_COLOUR,
        alpha=0.2,
    )
    axes.set_xscale("log")
    axes.set_ylim(bottom=0)
    axes.set_xlabel(comparison.rows)
    axes.set_title(comparison.figures[figure].title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
