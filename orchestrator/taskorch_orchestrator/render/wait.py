"""The output of `wait` for people: how the item or project stands, and its events."""

from collections.abc import Iterator

from taskorch.cli.quoting import INDENT, noted, open_questions
from taskorch.cli.text import block, pairs, timestamp
from taskorch.domain.events import Event
from taskorch.domain.item import Item

from taskorch_orchestrator.actions import WaitOutcome


def outcome(done: WaitOutcome) -> str:
    """Return the state, the delivery or the open questions, and the events."""
    waited_for = done.item or done.project
    lines = [f"{waited_for.id} is {done.state}."]
    texts: list[str] = []
    if done.item and done.reached in ("completed", "review"):
        texts += _delivery(done.item)
    texts += [open_questions(item) for item in done.blocked if item.questions]
    if texts:
        lines.append(noted(texts))
    if done.gap:
        lines.append(
            "Earlier events are missing: the stream of events is capped."
        )
    lines += [_event(event) for event in done.events]
    return "\n".join(lines)


def _delivery(item: Item) -> Iterator[str]:
    if item.summary:
        yield f"Summary: {block(item.summary, INDENT)}"
    for pair in pairs(item.deliverables):
        yield f"  - {block(pair, INDENT)}"


def _event(event: Event) -> str:
    subject = event.item or event.project
    line = f"{timestamp(event.at)}  {event.verb} {subject} {event.state} {event.agent}"
    return line.rstrip()
