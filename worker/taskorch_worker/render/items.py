"""What `worker` prints: items, receipts, answers, notes."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, cast

from taskorch.cli import quoting
from taskorch.cli.quoting import INDENT, noted
from taskorch.cli.text import block, counted, labelled, line, pairs, timestamp
from taskorch.domain import limits
from taskorch.domain.item import (
    Assignments,
    Claim,
    Note,
    Package,
    Receipt,
    State,
)

if TYPE_CHECKING:
    from taskorch.queue.wait_results import Answered

#: Kinds of reports that tell how an earlier attempt went.
EARLIER = ("progress", "fail", "release", "expire", "cancel", "complete")
EARLIER_SHOWN = 3


def assignments(assigned: Assignments, elsewhere: Collection[str]) -> str:
    """Return the number and the ids of assigned items.

    Those `elsewhere` are held by other sessions of the agent.
    """
    end = ":" if assigned.items else "."
    lines = [f"You have {assigned.count} assigned work items{end}"]
    for item in assigned.items:
        holder = " (held by another session)" if item.id in elsewhere else ""
        lines.append(f"  - {item.id}{holder}")
    if assigned.count > len(assigned.items):
        lines.append(f"  … and {assigned.count - len(assigned.items)} more (--limit)")
    if assigned.later:
        later = counted(assigned.later, "more item is", "more items are")
        lines.append(
            f"({later} assigned to you but not ready: waiting, delayed or blocked.)"
        )
    return "\n".join(lines)


def claim(taken: Claim) -> str:
    """Return an item in full, the texts of its author first."""
    return noted(_claim(taken))


def claims(taken: Sequence[Claim]) -> str:
    """Return several items in full."""
    return noted(["\n\n".join("\n".join(_claim(each)) for each in taken)])


def receipt(done: Receipt) -> str:
    """Return the result of a step on one line."""
    item, state = done.id, done.state
    if done.remark == "repeat":
        return f"{item} was {state} already; nothing changed."
    details = {
        State.IN_PROGRESS: f"in progress, yours until {timestamp(done.lease_expires_at)}",
        State.BLOCKED: "blocked; you keep it until the answer",
        State.DELAYED: "delayed; it will be retried",
        State.FAILED: "failed; it stays a dead letter until the orchestrator requeues it",
        State.QUEUED: "back in the queue",
    }
    was_claimed = done.remark == "claimed" and state is not State.COMPLETED
    claimed = " (claimed in this step)" if was_claimed else ""
    return f"{item} is {details.get(state, state)}{claimed}."


def answered(done: "Answered") -> str:
    """Return the state of an item, and the answer to its question."""
    item, answer = done.item, done.answer
    state = str(item.state)
    if item.state is State.IN_PROGRESS:
        state = f"in progress, yours until {timestamp(item.lease_expires_at)}"
    if answer is None:
        return f"{item.id} is {state}. You have no open question on it."
    text = block(answer.text, INDENT)
    return noted([f"{item.id} is {state}.", f"Answer by {answer.agent}: {text}"])


def notes(kept: tuple[Note, ...]) -> str:
    """Return private notes, oldest first."""
    return noted(f"{timestamp(note.at)}  {block(note.text, INDENT)}" for note in kept)


def identity(facts: Mapping[str, object]) -> str:
    """Return who the agent is, and the source of each setting."""
    sources = cast("Mapping[str, str]", facts["sources"])
    lines = []
    for name, value in facts.items():
        if name != "sources":
            label, shown = f"{name}:", line(str(value)) or "-"
            lines.append(f"{label:15} {shown}  ({sources.get(name, '')})")
    return "\n".join(lines)


def _claim(taken: Claim) -> Iterator[str]:
    package = taken.package
    item, project = package.item, package.project_context
    yield f"=== Work Item: {item.id} ==="
    yield f"Title: {line(item.title)}"
    yield from _texts("Requirements", item.requirements)
    if item.description:
        yield f"Description: {block(item.description, INDENT)}"
    yield f"Project: {line(project.title)} ({project.id})"
    if project.description:
        yield f"Project description: {block(project.description, INDENT)}"
    yield from _texts("Acceptance criteria", item.criteria)
    yield from _texts("Expected deliverables", item.deliverables_expected)
    yield from _texts("Context", pairs(item.context))
    yield from _texts("Resources", item.resources)
    yield from labelled("Depends on", _dependencies(package))
    yield from _history(package)
    yield _status(taken)


def _texts(label: str, texts: Sequence[str]) -> list[str]:
    return labelled(label, [block(text, INDENT) for text in texts])


def _dependencies(package: Package) -> Iterator[str]:
    """Yield the dependencies with their summaries and deliverables, and the number of the rest."""
    for item in package.dependencies:
        summary = f": {block(item.summary, INDENT)}" if item.summary else ""
        delivered = "".join(
            f"\n{INDENT}- {block(pair, INDENT)}" for pair in pairs(item.deliverables)
        )
        yield f"{item.id} ({item.state}) {line(item.title)}{summary}{delivered}"
    left = len(package.item.depends_on) - limits.DEPENDENCIES_SHOWN
    if left > 0:
        yield f"… and {left} more: worker --json get {package.item.id} --peek has their ids"


def _history(package: Package) -> Iterator[str]:
    """Yield the last reports of earlier attempts, and all questions with their answers."""
    item = package.item
    earlier, questions = [], []
    for entry in package.history:
        is_earlier = item.holder is None or entry.token < item.token
        has_text = entry.text or entry.kind == "expire"
        if is_earlier and has_text and entry.kind in EARLIER:
            earlier.append(quoting.report(entry))
        if entry.kind in ("blocker", "answer"):
            questions.append(quoting.report(entry))
    yield from labelled("Earlier attempt", earlier[-EARLIER_SHOWN:])
    yield from labelled("Blockers and answers", questions)


def _status(taken: Claim) -> str:
    item = taken.package.item
    if taken.lease and item.state is State.IN_PROGRESS:
        until = timestamp(taken.lease.expires_at)
        attempt = f"attempt {item.attempts} of {item.max_attempts}"
        return f"Status: in_progress, {item.percent}%, yours until {until} ({attempt})"
    if item.state is State.DELAYED:
        return f"Status: delayed until {timestamp(item.not_before_at)}"
    return f"Status: {item.state}, {item.percent}%"
