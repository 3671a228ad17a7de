"""Time of whole commands: the user's workflow, a bare Python, click, and the predecessor."""

import json
import os
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import chdir
from pathlib import Path
from statistics import median

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import rooted
from benchmarks.report import report
from benchmarks.workflow import AGENT, BIN, Timed, environment, timed, walk

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "7"))
#: The worker of the file-based predecessor, if PREDECESSOR names one.
PREDECESSOR = os.environ.get("PREDECESSOR", "")
ITEM = "item_11aa22bb"
PASS, CLICK = "python -c pass", "import click"
FIGURES = {
    "wall": Figure(title="time, ms", digits=1),
    "cpu": Figure(title="processor time, ms", digits=1),
}

Times = defaultdict[str, list[Timed]]


def measure() -> Iterator[Comparison]:
    """Run the workflow several times, with bare Pythons in between: noise affects both."""
    with rooted() as (root, _):
        _round(root)  # what is compiled at the first time is compiled
        rounds = [_round(root) for _ in range(ROUNDS)]
    remark = f"{ROUNDS} rounds; `{CLICK}` runs before each command, and its median is the 1 of the round."
    yield Comparison(
        name="commands",
        rows="command",
        figures=FIGURES,
        rounds=rounds,
        baseline=CLICK,
        remarks=(remark, _predecessor()),
    )


def _round(root: Path) -> Round:
    times: Times = defaultdict(list)
    python, variables = sys.executable, environment(root)
    for name, done in walk(variables):
        times[CLICK].append(timed([python, "-c", "import click"], variables))
        times[name].append(done)
    for _ in range(3):
        times[PASS].append(timed([python, "-c", "pass"], variables))
        times[CLICK].append(timed([python, "-c", "import click"], variables))
        _asides(times, variables)
        _hooks(times, variables)
    if PREDECESSOR:
        _beside(times, root)
    order = sorted(times, key=lambda name: (name != PASS, name != CLICK, name))
    return {name: _medians(times[name]) for name in order}


def _asides(times: Times, variables: Mapping[str, str]) -> None:
    """Time the commands that need no Redis: help and shell completion."""
    for command in ("orchestrate", "worker"):
        words = {
            "COMP_WORDS": f"{command} pro",
            "COMP_CWORD": "1",
            f"_{command.upper()}_COMPLETE": "bash_complete",
        }
        times[f"{command} --help"].append(
            timed([str(BIN / command), "--help"], variables)
        )
        times[f"{command}, completion"].append(
            timed([str(BIN / command)], {**variables, **words})
        )


def _hooks(times: Times, variables: Mapping[str, str]) -> None:
    """Time the hooks of an agent that holds an item."""
    worker, orchestrate = str(BIN / "worker"), str(BIN / "orchestrate")
    project = timed(
        [orchestrate, "project", "Hooks"], variables
    ).output.strip()
    item = timed(
        [orchestrate, "create", project, "An item", "--assign", AGENT],
        variables,
    ).output.strip()
    timed([worker, "get", item], variables)
    orchestrators = {**variables, "ORCHESTRATOR_ID": "planner"}
    times["worker prime --hook-json"].append(
        timed([worker, "prime", "--hook-json"], variables)
    )
    times["worker hook stop"].append(
        timed([worker, "hook", "stop"], variables)
    )
    times["orchestrate prime --hook-json"].append(
        timed([orchestrate, "prime", "--hook-json"], orchestrators)
    )
    timed([orchestrate, "complete", project, "--force"], variables)


def _beside(times: Times, root: Path) -> None:
    """Time the predecessor in a separate folder with one item."""
    folder = root / "predecessor"
    handoffs = folder / ".task-orchestrator" / "handoffs"
    handoffs.mkdir(parents=True, exist_ok=True)
    for left in handoffs.iterdir():
        left.unlink()
    package = {
        "item_id": ITEM,
        "assigned_to": AGENT,
        "task": {
            "title": "Design database schema",
            "requirements": ["Users table"],
            "description": "",
        },
        "project_context": {"project_title": "Build authentication system"},
    }
    (handoffs / f"{ITEM}_handoff.json").write_text(
        json.dumps(package), encoding="utf-8"
    )
    with chdir(folder):
        for verb, *words in (
            ["check"],
            ["get", ITEM],
            ["progress", ITEM, "Half"],
            ["complete", ITEM, "Done"],
        ):
            command = [
                sys.executable,
                str(Path(PREDECESSOR).resolve()),
                verb,
                *words,
            ]
            times[f"predecessor {verb}"].append(
                timed(command, environment(folder, TM_AGENT_ID=AGENT))
            )


def _predecessor() -> str:
    return (
        f"The predecessor is {Path(PREDECESSOR).name}."
        if PREDECESSOR
        else "The predecessor was not measured."
    )


def _medians(times: list[Timed]) -> dict[str, float]:
    return {
        "wall": median(each.wall_s for each in times) * 1000,
        "cpu": median(each.cpu_s for each in times) * 1000,
    }


if __name__ == "__main__":
    report(measure)
