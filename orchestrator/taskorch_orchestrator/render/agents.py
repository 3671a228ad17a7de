"""The output of `orchestrate agents`: a row for each session."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.cli.text import cell, duration
from taskorch.domain.item import State
from taskorch.queue.agents import AgentStatus, HeldItemStatus
from taskorch.queue.overview import PoolWork

from taskorch_orchestrator.render import console
from taskorch_orchestrator.render.console import Column

#: Agents of a pool that are named.
MEMBERS_SHOWN = 5
COLUMNS = (
    Column(header="AGENT", least=16),
    Column(header="HOST", leaves=5, least=8),
    Column(header="PID", leaves=2),
    Column(header="SESSION", leaves=3, least=8),
    Column(header="LAST SEEN", leaves=8),
    Column(header="SILENT", leaves=1, in_pipes_only=True),
    Column(header="QUEUED", leaves=7),
    Column(header="COMPLETED", leaves=4),
    Column(header="HOLDS", leaves=9),
    Column(header="SINCE", leaves=6),
)


class _Session(NamedTuple):
    """The cells of one session of an agent."""

    host: str
    pid: str
    session: str
    last_seen: str
    silent: str
    holds: str
    since: str


def agents(
    listed: Iterable[AgentStatus], pools: Sequence[PoolWork] = ()
) -> str:
    """Return agents as a table of their sessions: where they run and what they hold.

    The pools are a table below it, if there are any.
    """
    parts: list[console.Part] = [table(listed)]
    if pools:
        parts += [Text(""), pools_table(pools)]
    return console.printed(*parts)


def pools_table(listed: Iterable[PoolWork]) -> console.Table:
    """Return pools as a table: their waiting items, and who takes items from them."""
    rows = console.Table(
        Column(header="POOL", least=12),
        Column(header="READY"),
        Column(header="SINCE", leaves=1),
        Column(header="NOT READY", leaves=2),
        Column(header="AGENTS", least=12),
    )
    for pool in listed:
        rows.add_row(
            pool.name,
            str(pool.queued),
            console.since(pool.queued_since) if pool.queued else "-",
            str(pool.delayed + pool.waiting),
            _members(pool) or "none",
        )
    return rows


def _members(pool: PoolWork) -> str:
    """Return the names of the first agents of a pool, and the number of the others."""
    names = [member.name for member in pool.members[:MEMBERS_SHOWN]]
    left = pool.member_count - len(names)
    return " ".join([*names, f"+{left}"] if left > 0 else names)


def table(listed: Iterable[AgentStatus]) -> console.Table:
    """Return agents as a table, for the caller to print."""
    rows = console.Table(*COLUMNS)
    for agent in listed:
        counts = (
            str(agent.counts[State.QUEUED]),
            str(agent.counts[State.COMPLETED]),
        )
        for row in _sessions(agent):
            rows.add_row(agent.name, *row[:5], *counts, *row[5:])
            counts = ("", "")
        if agent.more:
            rows.add_row(agent.name, *("",) * 7, f"and {agent.more} more", "")
    return rows


def _sessions(agent: AgentStatus) -> Iterator[_Session]:
    """Yield the sessions of an agent, the last caller first."""
    caller = (agent.host, agent.session)
    held = {
        session: list(items)
        for session, items in groupby(
            sorted(agent.holds, key=_owner), key=_owner
        )
    }
    if caller not in held:
        yield _Session(
            host=cell(agent.host) or "-",
            pid=str(agent.pid or "-"),
            session=cell(agent.session) or "-",
            last_seen=console.since(agent.last_seen_at),
            silent=duration(agent.silent_ms) if agent.last_seen_at else "-",
            holds="-",
            since="-",
        )
    for session, items in sorted(
        held.items(), key=lambda each: each[0] != caller
    ):
        newest = max(items, key=lambda item: item.heard_at)
        pid = agent.pid if session == caller else newest.holder.pid
        yield _Session(
            host=cell(newest.holder.host) or "-",
            pid=str(pid or "-"),
            session=cell(newest.holder.session) or "-",
            last_seen=console.since(newest.heard_at),
            silent=duration(newest.silent_ms),
            holds=_ids([item.item for item in items]),
            since=console.since(min(item.holder.since for item in items)),
        )


def _ids(items: Sequence[str]) -> str:
    """Return the ids in a pipe; on a terminal the first one, and the number of others."""
    if len(items) == 1 or not on_terminal():
        return " ".join(items)
    return f"{items[0]} +{len(items) - 1}"


def _owner(held: HeldItemStatus) -> tuple[str, str]:
    return held.holder.host, held.holder.session
