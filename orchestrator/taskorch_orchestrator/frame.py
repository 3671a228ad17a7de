"""One picture of `watch`: how far, the items, the agents, the last events; as much as the terminal has room for."""

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from taskorch.agents import AgentStatus
from taskorch.frozen import Frozen
from taskorch.item import Item, Project, ProjectProgress, State
from taskorch.plain_text import line, moment
from taskorch.record import Event

from taskorch_orchestrator import screen

BAR_WIDTH = 20
#: From this width on items have bars, and what the last report says stands beside the title.
REPORTS_FROM_WIDTH, AGENTS_FROM_WIDTH = 100, 60
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

    def __init__(self, snapshot: Snapshot, events: Sequence[Event], trouble: str, *, now_ms: int) -> None:
        """`trouble` is what Redis says while it is away, or ""."""
        self._snapshot = snapshot
        self._events = events
        self._trouble = trouble
        self._now_ms = now_ms

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it."""
        width, height = options.max_width, options.height or console.height
        yield self._head(width)
        if self._trouble:
            yield _cut(Text(line(self._trouble), style="red"))
        wants = [len(rows) for rows in (self._rows(), self._snapshot.working, self._events)]
        first, second, third = _shares(height - 1 - bool(self._trouble), wants)
        yield from self._section(self._main(first, width), first)
        yield from self._section(self._agents(second, width), second)
        yield from self._section(self._last(third), third)

    def _head(self, width: int) -> RenderableType:
        progress = self._snapshot.progress
        if progress is None:
            projects = self._snapshot.projects
            active = sum(project.status == "active" for project in projects)
            return _cut(Text(f"{active} of {len(projects)} projects active", style="bold"))
        project = progress.project
        head = Table.grid(padding=(0, 1), expand=True)
        head.add_column(no_wrap=True)
        head.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="bold")
        head.add_column(no_wrap=True)
        if width < AGENTS_FROM_WIDTH:
            head.add_row(project.id, line(project.title), f"{project.completed}/{project.wanted}")
            return head
        head.add_column(width=BAR_WIDTH)
        counted = f"{project.status}, {project.completed} of {project.wanted} completed"
        head.add_row(project.id, line(project.title), counted, _bar(project))
        return head

    def _section(self, table: Table, rows: int) -> Sequence[RenderableType]:
        return [Text(""), table] if rows else []

    def _rows(self) -> Sequence[Item | Project]:
        progress = self._snapshot.progress
        return progress.items if progress else self._snapshot.projects

    def _main(self, rows: int, width: int) -> Table:
        progress = self._snapshot.progress
        return self._items(progress, rows, width) if progress else self._projects(rows, width)

    def _items(self, progress: ProjectProgress, rows: int, width: int) -> Table:
        """Return the first items, all where there is room; the last row says how many there are besides."""
        reports, agents = width >= REPORTS_FROM_WIDTH, width >= AGENTS_FROM_WIDTH
        table = _table("ITEM", "STATE", "DONE", *(["FOR", "AGENT"] if agents else []), "TITLE")
        if reports:
            table.add_column("LAST REPORT", no_wrap=True, overflow="ellipsis", ratio=1)
        listed, more = _first(progress.items, rows)
        for item in listed:
            last = progress.last_reports.get(item.id)
            some = [self._age(item.holder.since) if item.holder else "", item.agent or "-"] if agents else []
            said = [line(last.text or last.kind) if last else "-"] if reports else []
            table.add_row(item.id, screen.state(item.state), _done(item, bar=reports), *some, line(item.title), *said)
        if more:
            table.add_row(f"… {more} more")
        return table

    def _projects(self, rows: int, width: int) -> Table:
        table = _table("PROJECT", "STATUS", "DONE", *([""] if width >= AGENTS_FROM_WIDTH else []), "TITLE")
        projects = self._snapshot.projects
        room = rows if len(projects) <= rows else rows - 1
        for project in projects[:room]:
            bar = [_bar(project)] if width >= AGENTS_FROM_WIDTH else []
            done = f"{project.completed}/{project.wanted}"
            table.add_row(project.id, project.status, done, *bar, line(project.title))
        if len(projects) > room:
            table.add_row(f"… {len(projects) - room} more")
        return table

    def _agents(self, rows: int, width: int) -> Table:
        table = _table("AGENT", "SEEN", "QUEUED", *(["HOST"] if width >= AGENTS_FROM_WIDTH else []), "HOLDS")
        for agent in self._snapshot.working[:rows]:
            host = [line(agent.host) or "-"] if width >= AGENTS_FROM_WIDTH else []
            seen = self._moment(agent.last_seen_at)
            table.add_row(
                agent.name,
                seen,
                str(agent.counts[State.QUEUED]),
                *host,
                " ".join(held.item for held in agent.holds) or "-",
            )
        return table

    def _last(self, rows: int) -> Table:
        table = _table("AT", "EVENT", "ITEM", "STATE", "AGENT")
        for event in self._events[-rows:] if rows else ():
            what = event.item or event.project
            table.add_row(self._moment(event.at), event.verb, what, event.state, event.agent or "-")
        return table

    def _moment(self, at_ms: int) -> str:
        """Return the time of a day, UTC; or the day, if it is another one."""
        day, _, time = moment(at_ms).partition(" ")
        return time if time and day == moment(self._now_ms).partition(" ")[0] else day

    def _age(self, since_ms: int) -> str:
        """Return how long ago it was, in its two largest units."""
        seconds = max(0, self._now_ms - since_ms) // 1000
        days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
        units = {"d": days, "h": hours, "m": minutes, "s": seconds % 60}
        shown = [f"{n}{unit}" for unit, n in units.items()]
        first = next((place for place, n in enumerate(units.values()) if n), len(shown) - 1)
        return " ".join(shown[first : first + 2])


def _shares(height: int, wants: Sequence[int]) -> list[int]:
    """Return how many rows each section gets; it takes two more, a blank line and its heading, or nothing at all."""
    shares = [0] * len(wants)
    left = height
    for place, want in enumerate(wants):  # a few rows for each, the first one first
        if want and left > AROUND:
            shares[place] = min(want, LEAST_ROWS, left - AROUND)
            left -= shares[place] + AROUND
    for place, want in enumerate(wants):  # what is left goes to the first one that wants it
        more = min(left, want - shares[place]) if shares[place] else 0
        shares[place] += more
        left -= more
    return shares


def _first(items: Sequence[Item], rows: int) -> tuple[Sequence[Item], int]:
    if len(items) <= rows:
        return items, 0
    interesting = sorted(items, key=lambda item: INTEREST.index(item.state))[: max(rows - 1, 0)]
    return interesting, len(items) - len(interesting)


def _table(*columns: str) -> Table:
    """Return a table whose rows are one line each; the last column has what room there is."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for column in columns:
        ratio = 1 if column == columns[-1] else None
        table.add_column(column, no_wrap=True, overflow="ellipsis", ratio=ratio)
    return table


def _done(item: Item, *, bar: bool) -> RenderableType:
    if not bar:
        return f"{item.percent}%"
    cell = Table.grid(padding=(0, 1))
    cell.add_row(ProgressBar(total=100, completed=item.percent, width=BAR_WIDTH // 2), f"{item.percent}%")
    return cell


def _bar(project: Project) -> ProgressBar:
    return ProgressBar(total=max(project.wanted, 1), completed=project.completed, width=BAR_WIDTH)


def _cut(text: Text) -> Text:
    text.no_wrap, text.overflow = True, "ellipsis"
    return text
