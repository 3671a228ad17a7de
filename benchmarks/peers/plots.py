"""Plots of the peers as SVG: a bar for the median, a line from the minimum to the maximum."""

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from benchmarks.figures import Round
from benchmarks.peers.figures import FIGURES, results
from benchmarks.peers.install import OURS
from benchmarks.plots import bars, panels

#: A plot -> its figures. The scale of latencies is logarithmic.
PLOTS = {
    "enqueue": ("enqueue_rate", "enqueue_cpu"),
    "process": ("process_1_rate", "process_10_rate"),
    "wake": ("wake_p50", "wake_p99"),
    "memory": ("memory",),
}
HEIGHT_INCHES = 3


def draw(rounds: Sequence[Round], folder: Path) -> None:
    """Write `peers-<plot>.svg` into the folder."""
    for plot, figures in PLOTS.items():
        with panels(
            folder / f"peers-{plot}.svg", len(figures), HEIGHT_INCHES
        ) as axes:
            for each, figure in zip(axes, figures, strict=True):
                _bars(each, rounds, figure)


def _bars(axes: Axes, rounds: Sequence[Round], figure: str) -> None:
    bars(
        axes,
        [(each.name, each.values) for each in results(rounds, figure)],
        [OURS],
        FIGURES[figure].shown,
    )
    if figure.startswith("wake"):
        axes.set_xscale("log")
        axes.margins(x=0.25)
    axes.set_title(FIGURES[figure].title, fontsize=10)
