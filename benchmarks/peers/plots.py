"""The figures as SVG, by matplotlib: a bar for the median, a line from the least to the most."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from benchmarks.peers.figures import FIGURES, Round, number, results
from benchmarks.peers.install import OURS

#: A plot, and the figures in it; latencies lie so far apart that they stand on a logarithmic scale.
PLOTS = {
    "enqueue": ("enqueue_rate", "enqueue_cpu"),
    "process": ("process_1_rate", "process_10_rate"),
    "wake": ("wake_p50", "wake_p99"),
    "memory": ("memory",),
}
OUR_COLOUR, THEIR_COLOUR, LINE_COLOUR = "#b3541e", "#8fa3b0", "#333333"


def draw(rounds: Sequence[Round], folder: Path) -> None:
    """Write `peers-<plot>.svg` into the folder; the same figures give the same bytes."""
    mpl.rcParams.update({"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9})
    folder.mkdir(exist_ok=True)
    for plot, figures in PLOTS.items():
        canvas = Canvas(figsize=(5 * len(figures), 3), layout="constrained")
        for axes, figure in zip(canvas.subplots(1, len(figures), squeeze=False)[0], figures, strict=True):
            _bars(axes, rounds, figure)
        canvas.savefig(folder / f"peers-{plot}.svg", metadata={"Date": None, "Creator": None})


def _bars(axes: Axes, rounds: Sequence[Round], figure: str) -> None:
    shown = results(rounds, figure)
    medians = [result.median for result in shown]
    ranges = [[r.median - r.least for r in shown], [r.most - r.median for r in shown]]
    colours = [OUR_COLOUR if result.queue == OURS else THEIR_COLOUR for result in shown]
    bars = axes.barh([r.queue for r in shown], medians, xerr=ranges, color=colours, ecolor=LINE_COLOUR, capsize=2)
    labels = [number(figure, result.median) for result in shown]
    axes.bar_label(bars, labels, padding=4)
    axes.invert_yaxis()
    if figure.startswith("wake"):
        axes.set_xscale("log")
    axes.margins(x=0.25)
    axes.set_title(FIGURES[figure].title, fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
