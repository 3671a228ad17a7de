"""The reports that Redis has on an item, as entries of its three report files."""

from collections.abc import Iterator

from taskorch.domain import limits
from taskorch.domain.frozen import replace
from taskorch.domain.item import Discovery, Report, State
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import report_files
from taskorch_orchestrator.mirror.file_entry import FileEntry
from taskorch_orchestrator.mirror.file_names import (
    COMPLETION,
    DISCOVERIES,
    PROGRESS,
)
from taskorch_orchestrator.mirror.file_times import local_time
from taskorch_orchestrator.mirror.torn_json import Json


def entries(record: MirrorRecord) -> dict[str, tuple[FileEntry, ...]]:
    """Return the entries that Redis has for each of an item's report files."""
    updates: list[FileEntry] = []
    for report in record.reports:
        updates += _updates(record, report)
    blockers = [
        report for report in record.reports if report.kind == "blocker"
    ]
    discoveries = [_discovery(found) for found in record.discoveries]
    discoveries += [_blocker(record, report) for report in blockers]
    is_completed = record.item.state in (State.REVIEW, State.COMPLETED)
    return {
        PROGRESS: tuple(updates),
        DISCOVERIES: tuple(discoveries),
        COMPLETION: (_completion(record),) if is_completed else (),
    }


def _updates(record: MirrorRecord, report: Report) -> Iterator[FileEntry]:
    """Yield the update of a report; a discovery and a stray report have none."""
    match report.kind:
        case "progress":
            yield _update(record, report, report.text, report.percent)
        case "answer":
            to = f" to question {report.question}" if report.question else ""
            yield _update(record, report, f"Answer{to}: {report.text}")
        case "withdraw":
            text = f"Question {report.question} is withdrawn."
            yield _update(record, report, text)
        case "agent_comment":
            yield _update(record, report, f"Comment: {report.text}")
        case "fail":
            yield _update(record, report, f"Failed: {report.text}")
        case "send_back":
            yield _update(record, report, f"Sent back: {report.text}")
        case "blocker":
            repeat = _update(
                record, report, report_files.BLOCKED + report.text
            )
            yield replace(repeat, request="")
        case "complete":
            repeat = _update(record, report, report_files.DONE, 100)
            yield replace(repeat, request="")


def _update(
    record: MirrorRecord, report: Report, text: str, percent: int | None = None
) -> FileEntry:
    """Return an update as it is read again: progress can look like a repeat."""
    document: Json = {
        "timestamp": _time(report.written_at, report.at, report.id),
        "message": text,
        "percentage": percent,
    }
    entry = report_files.update_entry(record.item.id, report.agent, document)
    return replace(entry, request=report.request)


def _discovery(found: Discovery) -> FileEntry:
    document: Json = {
        "timestamp": _time(found.written_at, found.at, found.cursor),
        "agent_id": found.agent,
        "discovery": found.text,
        "impact": found.impact or None,
        "item_id": found.item,
    }
    entry = report_files.discovery_entry(found.item, document)
    return replace(entry, request=found.request)


def _blocker(record: MirrorRecord, report: Report) -> FileEntry:
    impact = report_files.NO_NEEDS
    if report.needs:
        impact = report_files.NEEDS + report.needs
    document: Json = {
        "timestamp": _time(report.written_at, report.at, report.id),
        "agent_id": report.agent,
        "discovery": report_files.BLOCKER + report.text,
        "impact": impact,
        "item_id": record.item.id,
    }
    entry = report_files.discovery_entry(record.item.id, document)
    return replace(entry, request=report.request)


def _completion(record: MirrorRecord) -> FileEntry:
    item = record.item
    written_at, request, at = "", "", item.completed_at
    for report in record.reports:
        if report.kind == "complete":
            written_at, request = report.written_at, report.request
            # its reviewer may accept it much later
            at = report.at if item.reviewer else at
    completed_at = written_at or local_time(at)
    document: Json = {
        "item_id": item.id,
        "agent_id": item.agent,
        "completed_at": completed_at,
        "summary": item.summary,
        "deliverables": dict(item.deliverables),
        "final_status": "completed",
    }
    return FileEntry(
        item=item.id,
        verb="complete",
        agent=item.agent,
        written_at=completed_at,
        text=limits.normalised(item.summary),
        deliverables=item.deliverables,
        document=document,
        request=request,
    )


def _time(written_at: str, at: int, entry_id: str) -> str:
    """Return a time as files have it. Entries of one millisecond get microseconds."""
    number = int(entry_id.partition("-")[2] or 0)
    return written_at or local_time(at, min(number, 999))
