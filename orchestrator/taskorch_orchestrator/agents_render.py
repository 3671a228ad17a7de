"""What `orchestrate agents` prints: a row for each session of an agent that holds something, or called last."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from taskorch.agents import AgentStatus, Holding
from taskorch.item import Holder, State
from taskorch.plain_text import line, moment

from taskorch_orchestrator import screen

COLUMNS = ("AGENT", "HOST", "PID", "SESSION", "LAST SEEN", "SILENT", "QUEUED", "COMPLETED", "HOLDS", "SINCE")
SECOND_MS = 1000
UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def agents(listed: Iterable[AgentStatus]) -> str:
    """Return agents as a table: their sessions, where each is, what it holds since when, how long it was silent."""
    table = screen.table(*COLUMNS)
    for agent in listed:
        counts = (str(agent.counts[State.QUEUED]), str(agent.counts[State.COMPLETED]))
        for number, (place, seen, holds) in enumerate(_sessions(agent)):
            table.add_row(agent.name, *place, *seen, *(("", "") if number else counts), *holds)
    return screen.printed(table)


def _sessions(agent: AgentStatus) -> Iterator[tuple[Sequence[str], Sequence[str], Sequence[str]]]:
    """Return each session's place, when it was seen, and what it holds; the one that called last first."""
    caller, seen = (agent.host, agent.session), (moment(agent.last_seen_at), _length(agent.silent_ms))
    held = {place: list(each) for place, each in groupby(sorted(agent.holds, key=_place), key=_place)}
    if not any((host, session) == caller for host, _, session in held):
        yield (
            _place_shown(agent.host, agent.pid, agent.session),
            seen if agent.last_seen_at else ("never", "-"),
            ("-", "-"),
        )
    for (host, pid, session), holds in sorted(held.items(), key=lambda each: (each[0][0], each[0][2]) != caller):
        yield (_place_shown(host, pid, session), _heard(holds), _held(holds))


def _place(holding: Holding) -> tuple[str, int, str]:
    holder: Holder = holding.holder
    return holder.host, holder.pid, holder.session


def _place_shown(host: str, pid: int, session: str) -> tuple[str, str, str]:
    return line(host) or "-", str(pid or "-"), line(session) or "-"


def _heard(holds: Sequence[Holding]) -> tuple[str, str]:
    newest = max(holds, key=lambda holding: holding.heard_at)
    return moment(newest.heard_at), _length(newest.silent_ms)


def _held(holds: Sequence[Holding]) -> tuple[str, str]:
    return " ".join(holding.item for holding in holds), moment(min(holding.holder.since for holding in holds))


def _length(length_ms: int) -> str:
    """Return a length of time in its largest unit."""
    seconds = length_ms // SECOND_MS
    return next((f"{seconds // size}{unit}" for unit, size in UNITS if seconds >= size), f"{seconds}s")
