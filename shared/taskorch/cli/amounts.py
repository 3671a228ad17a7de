"""Tokens and cost as people read them."""

from taskorch.cli.text import line
from taskorch.domain.amounts import dollars
from taskorch.domain.usage import Usage


def used(usage: Usage) -> str:
    """Return a usage in words, such as "$0.12, 1,200 tokens in, 300 out (opus)"."""
    parts = [dollars(usage.cost_micros)] if usage.cost_micros else []
    for number, what in (
        (usage.tokens_in, "in"),
        (usage.tokens_out, "out"),
        (usage.cache_read, "from a cache"),
    ):
        if number:
            parts.append(f"{number:,} {what}")
    model = f" ({line(usage.model)})" if usage.model else ""
    tokens = " tokens" if len(parts) > bool(usage.cost_micros) else ""
    return f"{', '.join(parts)}{tokens}{model}"
