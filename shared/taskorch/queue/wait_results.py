"""The results of waits: an answer, a current state, a reached goal."""

from enum import StrEnum

from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, Report, State

#: The states that only an orchestrator can change.
ENDS = (State.COMPLETED, State.FAILED, State.CANCELLED)


class Goal(StrEnum):
    """The goal of a wait for a project or an item."""

    COMPLETED = "completed"
    BLOCKED = "blocked"
    REVIEW = "review"
    ANY = "any"


class Answered(Frozen):
    """An item, and the answers to the questions of a wait, the oldest first."""

    _flat = "item"

    item: Item
    answers: tuple[Report, ...]
    #: The numbers of the questions that still wait for an answer.
    unanswered: tuple[int, ...]
    #: The comments that are new to the holder, the newest ten.
    comments: tuple[Report, ...] = ()
    #: The fields that the orchestrator has edited, if the wait has taken note of them.
    edited: tuple[str, ...] = ()


class Standing(Frozen):
    """The current state of a project, or of an item of it."""

    #: The cursor of the newest event.
    cursor: str
    #: The cursor of the item's newest report.
    report: str
    item: Item | None
    project: Project
    #: A failed or cancelled item that it waits for, directly or through other waiting
    #: items; "" if none was found.
    dead: str = ""
    #: Whether other items that it waits for can still go on. For a project it is only
    #: known if all that is left of it waits.
    moves: bool = False
    #: Whether an item of the project has an open question.
    asks: bool = False
    #: Whether the dead item is of a completed project.
    reopens: bool = False

    @property
    def id(self) -> str:
        """The id of the item, or else of the project."""
        return self.item.id if self.item else self.project.id

    @property
    def is_closed(self) -> bool:
        """Whether the project was closed."""
        return self.project.status == "completed"

    @property
    def is_completed(self) -> bool:
        """Whether it is completed; for a project, whether no item of it is open."""
        if self.item:
            return self.item.state is State.COMPLETED
        return self.project.is_finished or self.is_closed

    @property
    def is_blocked(self) -> bool:
        """Whether it has an open question; for a project, whether an item of it has."""
        if self.item:
            is_blocked = self.item.state is State.BLOCKED
            return is_blocked or self.item.questions != ()
        return self.asks or self.project.counts[State.BLOCKED] > 0

    @property
    def is_in_review(self) -> bool:
        """Whether it waits for its reviewer; for a project, whether an item of it does."""
        if self.item:
            return self.item.state is State.REVIEW
        return self.project.counts[State.REVIEW] > 0

    def is_over(self, goal: Goal) -> bool:
        """Tell whether it cannot reach a goal without help.

        One dead item keeps a project from being completed, but its other items can
        still ask a question, or be completed for review.
        """
        if self.item:
            return self.item.state in ENDS or self.dead != ""
        if self.is_completed:
            return True
        counts = self.project.counts
        idle = (*ENDS, State.WAITING)
        active = sum(n for state, n in counts.items() if state not in idle)
        is_held_up = self.dead != "" or (
            active == 0 and counts[State.FAILED] > 0
        )
        if goal in (Goal.BLOCKED, Goal.REVIEW) and self.moves:
            return False
        return is_held_up


class Waited(Frozen):
    """The result of a wait for a project or an item."""

    #: None if the wait timed out.
    reached: Goal | None
    standing: Standing
    #: Its events during the wait, if they count.
    events: tuple[Event, ...] = ()
    #: The cursor to continue from.
    cursor: str
    #: Whether events after the cursor may be lost, because their stream is capped.
    gap: bool = False
