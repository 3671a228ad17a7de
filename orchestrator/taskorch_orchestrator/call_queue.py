"""The queue of an orchestrator that calls a tool."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from taskorch.mcp.call import ToolCall
    from taskorch.queue.queue import Queue


def queue_of(call: "ToolCall") -> "Queue":
    """Return the queue of the orchestrator that makes a call."""
    from taskorch.queue.queue import Queue

    from taskorch_orchestrator.context import caller_of

    return Queue(
        call.connection,
        call.settings.namespace,
        caller_of(call.settings),
        requests=call.requests,
        damage=call.damage,
    )
