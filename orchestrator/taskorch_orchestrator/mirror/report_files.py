"""The report files of an item: progress, discoveries and completion.

This module reads the form that file-based workers write, and writes the same form.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import cast

from taskorch.cli.text import counted
from taskorch.domain import limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import torn_json
from taskorch_orchestrator.mirror.file_append import Addition
from taskorch_orchestrator.mirror.file_entry import INVALID, REPEAT, FileEntry
from taskorch_orchestrator.mirror.file_models import (
    FiledCompletion,
    FiledDiscovery,
    FiledProgress,
    FiledUpdate,
    NotValid,
)
from taskorch_orchestrator.mirror.file_names import (
    COMPLETION,
    DISCOVERIES,
    PROGRESS,
)
from taskorch_orchestrator.mirror.file_times import local_time
from taskorch_orchestrator.mirror.torn_json import Json

#: Texts by which file-based workers mark a blocker, and repeat it or a completion.
BLOCKER, NEEDS, NO_NEEDS = "BLOCKER: ", "Needs: ", "Blocking progress"
BLOCKED, DONE = "⚠️ Blocked: ", "✅ Work completed"
#: The number of brackets around one entry of a file, or around a field of a completion.
_DEPTHS = {PROGRESS: 2, DISCOVERIES: 1, COMPLETION: 1}
#: The fields of an entry of a file. `final_status` is always the same.
_FIELDS = {
    PROGRESS: frozenset(FiledUpdate.model_fields),
    DISCOVERIES: frozenset(FiledDiscovery.model_fields),
    COMPLETION: frozenset((*FiledCompletion.model_fields, "final_status")),
}
#: How such a file ends, and how far its entries are indented.
_ENDS = {PROGRESS: ("\n  ]\n}", "    "), DISCOVERIES: ("\n]", "  ")}
#: Language models put JSON into a Markdown code block.
_CODE_BLOCK = re.compile(
    r"\s*```[ \t]*\w*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL
)
#: A completion may lack these. Without an agent, nothing says who completed the item.
_OPTIONAL = ("item_id", "completed_at", "summary", "deliverables")


class TornError(Exception):
    """The content is not valid.

    A worker is writing the file, died while writing it, or wrote something else.
    """


class ReportFile(Frozen):
    """The content of one report file."""

    #: A progress file without its updates.
    header: Mapping[str, Json] = {}
    entries: tuple[FileEntry, ...] = ()


def read(kind: str, item: str, data: bytes) -> ReportFile:
    """Read one of an item's files. Raises TornError if the content is not valid."""
    try:
        document: Json = json.loads(
            _without_code_block(data.decode("utf-8-sig"))
        )
    except (ValueError, RecursionError) as error:
        raise TornError(f"not JSON: {error}") from None
    return _report_file(kind, item, document)


def read_valid_part(
    kind: str, item: str, agent: str, data: bytes, at: int
) -> ReportFile:
    """Read the valid part of a torn file.

    `agent` and `at`, in ms since the epoch, replace what its head lacks. A completion
    that does not name its agent is not read.
    """
    text = _without_code_block(data.decode("utf-8-sig", errors="replace"))
    document = torn_json.longest_prefix(text, _DEPTHS[kind])
    fields = document if isinstance(document, dict) else {}
    if kind == PROGRESS:
        document = {
            "item_id": item,
            "agent_id": agent,
            "updates": [],
            **fields,
        }
    if kind == COMPLETION and "agent_id" in fields:
        document = {
            "item_id": item,
            "completed_at": local_time(at),
            "summary": "",
            "deliverables": {},
            **_valid_fields(fields),
        }
    try:
        return _report_file(kind, item, document)
    except TornError:
        return ReportFile()


def describe_import(part: ReportFile) -> str:
    """Return a sentence on what was imported of a file that is not valid."""
    reports = sum(entry.verb != INVALID for entry in part.entries)
    if not reports:
        return "None of it was imported: the agent has to write it again."
    return f"Only the valid part was imported: {counted(reports, 'report', 'reports')}."


def parts(
    kind: str,
    record: MirrorRecord,
    header: Mapping[str, Json],
    entries: Sequence[FileEntry],
) -> Iterator[bytes]:
    """Yield the content of a report file; `header` is that of a progress file.

    That is a part for each entry: an item can have megabytes of reports.
    """
    if kind == COMPLETION:
        yield _as_json(entries[0].document)
        return
    empty: Json = []
    if kind == PROGRESS:
        head = {"item_id": record.item.id, "agent_id": record.item.agent}
        empty = {**head, **header, "updates": []}
    without_entries = _as_json(empty)
    if not entries:
        yield without_entries
        return
    closing = _closing(kind)
    # An empty list is closed on its own line.
    yield without_entries[: -len(closing.lstrip())]
    for number, entry in enumerate(entries):
        yield (b"," if number else b"") + _indented(kind, entry)
    yield closing


def has_additions(
    kind: str, header: Mapping[str, Json], entries: Sequence[FileEntry]
) -> bool:
    """Return whether a report file has fields that are not stored in Redis."""
    if not header.keys() <= FiledProgress.model_fields.keys():
        return True
    documents = [entry.document for entry in entries]
    return any(
        isinstance(document, dict) and not document.keys() <= _FIELDS[kind]
        for document in documents
    )


def addition(kind: str, entries: Sequence[FileEntry]) -> Addition:
    """Return what appends entries to a progress or discoveries file that has some."""
    closing = _closing(kind)
    added = b"".join(b"," + _indented(kind, entry) for entry in entries)
    return Addition(closing=closing, data=added + closing)


def _closing(kind: str) -> bytes:
    """Return how a progress or discoveries file with entries ends."""
    return _ENDS[kind][0].encode()


def _indented(kind: str, entry: FileEntry) -> bytes:
    """Return an entry as it is in a file, with the line break before it."""
    _, indent = _ENDS[kind]
    text = "\n" + json.dumps(entry.document, indent=2)
    return text.replace("\n", f"\n{indent}").encode()


def update_entry(item: str, agent: str, document: Json) -> FileEntry:
    """Read an entry of a progress file."""
    try:
        update = FiledUpdate.read(document)
    except NotValid as error:
        return _invalid_entry(item, document, str(error))
    message = limits.normalised(update.message)
    repeats = message.startswith(BLOCKED) or message == DONE
    return FileEntry(
        item=item,
        verb=REPEAT if repeats else "progress",
        agent=agent,
        written_at=update.timestamp,
        text=message,
        percent=update.percentage,
        document=document,
    )


def discovery_entry(item: str, document: Json) -> FileEntry:
    """Read an entry of a discoveries file: a discovery or a blocker."""
    try:
        found = FiledDiscovery.read(document)
    except NotValid as error:
        return _invalid_entry(item, document, str(error))
    if found.item_id not in (None, item):
        return _invalid_entry(item, document, _wrong_item(found.item_id or ""))
    verb = "discover"
    text = limits.normalised(found.discovery)
    detail = limits.normalised(found.impact or "")
    if text.startswith(BLOCKER):
        verb = "blocker"
        text = text.removeprefix(BLOCKER)
        detail = "" if detail == NO_NEEDS else detail.removeprefix(NEEDS)
    return FileEntry(
        item=item,
        verb=verb,
        agent=found.agent_id,
        written_at=found.timestamp,
        text=text,
        detail=detail,
        document=document,
    )


def _without_code_block(text: str) -> str:
    block = _CODE_BLOCK.fullmatch(text)
    return block[1] if block else text


def _valid_fields(completion: Mapping[str, Json]) -> dict[str, Json]:
    """Return a torn completion without its optional fields that are not valid."""
    empty = {"item_id": "", "agent_id": "", "completed_at": ""}
    valid = {}
    for field, value in completion.items():
        try:
            if field in _OPTIONAL:
                FiledCompletion.read({**empty, field: value})
        except NotValid:
            continue
        valid[field] = value
    return valid


def _report_file(kind: str, item: str, document: Json) -> ReportFile:
    try:
        if kind == PROGRESS:
            return _progress_file(item, document)
        if kind == COMPLETION:
            return ReportFile(entries=(_completion_entry(item, document),))
    except NotValid as error:
        raise TornError(str(error)) from None
    if not isinstance(document, list):
        raise TornError("not a list of discoveries")
    return ReportFile(
        entries=tuple(discovery_entry(item, each) for each in document)
    )


def _progress_file(item: str, document: Json) -> ReportFile:
    progress = FiledProgress.read(document)
    header = dict(cast("dict[str, Json]", document))
    del header["updates"]
    updates = cast("list[Json]", progress.updates)
    entries = tuple(
        update_entry(item, progress.agent_id, each) for each in updates
    )
    return ReportFile(header=header, entries=entries)


def _completion_entry(item: str, document: Json) -> FileEntry:
    completion = FiledCompletion.read(document)
    if completion.item_id != item:
        raise TornError(_wrong_item(completion.item_id))
    deliverables = {}
    for deliverable, value in (completion.deliverables or {}).items():
        is_text = isinstance(value, str)
        deliverables[deliverable] = (
            str(value) if is_text else json.dumps(value, ensure_ascii=False)
        )
    return FileEntry(
        item=item,
        verb="complete",
        agent=completion.agent_id,
        written_at=completion.completed_at,
        text=limits.normalised(completion.summary or ""),
        deliverables=deliverables,
        document=document,
    )


def _invalid_entry(item: str, document: Json, reason: str) -> FileEntry:
    """Return an entry that is not a report; only its content identifies it."""
    return FileEntry(
        item=item,
        verb=INVALID,
        agent="",
        written_at="",
        text="",
        detail=reason,
        document=document,
    )


def _wrong_item(item: str) -> str:
    return f"its item_id is {limits.shortened(item)!r}"


def _as_json(document: Json) -> bytes:
    return json.dumps(document, indent=2).encode()
