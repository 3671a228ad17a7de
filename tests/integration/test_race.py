"""Of many processes that race for the same item, exactly one gets it."""

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.builders import Bench
from taskorch.domain.item import Lease, State

pytestmark = pytest.mark.parametrize(
    "lane", ["valkey"], indirect=True, scope="session"
)

RACER = Path(__file__).parents[1] / "support" / "racer.py"


def race(
    bench: Bench, racers: int, verb: str, lease: Lease | None = None
) -> list[Any]:
    """Start `racers` processes, release them together, and return what each one got."""
    lease = lease or Lease(item="")
    arguments = [
        sys.executable,
        str(RACER),
        bench.url,
        bench.namespace,
        verb,
        lease.item,
        lease.shown(),
    ]
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    arguments,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for _ in range(racers)
        ]
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == '"ready"\n'
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return [
            json.loads(process.communicate(timeout=60)[0])
            for process in processes
        ]


def test_sixteen_processes_claim_each_item_once(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(2000)]

    taken = race(bench, 16, "pop")

    assert sorted(item for got in taken for item in got) == sorted(items)
    assert sum(bool(got) for got in taken) > 1
    assert bench.agent().claim() is None
    assert {
        item.attempts for item in bench.queue.views.list(limit=5000).items
    } == {1}
    assert bench.inconsistencies() == []


def test_one_of_eight_processes_gets_an_item(bench: Bench) -> None:
    item = bench.item()

    got = race(bench, 8, "get", Lease(item=item))

    assert sorted(got, key=str) == [1, *["HELD"] * 7]
    assert bench.queue.views.show(item).item.attempts == 1


def test_one_of_eight_deliveries_counts(bench: Bench) -> None:
    lease = bench.claimed()

    remarks = race(bench, 8, "complete", lease)

    assert sorted(remarks) == ["", *["ALREADY_COMPLETED"] * 7]
    assert bench.state(lease.item) is State.COMPLETED
    assert [
        report.kind for report in bench.queue.views.show(lease.item).history
    ] == ["complete"]


def test_eight_processes_apply_one_plan_once(bench: Bench) -> None:
    got = race(bench, 8, "apply")

    assert sorted(created for created, *_ in got) == [False] * 7 + [True]
    assert len({tuple(ids) for _, *ids in got}) == 1
    assert [project.wanted for project in bench.queue.views.projects()] == [2]
    assert [item.state for item in bench.queue.views.list().items] == [
        State.QUEUED,
        State.PENDING,
    ]
    assert bench.inconsistencies() == []
