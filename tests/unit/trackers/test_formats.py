"""A file is recognised by its content; a cut, foreign or huge one writes nothing."""

import json
from io import BytesIO

import pytest
from support.builders import Bench
from taskorch.domain import errors, limits
from taskorch_orchestrator.trackers import formats, tracker_import
from taskorch_orchestrator.trackers.formats import Format
from taskorch_orchestrator.trackers.tracker_import import (
    Destination,
    ImportedFile,
    import_file,
)

ISSUE = '{"id":"x-1","title":"One","status":"open","priority":2}'


def imported(
    bench: Bench, data: str | bytes, wanted: Format | None = None
) -> ImportedFile:
    file = BytesIO(data if isinstance(data, bytes) else data.encode())
    return import_file(
        file, bench.queue, Destination(title="folder"), wanted=wanted
    )


def refused(
    bench: Bench, data: str | bytes, wanted: Format | None = None
) -> str:
    with pytest.raises(errors.Invalid) as refusal:
        imported(bench, data, wanted)
    assert bench.queue.views.projects() == ()
    return str(refusal.value)


@pytest.mark.one_lane
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (ISSUE, Format.BEADS),
        (f"{ISSUE}\r\n\n", Format.BEADS),
        (f"\ufeff{ISSUE}\n{ISSUE.replace('x-1', 'x-2')}\n", Format.BEADS),
        ('[{"number":1,"title":"One"}]', Format.GITHUB),
        ('{"tasks":[{"id":1,"title":"One"}]}', Format.TASK_MASTER),
        ('{"tag":{"tasks":[{"id":1,"title":"One"}]}}', Format.TASK_MASTER),
    ],
)
def test_content_says_the_format(
    bench: Bench, data: str, expected: Format
) -> None:
    assert imported(bench, data).format is expected


def test_refused_item_of_a_later_project_writes_nothing(bench: Bench) -> None:
    data = (
        '{"a":{"tasks":[{"id":1,"title":"One"}]},'
        '"b":{"tasks":[{"id":"1\\u0000","title":"Two"}]}}'
    )

    assert "NUL character in the key" in refused(bench, data)


@pytest.mark.one_lane
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "it is empty"),
        (" \n", "it is empty"),
        ("project: P\nitems: []\n", "it is not JSON"),
        ('{"tasks":[{"id":1,', "it is not JSON"),
        (f"{ISSUE}\n" + ISSUE[:20], "line 2 is not JSON: is the file cut?"),
        (b"\xff\xfe", "line 1 is not UTF-8 text"),
        ('{"name": "x", "version": "1"}', "it is neither an export"),
        ("[1, 2]", "it is neither an export"),
        ("3", "it is neither an export"),
        ('{"a":1}\n{"b":2}\n', "it is neither an export"),
        ("[" * 100_000, "nested too deeply"),
        ('{"tasks":[{"title":"One"}]}', "master.tasks[0]: has no id"),
        ('{"tasks":[{"id":1}]}', "master.tasks[0]: has no title"),
        ('{"tasks":[{"id":1,"title":2}]}', "title is not text"),
        ('{"tasks":[1]}', "master.tasks[0]: is not an object"),
        (
            '{"tasks":[{"id":1,"title":"A"},{"id":"1","title":"B"}]}',
            "'1' is used twice",
        ),
        (
            (
                '{"tasks":[{"id":1,"title":"A","dependencies":[2]},'
                '{"id":2,"title":"B","dependencies":[1]}]}'
            ),
            "has a circular dependency: 1 needs 2 needs 1",
        ),
        ('[{"number":0,"title":"A"}]', "[0]: has no number"),
        (ISSUE.replace(":2", ":7"), "line 1: priority 7 is not 0 to 4"),
    ],
)
def test_unusable_file_writes_nothing(
    bench: Bench, data: str | bytes, reason: str
) -> None:
    message = refused(bench, data)

    assert reason in message
    assert "Nothing was written" in message


@pytest.mark.one_lane
def test_wanted_format_must_fit(bench: Bench) -> None:
    message = refused(bench, ISSUE, Format.GITHUB)

    assert "its content is not of the format github" in message


@pytest.mark.one_lane
def test_huge_file_is_refused(bench: Bench) -> None:
    data = b"[" + b" " * formats.FILE_BYTES + b"]"

    assert "longer than 67108864 bytes" in refused(bench, data)


@pytest.mark.one_lane
def test_too_many_items_are_refused(bench: Bench) -> None:
    count = tracker_import.MOST_ITEMS + 1
    tasks = [{"id": number, "title": "A"} for number in range(1, count + 1)]

    message = refused(bench, json.dumps({"tasks": tasks}))

    assert "The file has 10001 open items" in message


@pytest.mark.one_lane
def test_texts_that_are_too_long_are_cut(bench: Bench) -> None:
    task = {"id": 1, "title": "é" * 600, "description": "x" * 70_000 + "\0"}

    result = imported(bench, json.dumps({"tasks": [task]}))

    (item,) = bench.queue.views.progress(result.projects[0].id).items
    assert item.title == "é" * limits.TITLE_CHARACTERS
    assert result.remarks == (
        "master.tasks[0]: description is cut to 65536 bytes.",
        "master.tasks[0]: title is cut to 500 characters.",
    )


def test_large_import_is_resumed_by_key(bench: Bench) -> None:
    last = {"id": 200, "title": "Last", "dependencies": list(range(1, 200))}
    tasks = [{"id": number, "title": f"T{number}"} for number in range(1, 200)]
    part = imported(bench, json.dumps({"tasks": tasks[:70]}))

    whole = imported(bench, json.dumps({"tasks": [last, *tasks]}))

    (first,), (second,) = part.projects, whole.projects
    assert (first.id, first.created) == (second.id, 70)
    assert (second.created, second.existing) == (130, 70)
    found = bench.queue.views.progress(second.id).items
    assert len(found) == 200
    (final,) = [each for each in found if each.title == "Last"]
    assert len(bench.queue.views.show(final.id).item.depends_on) == 199
