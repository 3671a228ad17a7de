"""What every benchmark does with what it measures: a table here, JSON into a file, the table and a plot into docs/."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from time import monotonic

import click
from rich.console import Console
from taskorch.bundled import server as bundled_server

from benchmarks import page
from benchmarks.figures import Comparison, document, markdown, table

Measurement = Callable[[], Iterator[Comparison]]


def report(*measurements: Measurement) -> None:
    """Be the command line of some benchmarks."""

    @click.command()
    @click.option(
        "--json",
        "file",
        type=click.Path(path_type=Path),
        help="File for the measurements.",
    )
    @click.option(
        "--docs",
        is_flag=True,
        help="Write the tables and the plots into docs/.",
    )
    def main(file: Path | None, docs: bool) -> None:  # noqa: FBT001  a flag
        """Measure, and show the medians, between what they lie, and the ratios to a baseline."""
        kept = {}
        for comparison in _measured(measurements):
            Console(width=None if sys.stdout.isatty() else 200).print(
                table(comparison), *comparison.remarks, "", sep="\n"
            )
            kept[comparison.name] = document(comparison)
            if file:
                file.write_text(
                    json.dumps(
                        {"machine": machine(), "comparisons": kept}, indent=1
                    )
                    + "\n",
                    "utf-8",
                )
            if docs:
                publish(comparison)

    main()


def publish(comparison: Comparison) -> None:
    """Write a comparison into docs/: the table between its marks, and its plot."""
    page.write(comparison.name, markdown(comparison))
    if find_spec("matplotlib") is None:
        sys.stderr.write(
            "There are no plots without matplotlib: pip install 'task-orchestrator[bench]'\n"
        )
        return
    from benchmarks.plots import draw

    draw(comparison, page.PLOTS)


def machine() -> str:
    """Return on what it was measured."""
    asked = subprocess.run(
        [bundled_server.binary(), "--version"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    server = next(
        (word for word in asked.split() if word.startswith("v=")), "v=?"
    )
    return f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}, Valkey {server[2:]}"


def _measured(measurements: tuple[Measurement, ...]) -> Iterator[Comparison]:
    """Measure one after the other; each says how busy the machine was."""
    for measurement in measurements:
        before = os.getloadavg()[0]
        name, began = Path(measurement.__code__.co_filename).stem, monotonic()
        sys.stderr.write(f"{name} …\n")
        for comparison in measurement():
            load = f"On {machine()}; load {before:.1f} before and {os.getloadavg()[0]:.1f} after."
            yield replace(comparison, remarks=(*comparison.remarks, load))
        sys.stderr.write(f"{name}: {monotonic() - began:.0f} s\n")
