"""`orchestrate export` and `import`: all of a namespace comes back in another one, and a wrong file is refused whole."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from builders import Bench
from taskorch import errors
from taskorch.item import Lease, NewItem, State
from taskorch.queue import Queue
from taskorch_orchestrator import export, restore
from verbs import AGENT, ORCHESTRATOR, act

ODD = "zeile\n\x00\x1b[31m\u2028 \U0001f680 \"quoted\" \\ é"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


def exported(bench: Bench, file: Path) -> list[dict[str, Any]]:
    """Export to the file, and return its lines."""
    export.to_file(bench.queue.archive.lines(), file)
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def content(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return lines without what tells one export from another."""
    return [{name: value for name, value in line.items() if name not in ("namespace", "exported_at")} for line in lines]


def furnished(bench: Bench) -> dict[State, Lease]:
    """Fill a namespace with an item in each state, and with reports, notes, findings and text of all kinds."""
    standing = {state: bench.standing(state) for state in State}
    project = bench.queue.project("Odd \U0001f680", description=ODD)
    item = bench.queue.create(
        project,
        NewItem(title="t" + ODD, description=ODD, requirements=(ODD,), context={"a": ODD}, key=ODD, agent="ada", priority=0),
    )
    bench.agent("bob").check()
    lease = bench.claimed(item, session="monday")
    for text in (ODD, "half"):
        lease = bench.agent().progress(lease, text, percent=50).lease
        bench.agent().discover(lease, text, impact=ODD)
    bench.agent().note(item, ODD)
    bench.agent().note(item, "again")
    bench.queue.assign(item, "bob", force=True, resources=["x"])
    bench.agent("bob").note(item, "mine")
    bench.item(project, agent="", key="k")
    bench.item(project, delay_ms=1)
    bench.item(project, depends_on=(item, standing[State.COMPLETED].item))
    bench.queue.complete_project(bench.project())
    return standing


def test_what_was_exported_and_imported_is_exported_again_the_same(bench: Bench, copy: Bench, file: Path) -> None:
    furnished(bench)
    before = exported(bench, file)

    restore.restore(file, copy.queue.archive)

    assert content(exported(copy, file)) == content(before)
    assert copy.inconsistencies() == []
