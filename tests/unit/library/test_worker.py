"""A worker: the results of its handler, how it stops, and an outage of Redis."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, Lock
from time import monotonic
from typing import Any, cast

import pytest
from support.builders import Bench
from support.commands import eventually
from support.waiters import Waiters
from taskorch import Caller, Queue, State, Task, Worker, errors
from taskorch.library.worker import Handler
from taskorch.queue.claim_pauses import FIRST_PAUSE_S

SOON_S = 30


def queue_of(bench: Bench) -> Queue:
    return Queue(
        bench.queue.connection, bench.namespace, Caller(agent="planner")
    )


@contextmanager
def running(
    bench: Bench, handler: Handler, *, concurrency: int = 1
) -> Iterator[tuple[Worker, "Future[None]"]]:
    """Run a worker of ada in a thread, and stop it at the end of the block."""
    worker = Worker(
        "ada", handler, concurrency=concurrency, queue=queue_of(bench)
    )
    with ThreadPoolExecutor(1) as threads:
        ended = threads.submit(worker.run)
        try:
            yield worker, ended
        finally:
            worker.stop()


@pytest.mark.parametrize(
    ("result", "summary", "deliverables"),
    [
        (None, "", {}),
        ("4 tables", "4 tables", {}),
        ({"tables": 4}, "", {"tables": "4"}),
        (("Done", {"file": "a.sql"}), "Done", {"file": "a.sql"}),
    ],
)
def test_result_of_handler_completes_the_item(
    breakable: Waiters,
    result: object,
    summary: str,
    deliverables: dict[str, str],
) -> None:
    bench = breakable.bench
    id_ = bench.item()

    with running(bench, lambda _: result):  # type: ignore[arg-type,return-value]
        eventually(lambda: bench.state(id_) is State.COMPLETED)

    item = bench.queue.views.show(id_).item
    assert (item.summary, item.deliverables) == (summary, deliverables)


def test_other_result_fails_the_attempt(breakable: Waiters) -> None:
    bench = breakable.bench
    id_ = bench.item()

    with running(bench, lambda _: 5):  # type: ignore[arg-type,return-value]
        eventually(lambda: bench.state(id_) is State.DELAYED)

    reason = bench.queue.views.show(id_).history[-1].text
    assert reason.startswith("Invalid: The handler returned int. Return")


def test_exception_fails_and_the_worker_goes_on(
    breakable: Waiters, caplog: pytest.LogCaptureFixture
) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()

    def handler(task: Task) -> str:
        if task.id == first:
            raise ValueError("no schema")
        return "Done"

    with running(bench, handler):
        eventually(lambda: bench.state(second) is State.COMPLETED)

    assert bench.state(first) is State.DELAYED
    assert "ValueError: no schema" in caplog.text


def test_handler_may_settle_the_item_itself(breakable: Waiters) -> None:
    bench = breakable.bench
    id_ = bench.item()

    def handler(task: Task) -> str:
        task.fail("Hopeless", retry=False)
        return "Done"

    with running(bench, handler):
        eventually(lambda: bench.state(id_) is State.FAILED)


def test_question_of_handler_is_left_to_its_answer(
    breakable: Waiters,
) -> None:
    bench = breakable.bench
    id_ = bench.item()

    def handler(task: Task) -> str | None:
        answers = [r.text for r in task.package.history if r.kind == "answer"]
        if answers:
            return f"Used {answers[0]}"
        task.blocker("Which database?")
        return None

    with running(bench, handler):
        eventually(lambda: bench.state(id_) is State.BLOCKED)
        eventually(lambda: bench.queue.views.show(id_).item.holder is None)
        bench.queue.answer(id_, "Postgres")
        eventually(lambda: bench.state(id_) is State.COMPLETED)

    assert bench.queue.views.show(id_).item.summary == "Used Postgres"


def test_slots_work_at_the_same_time(breakable: Waiters) -> None:
    bench = breakable.bench
    items = [bench.item() for _ in range(3)]
    all_there = Event()
    there: set[str] = set()
    lock = Lock()

    def handler(task: Task) -> None:
        with lock:
            there.add(task.id)
            if len(there) == 3:
                all_there.set()
        assert all_there.wait(SOON_S)

    with running(bench, handler, concurrency=3):
        eventually(
            lambda: all(bench.state(id_) is State.COMPLETED for id_ in items)
        )


def test_first_stop_lets_the_handler_finish(breakable: Waiters) -> None:
    bench = breakable.bench
    first, second = bench.item(), bench.item()
    begun, go_on = Event(), Event()

    def handler(_: Task) -> str:
        begun.set()
        assert go_on.wait(SOON_S)
        return "Done"

    with running(bench, handler) as (worker, ended):
        assert begun.wait(SOON_S)
        worker.stop()
        assert not ended.done()
        go_on.set()
        ended.result(SOON_S)

    assert bench.state(first) is State.COMPLETED
    assert bench.state(second) is State.QUEUED


def test_second_stop_releases_the_items(breakable: Waiters) -> None:
    bench = breakable.bench
    id_ = bench.item()
    begun = Event()
    seen: list[object] = []

    def handler(task: Task) -> str:
        begun.set()
        eventually(lambda: task.lost)
        with pytest.raises(errors.LeaseLost) as refused:
            task.progress("Still here")
        seen.append(refused.value)
        return "Done"

    with running(bench, handler) as (worker, ended):
        assert begun.wait(SOON_S)
        worker.stop()
        worker.stop()
        ended.result(SOON_S)

    item = bench.queue.views.show(id_).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)
    assert bench.queue.views.show(id_).history[-1].text == (
        "The worker was stopped."
    )
    assert len(seen) == 1


def test_lost_lease_leaves_the_item_to_its_holder(
    breakable: Waiters,
) -> None:
    bench = breakable.bench
    id_ = bench.item()
    begun, go_on = Event(), Event()

    def handler(_: Task) -> str:
        begun.set()
        assert go_on.wait(SOON_S)
        return "Done"

    with running(bench, handler):
        assert begun.wait(SOON_S)
        bench.queue.assign(id_, "bob", force=True)
        taken = bench.claimed(id_, agent="bob")
        go_on.set()

    assert bench.queue.views.show(id_).item.token == taken.token
    assert bench.state(id_) is State.IN_PROGRESS


def test_worker_waits_out_an_outage(
    bench: Bench, breakable: Waiters, caplog: pytest.LogCaptureFixture
) -> None:
    connection = breakable.connection
    id_ = bench.item()

    def handler(_: Task) -> str:
        connection.failures_left = 3
        return "Done"

    with running(breakable.bench, handler):
        eventually(lambda: bench.state(id_) is State.COMPLETED)

    assert "Redis answers again." in caplog.text
    assert bench.queue.views.show(id_).item.attempts == 1


def test_second_stop_ends_a_worker_in_an_outage(
    breakable: Waiters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskorch.library.worker.GRACE_S", 0.2)
    bench, connection = breakable.bench, breakable.connection
    bench.item()
    begun = Event()

    def handler(task: Task) -> None:
        connection.failures_left = 1_000_000
        begun.set()
        task.progress("Working")

    with running(bench, handler) as (worker, ended):
        assert begun.wait(SOON_S)
        worker.stop()
        worker.stop()
        ended.result(SOON_S)

    connection.failures_left = 0


def test_worker_ends_with_an_error_that_stays(breakable: Waiters) -> None:
    bench = breakable.bench

    def refuse() -> None:
        raise errors.Refused(url="there", reason="WRONGPASS")

    breakable.connection.before_block = refuse
    with (
        running(bench, lambda _: None, concurrency=1) as (_, ended),
        pytest.raises(errors.Refused),
    ):
        ended.result(SOON_S)


def test_released_items_do_not_spin(breakable: Waiters) -> None:
    bench = breakable.bench
    bench.item()
    calls: list[float] = []

    def handler(task: Task) -> None:
        calls.append(monotonic())
        task.release(reason="Not now")

    with running(bench, handler):
        eventually(lambda: len(calls) >= 2)

    assert calls[1] - calls[0] >= FIRST_PAUSE_S


@pytest.mark.one_lane
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda queue: Worker("a b", print, queue=queue),
            "not a name",
        ),
        (
            lambda queue: Worker("ada", cast("Any", None), queue=queue),
            "handler must be a function",
        ),
        (
            lambda queue: Worker("ada", print, queue=queue, concurrency=0),
            "The concurrency is 0. It must be 1 to 1000.",
        ),
        (
            lambda queue: Worker("ada", print, queue=queue, lease_ms=0),
            "The lease in ms is 0.",
        ),
    ],
)
def test_worker_refuses_a_wrong_argument(
    bench: Bench, make: Callable[[Queue], Worker], message: str
) -> None:
    with pytest.raises(errors.Invalid, match=message):
        make(queue_of(bench))


@pytest.fixture(autouse=True)
def _log_everything(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
