"""What the steps of an orchestrating agent print: a line or two, without the tables of `render`, which load slowly."""

from collections.abc import Mapping, Sequence

from taskorch.frozen import Frozen
from taskorch.item import Assignment, State


class Handoff(Frozen):
    """An assignment, and where its handoff package is."""

    _flat = "assignment"
    assignment: Assignment
    handoff: str


def state(change: Mapping[str, object]) -> str:
    """Return the new state of an item, in a line."""
    return f"{change['id']} is {change['state']}."


def assignment(done: Handoff) -> str:
    """Return what an assignment did, and where its handoff package is."""
    id_ = done.assignment.id
    return f"{_assigned(done)}\nHandoff package: {done.handoff} (printed by: orchestrate show {id_} --handoff)"


def assignments(done: Sequence[Handoff]) -> str:
    """Return what several assignments did, a line each."""
    return "\n".join(map(_assigned, done))


def _assigned(done: Handoff) -> str:
    told = done.assignment
    where = {State.WAITING: ", waiting for its dependencies", State.DELAYED: ", delayed until it is due"}
    moved = f" (before: {told.previous})" if told.previous not in ("", told.agent) else ""
    return f"Assigned {told.id} to {told.agent}{moved}{where.get(told.state, '')}."
