"""Many workers and coroutines race over one queue, with every kind of trouble.

Each item must be completed once, or be a dead letter with its reason; and a cancelled
wait must claim nothing.
"""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from support import connections
from support.builders import Bench
from support.commands import eventually
from taskorch import AsyncQueue, Caller, NewItem, Queue, State

PROGRAM = Path(__file__).parents[1] / "support" / "library_worker.py"
PROCESSES, THREADS, ITEMS = 4, 8, 120
AGENT = "ada"


def real(bench: Bench) -> Bench:
    """Return the bench, unless other processes cannot reach it."""
    if not bench.url:
        pytest.skip("other processes cannot reach fakeredis")
    return bench


def start(
    bench: Bench,
    log: Path,
    seed: int,
    *,
    threads: int = THREADS,
    prefetch: int = 1,
) -> "subprocess.Popen[str]":
    log.touch()
    words = (bench.url, bench.namespace, AGENT, str(log), str(seed))
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(threads), str(prefetch), *words],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def test_every_item_is_completed_once_or_dead(
    bench: Bench, tmp_path: Path
) -> None:
    """Handlers fail, are cancelled, lose their leases; a process is killed."""
    bench = real(bench)
    project = bench.project()
    items = [
        bench.item(project, agent=AGENT, max_attempts=4) for _ in range(ITEMS)
    ]
    random = Random(7)
    logs = [tmp_path / f"{n}.jsonl" for n in range(PROCESSES + 1)]
    programs = [
        start(bench, log, seed, prefetch=1 + seed)
        for seed, log in enumerate(logs[:PROCESSES])
    ]
    eventually(lambda: sum(map(number_of_lines, logs)) > ITEMS // 4)
    kill(programs[0])
    programs.append(start(bench, logs[-1], PROCESSES))

    def is_over() -> bool:
        # time passes: leases expire, and delays end
        for item in bench.queue.views.list(project=project, limit=1000).items:
            if item.state is State.DELAYED:
                bench.end_delay(item.id)
            if item.state is State.IN_PROGRESS and random.random() < 0.02:
                bench.expire_lease(item.id)
        bench.queue.reap()
        return bench.queue.views.progress(project).project.counts[
            State.COMPLETED
        ] + bench.queue.views.progress(project).project.counts[
            State.FAILED
        ] == len(items)

    try:
        eventually(is_over, within_s=120)
    finally:
        for program in programs[1:]:
            program.communicate("stop\n", timeout=60)

    completions: Counter[str] = Counter()
    for log in logs:
        for line in log.read_text().splitlines():
            entry = json.loads(line)
            completions[entry["item"]] += entry["end"] == "completed"
    for id_ in items:
        package = bench.queue.views.show(id_)
        ends = Counter(
            report.kind
            for report in package.history
            if report.kind in ("complete", "fail", "expire")
        )
        if package.item.state is State.COMPLETED:
            assert ends["complete"] == 1, package
            assert completions[id_] <= 1, package
        else:
            assert package.item.state is State.FAILED, package
            assert package.item.attempts == 4
            assert ends["fail"] + ends["expire"] >= 1, package
            assert completions[id_] == 0, package
    assert bench.inconsistencies() == []
    assert [program.returncode for program in programs[1:]] == [0] * PROCESSES


def kill(program: "subprocess.Popen[str]") -> None:
    program.kill()
    program.communicate()


def number_of_lines(log: Path) -> int:
    return log.read_text().count("\n") if log.exists() else 0


def test_item_of_killed_worker_comes_back(
    bench: Bench, tmp_path: Path
) -> None:
    bench = real(bench)
    id_ = bench.item(agent=AGENT)
    program = start(bench, tmp_path / "log", seed=-1)
    eventually(lambda: bench.state(id_) is State.IN_PROGRESS)

    kill(program)
    bench.expire_lease(id_)
    bench.queue.reap()
    bench.end_delay(id_)

    assert bench.agent(AGENT).get(bench.lease_of(id_)).lease is not None
    assert bench.queue.views.show(id_).item.attempts == 2


def test_prefetched_items_of_killed_worker_come_back(
    bench: Bench, tmp_path: Path
) -> None:
    bench = real(bench)
    items = [bench.item(agent=AGENT) for _ in range(5)]
    log = tmp_path / "log"
    program = start(bench, log, seed=-1, threads=1, prefetch=5)
    eventually(
        lambda: all(bench.state(id_) is State.IN_PROGRESS for id_ in items)
    )

    kill(program)
    for id_ in items:
        bench.expire_lease(id_)
    bench.queue.reap()
    for id_ in items:
        bench.end_delay(id_)

    claims = bench.agent(AGENT).claim_many(10)
    assert {claim.package.item.id for claim in claims} == set(items)
    assert [claim.package.item.attempts for claim in claims] == [2] * 5
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("seed", range(3))
def test_cancelled_claims_lose_and_hold_nothing(
    bench: Bench, seed: int
) -> None:
    bench = real(bench)
    project = bench.project()
    random = Random(seed)
    connection = connections.connect(bench.url)
    caller = Caller(agent="planner")
    queue = AsyncQueue(Queue(connection, bench.namespace, caller))
    agent = queue.agent(AGENT)
    done: list[str] = []
    created: list[str] = []

    async def claim() -> None:
        async with agent.claim() as task:
            await task.complete("Done")
            done.append(task.id)

    async def produce() -> None:
        for number in range(100):
            new = NewItem(title=f"Item {number}", agent=AGENT)
            created.append(await queue.create(project, new))
            await asyncio.sleep(random.random() * 0.004)

    async def cancel_many() -> None:
        for _ in range(150):
            claiming = [asyncio.create_task(claim()) for _ in range(3)]
            await asyncio.sleep(random.random() * 0.01)
            for one in claiming:
                one.cancel()
            await asyncio.wait(claiming)
            # A cancelled claim holds nothing as soon as it has ended.
            assert bench.members(f"held:{AGENT}") == []

    async def work() -> None:
        await asyncio.gather(produce(), cancel_many())
        # What is left is woken for and claimed without a wait of a minute.
        async with asyncio.timeout(30):
            while len(bench.members(f"queue:{AGENT}")) > 0:
                await claim()

    asyncio.run(work())

    counts = bench.queue.views.progress(project).project.counts
    assert counts[State.COMPLETED] == len(created) == 100
    assert len(done) == len(set(done))
    assert bench.inconsistencies() == []


def test_waiter_is_woken_although_others_were_cancelled(
    bench: Bench,
) -> None:
    """A cancelled wait may have taken the wake token of the item."""
    bench = real(bench)
    connection = connections.connect(bench.url)
    caller = Caller(agent="planner")
    queue = AsyncQueue(Queue(connection, bench.namespace, caller))
    agent = queue.agent(AGENT)
    project = bench.project()
    random = Random(1)

    async def claim() -> str:
        async with agent.claim() as task:
            await task.complete("Done")
            return task.id

    async def work() -> None:
        for number in range(60):
            cancelled = [asyncio.create_task(claim()) for _ in range(3)]
            patient = asyncio.create_task(claim())
            await asyncio.sleep(random.random() * 0.01)
            new = NewItem(title=f"Item {number}", agent=AGENT)
            creating = asyncio.create_task(queue.create(project, new))
            await asyncio.sleep(random.random() * 0.003)
            for one in cancelled:
                one.cancel()
            await asyncio.wait(cancelled)
            item = (await queue.views.show(await creating)).item
            async with asyncio.timeout(20):
                if item.state is State.COMPLETED:
                    patient.cancel()
                    await asyncio.wait([patient])
                else:
                    await patient

    asyncio.run(work())
