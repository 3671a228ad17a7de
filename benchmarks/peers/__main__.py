"""`make bench-peers`: our queue and every peer that can be installed, in turns."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import click
from rich.console import Console

from benchmarks import page
from benchmarks.figures import Round
from benchmarks.peers import figures
from benchmarks.peers.install import OURS, QUEUES, install, python, versions
from benchmarks.peers.measure import ITEMS, measure

ROUNDS = int(os.environ.get("PEERS_ROUNDS", "3"))


@click.command()
@click.option(
    "--only",
    type=click.Choice(QUEUES),
    multiple=True,
    help="Measure ours and this queue; can be repeated.",
)
@click.option(
    "--json",
    "file",
    type=click.Path(path_type=Path),
    help="File for the measurements.",
)
@click.option(
    "--from",
    "earlier",
    type=click.Path(path_type=Path, exists=True),
    help="Show the measurements in this file.",
)
@click.option(
    "--docs", is_flag=True, help="Write the table and the plots into docs/."
)
def main(
    only: tuple[str, ...],
    file: Path | None,
    earlier: Path | None,
    docs: bool,  # noqa: FBT001  a flag
) -> None:
    """Measure the peers, and show the medians with the ratios to ours."""
    measured: figures.Measured = (
        json.loads(earlier.read_text())
        if earlier
        else _measured(only or QUEUES, file)
    )
    rounds, found = measured["rounds"], measured["versions"]
    for figure in figures.FIGURES:
        Console().print(figures.table(rounds, figure, found), "")
    if docs:
        page.write(
            "peers",
            f"{measured['items']:,} items, {len(rounds)} rounds.\n\n{figures.markdown(rounds, found)}",
        )
        _draw(rounds)


def _measured(only: tuple[str, ...], file: Path | None) -> figures.Measured:
    queues = tuple(
        queue
        for queue in QUEUES
        if queue in (OURS, *only) and _installed(queue)
    )
    rounds: list[dict[str, dict[str, float]]] = []
    measured: figures.Measured = {
        "versions": versions(queues),
        "items": ITEMS,
        "rounds": rounds,
    }
    for number in range(ROUNDS):
        # Each round starts with another queue, so that a slow machine does not always
        # affect the same one.
        turn = queues[number % len(queues) :] + queues[: number % len(queues)]
        rounds.append({})
        for queue in turn:
            sys.stderr.write(f"round {number + 1} of {ROUNDS}: {queue}\n")
            rounds[-1][queue] = measure(queue)
        if file:
            file.write_text(
                json.dumps(measured, indent=1) + "\n", encoding="utf-8"
            )
    return measured


def _installed(queue: str) -> bool:
    try:
        install(queue)
    except subprocess.CalledProcessError:
        sys.stderr.write(f"{queue} could not be installed, and is left out.\n")
        return False
    return python(queue).exists()


def _draw(rounds: Sequence[Round]) -> None:
    if find_spec("matplotlib") is None:
        sys.stderr.write(
            "There are no plots without matplotlib: pip install 'task-orchestrator[bench]'\n"
        )
        return
    from benchmarks.peers.plots import draw

    draw(rounds, page.PLOTS)


if __name__ == "__main__":
    main()
