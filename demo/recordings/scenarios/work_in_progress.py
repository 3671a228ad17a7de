"""The screens of `orchestrate watch` and `orchestrate progress` in the docs."""

import json
import os
from pathlib import Path

from demo.recordings.recorder import Recorder
from demo.recordings.scenario import Scenario

FILES = (Path(__file__).with_name("booking.yaml"),)


def watch(recorder: Recorder) -> None:
    """Watch a project at work."""
    project = _work(recorder)
    command = f"orchestrate watch {project}"
    pane = recorder.pane(command, rows=14, hides=os.uname().nodename)
    pane.start(command, shows=r"database_expert +\d\d:")


def progress(recorder: Recorder) -> None:
    """Ask once for the progress of the same project."""
    project = _work(recorder)
    pane = recorder.pane("orchestrator", rows=14)
    pane.run(f"orchestrate progress {project}")


def _work(recorder: Recorder) -> str:
    """Let three agents work on a project for a while; return its id."""
    run = recorder.root.run
    printed = run("orchestrate", "apply", FILES[0].name, "--json")
    applied = json.loads(printed)["data"]
    items = {item["name"]: item for item in applied["items"]}

    def reports(name: str, verb: str, *words: str) -> None:
        item, agent = items[name]["id"], items[name]["agent"]
        run("worker", "get", item, agent=agent)
        run("worker", verb, item, *words, agent=agent)

    reports("schema", "complete", "5 tables, migrations tested")
    reports("calendar", "progress", "Free slots per day", "--percent", "60")
    reports("payment", "progress", "Sandbox account", "--percent", "25")
    reports("payment", "blocker", "Which currencies?")
    reports("schema_docs", "progress", "Diagram drawn", "--percent", "80")
    return str(applied["project"])


WATCH = Scenario(
    name="watch",
    title="The screen of orchestrate watch",
    description=(
        "A live table of the items of a project, with their states and progress bars, "
        "and of the agents, with the items they hold."
    ),
    play=watch,
    files=FILES,
    is_still=True,
)
PROGRESS = Scenario(
    name="progress",
    title="The output of orchestrate progress",
    description=(
        "A table of the items of a project: state, progress, agent, title and the "
        "newest report of each."
    ),
    play=progress,
    files=FILES,
    is_still=True,
)
