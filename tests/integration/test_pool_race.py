"""Sixteen processes take items from three pools and from their own queues."""

import json
import subprocess
import sys
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.builders import Bench
from taskorch.domain.item import NewItem

pytestmark = pytest.mark.parametrize(
    "lane", ["valkey"], indirect=True, scope="session"
)

RACER = Path(__file__).parents[1] / "support" / "pool_racer.py"
RACERS, POOLS = 16, ("backend", "python", "docs")
IN_EACH_POOL, OWN = 120, 5


def pools_of(racer: int) -> tuple[str, ...]:
    """Return the pools of a process: all three, in another order for each third."""
    first = racer % len(POOLS)
    return POOLS[first:] + POOLS[:first]


def race(bench: Bench) -> dict[str, list[str]]:
    """Start the processes, release them together; return what each agent has claimed."""
    with ExitStack() as stack:
        processes = []
        for racer in range(RACERS):
            words = (bench.url, bench.namespace, f"agent{racer}")
            command = [sys.executable, str(RACER), *words, *pools_of(racer)]
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            processes.append(stack.enter_context(process))
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return {
            f"agent{racer}": json.loads(process.communicate(timeout=90)[0])
            for racer, process in enumerate(processes)
        }


def filled(bench: Bench) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Create the items; return those of each pool and of each agent, in their order."""
    project = bench.project()
    pooled, own = defaultdict(list), defaultdict(list)
    for number in range(IN_EACH_POOL):
        created = bench.queue.create_many(
            project,
            [NewItem(title=f"{number}", pool=pool) for pool in POOLS],
        )
        for pool, item in zip(POOLS, created, strict=True):
            pooled[pool].append(item.id)
    for racer in range(RACERS):
        name = f"agent{racer}"
        created = bench.queue.create_many(
            project, [NewItem(title="own", agent=name) for _ in range(OWN)]
        )
        own[name] = [item.id for item in created]
    return pooled, own


def test_sixteen_processes_share_three_pools(bench: Bench) -> None:
    pooled, own = filled(bench)

    taken = race(bench)

    everything = [
        item for items in (*pooled.values(), *own.values()) for item in items
    ]
    assert sorted(
        item for items in taken.values() for item in items
    ) == sorted(everything)
    for name, items in taken.items():
        assert items[:OWN] == own[name]
        for pool in POOLS:
            of_pool = [item for item in items if item in set(pooled[pool])]
            assert of_pool == [
                item for item in pooled[pool] if item in set(items)
            ]
    assert sum(len(items) > OWN for items in taken.values()) > 1
    found = bench.queue.views.list(limit=5000).items
    assert {item.attempts for item in found} == {1}
    assert {item.id: item.agent for item in found} == {
        item: name for name, items in taken.items() for item in items
    }
    assert bench.inconsistencies() == []
