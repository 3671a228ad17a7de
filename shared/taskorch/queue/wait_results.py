"""What waits return: the answer to a question, how a project or an item stands, the goal it reached."""

from enum import StrEnum

from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, Report, State

#: Nothing leads out of these but the orchestrator.
ENDS = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Goal(StrEnum):
    """What a wait for a project or an item is for."""

    COMPLETED = "completed"
    BLOCKED = "blocked"
    ANY = "any"


class Answered(Frozen):
    """An item whose holder has asked, and the answer if there is one."""

    _flat = "item"

    item: Item
    answer: Report | None

    @property
    def is_open(self) -> bool:
        """Return whether the question still waits for its answer."""
        return self.item.blocker != "" and self.item.state in (
            State.BLOCKED,
            State.IN_PROGRESS,
        )


class Standing(Frozen):
    """How a project stands, or an item of it."""

    #: Of the newest event, and of the item's newest report.
    cursor: str
    report: str
    item: Item | None
    project: Project
    #: A failed or cancelled item that it waits for, directly or by way of others that wait; "" where none was found.
    dead: str = ""
    #: Whether something that it waits for goes on; of a project, where all that is left of it waits.
    moves: bool = False

    @property
    def id(self) -> str:
        """Return the id of what it is about."""
        return self.item.id if self.item else self.project.id

    @property
    def is_closed(self) -> bool:
        """Return whether the project was closed."""
        return self.project.status == "completed"

    @property
    def is_completed(self) -> bool:
        """Return whether it is completed; of a project, whether none of its items is open."""
        if self.item:
            return self.item.state is State.COMPLETED
        return self.project.is_finished or self.is_closed

    @property
    def is_blocked(self) -> bool:
        """Return whether it waits for an answer; of a project, whether one of its items does."""
        return (
            self.item.state is State.BLOCKED
            if self.item
            else self.project.counts[State.BLOCKED] > 0
        )

    def is_over(self, goal: Goal) -> bool:
        """Return whether it does not reach a goal by itself: what is left of a project is dead, or waits for what is.

        One dead item is enough for it not to be completed; others of its items may still ask.
        """
        if self.item:
            return self.item.state in ENDS or self.dead != ""
        moving = sum(
            n
            for state, n in self.project.counts.items()
            if state not in (*ENDS, State.WAITING)
        )
        held_up = self.dead != "" or (
            moving == 0 and self.project.counts[State.FAILED] > 0
        )
        return self.is_completed or (
            held_up and not (goal is Goal.BLOCKED and self.moves)
        )


class Waited(Frozen):
    """What a wait for a project or an item came to."""

    #: None when the time ran out.
    reached: Goal | None
    standing: Standing
    #: What happened to it meanwhile, and the cursor to go on from, where that was asked for.
    events: tuple[Event, ...] = ()
    cursor: str
    #: Whether events after the cursor may be lost: the stream of them is capped.
    gap: bool = False
