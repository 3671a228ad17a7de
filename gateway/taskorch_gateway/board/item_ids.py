"""Ids of items as people type them: whole or short."""

from collections.abc import Sequence

from taskorch.domain.item import Caller
from taskorch.domain.short_id import ShortId, parse
from taskorch.mcp.call import ToolCall
from taskorch.queue.queue import Queue


def queue_of(call: ToolCall) -> Queue:
    """Return the queue of the person who looks."""
    return Queue(
        call.connection,
        call.settings.namespace,
        Caller(agent=call.settings.orchestrator),
        damage=call.damage,
    )


def whole_ids(call: ToolCall, given: Sequence[str]) -> tuple[str, ...]:
    """Return the ids of items. Raises errors.NoItem and errors.AmbiguousId."""
    views = queue_of(call).views
    parsed = [parse(each, ("item",)) for each in given]
    return tuple(
        views.find(each) if isinstance(each, ShortId) else each
        for each in parsed
    )
