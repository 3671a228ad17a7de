"""The agents: when each called last, and the items that its sessions hold."""

from collections.abc import Mapping, Sequence
from typing import TypeAlias, cast

from taskorch.domain import limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Holder, State
from taskorch.queue import fields as read
from taskorch.queue.fields import DamagedField, Reading, readable
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: An agent without items is forgotten if it has not called for this long.
FORGOTTEN_MS = 30 * 24 * 3_600_000
#: Agents that one call returns, with what they hold; and pools that come with the first.
PAGE, POOLS_AT_ONCE = 20, 100
#: Where to go on, agents, the number of pools to skip, and rows of pools.
AgentsReply: TypeAlias = tuple[str, list[Reply], str, list[Reply]]


class HeldItemStatus(Frozen):
    """An item that a session of an agent holds."""

    item: str
    state: State
    holder: Holder
    #: Time of the last report or renewal, in ms; of the blocker, for a blocked item.
    heard_at: int
    #: Time since then in ms, by the clock of Redis.
    silent_ms: int


class AgentStatus(Frozen):
    """An agent, its last call and the items that it holds."""

    name: str
    #: Time of its last call, in ms; 0 if none of its sessions has called.
    last_seen_at: int
    #: Time since then in ms, by the clock of Redis.
    silent_ms: int
    #: The session that called last, and the version of its program.
    host: str
    pid: int
    session: str
    version: str
    counts: Mapping[State, int]
    #: The items that it has held longest.
    holds: tuple[HeldItemStatus, ...]
    #: The number of items that it holds besides.
    more: int
    #: Time in ms since its last call, or since it was first named if it never called.
    idle_ms: int
    #: The pools that it takes items from, in its order.
    pools: tuple[str, ...] = ()


class AgentsRead(Frozen):
    """The agents, and the rows of the first pools."""

    agents: tuple[AgentStatus, ...]
    pool_rows: Sequence[Reply]
    #: The number of pools to skip for the others; "" if there are none.
    skip_pools: str


def read_agents(scripts: Scripts, limit: int, *, pools: int = 0) -> AgentsRead:
    """Return the agents, the one that called last first, and the first of `pools` pools."""
    left, skip = limit, "0"
    rows: list[Reply] = []
    pool_rows: Sequence[Reply] = ()
    skip_pools, pools_asked = "", min(pools, POOLS_AT_ONCE)
    while skip and left > 0:
        reply = scripts.run_script(
            "agents", int(skip), min(left, PAGE), pools_asked
        )
        skip, page, after_pools, listed = cast("AgentsReply", reply)
        if pools_asked:
            pool_rows, skip_pools, pools_asked = listed, after_pools, 0
        rows += page
        left -= len(page)
    # one that called between two pages is on both
    found = {
        each.name: each
        for each in readable(agent_status, rows, scripts.damage)
    }
    return AgentsRead(
        agents=tuple(found.values()),
        pool_rows=pool_rows,
        skip_pools=skip_pools,
    )


def is_forgotten(agent: AgentStatus) -> bool:
    """Return whether the service forgets an agent: it has no items and is silent."""
    return agent.idle_ms >= FORGOTTEN_MS and not any(agent.counts.values())


def agent_status(view: Reply) -> AgentStatus:
    """Read `{name, last seen ms, silent ms, fields, {held item …}, held, idle ms}`.

    `held_item_status` reads a held item.
    """
    name, last_seen, silent, flat, holds, held, idle = cast(
        "tuple[str, str, str, Reply, list[list[str]], int, str]", view
    )
    with Reading("agent", name):
        if not limits.is_name(name):
            raise DamagedField("name")
        fields = read.fields_of(flat)
        return AgentStatus(
            name=name,
            last_seen_at=int(float(last_seen)),
            silent_ms=int(silent),
            host=fields.get("host", ""),
            pid=int(fields.get("pid") or 0),
            session=fields.get("session", ""),
            version=fields.get("version", ""),
            counts=read.counts(fields),
            holds=tuple(
                held_item_status(name, row)
                for row in holds
                if limits.is_item_id(row[0])
            ),
            more=max(0, held - len(holds)),
            idle_ms=int(idle),
            pools=pool_names(fields.get("pools", "")),
        )


def pool_names(listed: str) -> tuple[str, ...]:
    """Return the pools in a text such as "backend,python"."""
    names = tuple(filter(None, listed.split(",")))
    if not all(map(limits.is_name, names)):
        raise DamagedField("pools")
    return names


def held_item_status(agent: str, row: list[str]) -> HeldItemStatus:
    """Read `{item, state, host, pid, session, since, last report, silent ms}`."""
    item, state, host, pid, session, since, heard, silent = row
    holder = Holder(
        agent=agent,
        host=host,
        pid=int(pid or 0),
        session=session,
        since=int(since or 0),
    )
    return HeldItemStatus(
        item=item,
        state=State(state),
        holder=holder,
        heard_at=int(heard),
        silent_ms=int(silent),
    )
