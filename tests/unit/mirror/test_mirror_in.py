"""Files to Redis: the import of reports, and entries that are not reports."""

from datetime import datetime
from typing import Any

import pytest
from support.mirrors import (
    Root,
    completion,
    discovery,
    progress,
    published_item,
    skip_wait,
    update,
)
from taskorch.domain.acceptance import DeliverableCheck, RunCheck
from taskorch.domain.item import State

DONE = "✅ Work completed"


@pytest.fixture
def item(root: Root) -> str:
    return published_item(root)


def test_steps_of_file_worker_are_taken_in_redis(
    root: Root, item: str
) -> None:
    ada = root.worker()

    ada.progress(item, "begun", 10)
    ada.discover(item, "It leaks.", "high")
    ada.complete(item, "All of it.", {"report": "a.md"})
    result = root.sync()

    after = root.bench.queue.views.show(item).item
    page = root.bench.queue.views.discoveries(after.project)
    (found,) = page.discoveries
    assert root.history(item) == [
        ("progress", "begun"),
        ("complete", "All of it."),
    ]
    assert (found.text, found.impact, found.agent) == (
        "It leaks.",
        "high",
        "ada",
    )
    assert (after.state, after.summary, after.deliverables) == (
        State.COMPLETED,
        "All of it.",
        {"report": "a.md"},
    )
    assert (result.imported, result.again, result.troubles) == (3, False, {})


def test_blocker_is_one_report(root: Root, item: str) -> None:
    root.worker().blocker(item, "Which key?", "the key")
    root.sync()
    blocked = root.bench.queue.views.show(item).item
    root.sync()

    assert root.history(item) == [("blocker", "Which key?")]
    (question,) = blocked.questions
    assert (blocked.state, question.text, question.needs) == (
        State.BLOCKED,
        "Which key?",
        "the key",
    )


def test_blocker_without_needs_has_none(root: Root, item: str) -> None:
    root.worker().blocker(item, "Which key?")
    root.sync()

    (question,) = root.bench.queue.views.show(item).item.questions
    assert question.needs == ""


def test_blocker_split_over_two_passes_is_one_report(
    root: Root, item: str
) -> None:
    ada = root.worker()

    ada.discover(item, "BLOCKER: Which key?", "Needs: the key")
    root.sync()
    ada.progress(item, "⚠️ Blocked: Which key?")
    root.sync()

    assert root.history(item) == [("blocker", "Which key?")]
    assert "⚠️ Blocked: Which key?" in root.updates(item)


@pytest.mark.parametrize("requeued", [False, True])
def test_repeats_are_recognised_after_lost_memory(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch, *, requeued: bool
) -> None:
    ada = root.worker()
    ada.discover(item, "BLOCKER: Which key?", "Needs: the key")
    root.put(item, "completion", completion(item, "done"))
    root.sync()
    ada.progress(item, "⚠️ Blocked: Which key?")
    ada.progress(item, DONE, 100)
    root.sync()
    if requeued:
        root.bench.queue.requeue(item)
        root.sync()
    before = root.history(item)

    (root.home / "sync" / "state.db").unlink()
    skip_wait(monkeypatch)
    root.sync()

    assert before[:2] == [("blocker", "Which key?"), ("complete", "done")]
    assert root.history(item) == before


def test_half_a_blocker_is_imported_after_waiting(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.worker().progress(item, "⚠️ Blocked: Which key?")

    first, second = root.sync(), root.sync()
    before = root.history(item)
    skip_wait(monkeypatch)
    root.sync()

    assert (first.again, second.again, before) == (True, True, [])
    assert root.history(item) == [("blocker", "Which key?")]
    assert [
        found["discovery"] for found in root.document(item, "discoveries")
    ] == ["BLOCKER: Which key?"]


def test_update_of_completion_is_not_a_report(root: Root, item: str) -> None:
    ada = root.worker()

    root.put(item, "completion", completion(item, "done"))
    root.sync()
    ada.progress(item, DONE, 100)
    root.sync()

    assert root.history(item) == [("complete", "done")]
    assert DONE in root.updates(item)


def test_update_of_missing_completion_becomes_a_report(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.worker().progress(item, DONE, 100)
    root.sync()
    before = root.history(item)

    skip_wait(monkeypatch)
    root.sync()
    root.sync()

    assert before == []
    assert root.history(item) == [("progress", DONE)]
    assert root.updates(item) == [DONE]


def test_update_from_the_future_does_not_wait(root: Root, item: str) -> None:
    root.put(
        item,
        "progress",
        progress(item, update(DONE, 100, at="2099-01-01T00:00:00.000001")),
    )

    result = root.sync()

    assert not result.again
    assert root.history(item) == [("progress", DONE)]


def test_times_are_local_and_kept_as_written(root: Root, item: str) -> None:
    written = "2026-01-02T03:04:05.678901"
    root.put(item, "progress", progress(item, update("begun", 10, at=written)))
    root.put(item, "discoveries", [discovery(item, "found")])

    root.sync()

    (report,) = root.reports(item)
    (found,) = root.bench.queue.views.records([item])[0].discoveries
    assert report.at == int(
        datetime.fromisoformat(written).astimezone().timestamp() * 1000
    )
    assert (report.written_at, found.written_at) == (written, written)


def test_repeated_entry_is_one_report(root: Root, item: str) -> None:
    root.put(
        item,
        "progress",
        progress(item, update("begun"), update("begun"), update("begun", 5)),
    )
    root.put(
        item,
        "discoveries",
        [
            discovery(item, "found"),
            discovery(item, "found"),
            discovery(item, "more"),
        ],
    )

    root.sync()
    root.sync(full=True)

    assert root.history(item) == [("progress", "begun"), ("progress", "begun")]
    assert root.discoveries(item) == ["found", "more"]


def test_imported_reports_survive_a_shrunken_file(
    root: Root, item: str
) -> None:
    first, second = (
        update("one", 1),
        update("two", 2, at="2026-01-02T03:04:06.000001"),
    )
    root.put(item, "progress", progress(item, first, second))
    root.sync()

    root.put(item, "progress", progress(item, second))
    root.sync()
    after = root.document(item, "progress")["updates"]
    root.put(item, "progress", progress(item, second, first))
    root.sync()

    assert after == [first, second]
    assert root.history(item) == [("progress", "one"), ("progress", "two")]


def test_reports_are_imported_by_time_completion_last(
    root: Root, item: str
) -> None:
    late, early = (
        update("late", at="2026-01-02T03:04:09.000001"),
        update("early", at="2026-01-02T03:04:01.000001"),
    )

    root.put(
        item,
        "completion",
        {
            **completion(item, "done"),
            "completed_at": "2026-01-01T00:00:00.000001",
        },
    )
    root.put(item, "progress", progress(item, late, early))
    root.sync()

    assert root.history(item) == [
        ("progress", "early"),
        ("progress", "late"),
        ("complete", "done"),
    ]


@pytest.mark.parametrize(
    ("percentage", "percent"),
    [
        (33, 33),
        (33.4, 33),
        (-5, 0),
        (250, 100),
        (float("nan"), None),
        (float("inf"), 100),
    ],
)
def test_percentage_is_converted_for_redis(
    root: Root, item: str, percentage: Any, percent: int | None
) -> None:
    root.put(item, "progress", progress(item, update("begun", percentage)))

    root.sync()
    root.sync()

    assert [report.percent for report in root.reports(item)] == [percent]


def test_invalid_entry_is_kept_and_reported(root: Root, item: str) -> None:
    odd = ["a word", {"message": "no time"}, 7, None]
    root.put(
        item,
        "progress",
        {**progress(item, update("begun"), *odd), "more": {"of": "it"}},
    )

    result = root.sync()
    document = root.document(item, "progress")

    assert root.history(item) == [("progress", "begun")]
    assert all(entry in document["updates"] for entry in odd)
    assert document["more"] == {"of": "it"}
    assert len(
        [name for name in result.troubles if name.startswith(item)]
    ) == len(odd)


def test_notes_stay_in_workspace(root: Root, item: str) -> None:
    root.worker().notes(item, "SECRET of a file")
    root.bench.agent().note(item, "SECRET of Redis")
    path = root.home / "workspace" / "ada" / f"{item}_notes.md"
    before = path.read_bytes()

    root.sync(full=True)

    elsewhere = [
        data for name, (_, data) in root.state().items() if name != path.name
    ]
    assert path.read_bytes() == before
    assert not any(b"SECRET" in data for data in elsewhere)
    assert [note.text for note in root.bench.agent().notes(item)] == [
        "SECRET of Redis"
    ]
    assert "SECRET" not in str(root.bench.events())


def test_completion_in_a_file_proves_no_check(root: Root) -> None:
    check = RunCheck(run=("make", "test"))
    item = published_item(root, checks=(check,))

    root.worker().complete(item, "All of it.", {})
    root.sync()

    found = root.bench.queue.views.show(item).item
    (question,) = found.questions
    assert (found.state, found.evidence) == (State.BLOCKED, ())
    assert question.text == "It is reported as complete: All of it."
    assert f"worker get {item} --takeover" in question.needs


def test_completion_in_a_file_delivers_what_is_checked(root: Root) -> None:
    check = DeliverableCheck(deliverable="schema")
    item = published_item(root, checks=(check,))

    root.worker().complete(item, "All of it.", {"schema": "a.sql"})
    root.sync()

    found = root.bench.queue.views.show(item).item
    assert found.state is State.COMPLETED
    assert [each.source for each in found.evidence] == ["queue"]


def test_file_worker_completes_again_after_an_answer(root: Root) -> None:
    check = DeliverableCheck(deliverable="schema")
    item = published_item(root, checks=(check,))
    root.worker().complete(item, "All of it.", {})
    root.sync()

    root.bench.queue.answer(item, "Name the schema, please.")
    root.sync()
    root.worker().complete(item, "With it.", {"schema": "a.sql"})
    root.sync()

    assert root.bench.state(item) is State.COMPLETED


def test_changed_handoff_weakens_no_check(root: Root) -> None:
    check = RunCheck(run=("make", "test"))
    item = published_item(root, checks=(check,), reviewer="lead")
    document = root.document(item, "handoff")
    for name in ("x_accept", "provided_context"):
        del document[name]

    root.put(item, "handoff", document)
    root.worker().complete(item, "All of it.", {})
    root.sync()

    found = root.bench.queue.views.show(item).item
    assert (found.state, found.evidence) == (State.BLOCKED, ())
    assert (found.checks, found.reviewer) == ((check,), "lead")
