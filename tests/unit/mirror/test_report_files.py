"""The bytes of report files: the JSON that file-based workers write."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import cast

import pytest
from taskorch.domain.mirror_record import MirrorRecord
from taskorch_orchestrator.mirror import report_files
from taskorch_orchestrator.mirror.file_entry import FileEntry
from taskorch_orchestrator.mirror.torn_json import Json

DOCUMENTS: tuple[Json, ...] = (
    {"timestamp": "t", "message": "two\nlines, ü", "percentage": None},
    {"nested": {"a": [1, {"b": []}], "empty": {}}},
    5,
    [],
    "\ntext",
)
RECORD = cast(
    MirrorRecord,
    SimpleNamespace(item=SimpleNamespace(id="item_1", agent="ada")),
)
KINDS = ("progress", "discoveries")


def entry(document: Json) -> FileEntry:
    return FileEntry(
        item="item_1",
        verb="odd",
        agent="",
        written_at="",
        text="",
        document=document,
    )


def expected(kind: str, documents: Sequence[Json]) -> bytes:
    """Return a whole file as a file-based worker writes it."""
    content: Json = list(documents)
    if kind == "progress":
        content = {"item_id": "item_1", "agent_id": "bob", "updates": content}
    return json.dumps(content, indent=2).encode()


def written(kind: str, entries: Sequence[FileEntry]) -> bytes:
    header: dict[str, Json] = {"agent_id": "bob"}
    return b"".join(report_files.parts(kind, RECORD, header, entries))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(len(DOCUMENTS) + 1))
def test_parts_are_the_json_of_all_entries(kind: str, number: int) -> None:
    entries = [entry(document) for document in DOCUMENTS[:number]]

    data = written(kind, entries)

    assert data == expected(kind, DOCUMENTS[:number])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", range(1, len(DOCUMENTS)))
def test_addition_continues_the_json(kind: str, number: int) -> None:
    entries = [entry(document) for document in DOCUMENTS]

    first = written(kind, entries[:number])
    addition = report_files.addition(kind, entries[number:])

    assert first.endswith(addition.closing)
    whole = first.removesuffix(addition.closing) + addition.data
    assert whole == expected(kind, DOCUMENTS)
