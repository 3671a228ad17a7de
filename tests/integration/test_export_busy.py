"""An export is consistent while agents work, and whatever they did before."""

import subprocess
import sys
import threading
from collections import Counter
from contextlib import ExitStack, suppress
from pathlib import Path
from time import monotonic

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from support.backups import comparable, export_lines, exported_work
from support.builders import Bench
from support.verbs import AGENT_VERBS, ORCHESTRATOR_VERBS, act
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.item import Claim, Lease, Receipt
from taskorch_orchestrator.backup.restore import restore

pytestmark = pytest.mark.parametrize(
    "lane", ["valkey"], indirect=True, scope="session"
)

#: Creates, claims, reports and delivers until its standard input is closed.
BUSY = """
import os, select, sys
from taskorch.connections import connect
from taskorch.domain.item import Caller, NewItem
from taskorch.queue.queue import Queue
url, namespace, agent = sys.argv[1:]
queue = Queue(connect(url), namespace, Caller(agent="planner"))
me, last = queue.agent_queue(agent), ""
while not select.select([sys.stdin], [], [], 0)[0]:
    project = queue.project("A project")
    for number in range(4):
        depends_on = (last,) if last and number % 2 else ()
        last = queue.create(project, NewItem(title="x", agent=agent, depends_on=depends_on, key=f"k{number}"))
    while claim := me.claim():
        lease = claim.lease
        for percent in (10, 50):
            lease = me.progress(lease, f"at {percent}", percent=percent).lease
        me.discover(lease, "found")
        me.note(lease.item, "note")
        me.complete(lease, "done")
"""
Step = tuple[str, int, int]
VERBS = ("pop", *AGENT_VERBS, *ORCHESTRATOR_VERBS)
STEP = st.tuples(
    st.sampled_from(["create", "expire", "due", "note", *VERBS]),
    st.integers(0, 4),
    st.integers(0, 4),
)
CAREFUL = settings(
    max_examples=60,
    derandomize=True,
    deadline=None,
    database=None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "export.jsonl"


def test_export_during_work_has_whole_items(
    bench: Bench, copy: Bench, file: Path
) -> None:
    with ExitStack() as stack:
        for agent in ("ada", "bob", "carl"):
            words = [
                sys.executable,
                "-c",
                BUSY,
                bench.url,
                bench.namespace,
                agent,
            ]
            process = stack.enter_context(
                subprocess.Popen(words, stdin=subprocess.PIPE)
            )
            assert process.stdin is not None
            stack.callback(process.stdin.close)
        while len(bench.queue.views.projects()) < 100:
            pass
        lines = export_lines(bench, file)

    restore(file, copy.queue.backup)

    items = {
        line["id"]: line["fields"] for line in lines if line["kind"] == "item"
    }
    reports = Counter(
        line["item"] for line in lines if line["kind"] == "report"
    )
    reports_of = {
        "completed": {3},
        "queued": {0},
        "waiting": {0},
        "in_progress": {0, 1, 2},
    }
    assert len(items) > 300
    assert [
        item
        for item in items
        if reports[item] not in reports_of[items[item]["state"]]
    ] == []
    assert copy.inconsistencies() == []


@CAREFUL
@given(steps=st.lists(STEP, min_size=5, max_size=40))
def test_random_history_survives_export_and_import(
    bench: Bench, copy: Bench, file: Path, steps: list[Step]
) -> None:
    for one in (bench, copy):
        one.delete_everything()
    project = bench.project()
    leases: list[Lease] = []
    for step in steps:
        if step[0] == "create" or not leases:
            leases.append(
                Lease(
                    item=bench.item(
                        project,
                        agent=("ada", "")[step[1] % 2],
                        max_attempts=1 + step[2],
                    )
                )
            )
        with suppress(TaskOrchestratorError):
            take(bench, step, leases)

    before = comparable(export_lines(bench, file))
    restore(file, copy.queue.backup)

    assert comparable(export_lines(copy, file)) == before
    assert exported_work(copy) == exported_work(bench)
    assert copy.inconsistencies() == bench.inconsistencies() == []


def take(bench: Bench, step: Step, leases: list[Lease]) -> None:
    """Do a step to an item; show the token that it returns from then on."""
    verb, which, other = step[0], step[1] % len(leases), step[2] % len(leases)
    lease = leases[which]
    match verb:
        case "expire":
            bench.expire_lease(lease.item)
            bench.queue.reap()
        case "due":
            bench.end_delay(lease.item)
            bench.queue.reap()
        case "note":
            bench.agent().note(lease.item, "a note")
        case _ if verb in VERBS:
            result = act(bench, verb, lease, leases[other].item)
            shown = (
                result.lease if isinstance(result, Claim | Receipt) else None
            )
            leases[:] = [
                shown if shown and shown.item == kept.item else kept
                for kept in leases
            ]


def test_import_wakes_waiting_agents(
    bench: Bench, copy: Bench, file: Path
) -> None:
    item = bench.item()
    export_lines(bench, file)
    claims: list[Claim | None] = []
    waiting = threading.Thread(
        target=lambda: claims.append(copy.agent().claim(wait_s=50))
    )
    copy.agent().check()
    waiting.start()
    while not copy.blocked_clients():
        pass
    began = monotonic()

    restore(file, copy.queue.backup)
    waiting.join()

    assert [claim and claim.package.item.id for claim in claims] == [item]
    assert monotonic() - began < 20
