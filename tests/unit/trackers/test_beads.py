"""The issues.jsonl of beads becomes items."""

import json
from io import BytesIO

from support.builders import Bench
from support.imported_items import dependencies, items
from taskorch_orchestrator.trackers.tracker_import import (
    Destination,
    ImportedFile,
    import_file,
)


def issue(id_: str, title: str, **fields: object) -> dict[str, object]:
    return {
        "id": id_,
        "title": title,
        "status": "open",
        "priority": 2,
        "issue_type": "task",
        "created_at": "2026-01-01T00:00:00Z",
        **fields,
    }


def link(target: str, kind: str = "blocks") -> dict[str, str]:
    return {"depends_on_id": target, "type": kind, "created_by": "someone"}


ISSUES: list[dict[str, object]] = [
    issue("shop-1", "Sell things", issue_type="epic"),
    issue(
        "shop-1.1",
        "Basket",
        dependencies=[link("shop-1", "parent-child"), link("shop-3")],
    ),
    issue(
        "shop-1.2",
        "Till",
        description="It adds up",
        design="With cents",
        acceptance_criteria="Sums are right",
        labels=["good first issue"],
        issue_type="bug",
        assignee="ada",
        external_ref="gh-9",
        estimated_minutes=30,
        dependencies=[
            link("shop-1", "parent-child"),
            link("shop-1.1"),
            link("shop-4", "related"),
        ],
    ),
    issue("shop-3", "Choose a currency", status="closed"),
    issue("shop-4", "Pay", status="in_progress"),
    issue("shop-5", "Gone", status="tombstone"),
    {"_type": "memory", "key": "a", "value": "b"},
]


def imported(bench: Bench, *issues: dict[str, object]) -> ImportedFile:
    lines = "\n".join(json.dumps(each) for each in issues)
    return import_file(
        BytesIO(lines.encode()), bench.queue, Destination(title="folder")
    )


def test_open_issues_become_items(bench: Bench) -> None:
    result = imported(bench, *ISSUES)

    (project,) = result.projects
    waits = dependencies(items(bench, project.id))
    assert project.title == "shop"
    assert waits == {
        "Basket": set(),
        "Till": {"Basket"},
        "Sell things": {"Basket", "Till"},
        "Pay": set(),
    }
    assert (result.done, result.cancelled) == (1, 1)


def test_issue_fields_become_item_fields(bench: Bench) -> None:
    result = imported(bench, *ISSUES)

    item = items(bench, result.projects[0].id)["Till"]
    assert item.description == "It adds up\n\nDesign:\nWith cents"
    assert item.criteria == ("Sums are right",)
    assert item.labels == ("good-first-issue", "bug")
    assert item.context == {"assignee": "ada"}
    assert item.resources == ("gh-9",)


def test_what_has_no_place_is_reported(bench: Bench) -> None:
    result = imported(bench, *ISSUES)

    assert result.left_out == {
        "links of the kind related": 1,
        "estimated_minutes": 1,
        "the state in_progress": 1,
        "records that are no issues": 1,
    }
    assert result.remarks == (
        "line 3: the label 'good first issue' became 'good-first-issue'.",
    )


def test_missing_priority_is_most_urgent(bench: Bench) -> None:
    urgent = issue("x-1", "Now")
    del urgent["priority"]

    result = imported(bench, urgent)

    assert items(bench, result.projects[0].id)["Now"].priority == 0


def test_parent_that_blocks_its_child_is_no_circle(bench: Bench) -> None:
    result = imported(
        bench,
        issue("x-1", "Parent"),
        issue(
            "x-2",
            "Child",
            dependencies=[link("x-1", "parent-child"), link("x-1")],
        ),
    )

    found = items(bench, result.projects[0].id)
    assert found["Child"].depends_on == (found["Parent"].id,)
    assert result.left_out == {"links that would close a circle": 1}
