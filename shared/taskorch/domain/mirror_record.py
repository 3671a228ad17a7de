"""What the sync job works with: where a report comes from, what happened, an item's record, how files are kept."""

from collections.abc import Mapping

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Discovery, Item, Lease, Project, Report

#: Before everything in a stream.
FROM_THE_START = "0-0"


class Origin(Frozen):
    """Where a report comes from that was not made by a command: an entry of a file."""

    #: Sixteen hex digits that stand for the entry's content: a repeat is known by them.
    request: str
    #: The time as the entry has it.
    written_at: str
    #: The same in ms since the epoch.
    at: int


class Event(Frozen):
    """One transition of an item or a project: ids and names only."""

    cursor: str
    #: When it happened, in ms since the epoch.
    at: int
    verb: str
    #: "" for an event of the project.
    item: str
    project: str
    agent: str
    state: str

    def is_of(self, id_: str) -> bool:
        """Return whether it may be about an item, a project, or anything (""): an import is about everything."""
        return id_ in ("", self.item, self.project) or self.verb == "restore"


class Events(Frozen):
    """What happened after a cursor."""

    #: Whether the event of the cursor is still there: else some that followed it may be gone, too.
    known: bool
    newest: str
    entries: tuple[Event, ...]
    #: The cursor of the last one that was looked at, though it may be damaged, and not among the entries.
    last: str = ""

    @property
    def cursor(self) -> str:
        """Return the cursor to go on from."""
        return self.last or self.newest


class Record(Frozen):
    """An item with all that the mirror writes of it."""

    item: Item
    project: Project
    reports: tuple[Report, ...]
    discoveries: tuple[Discovery, ...]
    #: Its place in its queue: another one with each assignment.
    sequence: int
    #: The cursor of its last event.
    event: str
    #: The session that claimed it last.
    session: str
    #: That of the session that was asked for; without a token if it has none.
    lease: Lease


class MirrorStatus(Frozen):
    """How a root's files are kept."""

    root: str
    #: When the last pass ended; 0 when none did.
    at: int
    #: What the writer said then.
    status: Mapping[str, object]
    #: How many events it has not seen, to 1000.
    behind: int
    #: The service that keeps them (host, pid, runs_on), and when it was seen; empty and 0 when there was none.
    service: Mapping[str, object]
    service_at: int
