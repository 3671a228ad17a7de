"""What `gh issue list --json` prints becomes items."""

import json
from io import BytesIO

from support.builders import Bench
from support.imported_items import dependencies, items
from taskorch_orchestrator.trackers.tracker_import import (
    Destination,
    ImportedFile,
    import_file,
)

URL = "https://github.example/team/shop/issues/"
ISSUES = [
    {
        "number": 7,
        "title": "Pay by card",
        "body": "Some text.\n\nBlocked by #3, #4 and #5. See #9.",
        "state": "OPEN",
        "labels": [{"name": "P1", "color": "ff0000"}, {"name": "area: api"}],
        "assignees": [{"login": "ada"}],
        "milestone": {"title": "Spring"},
        "url": f"{URL}7",
        "comments": [{"body": "me too"}],
        "author": {"login": "bob"},
    },
    {
        "number": 3,
        "title": "Add up",
        "body": "",
        "state": "OPEN",
        "labels": [],
    },
    {
        "number": 4,
        "title": "Choose",
        "state": "CLOSED",
        "stateReason": "COMPLETED",
    },
    {
        "number": 5,
        "title": "Not this",
        "state": "CLOSED",
        "stateReason": "NOT_PLANNED",
    },
    {
        "number": 8,
        "title": "Print bills",
        "labels": [{"name": "priority: high"}],
        "blockedBy": {"nodes": [{"number": 7}]},
        "parent": {"number": 9},
    },
    {"number": 9, "title": "Open the shop"},
]


def imported(bench: Bench, issues: object) -> ImportedFile:
    file = BytesIO(json.dumps(issues).encode())
    return import_file(file, bench.queue, Destination(title="folder"))


def test_open_issues_become_items(bench: Bench) -> None:
    result = imported(bench, ISSUES)

    (project,) = result.projects
    waits = dependencies(items(bench, project.id))
    assert project.title == "team/shop"
    assert waits == {
        "Add up": set(),
        "Pay by card": {"Add up"},
        "Print bills": {"Pay by card"},
        "Open the shop": {"Print bills"},
    }
    assert (result.done, result.cancelled) == (1, 1)


def test_issue_fields_become_item_fields(bench: Bench) -> None:
    result = imported(bench, ISSUES)

    found = items(bench, result.projects[0].id)
    item = found["Pay by card"]
    assert item.labels == ("P1", "area:api")
    assert (item.priority, found["Print bills"].priority) == (1, 1)
    assert item.context == {"assignees": "ada", "milestone": "Spring"}
    assert item.resources == (f"{URL}7",)
    assert result.left_out == {"comments": 1}


def test_issue_without_optional_fields_is_open(bench: Bench) -> None:
    result = imported(bench, [{"number": 1, "title": "Only a title"}])

    assert result.projects[0].title == "folder"
    assert list(items(bench, result.projects[0].id)) == ["Only a title"]
