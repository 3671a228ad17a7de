"""The events of a namespace: one per transition, in one capped stream."""

from taskorch.domain.frozen import Frozen

#: The cursor before the first entry of any stream.
FROM_THE_START = "0-0"


class Event(Frozen):
    """One transition of an item or a project: ids and names only."""

    cursor: str
    #: Time of the transition, in ms since the epoch.
    at: int
    verb: str
    #: "" for an event of the project.
    item: str
    project: str
    #: Of an item that is back in its pool, the agent that had it.
    agent: str
    state: str
    #: The pool that the item waits in; "" for none.
    pool: str = ""

    def is_of(self, id_: str) -> bool:
        """Tell whether it concerns an item or a project; "" stands for anything.

        An import concerns everything.
        """
        return id_ in ("", self.item, self.project) or self.verb == "restore"


class Events(Frozen):
    """The events after a cursor, oldest first."""

    #: Whether the event at the cursor still exists. If not, later ones may be lost too.
    known: bool
    newest: str
    entries: tuple[Event, ...]
    #: The cursor of the last event read. If that event is damaged, `entries` lacks it.
    last: str = ""

    @property
    def cursor(self) -> str:
        """Return the cursor to continue from."""
        return self.last or self.newest


def position(cursor: str) -> tuple[int, int]:
    """Return what cursors are ordered by: the ms and the number of an entry."""
    at, _, number = cursor.partition("-")
    return int(at), int(number)
