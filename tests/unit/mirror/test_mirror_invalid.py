"""Whole report files that are not in the form of the contract: what can be taken is taken, the rest is named."""

import json
from typing import Any

import pytest
from support.mirrors import (
    Root,
    completion,
    discovery,
    handed_over,
    let_wait_end,
    progress,
    update,
)
from taskorch.domain.item import Lease, State
from taskorch_orchestrator.mirror.file_times import moment_of
from taskorch_orchestrator.mirror.mirror import PassResult

pytestmark = pytest.mark.one_lane

FENCES = [
    "```json\n%s\n```",
    "```\n%s\n```\n",
    "\n``` JSON\r\n%s\r\n```",
    "\ufeff```json\n%s```",
]


@pytest.fixture
def item(root: Root) -> str:
    return handed_over(root)


def given_up(root: Root, monkeypatch: pytest.MonkeyPatch) -> PassResult:
    """Do a pass that sees the files, and one that does not wait for the rest of them any more."""
    root.sync()
    let_wait_end(monkeypatch)
    return root.sync()


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize("fence", FENCES)
def test_completion_in_a_code_fence_is_taken(root: Root, item: str, fence: str) -> None:
    document = json.dumps(completion(item, "done"), indent=2)
    root.file(item, "completion").write_text(fence % document, encoding="utf-8")

    done = root.sync()

    assert (root.bench.state(item), done.troubles) == (State.COMPLETED, {})
    assert root.document(item, "completion") == completion(item, "done")


@pytest.mark.parametrize(
    ("kind", "document"), [("progress", progress), ("discoveries", discovery)]
)
def test_report_in_a_code_fence_is_taken(
    root: Root, item: str, kind: str, document: Any
) -> None:
    content = (
        document(item, update("begun"))
        if kind == "progress"
        else [document(item, "found")]
    )
    root.file(item, kind).write_text(
        f"```json\n{json.dumps(content)}\n```", encoding="utf-8"
    )

    done = root.sync()

    assert (root.history(item) or root.found(item), done.troubles) in (
        ([("progress", "begun")], {}),
        (["found"], {}),
    )


@pytest.mark.parametrize(
    "written", [1_767_323_045, 1_767_323_045.5, 1_767_323_045_678, "1767323045678"]
)
def test_completion_with_a_numeric_time_is_taken(
    root: Root, item: str, written: object
) -> None:
    root.put(item, "completion", {**completion(item, "done"), "completed_at": written})

    done = root.sync()

    shown = root.bench.queue.views.show(item).item
    assert (shown.state, shown.completed_at // 1000, done.troubles) == (
        State.COMPLETED,
        1_767_323_045,
        {},
    )
    assert root.document(item, "completion")["completed_at"] == written
    assert root.sync(full=True).imported == 0


def test_reports_with_numeric_times_are_taken_once(root: Root, item: str) -> None:
    root.put(item, "progress", progress(item, update("begun", at=1_767_323_045)))  # type: ignore[arg-type]
    root.put(
        item,
        "discoveries",
        [{**discovery(item, "found"), "timestamp": 1_767_323_045_678}],
    )

    done, again = root.sync(), root.sync(full=True)

    assert (root.history(item), root.found(item)) == (
        [("progress", "begun")],
        ["found"],
    )
    assert (done.troubles, again.imported) == ({}, 0)


@pytest.mark.parametrize("text", ["2026-01-02T03:04:05", "20260102T030405", "20260102"])
def test_iso_time_is_not_taken_for_a_number(text: str) -> None:
    assert moment_of(text) // 86_400_000 in (
        moment_of("2026-01-02") // 86_400_000,
        moment_of("2026-01-02T03:04:05") // 86_400_000,
    )


def test_completion_without_an_agent_is_named_until_its_copy_is_removed(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", without(completion(item, "done"), "agent_id"))

    done = given_up(root, monkeypatch)
    later = root.sync(full=True)
    (copy,) = root.hidden()
    (root.handoffs / copy).unlink()
    at_last = root.sync()

    assert root.bench.state(item) is State.QUEUED
    assert done.troubles == {
        copy: f"{item}_completion.json is not valid (it has no agent_id). "
        "None of it was imported: the agent has to write it again. "
        "This is a copy of the whole file: remove it when you have seen it."
    }
    assert (later.troubles, at_last.troubles) == (done.troubles, {})


def test_completion_with_invalid_deliverables_is_taken_without_them(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", {**completion(item, "done"), "deliverables": ["a.md"]})

    done = given_up(root, monkeypatch)

    shown = root.bench.queue.views.show(item).item
    (trouble,) = done.troubles.values()
    assert (shown.state, shown.summary, shown.deliverables) == (
        State.COMPLETED,
        "done",
        {},
    )
    assert "is not valid (its deliverables is not valid: " in trouble
    assert "Only the valid part was imported: 1 report." in trouble


def test_completion_of_another_item_is_not_taken(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", completion("item_00000000", "done"))

    done = given_up(root, monkeypatch)

    (trouble,) = done.troubles.values()
    assert root.bench.state(item) is State.QUEUED
    assert "(its item_id is 'item_00000000'). None of it was imported: " in trouble


def test_entry_without_an_agent_says_what_it_lacks(root: Root, item: str) -> None:
    root.put(item, "discoveries", [without(discovery(item, "found"), "agent_id")])

    done = root.sync()

    assert list(done.troubles.values()) == [
        "The report without a time was not imported: it has no agent_id"
    ]


def test_copy_is_named_after_the_memory_is_lost(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", without(completion(item, "done"), "agent_id"))
    given_up(root, monkeypatch)

    (root.home / "sync" / "state.db").unlink()
    done = root.sync()

    (trouble,) = done.troubles.values()
    assert "was imported" not in trouble
    assert trouble.endswith("remove it when you have seen it.")


def test_requeue_of_what_a_command_delivered_leaves_no_copy(
    root: Root, item: str
) -> None:
    root.bench.agent().complete(
        Lease(item=item), "done", deliverables={"report": "a.md"}
    )
    root.sync()

    root.bench.queue.requeue(item)
    done = root.sync()

    assert (root.hidden(), done.troubles) == ([], {})
    assert not root.file(item, "completion").exists()


def test_requeue_keeps_a_copy_of_what_a_worker_wrote(root: Root, item: str) -> None:
    root.put(item, "completion", completion(item, "done"))
    root.sync()

    root.bench.queue.requeue(item)
    done = root.sync()

    (copy,) = root.hidden()
    assert (
        f"{item}_completion.json was replaced: {item} has another completion, or none."
        in done.troubles[copy]
    )


def test_report_with_line_ends_of_windows_is_taken_once(root: Root, item: str) -> None:
    later = "2026-01-02T03:04:06.000001"
    filed = [update("\ufeffone\r\ntwo"), update("⚠️ Blocked: Which\r\none?", at=later)]
    root.put(item, "progress", progress(item, *filed))
    root.put(
        item,
        "discoveries",
        [discovery(item, "BLOCKER: Which\r\none?", "Needs: a\r\nword")],
    )

    root.sync()
    again = root.sync(full=True)
    (root.home / "sync" / "state.db").unlink()
    at_last = root.sync()

    assert sorted(root.history(item)) == [
        ("blocker", "Which\none?"),
        ("progress", "one\ntwo"),
    ]
    assert root.document(item, "progress")["updates"] == filed
    assert (again.imported, at_last.imported, at_last.troubles) == (0, 0, {})


def test_report_with_a_nul_is_named_and_the_others_are_taken(
    root: Root, item: str
) -> None:
    root.put(item, "progress", progress(item, update("a\0b"), update("fine")))

    done = root.sync()

    assert root.history(item) == [("progress", "fine")]
    (trouble,) = done.troubles.values()
    assert trouble.endswith(
        "was not imported: There is a NUL character in the report. Remove it: text cannot have one."
    )
