"""The output of `worker reviews`."""

from collections.abc import Iterator, Sequence

from taskorch.cli.check_lines import check_lines
from taskorch.cli.quoting import INDENT, noted, returned
from taskorch.cli.text import block, labelled, line, pairs
from taskorch.domain.item import Item


def waiting(items: Sequence[Item]) -> str:
    """Return the items to review: what was asked, and what was delivered."""
    texts = ["\n".join(_delivery(item)) for item in items]
    return noted(["\n\n".join(texts)])


def _delivery(item: Item) -> Iterator[str]:
    yield f"=== Review: {item.id} ==="
    yield f"Title: {line(item.title)}"
    yield f"Agent: {item.agent}"
    if before := returned(item):
        yield before
    yield from _texts("Requirements", item.requirements)
    if item.description:
        yield f"Description: {block(item.description, INDENT)}"
    yield from _texts("Acceptance criteria", item.criteria)
    yield from _texts("Expected deliverables", item.deliverables_expected)
    yield f"Summary: {block(item.summary or '-', INDENT)}"
    yield from _texts("Deliverables", pairs(item.deliverables))
    yield from labelled("Acceptance checks", check_lines(item))
    yield f"Decide: worker accept {item.id}, or worker send-back {item.id} TEXT"


def _texts(label: str, texts: Iterator[str] | Sequence[str]) -> list[str]:
    return labelled(label, [block(text, INDENT) for text in texts])
