"""Redis to files: reports in the legacy form, as a union with those of the files."""

import json

import pytest
import yaml
from support.mirrors import (
    Root,
    completion,
    discovery,
    progress,
    reported_item,
    update,
)
from taskorch.domain.item import Lease, State
from taskorch_orchestrator.mirror.file_times import local_time


def test_comment_of_holder_is_an_update(
    root: Root,
) -> None:
    lease = root.bench.claimed()
    root.bench.agent().comment(lease, "Two tables are empty")

    root.sync()
    root.sync()

    (update,) = root.document(lease.item, "progress")["updates"]
    (report,) = root.bench.queue.views.show(lease.item).history
    assert update["message"] == "Comment: Two tables are empty"
    assert report.kind == "agent_comment"


def test_reports_are_written_in_the_legacy_form(root: Root) -> None:
    item = reported_item(root)
    record = root.bench.queue.views.records([item])[0]

    root.sync()

    document = root.document(item, "progress")
    updates = document.pop("updates")
    assert document == {"item_id": item, "agent_id": "ada"}
    assert [(each["message"], each["percentage"]) for each in updates] == [
        ("begun", 10),
        ("⚠️ Blocked: Which one?", None),
        ("Answer to question 1: This one.", None),
        ("⚠️ Blocked: And now?", None),
        ("Answer to question 2: Go on.", None),
        ("⚠️ Blocked: Which key?", None),
        ("Question 3 is withdrawn.", None),
        ("✅ Work completed", 100),
    ]
    assert (
        updates[0]["timestamp"][:23] == local_time(record.reports[0].at)[:23]
    )
    assert all(
        list(each) == ["timestamp", "message", "percentage"]
        for each in updates
    )
    found = root.document(item, "discoveries")
    assert [
        (each["agent_id"], each["discovery"], each["impact"], each["item_id"])
        for each in found
    ] == [
        ("ada", "It leaks.", "high", item),
        ("ada", "It stinks.", None, item),
        ("ada", "BLOCKER: Which one?", "Needs: a word", item),
        ("ada", "BLOCKER: And now?", "Blocking progress", item),
        ("ada", "BLOCKER: Which key?", "Blocking progress", item),
    ]
    assert root.document(item, "completion") == {
        "item_id": item,
        "agent_id": "ada",
        "completed_at": local_time(record.item.completed_at),
        "summary": "All of it.",
        "deliverables": {"report": "a.md"},
        "final_status": "completed",
    }


def test_reports_by_command_are_not_imported_back(root: Root) -> None:
    item = reported_item(root)
    before = root.history(item), root.discoveries(item)

    root.sync()
    second = root.sync(full=True)

    assert (root.history(item), root.discoveries(item)) == before
    assert (second.written, second.imported) == (0, 0)


@pytest.mark.parametrize(
    "text", ["✅ Work completed", "⚠️ Blocked: Which one?", "Answer: x"]
)
def test_progress_that_looks_like_a_repeat_stays_progress(
    root: Root, text: str
) -> None:
    item = root.bench.item()
    root.bench.agent().progress(Lease(item=item), text, percent=50)

    first, second = root.sync(), root.sync(full=True)

    assert (first.again, second.again) == (False, False)
    assert root.history(item) == [("progress", text)]
    assert root.updates(item) == [text]


@pytest.mark.parametrize("text", ["BLOCKER: Which one?", "BLOCKER: "])
def test_discovery_that_looks_like_a_blocker_blocks_nothing(
    root: Root, text: str
) -> None:
    item = root.bench.item()
    root.bench.agent().discover(
        Lease(item=item), text, impact="Blocking progress"
    )

    root.sync()
    root.sync(full=True)

    assert root.discoveries(item) == [text]
    assert root.history(item) == []
    assert root.bench.state(item) is State.IN_PROGRESS


def test_file_is_union_of_both_sides(root: Root) -> None:
    item = root.bench.item()
    root.sync()
    odd = {
        **update("with more", at="2026-01-02T03:04:07.000001"),
        "mood": "good",
    }
    root.put(
        item,
        "progress",
        {**progress(item, update("by a file"), odd), "head": 1},
    )
    root.put(
        item, "discoveries", [{**discovery(item, "by a file"), "more": [1]}]
    )
    root.sync()
    record = root.bench.queue.views.records([item])[0]

    me = root.bench.agent(session=record.session)
    me.progress(root.bench.lease_of(item), "by a command")
    me.discover(root.bench.lease_of(item), "by a command")
    root.sync()

    assert root.document(item, "progress")["head"] == 1
    assert root.document(item, "progress")["updates"][1] == odd
    assert root.document(item, "discoveries")[0]["more"] == [1]
    assert root.updates(item) == ["by a file", "with more", "by a command"]
    assert [
        found["discovery"] for found in root.document(item, "discoveries")
    ] == [
        "by a file",
        "by a command",
    ]


def test_reports_of_one_millisecond_are_all_written(root: Root) -> None:
    lease, me = root.bench.claimed(), root.bench.agent()

    for _ in range(30):
        me.progress(lease, "tick")
        me.discover(lease, "tock")
    root.sync()
    root.sync(full=True)

    assert root.updates(lease.item) == ["tick"] * 30
    assert len(root.document(lease.item, "discoveries")) == 30
    assert len(root.reports(lease.item)) == 30


def test_completion_of_redis_replaces_other_and_keeps_copy(
    root: Root,
) -> None:
    item = root.bench.item()
    root.bench.agent().complete(Lease(item=item), "by a command")
    root.handoffs.mkdir(parents=True)
    root.put(
        item, "completion", completion(item, "by a stranger", agent="carl")
    )

    root.sync()

    (kept,) = [name for name in root.hidden_files() if name.endswith(".kept")]
    assert root.document(item, "completion")["summary"] == "by a command"
    assert (
        json.loads((root.handoffs / kept).read_bytes())["summary"]
        == "by a stranger"
    )


def test_project_has_context_file(root: Root) -> None:
    project = root.bench.queue.project("Größe", description="two\nlines")

    root.sync()

    text = (root.handoffs / f"{project}_context.yaml").read_text(
        encoding="utf-8"
    )
    created = local_time(
        root.bench.queue.views.progress(project).project.created_at
    )
    assert yaml.safe_load(text) == {
        "coordination_points": [],
        "created": created,
        "description": "two\nlines",
        "global_requirements": [],
        "orchestrator": "planner",
        "project_id": project,
        "shared_resources": [],
        "title": "Größe",
    }
    assert list(yaml.safe_load(text)) == sorted(yaml.safe_load(text))
