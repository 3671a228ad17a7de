"""What `orchestrate agents` prints: a row for each session of an agent that holds something, or called last."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

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


def agents(listed: Iterable[AgentStatus]) -> str:
    """Return agents as a table: their sessions, where each is, what it holds since when, how long it was silent."""
    table = console.table(*COLUMNS)
    for agent in listed:
        counts = (str(agent.counts[State.QUEUED]), str(agent.counts[State.COMPLETED]))
        for number, (place, seen, holds) in enumerate(_sessions(agent)):
            table.add_row(
                agent.name, *place, *seen, *(("", "") if number else counts), *holds
            )
        if agent.more:
            table.add_row(agent.name, *("",) * 7, f"and {agent.more} more", "")
    return console.printed(table)


def _sessions(
    agent: AgentStatus,
) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[str]]]:
    """Return each session's place, when it was seen, and what it holds; the one that called last first."""
    caller = (agent.host, agent.session)
    held = {
        session: list(each)
        for session, each in groupby(sorted(agent.holds, key=_session), key=_session)
    }
    if caller not in held:
        seen = (
            (timestamp(agent.last_seen_at), duration(agent.silent_ms))
            if agent.last_seen_at
            else ("never", "-")
        )
        yield _place(agent.host, agent.pid, agent.session), seen, ("-", "-")
    for session, holds in sorted(held.items(), key=lambda each: each[0] != caller):
        newest = max(holds, key=lambda holding: holding.heard_at)
        pid = agent.pid if session == caller else newest.holder.pid
        seen = (timestamp(newest.heard_at), duration(newest.silent_ms))
        yield _place(newest.holder.host, pid, newest.holder.session), seen, _held(holds)


def _session(holding: HeldItemStatus) -> tuple[str, str]:
    return holding.holder.host, holding.holder.session


def _place(host: str, pid: int, session: str) -> tuple[str, str, str]:
    return cell(host) or "-", str(pid or "-"), cell(session) or "-"


def _held(holds: Sequence[HeldItemStatus]) -> tuple[str, str]:
    return " ".join(holding.item for holding in holds), timestamp(
        min(holding.holder.since for holding in holds)
    )
