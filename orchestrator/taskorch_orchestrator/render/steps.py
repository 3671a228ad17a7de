"""The output of commands that make a step, for people: a line or two.

It needs none of the tables, which are slow to load.
"""

from collections.abc import Sequence

from taskorch.cli.output import on_terminal
from taskorch.cli.text import closed_questions, counted, line, questions
from taskorch.domain.hints import state_in_words
from taskorch.domain.item import (
    AnsweredItem,
    CancelledItem,
    ClosedProject,
    EditedItem,
    ReapCounts,
    ReopenedProject,
    Requeued,
    State,
)

from taskorch_orchestrator.actions import (
    AssignedItem,
    CommentedItem,
    CreatedProject,
    ItemState,
    PublishedItem,
)

#: Dependent items with a holder that are listed; --json lists all of them.
HELD_SHOWN = 10
REMARKS = {
    State.WAITING: ", waiting for its dependencies",
    State.DELAYED: ", delayed until it is due",
}


def new_project(created: CreatedProject) -> str:
    """Return the id of a project: labelled on a terminal, bare in a pipe."""
    return f"Project ID: {created.id}" if on_terminal() else created.id


def new_item(created: PublishedItem) -> str:
    """Return the id of an item: labelled on a terminal, bare in a pipe."""
    return f"Work item ID: {created.id}" if on_terminal() else created.id


def state(changed: ItemState) -> str:
    """Return the new state of an item."""
    return f"{changed.id} is {state_in_words(changed.state)}."


def commented(done: CommentedItem) -> str:
    """Return who gets a comment, and when."""
    if done.state in (State.IN_PROGRESS, State.BLOCKED):
        return (
            f"{done.agent} gets the comment with its next step on {done.id}."
        )
    being = state_in_words(done.state)
    return f"{done.id} is {being}: its next holder gets the comment."


def edited(done: EditedItem | Sequence[EditedItem]) -> str:
    """Return the state of each edited item, and a line for each change."""
    rows = []
    for each in (done,) if isinstance(done, EditedItem) else done:
        rows.append(f"{each.id} is {state_in_words(each.state)}.")
        rows += [f"  {line(str(change))}" for change in each.changes]
    return "\n".join(rows)


def cancelled(done: CancelledItem) -> str:
    """Return the state of a cancelled item, and the questions that it closed."""
    closed = questions(done.closed_questions)
    remark = f" Closed without an answer: {closed}." if closed else ""
    return f"{done.id} is {done.state}.{remark}"


def answered(done: AnsweredItem) -> str:
    """Return the state of an item, and its questions that are still open."""
    still_open = questions(done.open_questions)
    remark = f" Still open: {still_open}." if still_open else ""
    number = f"question {done.question}" if done.question else "the question"
    return f"Answered {number}. {done.id} is {done.state}.{remark}"


def cancelled_project(done: ClosedProject) -> str:
    """Return the result of the cancellation of a project."""
    project = done.project
    if done.remark:
        return f"{project.id} was closed already: {project.done}."
    items = counted(done.cancelled, "item was", "items were")
    closed = closed_questions(done.closed_questions)
    remark = f" {closed}" if closed else ""
    return f"{project.id} is closed: {project.done}. {items} cancelled now.{remark}"


def reopened(done: ReopenedProject) -> str:
    """Return the result of the reopening of a project."""
    was = "was active already" if done.remark else "is active again"
    return f"{done.project.id} {was}: {done.project.done}."


def requeued(done: Requeued) -> str:
    """Return the new state of a requeued item and of the items that depend on it."""
    rows = [f"{done.id} is {done.state}."]
    if done.waiting:
        waiting = counted(done.waiting, "item waits", "items wait")
        rows.append(f"{waiting} for it again.")
    rows += [
        f"{held.id} depends on it, and {held.agent} already works on it."
        for held in done.held[:HELD_SHOWN]
    ]
    more = len(done.held) - HELD_SHOWN
    if more > 0:
        rows.append(f"… and {more} more that agents already work on.")
    return "\n".join(rows)


def reaped(counts: ReapCounts) -> str:
    """Return what a reap has done; what it had not to do is left out."""
    leases = counted(counts.reaped, "lease had", "leases had")
    items = counted(counts.promoted, "delayed item was", "delayed items were")
    lines = [f"{leases} expired, {items} due."]
    if counts.cancelled:
        cancelled = counted(counts.cancelled, "item was", "items were")
        lines.append(
            f"{cancelled} cancelled, of projects that are closed now."
        )
    if counts.released:
        released = counted(
            counts.released, "item no longer waits", "items no longer wait"
        )
        lines.append(f"{released} for a completed one.")
    return "\n".join(lines)


def assignment(done: AssignedItem) -> str:
    """Return the result of one assignment, and where its handoff package is."""
    return f"{_assigned(done)}\nHandoff package: {_package(done)}"


def assignments(done: Sequence[AssignedItem]) -> str:
    """Return the results of several assignments, a line each."""
    return "\n".join(_assigned(each) for each in done)


def _package(done: AssignedItem) -> str:
    command = f"orchestrate show {done.assignment.id} --handoff"
    if done.handoff:
        return f"{line(done.handoff)} (printed by: {command})"
    if done.assignment.state in REMARKS:
        return f"{command} (its file is written when the item is ready)"
    if done.assignment.pool:
        return f"{command} (its file is written when an agent claims it)"
    return command


def _assigned(done: AssignedItem) -> str:
    made = done.assignment
    owner = _owner(made.agent, made.pool)
    previous = _owner(made.previous, made.previous_pool)
    moved = previous not in ("", owner)
    before = f" (before: {previous})" if moved else ""
    remark = REMARKS.get(made.state, "")
    return f"Assigned {made.id} to {owner}{before}{remark}."


def _owner(agent: str, pool: str) -> str:
    """Return the agent or the pool that an item is assigned to, or ""."""
    if not pool:
        return agent
    return f"the pool {pool}, held by {agent}" if agent else f"the pool {pool}"
