"""Ids of items as people type them: whole or short."""

from collections.abc import Sequence

from taskorch.domain.short_id import ShortId, parse
from taskorch.mcp.call import ToolCall

from taskorch_gateway.client_queue import queue_of


def whole_ids(call: ToolCall, given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of items. Raises errors.NoItem and errors.AmbiguousId."""
    views = queue_of(call).views
    parsed = [parse(each, ("item",)) for each in given]
    return tuple(
        views.find(each) if isinstance(each, ShortId) else each
        for each in parsed
    )
