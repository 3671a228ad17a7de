"""The agents as the orchestrator sees them: when each called, and what each of its sessions holds."""

from collections.abc import Mapping
from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Holder, State
from taskorch.queue import replies
from taskorch.queue.port import Reply


class HeldItemStatus(Frozen):
    """An item that a session of an agent holds."""

    item: str
    state: State
    holder: Holder
    #: The last report or renewal; when it was blocked, for a blocked one.
    heard_at: int
    #: How long ago that is, by the clock of Redis.
    silent_ms: int


class AgentStatus(Frozen):
    """An agent as the orchestrator sees it."""

    name: str
    #: 0 when no session of it has called yet.
    last_seen_at: int
    #: How long ago that is, by the clock of Redis.
    silent_ms: int
    #: Of the session that called last.
    host: str
    pid: int
    session: str
    #: Of the program that it called with.
    version: str
    counts: Mapping[State, int]
    #: Those that it has held for the longest time.
    holds: tuple[HeldItemStatus, ...]
    #: So many besides.
    more: int


def agent_status(view: Reply) -> AgentStatus:
    """Read `{name, last seen, silent, fields, {{item, state, host, pid, session, since, heard, silent} …}, held}`."""
    name, last_seen, silent, flat, holds, held = cast(
        "tuple[str, str, str, Reply, list[list[str]], int]", view
    )
    fields = replies.fields_of(flat)
    return replies.checked_agent(
        name,
        lambda: AgentStatus(
            name=name,
            last_seen_at=int(float(last_seen)),
            silent_ms=int(silent),
            host=fields.get("host", ""),
            pid=int(fields.get("pid") or 0),
            session=fields.get("session", ""),
            version=fields.get("version", ""),
            counts=replies.counts_of(fields),
            holds=tuple(
                _holding(name, row) for row in holds if replies.item_or_none(row[0])
            ),
            more=max(0, held - len(holds)),
        ),
    )


def _holding(agent: str, row: list[str]) -> HeldItemStatus:
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
