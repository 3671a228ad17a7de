"""The output of `orchestrate agents`: a row for each session."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from taskorch.cli.text import cell, duration, timestamp
from taskorch.domain.item import State
from taskorch.queue.agents import AgentStatus, HeldItemStatus

from taskorch_orchestrator.render import console

COLUMNS = (
    "AGENT",
    "HOST",
    "PID",
    "SESSION",
    "LAST SEEN",
    "SILENT",
    "QUEUED",
    "COMPLETED",
    "HOLDS",
    "SINCE",
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


def agents(listed: Iterable[AgentStatus]) -> str:
    """Return agents as a table of their sessions: where they run and what they hold."""
    table = console.table(*COLUMNS)
    for agent in listed:
        counts = (
            str(agent.counts[State.QUEUED]),
            str(agent.counts[State.COMPLETED]),
        )
        for row in _sessions(agent):
            table.add_row(agent.name, *row[:5], *counts, *row[5:])
            counts = ("", "")
        if agent.more:
            table.add_row(agent.name, *("",) * 7, f"and {agent.more} more", "")
    return console.printed(table)


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
            last_seen=timestamp(agent.last_seen_at),
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
            last_seen=timestamp(newest.heard_at),
            silent=duration(newest.silent_ms),
            holds=" ".join(item.item for item in items),
            since=timestamp(min(item.holder.since for item in items)),
        )


def _owner(held: HeldItemStatus) -> tuple[str, str]:
    return held.holder.host, held.holder.session
