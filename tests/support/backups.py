"""A namespace with everything in it, and its export."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support.builders import Bench
from taskorch.domain.item import Lease, NewItem, State
from taskorch.queue.archive import COUNT
from taskorch.queue.plan import Plan
from taskorch_orchestrator.backup import export

#: Keys that are not exported, or differ in a copy.
LOCAL_KEYS = ("events", "meta", "wake:", "mirror")
ODD = 'line\n\x01\x1b[31m\u2028 \U0001f680 "quoted" \\ é /'


def export_lines(bench: Bench, file: Path) -> list[dict[str, Any]]:
    """Export to a file, and return its lines."""
    export.to_file(bench.queue.archive.lines(), file)
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def to_jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """Return the content of a file with these lines."""
    return b"".join(
        json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines
    )


def comparable(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines without what differs between two exports."""
    return [
        {
            name: value
            for name, value in line.items()
            if name not in ("namespace", "exported_at")
        }
        for line in lines
    ]


def exported_work(bench: Bench) -> dict[str, object]:
    """Return the exported data of a namespace, without counts that are 0."""
    exported_keys = {
        name: value
        for name, value in bench.everything().items()
        if not name.startswith(LOCAL_KEYS)
    }
    counted = {
        name: _counted(value) if isinstance(value, dict) else value
        for name, value in exported_keys.items()
    }
    return {name: value for name, value in counted.items() if value}


def _counted(fields: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in fields.items()
        if not (name.startswith(COUNT) and value == "0")
    }


def fill_namespace(bench: Bench) -> dict[State, Lease]:
    """Fill a namespace with items of ada in each state, reports, notes and discoveries."""
    standing = {state: bench.lease_in(state) for state in State}
    bench.agent().release(bench.lease_in(State.BLOCKED), asks=True)
    project = bench.queue.project("Odd \U0001f680", description=ODD)
    new = NewItem(
        title="t" + ODD,
        description=ODD,
        requirements=(ODD,),
        context={"a": ODD},
        key=ODD,
        agent="ada",
        priority=0,
    )
    item = bench.queue.create(project, new)
    bench.agent("bob").check()
    lease = bench.claimed(item, session="monday")
    for text in (ODD, "half"):
        lease = bench.agent().progress(lease, text, percent=50).lease
        bench.agent().discover(lease, text, impact=ODD)
    bench.agent().note(item, ODD)
    bench.agent().note(item, "again")
    bench.queue.assign(item, "bob", force=True, context={"b": ODD}, resources=["x"])
    bench.agent("bob").note(item, "mine")
    bench.agent("carl").stray(item, "was it mine?")
    bench.item(project, agent="", key="k")
    bench.item(project, delay_ms=100_000)
    bench.item(project, depends_on=(item, standing[State.COMPLETED].item))
    bench.queue.complete_project(bench.project())
    bench.queue.apply(
        Plan(
            title="Planned",
            key=ODD,
            items=(NewItem(title="One", key="one", agent="dora"),),
        )
    )
    return standing
