"""A worker completes an item and claims the next ones in one call."""

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

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
from taskorch.library.pool import STOPPING
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)

SOON_S = 30

AnyTask = Task | AsyncTask
AnyWorker = Worker | AsyncWorker
Handler = Callable[[AnyTask], Any]


@dataclass
class Names(ConnectionWrapper):
    """A connection that keeps the names of the scripts that it has run."""

    connection: Connection
    names: list[str] = field(default_factory=list)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.names.append(script.name)
        return self.connection.run_script(script, key, arguments)


@dataclass(frozen=True)
class Running:
    """A worker of ada in a thread, with one slot."""

    worker: AnyWorker
    ended: "Future[None]"
    calls: list[str]


def of_threads(
    queue: Queue, handler: Handler, **options: int
) -> tuple[AnyWorker, Callable[[], None]]:
    worker = Worker("ada", handler, queue=queue, **options)
    return worker, worker.run


def of_coroutines(
    queue: Queue, handler: Handler, **options: int
) -> tuple[AnyWorker, Callable[[], None]]:
    async def handle(task: AsyncTask) -> object:
        return handler(task)

    worker = AsyncWorker("ada", handle, queue=AsyncQueue(queue), **options)  # type: ignore[arg-type]
    return worker, lambda: asyncio.run(worker.run())


Make = Callable[..., tuple[AnyWorker, Callable[[], None]]]
both = pytest.mark.parametrize("make", [of_threads, of_coroutines])


@contextmanager
def running(
    make: Make, bench: Bench, handler: Handler, **options: int
) -> Iterator[Running]:
    connection = Names(bench.queue.connection)
    queue = Queue(connection, bench.namespace, Caller(agent="planner"))
    worker, run = make(queue, handler, **options)
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(run)
        try:
            yield Running(worker, ended, connection.names)
        finally:
            worker.stop()


def all_completed(bench: Bench, items: Sequence[str]) -> bool:
    return all(bench.state(item) is State.COMPLETED for item in items)


def has_lost(worker: AnyWorker, item: str) -> bool:
    """Return whether a worker knows that it has lost an item that it has not begun."""
    ready = worker._pool._ready
    return any(task.lost for task in ready if task.id == item)


@both
@pytest.mark.parametrize("prefetch", [1, 2, 10])
def test_pair_is_one_call(
    breakable: Waiters, make: Make, prefetch: int
) -> None:
    bench = breakable.bench
    items = [bench.item() for _ in range(5)]

    with running(make, bench, lambda _: "Done", prefetch=prefetch) as ran:
        eventually(lambda: all_completed(bench, items))
        eventually(lambda: ran.calls[-1] == "claim")

    assert ran.calls[:7] == ["claim", *["complete"] * 5, "claim"]
    assert bench.inconsistencies() == []


@both
def test_stop_releases_items_that_are_not_begun(
    breakable: Waiters, make: Make
) -> None:
    bench = breakable.bench
    first, *others = [bench.item() for _ in range(4)]
    begun, go_on = Event(), Event()
    handled: list[str] = []

    def handler(task: AnyTask) -> str:
        handled.append(task.id)
        begun.set()
        assert go_on.wait(SOON_S)
        return "Done"

    with running(make, bench, handler, prefetch=4) as ran:
        assert begun.wait(SOON_S)
        held = [bench.state(item) for item in others]
        ran.worker.stop()
        eventually(
            lambda: {bench.state(item) for item in others} == {State.QUEUED}
        )
        go_on.set()
        ran.ended.result(SOON_S)

    assert held == [State.IN_PROGRESS] * 3
    assert handled == [first]
    assert bench.state(first) is State.COMPLETED
    assert [bench.queue.views.show(item).item.attempts for item in others] == [
        0
    ] * 3
    assert bench.inconsistencies() == []


@both
def test_stopped_worker_completes_without_claiming(
    breakable: Waiters, make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()
    begun = Event()

    def handler(_: AnyTask) -> str:
        begun.set()
        eventually(lambda: STOPPING in caplog.text)
        return "Done"

    with running(make, bench, handler) as ran:
        assert begun.wait(SOON_S)
        ran.worker.stop()
        ran.ended.result(SOON_S)

    assert bench.state(first) is State.COMPLETED
    item = bench.queue.views.show(second).item
    assert (item.state, item.token) == (State.QUEUED, 0)


@both
def test_failed_item_leaves_the_prefetched_ones(
    breakable: Waiters, make: Make
) -> None:
    bench = breakable.bench
    first, *others = [bench.item() for _ in range(3)]

    def handler(task: AnyTask) -> str:
        if task.id == first:
            raise ValueError("no schema")
        return "Done"

    with running(make, bench, handler, prefetch=3):
        eventually(lambda: all_completed(bench, others))

    assert bench.state(first) is State.DELAYED


@both
def test_refused_completion_claims_nothing(
    breakable: Waiters, make: Make
) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()

    def handler(task: AnyTask) -> str:
        if task.id == first:
            bench.queue.cancel(first)
        return "Done"

    with running(make, bench, handler) as ran:
        eventually(lambda: bench.state(second) is State.COMPLETED)

    assert bench.state(first) is State.CANCELLED
    assert ran.calls[:4] == ["claim", "complete", "claim", "complete"]


@both
def test_lost_prefetched_item_is_not_begun(
    breakable: Waiters, make: Make
) -> None:
    bench = breakable.bench
    first, second, third = (bench.item() for _ in range(3))
    begun, go_on = Event(), Event()
    handled: list[str] = []

    def handler(task: AnyTask) -> str:
        handled.append(task.id)
        begun.set()
        assert go_on.wait(SOON_S)
        return "Done"

    with running(make, bench, handler, prefetch=3, lease_ms=600) as ran:
        assert begun.wait(SOON_S)
        bench.queue.cancel(second)
        eventually(lambda: has_lost(ran.worker, second))
        go_on.set()
        eventually(lambda: all_completed(bench, [first, third]))

    assert handled == [first, third]


@both
def test_question_of_another_process_is_left_open(
    breakable: Waiters, make: Make
) -> None:
    bench = breakable.bench
    item = bench.item()

    def handler(_: AnyTask) -> str:
        bench.agent().blocker(bench.lease_of(item), "Which database?")
        return "Done"

    with running(make, bench, handler):
        eventually(lambda: bench.state(item) is State.BLOCKED)
        eventually(lambda: bench.queue.views.show(item).item.holder is None)

    (question,) = bench.queue.views.show(item).item.questions
    assert question.text == "Which database?"


def test_worker_refuses_to_prefetch_more_than_ten(bench: Bench) -> None:
    queue = Queue(
        bench.queue.connection, bench.namespace, Caller(agent="planner")
    )

    with pytest.raises(errors.Invalid, match="It must be 1 to 10"):
        Worker("ada", lambda _: None, queue=queue, prefetch=11)


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@dataclass
class AfterCompletion(ConnectionWrapper):
    """A connection that calls a function before it passes on the reply of `complete`."""

    connection: Connection
    act: Callable[[], object]

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        reply = self.connection.run_script(script, key, arguments)
        if script.name == "complete":
            self.act()
        return reply


@pytest.mark.parametrize("turns", [None, 0, 3, 20, 100, 300])
def test_cancelled_worker_gives_its_last_claim_back(
    breakable: Waiters, turns: int | None
) -> None:
    """Cancel a worker some turns of its loop after a reply; None: before it arrives."""
    bench = breakable.bench
    first, second = bench.item(), bench.item()
    cancelled = Event()

    async def handler(task: AsyncTask) -> str:
        if task.id == second:
            await asyncio.Event().wait()
        return "Done"

    async def work() -> None:
        loop = asyncio.get_running_loop()

        def after(left: int, act: Callable[[], object]) -> None:
            if left:
                loop.call_soon(after, left - 1, act)
            else:
                act()

        def cancel() -> None:
            ended.cancel()
            after(10, cancelled.set)  # the slot is cancelled, too, by then

        def act() -> None:
            loop.call_soon_threadsafe(after, turns or 0, cancel)
            if turns is None:
                assert cancelled.wait(SOON_S)

        connection = AfterCompletion(bench.queue.connection, act)
        caller = Caller(agent="planner")
        queue = AsyncQueue(Queue(connection, bench.namespace, caller))
        worker = AsyncWorker("ada", handler, queue=queue)
        ended = asyncio.create_task(worker.run())
        await asyncio.wait([ended], timeout=SOON_S)

    asyncio.run(work())

    assert bench.state(first) is State.COMPLETED
    item = bench.queue.views.show(second).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)
