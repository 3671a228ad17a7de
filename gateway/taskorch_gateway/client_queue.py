"""The queue of a client for whom the gateway performs a verb."""

from taskorch.domain.item import Caller
from taskorch.mcp.call import ToolCall
from taskorch.queue.queue import Queue


def queue_of(call: ToolCall) -> Queue:
    """Return the queue of the orchestrator, or of the person, who makes a call."""
    return Queue(
        call.connection,
        call.settings.namespace,
        Caller(agent=call.settings.orchestrator),
        requests=call.requests,
        damage=call.damage,
    )
