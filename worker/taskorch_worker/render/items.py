"""What a worker's commands print for people and agents."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskorch.cli.quoting import INDENT, noted, question
from taskorch.cli.text import block, line, timestamp
from taskorch.domain import limits
from taskorch.domain.item import (
    Assignments,
    Claim,
    Item,
    Note,
    Package,
    Receipt,
    Report,
    State,
)

if TYPE_CHECKING:
    from taskorch.queue.wait_results import Answered

#: What is told of the claims before this one: the last words of each kind.
EARLIER = ("progress", "fail", "release", "expire", "cancel", "complete")
EARLIER_SHOWN = 3


def assignments(assigned: Assignments, theirs: Collection[str]) -> str:
    """Return what is assigned to an agent: the count and the ids; `theirs` are held by other sessions of its name."""
    lines = [
        f"You have {assigned.count} assigned work items{':' if assigned.items else '.'}"
    ]
    lines += [
        f"  - {item.id}{' (held by another session)' * (item.id in theirs)}"
        for item in assigned.items
    ]
    if assigned.count > len(assigned.items):
        lines.append(f"  … and {assigned.count - len(assigned.items)} more (--limit)")
    if assigned.later:
        lines.append(
            f"({assigned.later} more are assigned to you, but not ready: waiting, delayed, or asked about.)"
        )
    return "\n".join(lines)


def claim(taken: Claim) -> str:
    """Return an item with all that it carries, the fields of the user's text first."""
    return noted(_claim(taken))


def claims(taken: Sequence[Claim]) -> str:
    """Return several items with all that they carry, one after the other."""
    return noted(["\n\n".join("\n".join(_claim(each)) for each in taken)])


def receipt(done: Receipt) -> str:
    """Return what a step did, in a line."""
    item, state = done.id, done.state
    if done.remark == "repeat":
        return f"{item} was {state} already; nothing changed."
    words = {
        State.IN_PROGRESS: f"in progress, yours until {timestamp(done.lease_expires_at)}",
        State.BLOCKED: "blocked; it stays yours until an answer comes",
        State.DELAYED: "delayed; it will be tried again",
        State.FAILED: "failed; it stays a dead letter until the orchestrator requeues it",
        State.QUEUED: "back in the queue",
    }
    claimed = (
        " (claimed in this step)"
        if done.remark == "claimed" and state is not State.COMPLETED
        else ""
    )
    return f"{item} is {words.get(state, state)}{claimed}."


def answered(done: "Answered") -> str:
    """Return how an item stands whose question is not open any more, and the answer."""
    item, answer = done.item, done.answer
    yours = f"in progress, yours until {timestamp(item.lease_expires_at)}"
    words = f"{item.id} is {yours if item.state is State.IN_PROGRESS else item.state}."
    if answer is None:
        return f"{words} No question of yours is open."
    return noted([words, f"Answer by {answer.agent}: {block(answer.text, INDENT)}"])


def notes(kept: tuple[Note, ...]) -> str:
    """Return private notes, oldest first."""
    return noted(f"{timestamp(note.at)}  {block(note.text, INDENT)}" for note in kept)


def identity(facts: Mapping[str, object]) -> str:
    """Return who the agent is, and where each setting comes from."""
    sources = facts["sources"]
    shown = [(name, value) for name, value in facts.items() if name != "sources"]
    source = dict(sources) if isinstance(sources, Mapping) else {}
    return "\n".join(
        f"{name + ':':15} {line(str(value)) or '-'}  ({source.get(name, '')})"
        for name, value in shown
    )


def _claim(taken: Claim) -> Iterator[str]:
    package = taken.package
    yield from _head(package.item)
    yield from _more(package)
    yield from _past(package)
    yield _standing(taken)


def _head(item: Item) -> Iterator[str]:
    yield f"=== Work Item: {item.id} ==="
    yield f"Title: {line(item.title)}"
    yield from _listed("Requirements", item.requirements)
    if item.description:
        yield f"Description: {block(item.description, INDENT)}"


def _more(package: Package) -> Iterator[str]:
    item, project = package.item, package.project_context
    yield f"Project: {line(project.title)} ({project.id})"
    if project.description:
        yield f"Project description: {block(project.description, INDENT)}"
    yield from _listed("Acceptance criteria", item.criteria)
    yield from _listed("Expected deliverables", item.deliverables_expected)
    yield from _listed(
        "Context", (f"{name}: {value}" for name, value in item.context.items())
    )
    yield from _listed("Resources", item.resources)
    yield from _rows("Depends on", _dependencies(package))


def _dependencies(package: Package) -> Iterator[str]:
    """Return the dependencies of which the package has more than the id, and the number of the others."""
    yield from map(_dependency, package.dependencies)
    left = len(package.item.depends_on) - limits.DEPENDENCIES_SHOWN
    if left > 0:
        yield f"… and {left} more: worker --json get {package.item.id} --peek has their ids"


def _dependency(item: Item) -> str:
    delivered = "".join(
        f"\n{INDENT}- {block(f'{name}: {value}', INDENT)}"
        for name, value in item.deliverables.items()
    )
    summary = f": {block(item.summary, INDENT)}" if item.summary else ""
    return f"{item.id} ({item.state}) {line(item.title)}{summary}{delivered}"


def _past(package: Package) -> Iterator[str]:
    """Return what came before: the last word of earlier attempts, and questions with their answers."""
    held = package.item.holder is not None
    earlier = [
        report
        for report in package.history
        if not held or report.token < package.item.token
    ]
    worded = [
        report
        for report in earlier
        if report.kind in EARLIER and (report.text or report.kind == "expire")
    ]
    yield from _rows(
        "Earlier attempt", (_told(report) for report in worded[-EARLIER_SHOWN:])
    )
    yield from _rows(
        "Blockers and answers",
        (_told(r) for r in package.history if r.kind in ("blocker", "answer")),
    )


def _told(report: Report) -> str:
    percent = f" {report.percent}%" if report.percent is not None else ""
    words = "the lease ran out" if report.kind == "expire" else report.text
    return f"{report.kind}{percent} by {report.agent}: {question(words, report.needs, INDENT)}"


def _standing(taken: Claim) -> str:
    item = taken.package.item
    if taken.lease and item.state is State.IN_PROGRESS:
        attempt = f"attempt {item.attempts} of {item.max_attempts}"
        return f"Status: in_progress, {item.percent}%, yours until {timestamp(taken.lease.expires_at)} ({attempt})"
    if item.state is State.DELAYED:
        return f"Status: delayed until {timestamp(item.not_before_at)}"
    return f"Status: {item.state}, {item.percent}%"


def _listed(label: str, values: Iterable[str]) -> Iterator[str]:
    return _rows(label, (block(value, INDENT) for value in values))


def _rows(label: str, shown: Iterable[str]) -> Iterator[str]:
    rows = [f"  - {each}" for each in shown]
    return iter([f"{label}:", *rows] if rows else [])
