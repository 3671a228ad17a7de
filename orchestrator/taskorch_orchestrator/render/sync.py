"""The output of `sync`, `export` and `import` for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from taskorch.cli.text import line, timestamp
from taskorch.domain.mirror_record import MirrorStatus

if TYPE_CHECKING:
    from taskorch_orchestrator.migrate.legacy_import import ImportResult
    from taskorch_orchestrator.mirror.mirror import PassResult

#: Kind of a record in an export -> its plural.
KINDS = {
    "project": "projects",
    "item": "items",
    "report": "reports",
    "note": "notes",
    "discovery": "discoveries",
}


def done(result: "PassResult | None") -> str:
    """Return the counts and the problems of a sync; "" if another process syncs."""
    if result is None:
        return ""
    counts = (
        f"Files written: {result.written}, reports imported: {result.imported}"
    )
    head = f"{counts}, problems: {len(result.troubles)}"
    return "\n".join([head, *_problems(result.troubles)])


def takeover(result: "ImportResult") -> str:
    """Return the counts and the problems of an import of the predecessor's folder."""
    counts = {
        "Projects": result.projects,
        "items": result.items,
        "reports": result.reports,
        "notes": result.notes,
    }
    head = ", ".join(f"{name}: {count}" for name, count in counts.items())
    return "\n".join([f"Imported: {head}", *_problems(result.troubles)])


def exported(counts: Mapping[str, int]) -> str:
    """Return the number of records of each kind in an export."""
    return f"Exported: {_counted(counts)}"


def imported(counts: Mapping[str, int]) -> str:
    """Return the number of records of each kind that an import read."""
    return f"Imported: {_counted(counts)}"


def mirrors(synced: Iterable[MirrorStatus]) -> str:
    """Return the sync state of each root."""
    return "\n".join(row for mirror in synced for row in _mirror(mirror))


def _mirror(mirror: MirrorStatus) -> Iterator[str]:
    status = mirror.status
    path = line(str(status.get("path", mirror.root)))
    cursor = status.get("cursor") or "none"
    written, imported = status.get("written", 0), status.get("imported", 0)
    problems = cast("Mapping[str, str]", status.get("troubles", {}))
    yield f"{path} on {status.get('host', '?')}, last sync {timestamp(mirror.at)}"
    yield f"  Service: {_service(mirror)}"
    yield f"  Cursor: {cursor}, events behind: {mirror.behind}, left: {status.get('changed', 0)}"
    yield f"  Files written: {written}, reports imported: {imported}"
    if status.get("error"):
        yield f"  Error: {line(str(status['error']))}"
    if problems:
        yield f"  Problems: {status.get('in_trouble', len(problems))}"
    for problem in _problems(problems):
        yield f"  {problem}"


def _service(mirror: MirrorStatus) -> str:
    service = mirror.service
    if not service:
        return "none seen"
    process = (
        f"pid {service['pid']} on {service['host']}, by {service['runs_on']}"
    )
    return f"{process}, last seen {timestamp(mirror.service_at)}"


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(
        f"{name}: {counts.get(kind, 0)}" for kind, name in KINDS.items()
    )


def _problems(messages: Mapping[str, str]) -> Iterator[str]:
    for name, message in messages.items():
        yield f"  {line(name)}: {line(message)}"
