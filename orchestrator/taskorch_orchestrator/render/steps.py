"""What the steps of an orchestrating agent print: a line or two, without the tables of `render`, which load slowly."""

from collections.abc import Iterator, Mapping, Sequence

from taskorch.cli.output import on_terminal
from taskorch.cli.text import counted, line
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Assignment, Requeued, State
from taskorch.queue.plan import AppliedPlan, CreatedItem

#: Held dependents that are named; --json has all.
MOST_HELD = 10
#: More rows push what matters off the screen.
MOST_HINTS = 5


class New(Frozen):
    """An item that was created, or was there already under its key."""

    id: str
    created: bool
    state: State | None
    not_before_at: int

    @classmethod
    def of(cls, made: CreatedItem) -> "New":
        """Return what `orchestrate create` prints of it."""
        return cls(
            id=made.id,
            created=made.created,
            state=made.state,
            not_before_at=made.not_before_at,
        )


class Handoff(Frozen):
    """An assignment, and the file of its handoff package: "" if that is not in this root."""

    _flat = "assignment"
    assignment: Assignment
    handoff: str


def new_item(new: New) -> str:
    """Return the id of an item: labelled on a terminal, bare in a pipe, so that a shell can keep it."""
    return f"Work item ID: {new.id}" if on_terminal() else new.id


def state(change: Mapping[str, object]) -> str:
    """Return the new state of an item, in a line."""
    return f"{change['id']} is {change['state']}."


def requeued(done: Requeued) -> str:
    """Return the new state of a requeued item, and what became of the items that depend on it."""
    rows = [f"{done.id} is {done.state}."]
    if done.waiting:
        rows.append(
            f"{counted(done.waiting, 'item waits', 'items wait')} for it again."
        )
    rows += [
        f"{each.id} depends on it, and {each.agent} is working on it already."
        for each in done.held[:MOST_HELD]
    ]
    if len(done.held) > MOST_HELD:
        rows.append(
            f"… and {len(done.held) - MOST_HELD} more that agents are working on."
        )
    return "\n".join(rows)


def assignment(done: Handoff) -> str:
    """Return what an assignment did, and where its handoff package is."""
    printed = f"printed by: orchestrate show {done.assignment.id} --handoff"
    if done.handoff:
        return f"{_assigned(done)}\nHandoff package: {done.handoff} ({printed})"
    return f"{_assigned(done)}\nHandoff package: {printed} (orchestrate sync status shows where its file is)"


def assignments(done: Sequence[Handoff]) -> str:
    """Return what several assignments did, a line each."""
    return "\n".join(map(_assigned, done))


def _assigned(done: Handoff) -> str:
    told = done.assignment
    where = {
        State.WAITING: ", waiting for its dependencies",
        State.DELAYED: ", delayed until it is due",
    }
    moved = (
        f" (before: {told.previous})" if told.previous not in ("", told.agent) else ""
    )
    return f"Assigned {told.id} to {told.agent}{moved}{where.get(told.state, '')}."


def hints(done: AppliedPlan, remarks: Sequence[str]) -> Iterator[str]:
    """Return what the author of the plan should know: remarks on the file, and items that will not be worked on."""
    yield from _first([line(remark) for remark in remarks], "remarks on the plan")
    yield from _first(
        [f"{line(item.name)}: {item.hint}" for item in done.items if item.hint], "items"
    )


def _first(rows: Sequence[str], what: str) -> Iterator[str]:
    yield from rows[:MOST_HINTS]
    if len(rows) > MOST_HINTS:
        yield f"… and {len(rows) - MOST_HINTS} more {what}."
