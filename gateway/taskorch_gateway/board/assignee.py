"""Who gets an item, as a person types it: the name of an agent, or `pool:` and that of a pool."""

from collections.abc import Sequence

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.keys import POOL

from taskorch_gateway.client_queue import queue_of

#: What stands beside a field for it.
LABEL = "Agent or pool:NAME"
#: The states in which an item of a pool waits there, and has no agent.
IN_POOL = (State.WAITING, State.QUEUED, State.DELAYED)
#: Agents, and pools, that a form suggests.
SUGGESTED = 100


class Assignee(Frozen):
    """An agent, or else a pool; neither for none."""

    agent: str = ""
    pool: str = ""

    @property
    def typed(self) -> str:
        """It as a person types it."""
        return self.agent or (self.pool and f"{POOL}{self.pool}")

    @property
    def words(self) -> str:
        """It in a sentence."""
        return self.agent or (self.pool and f"the pool {self.pool}")


class ReadAssignees(ToolArguments):
    """List the agents and pools that a form suggests, as a person types them."""

    name = "board_assignees"
    read_only = True

    def perform(self, call: ToolCall) -> ToolResult:
        """List them with one call."""
        agents, pools = queue_of(call).views.agents_and_pools(limit=SUGGESTED)
        names: Sequence[str] = [
            *(agent.name for agent in agents),
            *(f"{POOL}{pool.name}" for pool in pools),
        ]
        return ToolResult(names)


def assignee_of(typed: str) -> Assignee:
    """Return who is meant. Raises errors.Invalid for a name that cannot be one."""
    name = typed.removeprefix(POOL)
    if name != typed:
        return Assignee(pool=limits.pool_name(name.strip()))
    return Assignee(agent=limits.agent_name(typed) if typed else "")


def need_assignee(typed: str) -> Assignee:
    """Return who is meant. Raises errors.Usage if nothing was typed."""
    if not typed:
        raise errors.Usage(reason="Name the agent or the pool that gets it.")
    return assignee_of(typed)


def owner_of(state: str, agent: str, pool: str) -> Assignee:
    """Return who has an item: its agent, or the pool in which it waits."""
    if agent or state not in IN_POOL:
        return Assignee(agent=agent)
    return Assignee(pool=pool)


def owner_of_item(item: Item) -> Assignee:
    """Return who has an item."""
    return owner_of(item.state, item.agent, item.pool)
