"""The three files that agents report in: `{item}_progress.json`, `_discoveries.json` and `_completion.json`.

Each entry is read from the form that file-based workers write, and written in that form from what Redis holds.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import isnan
from typing import cast

from pydantic import ValidationError
from taskorch.cli.text import counted
from taskorch.domain import limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Discovery, Report, State
from taskorch.domain.mirror_record import MirrorRecord, Origin

from taskorch_orchestrator.mirror import torn_json
from taskorch_orchestrator.mirror.file_models import (
    FiledCompletion,
    FiledDiscovery,
    FiledProgress,
    FiledUpdate,
    local_time,
    moment_of,
)
from taskorch_orchestrator.mirror.torn_json import Json

PROGRESS, DISCOVERIES, COMPLETION = "progress", "discoveries", "completion"
KINDS = (PROGRESS, DISCOVERIES, COMPLETION)
#: Above so many brackets stand the entries of a file, or what a completion says.
DEPTHS = {PROGRESS: 2, DISCOVERIES: 1, COMPLETION: 1}
BLOCKER, NEEDS, NO_NEEDS = "BLOCKER: ", "Needs: ", "Blocking progress"
BLOCKED, DONE = "⚠️ Blocked: ", "✅ Work completed"
#: The seconds of a time, with their fraction: what a change of the zone leaves as it is.
SECONDS = -9


#: Models put JSON into a fence of Markdown.
_FENCED = re.compile(r"\s*```[ \t]*\w*[ \t]*\r?\n(.*?)\r?\n?[ \t]*```\s*", re.DOTALL)
#: What a completion may lack; without its agent, nobody says that the item is completed.
_OPTIONAL = ("item_id", "completed_at", "summary", "deliverables")


class TornError(Exception):
    """The text is not what such a file holds: a worker is writing it, died while writing, or wrote something else."""


class FileEntry(Frozen):
    """A report as it stands in a file."""

    item: str
    #: The verb that it stands for; "echo" for an update that only repeats a blocker or completion, "odd" for no report.
    verb: str
    agent: str
    written_at: str
    text: str
    percent: float | None = None
    #: A discovery's impact, a blocker's needs, or why it is no report.
    more: str = ""
    deliverables: Mapping[str, str] = {}
    #: What stands in the file.
    content: Json
    #: The request that made it, where it comes from Redis.
    request: str = ""

    @cached_property
    def key(self) -> str:
        """Return sixteen hex digits that stand for its content: what tells it from every other entry."""
        told = self.percent if self.verb in ("progress", "echo") else self.agent
        parts = [
            self.verb,
            self.item,
            self.written_at,
            self.text,
            told,
            self.content if self.verb == "odd" else None,
        ]
        return sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def match(self) -> tuple[object, ...]:
        """Return what an entry of Redis and the same one in a file have in common, in whatever zone each was made."""
        if self.verb == "echo":
            return (self.verb, self.text)
        return (self.verb, self.text, self.percent, self.written_at[SECONDS:])

    @property
    def done(self) -> int | None:
        """Return the percentage as Redis takes it."""
        return (
            None
            if self.percent is None or isnan(self.percent)
            else round(min(max(self.percent, 0), 100))
        )

    @cached_property
    def order(self) -> tuple[int, str, str]:
        """Return its place among the entries of a file."""
        return (
            moment_of(self.written_at),
            self.written_at,
            json.dumps(self.content, sort_keys=True),
        )

    @property
    def origin(self) -> Origin:
        """Return what marks the report that is made of it."""
        return Origin(
            request=self.key, written_at=self.written_at, at=moment_of(self.written_at)
        )


class ReportFile(Frozen):
    """One of the files, read."""

    #: All of a progress file but its updates.
    header: Mapping[str, Json] = {}
    entries: tuple[FileEntry, ...] = ()


def name(item: str, kind: str) -> str:
    """Return the name of one of an item's files."""
    return f"{item}_{kind}.json"


def read(kind: str, item: str, data: bytes) -> ReportFile:
    """Read one of an item's files, in a fence of Markdown or not; raises TornError for what is not such a file."""
    try:
        document: Json = json.loads(_unfenced(data.decode("utf-8-sig")))
    except (ValueError, RecursionError) as error:
        raise TornError(f"not JSON: {error}") from None
    return _content(kind, item, document)


def salvaged(kind: str, item: str, agent: str, data: bytes, at: int) -> ReportFile:
    """Read what is valid of a torn file; what is missing of its head is that of an item of `agent`, at a time in ms."""
    document = torn_json.prefix(
        _unfenced(data.decode("utf-8-sig", errors="replace")), DEPTHS[kind]
    )
    found = document if isinstance(document, dict) else {}
    if kind == PROGRESS:
        document = {"item_id": item, "agent_id": agent, "updates": [], **found}
    if kind == COMPLETION and "agent_id" in found:
        valid = {
            name: value
            for name, value in found.items()
            if name not in _OPTIONAL or _is_valid(name, value)
        }
        document = {
            "item_id": item,
            "completed_at": local_time(at),
            "summary": "",
            "deliverables": {},
            **valid,
        }
    try:
        return _content(kind, item, document)
    except TornError:
        return ReportFile()


def outcome(content: ReportFile) -> str:
    """Return, in a sentence, what was taken over of a file that is not valid."""
    taken = sum(entry.verb != "odd" for entry in content.entries)
    if not taken:
        return "Nothing of it was taken over: the agent has to write it again."
    return f"Only what is valid of it was taken over: {counted(taken, 'report', 'reports')}."


def from_redis(record: MirrorRecord) -> dict[str, tuple[FileEntry, ...]]:
    """Return the entries that Redis has for each of an item's files."""
    updates = [entry for report in record.reports for entry in _updates(record, report)]
    findings = [_finding(found) for found in record.discoveries]
    findings += [
        _blocker(record, report)
        for report in record.reports
        if report.kind == "blocker"
    ]
    delivery = next(
        (report for report in reversed(record.reports) if report.kind == "complete"),
        None,
    )
    done = (
        [_completion(record, delivery)] if record.item.state is State.COMPLETED else []
    )
    return {
        PROGRESS: tuple(updates),
        DISCOVERIES: tuple(findings),
        COMPLETION: tuple(done),
    }


def unknown(
    filed: Iterable[FileEntry], known: Iterable[FileEntry], requests: Iterable[str]
) -> Iterator[FileEntry]:
    """Yield the entries of a file that Redis does not have: by request, or by what they say."""
    there, made = Counter(entry.match for entry in known), set(requests)
    for entry in filed:
        if entry.key in made:
            continue
        if there[entry.match] > 0:
            there[entry.match] -= 1
        else:
            yield entry


def union(filed: Sequence[FileEntry], known: Sequence[FileEntry]) -> list[FileEntry]:
    """Return the entries of a file and those that it lacks, by time; nothing that stands there is dropped."""
    here = {entry.key for entry in filed}
    missing = unknown(
        [entry for entry in known if entry.request not in here], filed, ()
    )
    return sorted(
        {entry.key: entry for entry in [*filed, *missing]}.values(),
        key=lambda entry: entry.order,
    )


def written(
    kind: str,
    record: MirrorRecord,
    header: Mapping[str, Json],
    entries: Sequence[FileEntry],
) -> bytes:
    """Return what such a file holds."""
    listed: list[Json] = [entry.content for entry in entries]
    match kind:
        case "progress":
            head: dict[str, Json] = {
                "item_id": record.item.id,
                "agent_id": record.item.agent,
            }
            return dumped({**head, **header, "updates": listed})
        case "discoveries":
            return dumped(listed)
    return dumped(listed[0])


def dumped(document: Json) -> bytes:
    """Return JSON as all those files have it."""
    return json.dumps(document, indent=2).encode()


def _unfenced(text: str) -> str:
    """Return a text without the fence of Markdown around all of it, if there is one."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def _is_valid(name: str, value: Json) -> bool:
    """Return whether a completion may have this value."""
    try:
        FiledCompletion.model_validate(
            {"item_id": "", "agent_id": "", "completed_at": "", name: value}
        )
    except ValidationError:
        return False
    return True


def _content(kind: str, item: str, document: Json) -> ReportFile:
    try:
        if kind == PROGRESS:
            progress = FiledProgress.model_validate(document)
            header = {
                key: value
                for key, value in cast("dict[str, Json]", document).items()
                if key != "updates"
            }
            updates = cast("list[Json]", progress.updates)
            return ReportFile(
                header=header,
                entries=tuple(
                    _update(item, progress.agent_id, each) for each in updates
                ),
            )
        if kind == COMPLETION:
            completion = FiledCompletion.model_validate(document)
            if completion.item_id != item:
                raise TornError(
                    f"its item_id is {limits.shortened(completion.item_id)!r}"
                )
            return ReportFile(entries=(_delivery(item, completion, document),))
    except ValidationError as error:
        raise TornError(_reason(error)) from None
    if not isinstance(document, list):
        raise TornError("not a list of discoveries")
    return ReportFile(entries=tuple(_discovery(item, each) for each in document))


def _update(item: str, agent: str, content: Json) -> FileEntry:
    try:
        update = FiledUpdate.model_validate(content)
    except ValidationError as error:
        return _odd(item, content, _reason(error))
    message = limits.normalised(update.message)
    verb = "echo" if message.startswith(BLOCKED) or message == DONE else "progress"
    return FileEntry(
        item=item,
        verb=verb,
        agent=agent,
        written_at=update.timestamp,
        text=message,
        percent=update.percentage,
        content=content,
    )


def _discovery(item: str, content: Json) -> FileEntry:
    try:
        found = FiledDiscovery.model_validate(content)
    except ValidationError as error:
        return _odd(item, content, _reason(error))
    if found.item_id not in (None, item):
        return _odd(
            item, content, f"its item_id is {limits.shortened(found.item_id or '')!r}"
        )
    text, more = (
        limits.normalised(found.discovery),
        limits.normalised(found.impact or ""),
    )
    blocks = text.startswith(BLOCKER)
    return FileEntry(
        item=item,
        verb="blocker" if blocks else "discover",
        agent=found.agent_id,
        written_at=found.timestamp,
        text=text.removeprefix(BLOCKER) if blocks else text,
        more=("" if more == NO_NEEDS else more.removeprefix(NEEDS)) if blocks else more,
        content=content,
    )


def _delivery(item: str, found: FiledCompletion, content: Json) -> FileEntry:
    deliverables = {
        str(each): value
        if isinstance(value, str)
        else json.dumps(value, ensure_ascii=False)
        for each, value in (found.deliverables or {}).items()
    }
    return FileEntry(
        item=item,
        verb="complete",
        agent=found.agent_id,
        written_at=found.completed_at,
        text=limits.normalised(found.summary or ""),
        deliverables=deliverables,
        content=content,
    )


def _odd(item: str, content: Json, reason: str) -> FileEntry:
    """Return an entry that is no report; it is known by its content alone."""
    return FileEntry(
        item=item,
        verb="odd",
        agent="",
        written_at="",
        text="",
        more=reason,
        content=content,
    )


def _reason(error: ValidationError) -> str:
    """Return the first thing that is wrong with what a worker wrote."""
    first = error.errors(include_url=False, include_input=False)[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "missing":
        return f"it has no {where}"
    if not where:
        return "it is not a JSON object"
    return f"its {where} is not valid: {first['msg']}"


def _updates(record: MirrorRecord, report: Report) -> Iterator[FileEntry]:
    match report.kind:
        case "progress":
            yield _written_update(record, report, report.text, report.percent)
        case "answer":
            yield _written_update(record, report, f"Answer: {report.text}")
        case "fail":
            yield _written_update(record, report, f"Failed: {report.text}")
        case "blocker":
            yield replace(
                _written_update(record, report, BLOCKED + report.text), request=""
            )
        case "complete":
            yield replace(_written_update(record, report, DONE, 100), request="")


def _written_update(
    record: MirrorRecord, report: Report, text: str, percent: int | None = None
) -> FileEntry:
    """Return an update as it will be read again: some progress reports read like a blocker or a completion."""
    at = _time(report.written_at, report.at, report.id)
    content: Json = {"timestamp": at, "message": text, "percentage": percent}
    return replace(
        _update(record.item.id, report.agent, content), request=report.request
    )


def _finding(found: Discovery) -> FileEntry:
    at = _time(found.written_at, found.at, found.cursor)
    content: Json = {
        "timestamp": at,
        "agent_id": found.agent,
        "discovery": found.text,
        "impact": found.impact or None,
        "item_id": found.item,
    }
    return replace(_discovery(found.item, content), request=found.request)


def _blocker(record: MirrorRecord, report: Report) -> FileEntry:
    at = _time(report.written_at, report.at, report.id)
    content: Json = {
        "timestamp": at,
        "agent_id": report.agent,
        "discovery": BLOCKER + report.text,
        "impact": NEEDS + report.needs if report.needs else NO_NEEDS,
        "item_id": record.item.id,
    }
    return replace(_discovery(record.item.id, content), request=report.request)


def _completion(record: MirrorRecord, delivery: Report | None) -> FileEntry:
    item = record.item
    written_at, request = (
        (delivery.written_at, delivery.request) if delivery else ("", "")
    )
    at = written_at or local_time(item.completed_at)
    content: Json = {
        "item_id": item.id,
        "agent_id": item.agent,
        "completed_at": at,
        "summary": item.summary,
        "deliverables": dict(item.deliverables),
        "final_status": "completed",
    }
    return FileEntry(
        item=item.id,
        verb="complete",
        agent=item.agent,
        written_at=at,
        text=limits.normalised(item.summary),
        deliverables=item.deliverables,
        content=content,
        request=request,
    )


def _time(written_at: str, at: int, entry: str) -> str:
    """Return the time as the file has it; two entries of one millisecond differ in their microseconds."""
    return written_at or local_time(at, min(int(entry.partition("-")[2] or 0), 999))
