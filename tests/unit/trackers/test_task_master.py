"""The tasks.json of claude-task-master becomes items."""

import json
from io import BytesIO

from support.builders import Bench
from taskorch.domain.item import Item
from taskorch_orchestrator.trackers.tracker_import import (
    Destination,
    ImportedFile,
    import_file,
)

TASKS = [
    {
        "id": 1,
        "title": "Choose a database",
        "status": "done",
        "dependencies": [],
    },
    {
        "id": 2,
        "title": "Write the schema",
        "description": "All tables",
        "details": "With keys",
        "testStrategy": "Run the migration",
        "status": "in-progress",
        "priority": "high",
        "dependencies": [1],
        "subtasks": [
            {"id": 1, "title": "Users", "status": "done", "dependencies": []},
            {
                "id": 2,
                "title": "Orders",
                "status": "pending",
                "dependencies": [1],
            },
            {
                "id": "2.3",
                "title": "Bills",
                "status": "pending",
                "dependencies": [2, "1"],
            },
        ],
    },
    {
        "id": "3",
        "title": "Write the API",
        "status": "pending",
        "priority": "low",
        "dependencies": [2, "2.2", 9],
        "estimate": "3 days",
    },
    {"id": 4, "title": "Old idea", "status": "cancelled", "dependencies": [3]},
    {"id": 5, "title": "Ship it", "status": "deferred", "dependencies": [4]},
]


def imported(bench: Bench, document: object, **options: bool) -> ImportedFile:
    file = BytesIO(json.dumps(document).encode())
    return import_file(
        file,
        bench.queue,
        Destination(title="shop"),
        **options,  # type: ignore[arg-type]
    )


def items(bench: Bench, project: str) -> dict[str, Item]:
    """Return the items of a project by title."""
    found = bench.queue.views.progress(project).items
    return {each.title: bench.queue.views.show(each.id).item for each in found}


def waits(found: dict[str, Item]) -> dict[str, set[str]]:
    """Return the titles of what each item depends on."""
    titles = {item.id: title for title, item in found.items()}
    return {
        title: {titles[each] for each in item.depends_on}
        for title, item in found.items()
    }


def test_open_tasks_become_items(bench: Bench) -> None:
    result = imported(bench, {"tasks": TASKS})

    (project,) = result.projects
    assert (project.title, project.created, project.existing) == ("shop", 5, 0)
    assert (result.done, result.cancelled) == (2, 1)
    assert waits(items(bench, project.id)) == {
        "Orders": set(),
        "Bills": {"Orders"},
        "Write the schema": {"Orders", "Bills"},
        "Write the API": {"Write the schema", "Orders"},
        "Ship it": set(),
    }


def test_task_fields_become_item_fields(bench: Bench) -> None:
    result = imported(bench, {"tasks": TASKS})

    item = items(bench, result.projects[0].id)["Write the schema"]
    assert item.description == "All tables\n\nDetails:\nWith keys"
    assert item.criteria == ("Run the migration",)
    assert (item.priority, item.agent) == (1, "")


def test_what_has_no_place_is_reported(bench: Bench) -> None:
    result = imported(bench, {"tasks": TASKS})

    assert result.left_out == {
        "the state in-progress": 1,
        "estimate": 1,
        "the state deferred": 1,
        "links to what is not in the file": 1,
    }


def test_second_import_creates_nothing(bench: Bench) -> None:
    first = imported(bench, {"tasks": TASKS})

    again = imported(bench, {"tasks": TASKS})

    assert again.projects[0].id == first.projects[0].id
    assert (again.projects[0].created, again.projects[0].existing) == (0, 5)


def test_each_tag_becomes_project(bench: Bench) -> None:
    one = {"tasks": [{"id": 1, "title": "One", "dependencies": []}]}
    result = imported(
        bench,
        {
            "master": {**one, "metadata": {"created": "now"}},
            "next": one,
            "over": {"tasks": []},
        },
    )

    assert [each.title for each in result.projects] == ["shop", "shop: next"]
    assert result.left_out == {}


def test_dry_run_writes_nothing(bench: Bench) -> None:
    result = imported(bench, {"tasks": TASKS}, dry_run=True)

    assert (result.projects[0].id, result.projects[0].created) == ("", 5)
    assert bench.queue.views.projects() == ()
