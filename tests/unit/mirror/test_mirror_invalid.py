"""Report files with invalid content: the valid part is imported, the rest reported."""

import json
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
    return published_item(root)


def synced_after_wait(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> PassResult:
    """Make a pass that sees the files, and one after the wait for the rest of them."""
    root.sync()
    skip_wait(monkeypatch)
    return root.sync()


def without(document: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key != name}


@pytest.mark.parametrize("fence", FENCES)
def test_completion_in_code_block_is_imported(
    root: Root, item: str, fence: str
) -> None:
    document = json.dumps(completion(item, "done"), indent=2)
    root.file(item, "completion").write_text(
        fence % document, encoding="utf-8"
    )

    result = root.sync()

    assert (root.bench.state(item), result.troubles) == (State.COMPLETED, {})
    assert root.document(item, "completion") == completion(item, "done")


@pytest.mark.parametrize(
    ("kind", "document"), [("progress", progress), ("discoveries", discovery)]
)
def test_report_in_code_block_is_imported(
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

    result = root.sync()

    assert (root.history(item) or root.discoveries(item), result.troubles) in (
        ([("progress", "begun")], {}),
        (["found"], {}),
    )


@pytest.mark.parametrize(
    "written",
    [1_767_323_045, 1_767_323_045.5, 1_767_323_045_678, "1767323045678"],
)
def test_completion_with_numeric_time_is_imported(
    root: Root, item: str, written: object
) -> None:
    root.put(
        item,
        "completion",
        {**completion(item, "done"), "completed_at": written},
    )

    result = root.sync()

    shown = root.bench.queue.views.show(item).item
    assert (shown.state, shown.completed_at // 1000, result.troubles) == (
        State.COMPLETED,
        1_767_323_045,
        {},
    )
    assert root.document(item, "completion")["completed_at"] == written
    assert root.sync(full=True).imported == 0


def test_reports_with_numeric_times_are_imported_once(
    root: Root, item: str
) -> None:
    begun = update("begun", at=1_767_323_045)  # type: ignore[arg-type]
    root.put(item, "progress", progress(item, begun))
    root.put(
        item,
        "discoveries",
        [{**discovery(item, "found"), "timestamp": 1_767_323_045_678}],
    )

    result, again = root.sync(), root.sync(full=True)

    assert (root.history(item), root.discoveries(item)) == (
        [("progress", "begun")],
        ["found"],
    )
    assert (result.troubles, again.imported) == ({}, 0)


@pytest.mark.parametrize(
    "text", ["2026-01-02T03:04:05", "20260102T030405", "20260102"]
)
def test_iso_time_is_not_read_as_number(text: str) -> None:
    assert moment_of(text) // 86_400_000 in (
        moment_of("2026-01-02") // 86_400_000,
        moment_of("2026-01-02T03:04:05") // 86_400_000,
    )


def test_completion_without_agent_is_reported_until_copy_removed(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", without(completion(item, "done"), "agent_id"))

    result = synced_after_wait(root, monkeypatch)
    later = root.sync(full=True)
    (copy,) = root.hidden_files()
    (root.handoffs / copy).unlink()
    at_last = root.sync()

    assert root.bench.state(item) is State.QUEUED
    assert result.troubles == {
        copy: f"{item}_completion.json is not valid (it has no agent_id). "
        "None of it was imported: the agent has to write it again. "
        "This is a copy of the whole file: remove it when you have seen it."
    }
    assert (later.troubles, at_last.troubles) == (result.troubles, {})


def test_too_large_completion_stops_no_other(root: Root, item: str) -> None:
    large = ["x" * 60_000] * 17
    root.bench.queue.assign(
        item, "ada", resources=[f"{n}" + x for n, x in enumerate(large)]
    )
    other = published_item(root)
    heavy = {"report": "x" * 60_000}
    root.put(
        item, "completion", {**completion(item, "done"), "deliverables": heavy}
    )
    root.put(other, "completion", completion(other, "done"))

    result = root.sync()
    again = root.sync()

    assert root.bench.state(item) is State.QUEUED
    assert root.bench.state(other) is State.COMPLETED
    (trouble,) = result.troubles.values()
    assert "was not imported" in trouble
    assert "at most 1048576 (1 MiB)" in trouble
    assert again.imported == 0


def test_completion_is_imported_without_invalid_deliverables(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(
        item,
        "completion",
        {**completion(item, "done"), "deliverables": ["a.md"]},
    )

    result = synced_after_wait(root, monkeypatch)

    shown = root.bench.queue.views.show(item).item
    (trouble,) = result.troubles.values()
    assert (shown.state, shown.summary, shown.deliverables) == (
        State.COMPLETED,
        "done",
        {},
    )
    assert "is not valid (its deliverables is not valid: " in trouble
    assert "Only the valid part was imported: 1 report." in trouble


def test_completion_of_other_item_is_not_imported(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", completion("item_00000000", "done"))

    result = synced_after_wait(root, monkeypatch)

    (trouble,) = result.troubles.values()
    assert root.bench.state(item) is State.QUEUED
    assert (
        "(its item_id is 'item_00000000'). None of it was imported: "
        in trouble
    )


def test_entry_without_agent_is_reported(root: Root, item: str) -> None:
    root.put(
        item, "discoveries", [without(discovery(item, "found"), "agent_id")]
    )

    result = root.sync()

    assert list(result.troubles.values()) == [
        "The report without a time was not imported: it has no agent_id"
    ]


def test_copy_is_reported_after_lost_memory(
    root: Root, item: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root.put(item, "completion", without(completion(item, "done"), "agent_id"))
    synced_after_wait(root, monkeypatch)

    (root.home / "sync" / "state.db").unlink()
    result = root.sync()

    (trouble,) = result.troubles.values()
    assert "was imported" not in trouble
    assert trouble.endswith("remove it when you have seen it.")


def test_requeue_after_completion_by_command_keeps_no_copy(
    root: Root, item: str
) -> None:
    root.bench.agent().complete(
        Lease(item=item), "done", deliverables={"report": "a.md"}
    )
    root.sync()

    root.bench.queue.requeue(item)
    result = root.sync()

    assert (root.hidden_files(), result.troubles) == ([], {})
    assert not root.file(item, "completion").exists()


def test_requeue_keeps_copy_of_file_completion(root: Root, item: str) -> None:
    root.put(item, "completion", completion(item, "done"))
    root.sync()

    root.bench.queue.requeue(item)
    result = root.sync()

    (copy,) = root.hidden_files()
    assert (
        f"{item}_completion.json was replaced: {item} has another completion, or none."
        in result.troubles[copy]
    )


def test_report_with_windows_newlines_is_imported_once(
    root: Root, item: str
) -> None:
    later = "2026-01-02T03:04:06.000001"
    filed = [
        update("\ufeffone\r\ntwo"),
        update("⚠️ Blocked: Which\r\none?", at=later),
    ]
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


def test_report_with_nul_does_not_block_others(root: Root, item: str) -> None:
    root.put(item, "progress", progress(item, update("a\0b"), update("fine")))

    result = root.sync()

    assert root.history(item) == [("progress", "fine")]
    (trouble,) = result.troubles.values()
    assert trouble.endswith(
        "was not imported: There is a NUL character in the report. Remove it."
    )
