"""A namespace that has something of everything, and the content of exports.

Used by the tests of `orchestrate export` and `orchestrate import`.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from support.builders import Bench, new_schedule
from taskorch.domain.frozen import replace
from taskorch.domain.item import ItemEdit, Lease, NewItem, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue.backup import COUNT
from taskorch.queue.plan import Plan
from taskorch_orchestrator.backup import export

#: Keys that are not exported, or differ in a copy.
LOCAL_KEYS = (
    *("events", "meta", "wake:", "mirror", "purged", "counters", "hours"),
    "signals",
)
ODD = 'line\n\x01\x1b[31m\u2028 \U0001f680 "quoted" \\ é /'


def export_lines(bench: Bench, file: Path) -> list[dict[str, Any]]:
    """Export the namespace to a file, and return the lines of that file."""
    export.to_file(bench.queue.backup.lines(), file)
    return [json.loads(line) for line in file.read_bytes().splitlines()]


def to_jsonl(lines: Iterable[Mapping[str, Any]]) -> bytes:
    """Return these lines as the content of an export file."""
    documents = [json.dumps(line, ensure_ascii=False) + "\n" for line in lines]
    return "".join(documents).encode()


def comparable(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the lines without the fields that differ between two exports."""
    return [
        {
            name: value
            for name, value in line.items()
            if name not in ("namespace", "exported_at")
        }
        for line in lines
    ]


def exported_work(bench: Bench) -> dict[str, object]:
    """Return the keys of a namespace that an export covers, without counts of 0."""
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


def spend(bench: Bench) -> None:
    """Complete an item at a cost, and set budgets."""
    used = ModelUsage(tokens_in=5, tokens_out=4, cost_micros=3, model="m")
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().progress(lease, "half", used=used)
    bench.agent().complete(lease, used=used)
    for owner in (project, "ada", "namespace"):
        bench.queue.set_budget(owner, period="day", limit_micros=10**9)


def fill_namespace(bench: Bench) -> dict[State, Lease]:
    """Create items of ada in each state, reports, notes and discoveries.

    Return the lease on the item in each state.
    """
    leases = {state: bench.lease_in(state) for state in State}
    spend(bench)
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
    bench.queue.assign(
        item, "bob", force=True, context={"b": ODD}, resources=["x"]
    )
    bench.agent("bob").note(item, "mine")
    bench.queue.new_discoveries(project, limit=1)
    bench.agent("bob").new_discoveries(item)
    bench.agent("carl").stray(item, "was it mine?")
    bench.item(project, agent="", key="k")
    bench.item(project, delay_ms=100_000)
    bench.item(project, depends_on=(item, leases[State.COMPLETED].item))
    bench.queue.edit(
        [leases[State.IN_PROGRESS].item],
        ItemEdit(priority=0, add_labels=("odd", "v2"), context={"c": ODD}),
    )
    delegated = bench.queue.create(
        project, NewItem(title="Delegated", agent="ada", task="f" * 64)
    )
    bench.queue.cancel(delegated)
    bench.queue.requeue(delegated)
    bench.agent().fail(bench.claimed(delegated), ODD, retry=False)
    bench.queue.cancel(delegated)
    schedules = bench.queue.schedules()
    odd = replace(new_schedule("odd"), plan=ODD, values={"a": ODD})
    schedules.create(odd)
    schedules.start(schedules.due().schedules[0], 2**50)
    schedules.create(new_schedule("failed", next_at=2**50))
    schedules.end("failed", error=ODD)
    bench.set_schedule("failed", access_token="tok_1a2b3c4d")
    bench.queue.complete_project(bench.project())
    bench.queue.apply(
        Plan(
            title="Planned",
            key=ODD,
            items=(NewItem(title="One", key="one", agent="dora"),),
        )
    )
    return leases
