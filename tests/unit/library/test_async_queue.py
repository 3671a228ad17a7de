"""The queue as coroutines, with cancellation."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.builders import Bench
from support.waiters import Waiters
from taskorch import (
    AsyncQueue,
    AsyncTask,
    AsyncWorker,
    Caller,
    Goal,
    NewItem,
    Queue,
    State,
    errors,
)

SOON_S = 30


def queue_of(bench: Bench) -> AsyncQueue:
    caller = Caller(agent="planner")
    return AsyncQueue(Queue(bench.queue.connection, bench.namespace, caller))


async def until(condition: Callable[[], object]) -> None:
    """Poll until a condition is true."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110  Redis sends no asyncio.Event
            await asyncio.sleep(0.01)


def test_coroutines_do_what_the_queue_does(bench: Bench) -> None:
    async def work() -> State:
        queue = queue_of(bench)
        project = await queue.project("A project")
        id_ = await queue.create(
            project, NewItem(title="An item", agent="ada")
        )
        async with queue.agent("ada").claim() as task:
            await task.progress("Half", percent=50)
            await task.note("A note")
            assert task.item.title == "An item"
            await task.complete("Done", deliverables={"n": 1})
        waited = await queue.until(project, [Goal.COMPLETED], timeout_s=SOON_S)
        assert waited.reached is Goal.COMPLETED
        return (await queue.views.show(id_)).item.state

    assert asyncio.run(work()) is State.COMPLETED


def test_async_claim_without_item_yields_none(bench: Bench) -> None:
    async def work() -> AsyncTask | None:
        async with queue_of(bench).agent("ada").claim(wait_s=0) as task:
            return task

    assert asyncio.run(work()) is None


def test_async_exception_fails_the_attempt(bench: Bench) -> None:
    id_ = bench.item()

    async def work() -> None:
        async with queue_of(bench).agent("ada").claim():
            raise ValueError("no schema")

    with pytest.raises(ValueError, match="no schema"):
        asyncio.run(work())

    assert bench.state(id_) is State.DELAYED


def test_async_cancellation_releases_the_item(bench: Bench) -> None:
    id_ = bench.item()

    async def work() -> None:
        begun = asyncio.Event()

        async def hang() -> None:
            async with queue_of(bench).agent("ada").claim():
                begun.set()
                await asyncio.Event().wait()

        working = asyncio.create_task(hang())
        await begun.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        item = bench.queue.views.show(id_).item
        assert (item.state, item.attempts) == (State.QUEUED, 0)

    asyncio.run(work())


def test_async_claim_by_id_holds_that_item(bench: Bench) -> None:
    bench.item()
    second = bench.item()

    async def work() -> None:
        async with queue_of(bench).agent("ada").get(second) as task:
            await task.complete("Done")

    asyncio.run(work())

    assert bench.state(second) is State.COMPLETED


def test_async_lost_lease_raises_at_next_verb(bench: Bench) -> None:
    id_ = bench.item()

    async def work() -> None:
        async with queue_of(bench).agent("ada").claim() as task:
            bench.queue.cancel(id_)
            await task.progress("Still here")

    with pytest.raises(errors.Cancelled):
        asyncio.run(work())


def test_async_task_waits_for_an_answer(breakable: Waiters) -> None:
    bench = breakable.bench
    id_ = bench.item()

    async def work() -> list[str]:
        async with queue_of(bench).agent("ada").claim() as task:
            await task.blocker("Which database?")
            waiting = asyncio.create_task(
                task.wait_for_answer(timeout_s=SOON_S)
            )
            await asyncio.to_thread(breakable.connection.blocks.acquire)
            bench.queue.answer(id_, "Postgres")
            answered = await waiting
            await task.complete("Done")
        return [answer.text for answer in answered.answers]

    assert asyncio.run(work()) == ["Postgres"]


WAITS: dict[str, Callable[[AsyncQueue, str], Coroutine[Any, Any, object]]] = {
    "claim": lambda queue, _: entered(queue),
    "until": lambda queue, project: queue.until(
        project, [Goal.COMPLETED], timeout_s=90
    ),
}


async def entered(queue: AsyncQueue) -> None:
    async with queue.agent("ada").claim():
        pytest.fail("There is no item.")


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_cancelled_wait_ends_soon(
    breakable: Waiters,
    wait: Callable[[AsyncQueue, str], Coroutine[Any, Any, object]],
) -> None:
    bench = breakable.bench
    project = bench.project()
    bench.item(project, agent="bob")

    async def work() -> None:
        waiting = asyncio.create_task(wait(queue_of(bench), project))
        await asyncio.to_thread(breakable.connection.blocks.acquire)
        async with asyncio.timeout(SOON_S):
            while not waiting.done():
                waiting.cancel()  # more than once
                await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(work())

    id_ = bench.item()
    assert bench.claimed_next() == id_


@asynccontextmanager
async def running(
    bench: Bench,
    handler: Callable[[AsyncTask], Coroutine[Any, Any, Any]],
    *,
    concurrency: int = 1,
) -> AsyncIterator[tuple[AsyncWorker, "asyncio.Task[None]"]]:
    """Run a worker of ada, and stop it at the end of the block."""
    worker = AsyncWorker(
        "ada", handler, concurrency=concurrency, queue=queue_of(bench)
    )
    ended = asyncio.create_task(worker.run())
    try:
        yield worker, ended
    finally:
        worker.stop()
        await asyncio.wait([ended], timeout=SOON_S)
        assert ended.done()


def test_async_worker_completes_with_the_result(breakable: Waiters) -> None:
    bench = breakable.bench
    items = [bench.item() for _ in range(4)]

    async def handler(task: AsyncTask) -> tuple[str, dict[str, int]]:
        await task.progress("Working")
        return f"Did {task.id}", {"n": 1}

    async def work() -> None:
        async with running(bench, handler, concurrency=2):
            await until(
                lambda: all(
                    bench.state(id_) is State.COMPLETED for id_ in items
                )
            )

    asyncio.run(work())

    item = bench.queue.views.show(items[3]).item
    assert (item.summary, item.deliverables) == (
        f"Did {item.id}",
        {"n": "1"},
    )


def test_async_worker_fails_an_item_and_goes_on(breakable: Waiters) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()

    async def handler(task: AsyncTask) -> None:
        if task.id == first:
            raise ValueError("no schema")

    async def work() -> None:
        async with running(bench, handler):
            await until(lambda: bench.state(second) is State.COMPLETED)

    asyncio.run(work())

    assert bench.state(first) is State.DELAYED


def test_async_worker_finishes_after_first_stop(breakable: Waiters) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()

    async def work() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def handler(_: AsyncTask) -> str:
            begun.set()
            await go_on.wait()
            return "Done"

        async with running(bench, handler) as (worker, ended):
            await begun.wait()
            worker.stop()
            await asyncio.sleep(0)
            assert not ended.done()
            go_on.set()
            await ended

    asyncio.run(work())

    assert bench.state(first) is State.COMPLETED
    assert bench.state(second) is State.QUEUED


def test_async_worker_that_has_ended_may_be_stopped(
    breakable: Waiters,
) -> None:
    bench = breakable.bench

    async def handler(_: AsyncTask) -> None:
        pass

    async def work() -> AsyncWorker:
        async with running(bench, handler) as (worker, _):
            return worker

    worker = asyncio.run(work())

    worker.stop()
    worker.stop()


def test_async_worker_ends_in_an_outage(
    breakable: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.library.async_worker.GRACE_S", 0.2)
    bench, connection = breakable.bench, breakable.connection
    bench.item()

    async def work() -> None:
        begun = asyncio.Event()

        async def handler(task: AsyncTask) -> None:
            connection.failures_left = 1_000_000
            begun.set()
            await task.progress("Working")

        async with running(bench, handler) as (worker, ended):
            await begun.wait()
            worker.stop()
            worker.stop()
            await asyncio.wait([ended], timeout=SOON_S)
            assert ended.done()

    asyncio.run(work())

    connection.failures_left = 0


@pytest.mark.parametrize("cancels_run", [False, True])
def test_async_worker_releases_after_second_stop(
    breakable: Waiters, *, cancels_run: bool
) -> None:
    bench = breakable.bench
    id_ = bench.item()

    async def work() -> None:
        begun = asyncio.Event()

        async def handler(_: AsyncTask) -> None:
            begun.set()
            await asyncio.Event().wait()

        async with running(bench, handler) as (worker, ended):
            await begun.wait()
            if cancels_run:
                ended.cancel()
            else:
                worker.stop()
                worker.stop()
            await asyncio.wait([ended], timeout=SOON_S)
            assert ended.done()
            assert ended.cancelled() == cancels_run

    asyncio.run(work())

    item = bench.queue.views.show(id_).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)
