"""What the commands for files print for people."""

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, cast

from taskorch.cli.text import line, timestamp
from taskorch.domain.mirror_record import MirrorStatus

if TYPE_CHECKING:
    from taskorch_orchestrator.migrate.legacy_import import ImportResult
    from taskorch_orchestrator.mirror.mirror import PassResult


def done(done: "PassResult | None") -> str:
    """Return what a pass of the sync job did."""
    if done is None:
        return ""
    head = f"Files written: {done.written}, reports imported: {done.imported}, in trouble: {len(done.troubles)}"
    return "\n".join([head, *_named(done.troubles)])


def takeover(brought: "ImportResult") -> str:
    """Return what an import brought."""
    head = f"Projects: {brought.projects}, items: {brought.items}, reports: {brought.reports}, notes: {brought.notes}"
    return "\n".join([f"Taken over: {head}", *_named(brought.troubles)])


def exported(counts: Mapping[str, int]) -> str:
    """Return how many lines of each kind an export has."""
    return f"Exported: {_counted(counts)}"


def imported(counts: Mapping[str, int]) -> str:
    """Return the same of an export that was read back."""
    return f"Imported: {_counted(counts)}"


def mirrors(kept: Iterable[MirrorStatus]) -> str:
    """Return how the files of each root are kept."""
    return "\n".join(row for mirror in kept for row in _mirror(mirror))


def _mirror(mirror: MirrorStatus) -> Iterator[str]:
    told = mirror.status
    troubles = cast("Mapping[str, str]", told.get("troubles", {}))
    yield f"{line(str(told.get('path', mirror.root)))} on {told.get('host', '?')}, last pass {timestamp(mirror.at)}"
    yield f"  Service: {_service(mirror)}"
    yield f"  Cursor: {told.get('cursor') or 'none'}, events behind: {mirror.behind}, left: {told.get('changed', 0)}"
    yield f"  Files written: {told.get('written', 0)}, reports imported: {told.get('imported', 0)}"
    if told.get("error"):
        yield f"  Error: {line(str(told['error']))}"
    if troubles:
        yield f"  In trouble: {told.get('in_trouble', len(troubles))}"
    yield from (f"  {row}" for row in _named(troubles))


def _service(mirror: MirrorStatus) -> str:
    known = mirror.service
    if not known:
        return "none has been seen"
    return f"pid {known['pid']} on {known['host']}, by {known['runs_on']}, last seen {timestamp(mirror.service_at)}"


def _counted(counts: Mapping[str, int]) -> str:
    words = {
        "project": "projects",
        "item": "items",
        "report": "reports",
        "note": "notes",
        "discovery": "discoveries",
    }
    return ", ".join(
        f"{plural}: {counts.get(kind, 0)}" for kind, plural in words.items()
    )


def _named(troubles: Mapping[str, str]) -> list[str]:
    return [f"  {line(name)}: {line(message)}" for name, message in troubles.items()]
