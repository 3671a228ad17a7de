"""The dashboard of `watch`: progress, items, agents and events, fit to the terminal."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text
from taskorch.cli.text import cell, counted, duration, line, timestamp
from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, Project, ProjectProgress, State
from taskorch.queue.agents import AgentStatus
from taskorch.queue.budgets import Budget
from taskorch.queue.overview import PoolWork

from taskorch_orchestrator.render import console as screen
from taskorch_orchestrator.render.costs import budget_in_words

#: Maximum number of projects (the newest) and agents (the last seen) in a snapshot.
MOST = 100
#: Characters of an item's progress bar.
BAR_WIDTH = 10
#: Minimum widths of the terminal: for progress bars and last reports of items; for the
#: columns about agents.
REPORTS_FROM_WIDTH, AGENTS_FROM_WIDTH = 100, 60
#: Columns of the project's title that its progress bar leaves free.
LEAST_TITLE = 24
#: Rows that each section gets before a larger one gets the rest.
LEAST_ROWS = 3
#: A blank line and the header of a section.
HEADER_ROWS = 2
#: The order of items if there is no room for all: those that may need the user first.
INTEREST = (
    State.BLOCKED,
    State.REVIEW,
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
    """The state of the queue when it was last read."""

    #: Of the watched project; None if all projects are watched.
    progress: ProjectProgress | None
    projects: tuple[Project, ...]
    agents: tuple[AgentStatus, ...]
    #: The items with an open question, at most MOST.
    inbox: tuple[Item, ...]
    #: The first pools, with their waiting items.
    pools: tuple[PoolWork, ...] = ()
    #: The budgets that are used up: no item of theirs is claimed.
    used_up: tuple[Budget, ...] = ()

    @property
    def shows_ages(self) -> bool:
        """Whether an agent holds an item, so that an age changes every second."""
        return any(agent.holds for agent in self.relevant_agents)

    @property
    def relevant_agents(self) -> tuple[AgentStatus, ...]:
        """The agents of the watched project, or all agents."""
        if self.progress is None:
            return self.agents
        names = {item.agent for item in self.progress.items}
        return tuple(agent for agent in self.agents if agent.name in names)


class Dashboard:
    """The picture of a snapshot, laid out for the terminal's size when printed."""

    def __init__(
        self,
        snapshot: Snapshot,
        events: Sequence[Event],
        outage: str,
        *,
        age_ms: int,
    ) -> None:
        """Show a snapshot that is `age_ms` old, and the last events.

        `outage` is the message of an outage of Redis, or "".
        """
        self._snapshot = snapshot
        self._events = events
        self._outage = outage
        # The current time by the clock of Redis, as far as the data tells it.
        times = [
            agent.last_seen_at + agent.silent_ms for agent in snapshot.agents
        ]
        times += [event.at for event in events]
        self._now_ms = max(times, default=0) + age_ms

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> RenderResult:
        """Yield the lines and tables."""
        width, height = options.max_width, options.height or console.height
        yield self._headline(width)
        left = height - 1
        if self._outage:
            yield _one_line(Text(line(self._outage), style="red"))
            left -= 1
        if self._snapshot.used_up:
            yield _one_line(Text(self._over_budget(), style="red"))
            left -= 1
        progress = self._snapshot.progress
        main: Sequence[Item | Project] = self._snapshot.projects
        if progress:
            main = progress.items
        wanted = [
            len(main),
            len(self._snapshot.relevant_agents),
            len(self._events),
        ]
        main_rows, agent_rows, event_rows = _divide(left, wanted)
        if main_rows and progress:
            yield from _section(self._items(progress, main_rows, width))
        elif main_rows:
            yield from _section(self._projects(main_rows, width))
        if agent_rows:
            yield from _section(self._agents(agent_rows, width))
        if event_rows:
            yield from _section(self._last_events(event_rows))

    def _headline(self, width: int) -> RenderableType:
        progress = self._snapshot.progress
        if progress is None:
            projects = self._snapshot.projects
            active = sum(project.status == "active" for project in projects)
            newest = "the newest " if len(projects) == MOST else ""
            all_ = counted(len(projects), "project", "projects")
            text = f"{active} of {newest}{all_} active"
            if asking := self._asking():
                text += f", {asking}: orchestrate inbox"
            if in_pools := self._in_pools():
                text += f", {in_pools}"
            return _one_line(Text(text, style="bold"))
        project = progress.project
        done, wanted = project.completed, project.wanted
        grid = Table.grid(padding=(0, 1), expand=True)
        grid.add_column(no_wrap=True)
        grid.add_column(
            no_wrap=True, overflow="ellipsis", ratio=1, style="bold"
        )
        grid.add_column(no_wrap=True)
        title = line(project.title)
        if width < AGENTS_FROM_WIDTH:
            status = f"{done}/{wanted}"
        else:
            status = f"{project.status}, {project.done}"
            status = ", ".join(filter(None, (status, self._asking())))
        bar = screen.bar(done, wanted)
        room = width - len(f"{project.id}  {status} ") - bar.cell_len
        cells: list[RenderableType] = [project.id, title, status]
        if room >= min(cell_len(title), LEAST_TITLE):
            cells.append(bar)
        grid.add_row(*cells)
        return grid

    def _asking(self) -> str:
        """Return how many items ask, and how many wait for review; "" for none."""
        asking = len(self._snapshot.inbox)
        progress = self._snapshot.progress
        projects = [progress.project] if progress else self._snapshot.projects
        done = sum(each.counts.get(State.REVIEW, 0) for each in projects)
        words = []
        if asking:
            words.append(counted(asking, "item asks", "items ask"))
        if done:
            words.append(
                counted(done, "item waits", "items wait") + " for review"
            )
        return ", ".join(words)

    def _in_pools(self) -> str:
        """Return the number of ready items of each pool that has some; "" for none."""
        filled = [pool for pool in self._snapshot.pools if pool.queued]
        numbers = ", ".join(f"{pool.name} {pool.queued}" for pool in filled)
        return f"ready in pools: {numbers}" if numbers else ""

    def _over_budget(self) -> str:
        """Return the first budget that is used up, and the number of the others."""
        first, *others = self._snapshot.used_up
        more = f", and {len(others)} more" if others else ""
        return f"{budget_in_words(first)}{more}: orchestrate budget"

    def _items(
        self, progress: ProjectProgress, rows: int, width: int
    ) -> Table:
        """Return the items; if there is no room for all, the most interesting first."""
        with_reports = width >= REPORTS_FROM_WIDTH
        with_agents = width >= AGENTS_FROM_WIDTH
        agent_columns = ["FOR", "AGENT"] if with_agents else []
        table = _table("ITEM", "STATE", "DONE", *agent_columns, "TITLE")
        if with_reports:
            table.add_column(
                "LAST REPORT", no_wrap=True, overflow="ellipsis", ratio=1
            )
        shown = _fitting(progress.items, rows)
        if len(shown) < len(progress.items):
            by_interest = sorted(
                progress.items,
                key=lambda item: (
                    not item.questions,
                    INTEREST.index(item.state),
                ),
            )
            shown = by_interest[: len(shown)]
        for item in shown:
            bar_width = BAR_WIDTH if with_reports else 0
            cells: list[RenderableType] = [
                item.id,
                screen.state(item.state),
                screen.share(item.percent, bar_width),
            ]
            if with_agents:
                holder = item.holder
                age = duration(self._now_ms - holder.since) if holder else ""
                cells += [age, screen.owner(item.agent, item.pool)]
            cells.append(cell(item.title))
            if with_reports:
                report = progress.last_reports.get(item.id)
                cells.append(
                    cell(report.text or report.kind) if report else "-"
                )
            table.add_row(*cells)
        _add_rest(table, sum(progress.project.counts.values()) - len(shown))
        return table

    def _projects(self, rows: int, width: int) -> Table:
        with_bar = width >= AGENTS_FROM_WIDTH
        bar_column = [""] if with_bar else []
        table = _table("PROJECT", "STATUS", "DONE", *bar_column, "TITLE")
        projects = self._snapshot.projects
        shown = _fitting(projects, rows)
        for project in shown:
            cells: list[RenderableType] = [
                project.id,
                project.status,
                project.share,
            ]
            if with_bar:
                cells.append(screen.bar(project.completed, project.wanted))
            table.add_row(*cells, cell(project.title))
        is_all = len(projects) < MOST
        _add_rest(table, len(projects) - len(shown), is_exact=is_all)
        return table

    def _agents(self, rows: int, width: int) -> Table:
        with_host = width >= AGENTS_FROM_WIDTH
        host_column = ["HOST"] if with_host else []
        table = _table("AGENT", "SEEN", "QUEUED", *host_column, "HOLDS")
        agents = self._snapshot.relevant_agents
        shown = _fitting(agents, rows)
        for agent in shown:
            seen = self._time_or_day(agent.last_seen_at)
            cells = [agent.name, seen, str(agent.counts[State.QUEUED])]
            if with_host:
                cells.append(cell(agent.host) or "-")
            holds = " ".join(held.item for held in agent.holds)
            table.add_row(*cells, holds or "-")
        is_all = len(self._snapshot.agents) < MOST
        _add_rest(table, len(agents) - len(shown), is_exact=is_all)
        return table

    def _last_events(self, rows: int) -> Table:
        table = _table("AT", "EVENT", "ITEM", "STATE", "AGENT")
        for event in self._events[-rows:]:
            at = self._time_or_day(event.at)
            subject = event.item or event.project
            table.add_row(
                at,
                event.verb,
                subject,
                event.state,
                screen.owner(event.agent, event.pool),
            )
        return table

    def _time_or_day(self, at_ms: int) -> str:
        """Return the UTC time of today, else the day."""
        today, _, _ = timestamp(self._now_ms).partition(" ")
        day, _, time = timestamp(at_ms).partition(" ")
        return time if time and day == today else day


def _divide(height: int, wanted: Sequence[int]) -> list[int]:
    """Return the number of rows of each section, without its header.

    Each section gets LEAST_ROWS first; the first ones that want more get the rest.
    """
    rows = [0] * len(wanted)
    left = height
    for section, number in enumerate(wanted):
        if number and left > HEADER_ROWS:
            rows[section] = min(number, LEAST_ROWS, left - HEADER_ROWS)
            left -= rows[section] + HEADER_ROWS
    for section, number in enumerate(wanted):
        if rows[section]:
            more = min(left, number - rows[section])
            rows[section] += more
            left -= more
    return rows


def _section(table: Table) -> Iterator[RenderableType]:
    yield Text("")
    yield table


def _fitting(values: Sequence[Row], rows: int) -> Sequence[Row]:
    """Return all values, or those that leave a row for the number of the others."""
    return values if len(values) <= rows else values[: max(rows - 1, 0)]


def _add_rest(table: Table, number: int, *, is_exact: bool = True) -> None:
    """Add a row with the number of values that are not shown."""
    if number <= 0:
        return
    least = "" if is_exact else "at least "
    table.add_row(f"… {least}{number} more")


def _table(*columns: str) -> Table:
    """Return a table with rows of one line; the last column gets the rest."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=True)
    for column in columns:
        ratio = 1 if column == columns[-1] else None
        table.add_column(
            column, no_wrap=True, overflow="ellipsis", ratio=ratio
        )
    return table


def _one_line(text: Text) -> Text:
    text.no_wrap = True
    text.overflow = "ellipsis"
    return text
