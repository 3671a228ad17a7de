"""The ends of an attempt at an item."""

from enum import StrEnum


class AttemptEnd(StrEnum):
    """How an attempt ended for its item; the value is the `event` in the log."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    #: The command has asked a question, and the item waits for the answer.
    BLOCKED = "blocked"
    #: The lease is lost: another agent may hold the item.
    LOST = "lost"
    CANCELLED = "cancelled"
    #: Redis was unreachable at the end of the run; the lease expires by itself.
    UNSAID = "unsaid"
