"""A task: how its block settles the item, its verbs, and the renewal of its lease."""

from asyncio import CancelledError
from collections.abc import Callable
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import eventually
from taskorch import ModelUsage, Queue, State, Task, errors
from taskorch.domain.acceptance import RunCheck
from taskorch.library.task import NOT_SETTLED, REASON_CHARACTERS


class Odd(Exception):
    """An error without a text."""

    def __str__(self) -> str:
        raise RuntimeError


def last_report(bench: Bench, item: str) -> tuple[str, str]:
    report = bench.queue.views.show(item).history[-1]
    return report.kind, report.text


def test_completed_task_delivers_its_item(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim() as task:
        task.progress("Designing", percent=50)
        task.discover("It needs an index", impact="slow")
        receipt = task.complete("4 tables", deliverables={"tables": 4})

    item = bench.queue.views.show(id_).item
    assert (task.id, receipt.state) == (id_, State.COMPLETED)
    assert (item.summary, item.deliverables) == ("4 tables", {"tables": "4"})
    assert [kind for kind, _ in reports(bench, id_)] == [
        "progress",
        "complete",
    ]


def test_task_reports_what_it_has_used(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()
    step = ModelUsage(tokens_in=10, tokens_out=2, cost_micros=5, model="m")

    with queue.agent("ada").claim() as task:
        task.progress("Designing", used=step)
        task.complete("4 tables", used=step)

    used = ModelUsage(tokens_in=20, tokens_out=4, cost_micros=10, model="m")
    assert bench.queue.views.show(id_).item.usage == used


def reports(bench: Bench, item: str) -> list[tuple[str, str]]:
    history = bench.queue.views.show(item).history
    return [(report.kind, report.text) for report in history]


def test_exception_fails_the_attempt(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with (
        pytest.raises(ValueError, match="no schema"),
        queue.agent("ada").claim() as task,
    ):
        raise ValueError("no schema")

    assert bench.state(id_) is State.DELAYED
    assert last_report(bench, id_) == ("fail", "ValueError: no schema")
    assert task.lost is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ValueError(), "ValueError"),
        (ValueError("\0\udc80"), "ValueError: \\x00\\udc80"),
        (ValueError("x" * 100_000), f"ValueError: {'x' * 100_000}"),
        (Odd(), "Odd"),
    ],
    ids=["empty", "unprintable", "long", "broken"],
)
@pytest.mark.one_lane
def test_any_exception_becomes_a_reason(
    bench: Bench, queue: Queue, error: Exception, reason: str
) -> None:
    id_ = bench.item()

    with pytest.raises(type(error)), queue.agent("ada").claim():
        raise error

    assert last_report(bench, id_) == ("fail", reason[:REASON_CHARACTERS])


@pytest.mark.parametrize(
    "error", [KeyboardInterrupt, CancelledError, SystemExit]
)
def test_cancellation_releases_the_item(
    bench: Bench, queue: Queue, error: type[BaseException]
) -> None:
    id_ = bench.item()

    with pytest.raises(error), queue.agent("ada").claim():
        raise error

    item = bench.queue.views.show(id_).item
    assert (item.state, item.attempts) == (State.QUEUED, 0)
    assert last_report(bench, id_) == (
        "release",
        f"The program was cancelled: {error.__name__}.",
    )


def test_block_without_complete_fails_the_attempt(
    bench: Bench, queue: Queue, caplog: pytest.LogCaptureFixture
) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim():
        pass

    assert bench.state(id_) is State.DELAYED
    assert last_report(bench, id_) == ("fail", NOT_SETTLED)
    assert NOT_SETTLED in caplog.text


def test_block_with_open_question_waits_for_answer(
    bench: Bench, queue: Queue
) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim() as task:
        task.blocker("Which database?", needs="A name")

    assert bench.state(id_) is State.BLOCKED
    queue.answer(id_, "Postgres")
    assert bench.state(id_) is State.QUEUED


def test_task_waits_for_an_answer(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim() as task:
        number = task.blocker("Which database?").question
        queue.answer(id_, "Postgres")
        answered = task.wait_for_answer(timeout_s=60, question=number)
        task.complete("Done")

    assert [answer.text for answer in answered.answers] == ["Postgres"]


@pytest.mark.parametrize(
    ("settle", "state"),
    [
        (lambda task: task.complete("Done"), State.COMPLETED),
        (lambda task: task.fail("No luck"), State.DELAYED),
        (lambda task: task.fail("Hopeless", retry=False), State.FAILED),
        (lambda task: task.release(reason="Not mine"), State.QUEUED),
    ],
    ids=["complete", "fail", "fail for good", "release"],
)
@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_settled_task_is_left_alone(
    bench: Bench,
    queue: Queue,
    settle: Callable[[Task], object],
    state: State,
    error: type[BaseException] | None,
) -> None:
    id_ = bench.item()

    def work() -> None:
        with queue.agent("ada").claim() as task:
            settle(task)
            if error:
                raise error

    if error:
        with pytest.raises(error):
            work()
    else:
        work()

    assert bench.state(id_) is state


def test_lost_lease_raises_at_next_verb(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with pytest.raises(errors.LeaseLost), queue.agent("ada").claim() as task:
        bench.queue.assign(id_, "ada", force=True)
        task.progress("Still here")

    assert isinstance(task.lost, errors.LeaseLost)
    assert bench.state(id_) is State.QUEUED
    assert "fail" not in dict(reports(bench, id_))


def test_cancelled_item_raises_at_complete(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with (
        pytest.raises(errors.Cancelled, match="not needed"),
        queue.agent("ada").claim() as task,
    ):
        bench.queue.cancel(id_, reason="not needed")
        task.complete("Done")

    assert bench.state(id_) is State.CANCELLED


def test_renewal_tells_of_a_lost_lease(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()

    with (
        pytest.raises(errors.NotYours),
        queue.agent("ada").claim(lease_ms=60) as task,
    ):
        bench.queue.assign(id_, "bob", force=True)
        eventually(lambda: task.lost)
        with pytest.raises(errors.NotYours):
            task.complete("Done")

    assert bench.state(id_) is State.QUEUED


def test_lease_is_renewed_in_the_background(
    bench: Bench, queue: Queue
) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim(lease_ms=600) as task:
        start = task.lease.expires_at
        eventually(lambda: expires_at(bench, id_) > start + 600)
        task.complete("Done")

    assert bench.queue.views.show(id_).item.attempts == 1


def expires_at(bench: Bench, item: str) -> int:
    return bench.queue.views.show(item).item.lease_expires_at


def test_late_holder_may_still_complete(bench: Bench, queue: Queue) -> None:
    id_ = bench.item(max_attempts=1)

    with queue.agent("ada").claim() as task:
        bench.expire_lease(id_)
        bench.queue.reap()
        dead = bench.state(id_)
        task.complete("Done")

    assert (dead, bench.state(id_)) == (State.FAILED, State.COMPLETED)


def test_error_of_wrong_value_keeps_the_lease(
    bench: Bench, queue: Queue
) -> None:
    id_ = bench.item()

    with queue.agent("ada").claim() as task:
        with pytest.raises(errors.Invalid):
            task.complete("Done", deliverables={"schema": object()})
        with pytest.raises(errors.NoQuestion):
            task.withdraw()
        task.complete("Done")

    assert bench.state(id_) is State.COMPLETED


def test_notes_of_a_task_are_kept(bench: Bench, queue: Queue) -> None:
    bench.item()

    with queue.agent("ada").claim() as task:
        task.note("Look at the indexes")
        notes = task.notes()
        task.complete("Done")

    assert [note.text for note in notes] == ["Look at the indexes"]


def test_threads_of_a_task_share_it(bench: Bench, queue: Queue) -> None:
    from concurrent.futures import ThreadPoolExecutor

    id_ = bench.item()

    with queue.agent("ada").claim() as task, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: task.progress(f"Part {n}"), range(40)))
        task.complete("Done")

    assert len(reports(bench, id_)) == 41


def test_taken_task_tells_its_handler(bench: Bench, queue: Queue) -> None:
    id_ = bench.item()
    with pytest.raises(errors.LeaseLost), queue.agent("ada").claim() as task:
        task.take_away("The worker was stopped.")
        task.progress("Still here")

    assert bench.state(id_) is State.QUEUED
    assert task.lost is not None


def test_task_runs_checks_before_it_completes(
    bench: Bench, queue: Queue, folder: Path
) -> None:
    id_ = bench.item(checks=(RunCheck(run=("test", "-s", "done.txt")),))

    with queue.agent("ada").claim() as task:
        with pytest.raises(errors.ChecksFailed):
            task.complete("Done")
        still_held = bench.state(id_)
        (folder / "done.txt").write_text("text", encoding="utf-8")
        task.complete("Done")

    item = bench.queue.views.show(id_).item
    assert still_held is State.IN_PROGRESS
    assert item.state is State.COMPLETED
    assert [each.source for each in item.evidence] == ["worker"]


@pytest.mark.usefixtures("folder")
def test_failed_check_of_handler_fails_the_attempt(
    bench: Bench, queue: Queue
) -> None:
    id_ = bench.item(checks=(RunCheck(run=("test", "-s", "none.txt")),))

    with (
        pytest.raises(errors.ChecksFailed),
        queue.agent("ada").claim() as task,
    ):
        task.complete("Done")

    kind, text = last_report(bench, id_)
    assert kind == "fail"
    assert text.endswith("test -s none.txt: exit status 1")
