"""What `wait` prints: how it stands, and what happened, in a line each."""

from collections.abc import Iterator

from taskorch.cli.quoting import INDENT, noted, open_question
from taskorch.cli.text import block, pairs, timestamp
from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, State
from taskorch.queue.wait_results import Goal, Standing, Waited


class Outcome(Frozen):
    """What a wait came to, as it is published."""

    reached: str
    #: None where a project was waited for.
    item: Item | None
    project: Project
    #: The items that wait for an answer, where it was waited for that.
    blocked: tuple[Item, ...]
    events: tuple[Event, ...]
    gap: bool
    cursor: str

    @classmethod
    def of(cls, waited: Waited, blocked: tuple[Item, ...]) -> "Outcome":
        """Return what a wait came to."""
        return cls(
            reached=str(waited.reached),
            item=waited.standing.item,
            project=waited.standing.project,
            blocked=blocked,
            events=waited.events,
            gap=waited.gap,
            cursor=waited.cursor,
        )


def state(standing: Standing) -> str:
    """Return how a project or an item stands, in some words."""
    if standing.item:
        return f"{standing.item.state}, {standing.item.percent}%"
    project = standing.project
    counted = f"{project.completed} of {project.wanted} items completed"
    others = ", ".join(
        f"{n} {state}"
        for state, n in project.counts.items()
        if n and state is not State.COMPLETED
    )
    return f"{project.status}, {counted}" + (f" ({others})" if others else "")


def outcome(done: Outcome) -> str:
    """Return what a wait came to, in lines."""
    standing = Standing(
        cursor=done.cursor, report="", item=done.item, project=done.project
    )
    lines = [f"{standing.id} is {state(standing)}."]
    texts = (
        list(_delivered(done.item))
        if done.reached == Goal.COMPLETED and done.item
        else []
    )
    texts += [open_question(item) for item in done.blocked]
    lines += [noted(texts)] if texts else []
    if done.gap:
        lines.append(
            "What happened before is not known any more: the feed of events is capped."
        )
    lines += [_line(event) for event in done.events]
    return "\n".join(lines)


def _delivered(item: Item) -> Iterator[str]:
    if item.summary:
        yield f"Summary: {block(item.summary, INDENT)}"
    for pair in pairs(item.deliverables):
        yield f"  - {block(pair, INDENT)}"


def _line(event: Event) -> str:
    return f"{timestamp(event.at)}  {event.verb} {event.item or event.project} {event.state} {event.agent}".rstrip()
