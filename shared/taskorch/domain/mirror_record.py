"""The data of the file mirror: item records, origins of reports, status of roots."""

from collections.abc import Mapping

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import (
    Discovery,
    Findings,
    Item,
    Lease,
    Project,
    Report,
)


class Origin(Frozen):
    """The entry of a file that a report was read from."""

    #: 16 hex digits derived from the entry's content, so that a repeat is recognised.
    request: str
    #: The time as the entry states it.
    written_at: str
    #: The same in ms since the epoch.
    at: int


class RecordCursor(Frozen):
    """How far the reports and discoveries of an item were read."""

    #: The id of the last report; "" before the first one.
    report: str = ""
    #: The cursor of the item's last own discovery; "" before the first one.
    discovery: str = ""


class MirrorRecord(Frozen):
    """An item with everything that the mirror writes about it, or a page of that."""

    item: Item
    project: Project
    #: Those after the cursor from which the record was read.
    reports: tuple[Report, ...]
    #: Those on the item itself, after that cursor.
    discoveries: tuple[Discovery, ...]
    #: Those of others.
    findings: Findings
    #: Its place in its agent's queue; each assignment gives it a new one.
    sequence: int
    #: The cursor of its newest event.
    event: str
    #: The session that claimed it last.
    session: str
    #: The lease of the session that was asked for; without a token if it has none.
    lease: Lease
    #: How far the record was read.
    cursor: RecordCursor
    #: Whether there are more reports or discoveries after the cursor.
    more: bool


class MirrorStatus(Frozen):
    """How the files of one root are kept in sync."""

    root: str
    #: When the last pass ended; 0 if none did.
    at: int
    #: What the writer reported about that pass.
    status: Mapping[str, object]
    #: Number of events that it has not seen, at most 1000.
    behind: int
    #: The service that syncs the files (host, pid, runs_on); empty if there was none.
    service: Mapping[str, object]
    #: When that service was last seen; 0 if there was none.
    service_at: int
