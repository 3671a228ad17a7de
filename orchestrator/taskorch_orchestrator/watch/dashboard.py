"""One picture of `watch`: how far, the items, the agents, the last events; as much as the terminal has room for."""

from collections.abc import Sequence
from typing import TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text
from taskorch.cli.text import cell, duration, line, timestamp
from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, ProjectProgress, State
from taskorch.queue.agents import AgentStatus

from taskorch_orchestrator.render import console as screen

#: So many of the newest projects are known, and of the agents that called last.
MOST = 100
#: Of an item.
BAR_WIDTH = 10
#: From this width on items have bars, and what the last report says stands beside the title.
REPORTS_FROM_WIDTH, AGENTS_FROM_WIDTH = 100, 60
#: From this width on the title of the project leaves room for a bar.
BAR_FROM_WIDTH = 80
#: A section is its heading and rows; so many rows are kept for the smaller ones.
LEAST_ROWS = 3
#: A blank line and the heading.
AROUND = 2
#: Where there is no room for all items, those come first that somebody may want to look at.
INTEREST = (
    State.BLOCKED,
    State.IN_PROGRESS,
    State.FAILED,
    State.DELAYED,
    State.QUEUED,
    State.PENDING,
    State.WAITING,
    State.COMPLETED,
    State.CANCELLED,
)

Row = TypeVar("Row")


class Snapshot(Frozen):
    """What Redis said last."""

    #: Of the project that is watched; None where all are.
    progress: ProjectProgress | None
    projects: tuple[Project, ...]
    agents: tuple[AgentStatus, ...]

    @property
    def ages(self) -> bool:
        """Return whether something runs whose age is shown."""
        return any(agent.holds for agent in self.working)

    @property
    def working(self) -> tuple[AgentStatus, ...]:
        """Return the agents that have a part in it."""
        if self.progress is None:
            return self.agents
        names = {item.agent for item in self.progress.items}
        return tuple(agent for agent in self.agents if agent.name in names)


class Frame:
    """A picture, drawn for the size that the terminal has then."""

    def __init__(
        self, snapshot: Snapshot, events: Sequence[Event], trouble: str, *, age_ms: int
    ) -> None:
        """`trouble` is what Redis says while it is away, or ""; `age_ms` is how long ago the snapshot was taken."""
        self._snapshot = snapshot
        self._events = events
        self._trouble = trouble
        #: By the clock of Redis, which says how long ago an agent called. Before any has, nothing has an age.
        told = [agent.last_seen_at + agent.silent_ms for agent in snapshot.agents]
        self._now_ms = max([*told, *(event.at for event in events)], default=0) + age_ms

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Draw it."""
        width, height = options.max_width, options.height or console.height
        yield self._head(width)
        if self._trouble:
            yield _cut(Text(line(self._trouble), style="red"))
        wants = [
            len(rows) for rows in (self._rows(), self._snapshot.working, self._events)
        ]
        first, second, third = _shares(height - 1 - bool(self._trouble), wants)
        yield from self._section(self._main(first, width), first)
        yield from self._section(self._agents(second, width), second)
        yield from self._section(self._last(third), third)

    def _head(self, width: int) -> RenderableType:
        progress = self._snapshot.progress
        if progress is None:
            projects = self._snapshot.projects
            active = sum(project.status == "active" for project in projects)
            newest = "the newest " if len(projects) == MOST else ""
            return _cut(
                Text(
                    f"{active} of {newest}{len(projects)} projects active", style="bold"
                )
            )
        project = progress.project
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="bold")
        head.add_column(no_wrap=True)
        if width < AGENTS_FROM_WIDTH:
            head.add_row(
                project.id, line(project.title), f"{project.completed}/{project.wanted}"
            )
            return head
        counted = f"{project.status}, {project.completed} of {project.wanted} completed"
        head.add_row(
            project.id,
            line(project.title),
            counted,
            *(
                [screen.bar(project.completed, project.wanted)]
                if width >= BAR_FROM_WIDTH
                else []
            ),
        )
        return head

    def _section(self, table: Table, rows: int) -> Sequence[RenderableType]:
        return [Text(""), table] if rows else []

    def _rows(self) -> Sequence[Item | Project]:
        progress = self._snapshot.progress
        return progress.items if progress else self._snapshot.projects

    def _main(self, rows: int, width: int) -> Table:
        progress = self._snapshot.progress
        return (
            self._items(progress, rows, width)
            if progress
            else self._projects(rows, width)
        )

    def _items(self, progress: ProjectProgress, rows: int, width: int) -> Table:
        """Return the first items, all where there is room; the last row says how many there are besides."""
        reports, agents = width >= REPORTS_FROM_WIDTH, width >= AGENTS_FROM_WIDTH
        table = _table(
            "ITEM", "STATE", "DONE", *(["FOR", "AGENT"] if agents else []), "TITLE"
        )
        if reports:
            table.add_column("LAST REPORT", no_wrap=True, overflow="ellipsis", ratio=1)
        listed = _fitting(progress.items, rows)
        if len(listed) < len(progress.items):
            listed = sorted(
                progress.items, key=lambda item: INTEREST.index(item.state)
            )[: len(listed)]
        for item in listed:
            last = progress.last_reports.get(item.id)
            age = duration(self._now_ms - item.holder.since) if item.holder else ""
            some = [age, item.agent or "-"] if agents else []
            said = [cell(last.text or last.kind) if last else "-"] if reports else []
            table.add_row(
                item.id,
                screen.state(item.state),
                screen.share(item.percent, BAR_WIDTH if reports else 0),
                *some,
                cell(item.title),
                *said,
            )
        _tell_more(table, sum(progress.project.counts.values()) - len(listed))
        return table

    def _projects(self, rows: int, width: int) -> Table:
        table = _table(
            "PROJECT",
            "STATUS",
            "DONE",
            *([""] if width >= AGENTS_FROM_WIDTH else []),
            "TITLE",
        )
        projects = self._snapshot.projects
        listed = _fitting(projects, rows)
        for project in listed:
            bar = (
                [screen.bar(project.completed, project.wanted)]
                if width >= AGENTS_FROM_WIDTH
                else []
            )
            done = f"{project.completed}/{project.wanted}"
            table.add_row(project.id, project.status, done, *bar, cell(project.title))
        _tell_more(table, len(projects) - len(listed), known=len(projects) < MOST)
        return table

    def _agents(self, rows: int, width: int) -> Table:
        table = _table(
            "AGENT",
            "SEEN",
            "QUEUED",
            *(["HOST"] if width >= AGENTS_FROM_WIDTH else []),
            "HOLDS",
        )
        listed = _fitting(self._snapshot.working, rows)
        for agent in listed:
            host = [cell(agent.host) or "-"] if width >= AGENTS_FROM_WIDTH else []
            seen = self._moment(agent.last_seen_at)
            table.add_row(
                agent.name,
                seen,
                str(agent.counts[State.QUEUED]),
                *host,
                " ".join(held.item for held in agent.holds) or "-",
            )
        known = len(self._snapshot.agents) < MOST
        _tell_more(table, len(self._snapshot.working) - len(listed), known=known)
        return table

    def _last(self, rows: int) -> Table:
        table = _table("AT", "EVENT", "ITEM", "STATE", "AGENT")
        for event in self._events[-rows:] if rows else ():
            what = event.item or event.project
            table.add_row(
                self._moment(event.at),
                event.verb,
                what,
                event.state,
                event.agent or "-",
            )
        return table

    def _moment(self, at_ms: int) -> str:
        """Return the time of a day, UTC; or the day, if it is another one."""
        day, _, time = timestamp(at_ms).partition(" ")
        return (
            time if time and day == timestamp(self._now_ms).partition(" ")[0] else day
        )


def _shares(height: int, wants: Sequence[int]) -> list[int]:
    """Return how many rows each section gets; it takes two more, a blank line and its heading, or nothing at all."""
    shares = [0] * len(wants)
    left = height
    for place, want in enumerate(wants):  # a few rows for each, the first one first
        if want and left > AROUND:
            shares[place] = min(want, LEAST_ROWS, left - AROUND)
            left -= shares[place] + AROUND
    for place, want in enumerate(
        wants
    ):  # what is left goes to the first one that wants it
        more = min(left, want - shares[place]) if shares[place] else 0
        shares[place] += more
        left -= more
    return shares


def _fitting(listed: Sequence[Row], rows: int) -> Sequence[Row]:
    """Return all of them, or as many as leave a row to say how many more there are."""
    return listed if len(listed) <= rows else listed[: max(rows - 1, 0)]


def _tell_more(table: Table, more: int, *, known: bool = True) -> None:
    if more > 0:
        table.add_row(f"… {more} more" if known else f"… at least {more} more")


def _table(*columns: str) -> Table:
    """Return a table whose rows are one line each; the last column has what room there is."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for column in columns:
        ratio = 1 if column == columns[-1] else None
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=ratio)
    return table


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
