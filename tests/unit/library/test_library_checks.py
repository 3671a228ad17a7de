"""Acceptance checks in a program: of tasks, of workers, and of coroutines."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import eventually
from support.waiters import Waiters
from taskorch import (
    AsyncQueue,
    AsyncTask,
    AsyncWorker,
    Caller,
    Queue,
    State,
    Task,
    Worker,
    errors,
)
from taskorch.domain.acceptance import (
    CheckEvidence,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)

WORK = FileCheck(file="work.txt")
SLOW = RunCheck(
    run=("sh", "-c", "echo $$ > pid; exec tail -f /dev/null"),
)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a root of the test."""
    (tmp_path / ".task-orchestrator").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKORCH_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def program(breakable: Waiters) -> Queue:
    """Return the queue of a program whose waits can be broken off."""
    bench = breakable.bench
    caller = Caller(agent="planner")
    return Queue(bench.queue.connection, bench.namespace, caller)


def evidence(bench: Bench, item: str) -> tuple[CheckEvidence, ...]:
    return bench.queue.views.show(item).item.evidence


def is_running(folder: Path) -> bool:
    return Path(f"/proc/{(folder / 'pid').read_text().strip()}").exists()


def check_has_begun(folder: Path) -> bool:
    file = folder / "pid"
    return file.exists() and bool(file.read_text())


async def until(condition: Callable[[], object]) -> None:
    """Poll until a condition is true."""
    await asyncio.to_thread(eventually, condition)


def run_until(worker: Worker, bench: Bench, item: str, state: State) -> None:
    """Run a worker in a thread until an item is in a state."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(worker.run)
        try:
            eventually(lambda: bench.state(item) is state)
        finally:
            worker.stop()


def test_worker_checks_what_its_handler_delivers(
    program: Queue, breakable: Waiters, folder: Path
) -> None:
    bench = breakable.bench
    item = bench.item(checks=(WORK, RunCheck(run=("test", "-s", "work.txt"))))

    def handler(_: Task) -> str:
        (folder / "work.txt").write_text("text", encoding="utf-8")
        return "Done"

    worker = Worker("ada", handler, queue=program)
    run_until(worker, bench, item, State.COMPLETED)

    results = evidence(bench, item)
    assert [(each.check, each.source) for each in results] == [
        (WORK, "worker"),
        (RunCheck(run=("test", "-s", "work.txt")), "worker"),
    ]


def test_worker_fails_attempt_of_failed_check(
    program: Queue, breakable: Waiters
) -> None:
    bench = breakable.bench
    item = bench.item(checks=(WORK,))

    worker = Worker("ada", lambda _: "Done", queue=program)
    run_until(worker, bench, item, State.DELAYED)

    history = bench.queue.views.show(item).history
    assert "file work.txt: it does not exist" in history[-1].text
    assert evidence(bench, item) == ()


def test_missing_deliverable_is_refused_before_checks(
    bench: Bench, queue: Queue, folder: Path
) -> None:
    item = bench.item(
        checks=(
            RunCheck(run=("touch", "ran")),
            DeliverableCheck(deliverable="schema"),
        )
    )

    with queue.agent("ada").claim() as task:
        with pytest.raises(errors.ChecksFailed, match="1 of its acceptance"):
            task.complete("Done")
        ran = (folder / "ran").exists()
        task.complete("Done", deliverables={"schema": "a.sql"})

    assert not ran
    assert (folder / "ran").exists()
    assert bench.state(item) is State.COMPLETED


def test_program_runs_no_command_if_machine_runs_none(
    bench: Bench, queue: Queue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TASKORCH_CHECKS", "off")
    item = bench.item(checks=(RunCheck(run=("test", "-d", ".")),))

    with queue.agent("ada").claim() as task:
        with pytest.raises(errors.ChecksFailed) as refused:
            task.complete("Done")
        task.release()

    assert "this machine runs none" in str(refused.value.rows())
    assert bench.state(item) is State.QUEUED


def test_second_stop_of_worker_ends_the_check(
    program: Queue, breakable: Waiters, folder: Path
) -> None:
    bench = breakable.bench
    item = bench.item(checks=(SLOW,))
    worker = Worker("ada", lambda _: "Done", queue=program)

    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(worker.run)
        eventually(lambda: check_has_begun(folder))
        worker.stop()
        worker.stop()
        ended.result(timeout=30)

    eventually(lambda: not is_running(folder))
    assert bench.state(item) is State.QUEUED


def test_async_worker_checks_what_its_handler_delivers(
    program: Queue, breakable: Waiters, folder: Path
) -> None:
    bench = breakable.bench
    first, second = bench.item(checks=(WORK,)), bench.item(checks=(WORK,))

    async def handler(task: AsyncTask) -> str:
        if task.id == second:
            (folder / "work.txt").write_text("text", encoding="utf-8")
        return "Done"

    async def work() -> None:
        worker = AsyncWorker("ada", handler, queue=AsyncQueue(program))
        running = asyncio.create_task(worker.run())
        await until(lambda: bench.state(second) is State.COMPLETED)
        worker.stop()
        await running

    asyncio.run(work())

    assert bench.state(first) is State.DELAYED
    assert [each.source for each in evidence(bench, second)] == ["worker"]


def test_async_task_checks_before_it_completes(
    bench: Bench, queue: Queue, folder: Path
) -> None:
    item = bench.item(checks=(WORK,))

    async def work() -> None:
        async with AsyncQueue(queue).agent("ada").claim() as task:
            with pytest.raises(errors.ChecksFailed):
                await task.complete("Done")
            (folder / "work.txt").write_text("text", encoding="utf-8")
            await task.complete("Done")

    asyncio.run(work())

    assert bench.state(item) is State.COMPLETED


def test_cancelled_completion_ends_the_check(
    bench: Bench, queue: Queue, folder: Path
) -> None:
    item = bench.item(checks=(SLOW,))

    async def work() -> None:
        async with AsyncQueue(queue).agent("ada").claim() as task:
            completing = asyncio.create_task(task.complete("Done"))
            await until(lambda: check_has_begun(folder))
            completing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(completing, timeout=30)
            assert not is_running(folder)
            await task.progress("Still here")
            await task.release()

    asyncio.run(work())

    assert bench.state(item) is State.QUEUED


def test_lost_item_ends_the_check(
    bench: Bench, queue: Queue, folder: Path
) -> None:
    item = bench.item(checks=(SLOW,))

    with (
        ThreadPoolExecutor(1) as threads,
        pytest.raises(errors.Cancelled),
        queue.agent("ada").claim(lease_ms=1000) as task,
    ):
        completing = threads.submit(task.complete, "Done")
        eventually(lambda: check_has_begun(folder))
        bench.queue.cancel(item)
        completing.result(timeout=30)

    assert not is_running(folder)
