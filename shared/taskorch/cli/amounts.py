"""Tokens and cost as people read them."""

from taskorch.cli.text import line
from taskorch.domain.amounts import dollars
from taskorch.domain.usage import ModelUsage


def used(usage: ModelUsage) -> str:
    """Return a usage in words, such as "$0.12, 1,200 tokens in, 300 out (opus)"."""
    counts = (
        (usage.tokens_in, "in"),
        (usage.tokens_out, "out"),
        (usage.cache_read, "from a cache"),
    )
    words = [(f"{number:,}", what) for number, what in counts if number]
    # the first count says what is counted
    parts = [f"{number} tokens {what}" for number, what in words[:1]]
    parts += [f"{number} {what}" for number, what in words[1:]]
    if usage.cost_micros:
        parts.insert(0, dollars(usage.cost_micros))
    model = f" ({line(usage.model)})" if usage.model else ""
    return f"{', '.join(parts)}{model}"
