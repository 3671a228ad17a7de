"""The page that shows what is happening now, and its fragments.

All of it is one read, `ReadNow`, of a few bounded calls of scripts. A `NowView` has times
and no ages, so two views are equal if nothing has happened. Each of its parts is what one
fragment shows: `version_of` tells whether it has changed.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import groupby
from typing import cast

from markupsafe import Markup
from starlette.responses import Response
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import HOUR_MS, Project
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue import overview
from taskorch.queue.budgets import Budget
from taskorch.queue.metrics import Histogram, Hour
from taskorch.queue.overview import (
    AgentWork,
    HeldLine,
    ItemSummary,
    Need,
    NewsLine,
    PoolWork,
    Workload,
)
from taskorch.queue.stuck import SILENT_MS, UNSTARTED_MS
from taskorch.queue.views import Views
from taskorch.version import __version__

from taskorch_gateway.board import pages
from taskorch_gateway.board.item import seen_of
from taskorch_gateway.board.spending import Spending, spending_of
from taskorch_gateway.board.ticks import Ticks, ticks
from taskorch_gateway.board.visit import BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

#: Id of a fragment in the page -> the part of the view that it shows. The template of
#: each is `now/<id>.html`.
FRAGMENTS: Mapping[str, str] = {
    "status": "status",
    "needs-you": "needs",
    "agents": "agents",
    "pools": "pools",
    "projects": "projects",
    "flow": "flow",
    "events": "news",
}
#: Rows of #needs-you that are shown, and those that are folded below them.
NEEDS_SHOWN, NEEDS_FOLDED = 5, 20
#: Rows of #agents, and names of idle agents.
AGENTS_SHOWN, IDLE_SHOWN = 100, 60
#: From this number of rows on, each has one line.
DENSE = 15
#: Rows of #pools, and the agents that each names.
POOLS_SHOWN, MEMBERS_SHOWN = 20, 3
#: Rows of #projects that are shown, and those with the folded ones.
PROJECTS_SHOWN, PROJECTS_READ = 8, 20
#: Rows of #events, and events that are read for them: several may become one row.
EVENTS_SHOWN, EVENTS_READ = 8, 30
HOURS = 24
DAY_HOURS = 24
VERSION_CHARACTERS = 16

#: The words and the numbers of a name.
Name = list[tuple[int, str]]


class Status(Frozen):
    """The numbers in the top bar."""

    in_progress: int
    needs: int
    #: Held items whose holder is silent or whose lease expired, and agents that have not
    #: started.
    silent: int
    unstarted: int
    #: Since midnight, UTC; None if the token may not read it.
    done_today: int | None
    #: The last 24 hours, for the midnight of the reader.
    hours: tuple["Bar", ...] = ()
    #: What all projects have used, with the budgets of the namespace.
    spending: Spending = Spending()
    #: The budgets that are used up.
    used_up: tuple[Budget, ...] = ()

    @property
    def stuck(self) -> int:
        """Return the number of stalled items in the table of agents."""
        return self.silent + self.unstarted


class NeedsPart(Frozen):
    """What needs a person."""

    shown: tuple[Need, ...]
    folded: tuple[Need, ...]
    #: The number of all, with those that have no row.
    count: int

    @property
    def more(self) -> int:
        """Return the number of those below the rows that are shown."""
        return self.count - len(self.shown)

    @property
    def left_out(self) -> int:
        """Return the number of those without a row."""
        return self.more - len(self.folded)


class AgentRow(Frozen):
    """A row of the table: an item that an agent holds, or the first of its queue."""

    name: str
    #: Time of its last call in ms; 0 if none of its sessions has called.
    last_seen_at: int
    host: str
    #: None if the agent has not started the items of its queue.
    held: HeldLine | None
    item: ItemSummary
    queued_count: int
    queued_since: int
    #: What time alone brings: the holder has made no step for too long, the lease has
    #: expired, the agent has not started for too long.
    is_silent: bool = False
    is_expired: bool = False
    is_unstarted: bool = False
    #: What the agent has used; None if its row above says so, or it is not known.
    spending: Spending | None = None

    @property
    def others(self) -> int:
        """Return the number of items in its queue that have no row."""
        return self.queued_count - (0 if self.held else 1)

    @property
    def silent_from(self) -> int:
        """Return when the item counts as silent, in ms; 0 for never."""
        if not self.held or not self.held.last_step_at:
            return 0
        return self.held.last_step_at + SILENT_MS

    @property
    def unstarted_from(self) -> int:
        """Return when the agent counts as stuck because it has not started, in ms."""
        if self.held or not self.queued_since:
            return 0
        return self.queued_since + UNSTARTED_MS

    def times(self) -> Iterable[int]:
        """Yield when time alone changes the row, in ms."""
        yield self.silent_from
        yield self.unstarted_from
        yield self.held.expires_at if self.held else 0

    def at(self, now: int) -> "AgentRow":
        """Return the row as it is at a time."""
        silent, unstarted, expired = (0 < at <= now for at in self.times())
        return replace(
            self,
            is_silent=silent,
            is_unstarted=unstarted,
            is_expired=expired,
        )

    def lease_left(self, now: int) -> int:
        """Return what is left of the lease, in percent."""
        if not self.held or not self.held.lease_ms:
            return 0
        left = 100 * (self.held.expires_at - now) // self.held.lease_ms
        return max(0, min(100, left))


class IdleAgent(Frozen):
    """An agent without items."""

    name: str
    last_seen_at: int
    spending: Spending | None = None


class AgentsPart(Frozen):
    """The agents by name: a row for each item that one holds."""

    rows: tuple[AgentRow, ...]
    #: The number of agents and of rows that are left out.
    count: int
    left_out: int
    idle: tuple[IdleAgent, ...]
    #: The number of idle agents, with those that are not named.
    idle_count: int
    #: The number of agents that were not looked at.
    unknown: int

    @property
    def is_dense(self) -> bool:
        """Tell whether each row has one line."""
        return len(self.rows) >= DENSE

    @property
    def has_costs(self) -> bool:
        """Tell whether the table has a column with what agents have used."""
        return any(row.spending for row in self.rows)

    @property
    def names(self) -> Iterable[str]:
        """The agents that are shown, each once."""
        rows = [row.name for row in self.rows]
        return dict.fromkeys([*rows, *(agent.name for agent in self.idle)])

    def with_spending(self, spent: Mapping[str, Spending]) -> "AgentsPart":
        """Return the part with what agents have used, in the first row of each."""
        left = {
            name: spending
            for name in self.names
            if (spending := spent.get(f"agent:{name}")) and spending.is_shown
        }
        return replace(
            self,
            rows=tuple(
                replace(row, spending=left.pop(row.name, None))
                for row in self.rows
            ),
            idle=tuple(
                replace(agent, spending=left.pop(agent.name, None))
                for agent in self.idle
            ),
        )


class PoolRow(Frozen):
    """A pool, and some of the agents that take items from it."""

    pool: PoolWork

    @property
    def members(self) -> Sequence[str]:
        """The agents that are named."""
        return [each.name for each in self.pool.members[:MEMBERS_SHOWN]]

    @property
    def others(self) -> int:
        """Return the number of agents that are not named."""
        return self.pool.member_count - len(self.members)

    @property
    def is_forsaken(self) -> bool:
        """Tell whether items wait that no agent takes."""
        return not self.pool.member_count and bool(self.pool.queued)


class PoolsPart(Frozen):
    """The pools, in the order in which they were first named."""

    rows: tuple[PoolRow, ...]
    has_more: bool


class ProjectRow(Frozen):
    """A project with its ticks."""

    id: str
    title: str
    completed: int
    wanted: int
    is_closing: bool
    ticks: Ticks
    #: None if it has used nothing and has no budget.
    spending: Spending | None = None


class ProjectsPart(Frozen):
    """The newest projects that are not completed."""

    shown: tuple[ProjectRow, ...]
    folded: tuple[ProjectRow, ...]
    has_more: bool

    @property
    def count(self) -> int:
        """Return the number of those with a row."""
        return len(self.shown) + len(self.folded)


class Bar(Frozen):
    """An hour of the flow."""

    at: int
    done: int

    @property
    def hour(self) -> str:
        """Return when the hour began, such as 13:00, in UTC."""
        return f"{self.at // HOUR_MS % DAY_HOURS:02}:00"


class FlowPart(Frozen):
    """How work flows: by hour, and what is ready."""

    #: The last 24 hours, this one last; () if the token may not read them.
    bars: tuple[Bar, ...]
    ready: int
    #: Since when the oldest ready item is queued, in ms; 0 for none.
    oldest: int
    #: Upper bounds of the time in a queue in s: of half of the claims, and of nine of ten;
    #: 0 without claims, infinite for more than a day.
    half_waited_s: float
    most_waited_s: float

    @property
    def peak(self) -> int:
        """Return the largest number of an hour."""
        return max((bar.done for bar in self.bars), default=0)


class NewsRow(Frozen):
    """An event, or several of a kind that follow each other."""

    line: NewsLine
    count: int


class NewsPart(Frozen):
    """What has just happened."""

    rows: tuple[NewsRow, ...]


class NowView(Frozen):
    """What the page shows. The parts are compared, and not the rest."""

    status: Status
    needs: NeedsPart
    agents: AgentsPart
    pools: PoolsPart
    projects: ProjectsPart
    flow: FlowPart
    news: NewsPart
    #: Time of the read in ms, by the clock of Redis.
    now: int
    #: The newest event when the read began: a client follows the events after it.
    cursor: str
    #: When time alone changes a part next, such as the end of a lease or of a delay, or
    #: an item that becomes silent: in ms by the same clock, later than `now`; 0 for never.
    due: int

    @property
    def count(self) -> int:
        """Return the number of things that wait for a person."""
        return self.needs.count

    @property
    def is_new(self) -> bool:
        """Tell whether nobody has used the queue yet."""
        return not (
            self.projects.count
            or self.agents.count
            or self.pools.rows
            or self.news.rows
            or self.needs.count
        )


class ReadNow(ToolArguments):
    """Read what the page shows. Its result is a NowView."""

    name = "board_now"
    read_only = True
    #: Whether the token may read figures of all projects.
    has_figures: bool = True

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the parts over one connection."""
        views = queue_of(call).views
        return ToolResult(read(views, has_figures=self.has_figures))


def read(views: Views, *, has_figures: bool = True) -> NowView:
    """Return what the page shows. The news are the first, because of the cursor."""
    news = views.news(limit=EVENTS_READ)
    needs = views.needs(limit=NEEDS_SHOWN + NEEDS_FOLDED)
    workload = views.workload()
    pools = views.pools(limit=POOLS_SHOWN + 1)
    projects = views.open_projects(limit=PROJECTS_READ + 1)
    hours = views.hours(HOURS) if has_figures else ()
    agents = agents_part(workload, needs.now)
    budgets = views.budgets()
    used = views.usage(_owners(agents, projects))
    spent = spending_of(used, budgets)
    return NowView(
        status=replace(
            _status(needs, agents, hours),
            spending=spent[NAMESPACE],
            used_up=tuple(each for each in budgets if each.used_up),
        ),
        needs=_needs_part(needs),
        agents=agents.with_spending(spent),
        pools=_pools_part(pools),
        projects=_projects_part(projects, spent),
        flow=_flow_part(workload, hours),
        news=_news_part(news.lines),
        now=needs.now,
        cursor=news.newest,
        due=_due(agents, needs.now),
    )


def reading_for(access: ClientAccess) -> ReadNow:
    """Return the read of the page for a client."""
    return ReadNow(has_figures=not access.project)


def part_of(name: str, view: NowView) -> object:
    """Return the part of a view that a fragment shows."""
    return getattr(view, FRAGMENTS[name])


def version_of(part: object) -> str:
    """Return what fragments that show the same part have in common.

    It is the same in all processes.
    """
    shown = f"{__version__} {part!r}"
    return sha256(shown.encode()).hexdigest()[:VERSION_CHARACTERS]


def fragment(name: str, view: NowView, values: Mapping[str, object]) -> str:
    """Return the HTML of a fragment.

    `values` are those of `Visit.values`; `csrf` and `key` are "" in what several people
    read.
    """
    shown = {
        "part": part_of(name, view),
        "now_ms": view.now,
        "seen_of": seen_of,
    }
    return pages.render(f"now/{name}.html", {**values, **shown})


async def show(visit: Visit) -> Response:
    """Show the page."""
    view = cast("NowView", await visit.ask(reading_for(visit.access)))
    damaged = len(visit.damage)
    values = page_values(view, visit.values(), damaged=damaged)
    return visit.page("now.html", status=200, **values)


def page_values(
    view: NowView, values: Mapping[str, object], *, damaged: int
) -> dict[str, object]:
    """Return what the template of the page gets, beside the values of every page."""
    return {
        "fragments": {
            name: Markup(fragment(name, view, values))  # noqa: S704  templates escape
            for name in FRAGMENTS
        },
        "is_new": view.is_new,
        "damaged": damaged,
        "live": "now",
        "have": " ".join(
            f"{name}:{version_of(part_of(name, view))}" for name in FRAGMENTS
        ),
        "since": view.cursor,
        "count": view.count,
        "now_ms": view.now,
    }


def agents_part(workload: Workload, now: int) -> AgentsPart:
    """Return the rows of the agents, by name; those that hold items have precedence."""
    rows = [row for line in workload.agents for row in _rows_of(line)]
    kept = sorted(rows, key=lambda row: row.held is None)[:AGENTS_SHOWN]
    idle = sorted(
        (
            IdleAgent(name=line.name, last_seen_at=line.last_seen_at)
            for line in workload.agents
            if not line.held_count and not line.queued_count
        ),
        key=_name_of,
    )
    hidden = sum(
        max(0, line.held_count - len(line.held)) for line in workload.agents
    )
    return AgentsPart(
        rows=tuple(row.at(now) for row in sorted(kept, key=_place_of)),
        count=len(workload.agents) + workload.more,
        left_out=len(rows) - len(kept) + hidden,
        idle=tuple(idle[:IDLE_SHOWN]),
        idle_count=len(idle),
        unknown=workload.more,
    )


def _due(agents: AgentsPart, now: int) -> int:
    """Return when time alone changes a row next, in ms; 0 for never."""
    times = (at for row in agents.rows for at in row.times())
    return min((at for at in times if at > now), default=0)


def _rows_of(line: AgentWork) -> Iterable[AgentRow]:
    """Yield the rows of an agent; the first one has its queue."""
    queued_count, queued_since = line.queued_count, line.queued_since
    for held in line.held:
        yield AgentRow(
            name=line.name,
            last_seen_at=line.last_seen_at,
            host=held.host,
            held=held,
            item=held.item,
            queued_count=queued_count,
            queued_since=queued_since,
        )
        queued_count = queued_since = 0
    if not line.held and line.first:
        yield AgentRow(
            name=line.name,
            last_seen_at=line.last_seen_at,
            host=line.host,
            held=None,
            item=line.first,
            queued_count=queued_count,
            queued_since=queued_since,
        )


def _place_of(row: AgentRow) -> tuple[Name, int, str]:
    since = row.held.since if row.held else 0
    return _name_of(row), since, row.item.id


def _name_of(row: AgentRow | IdleAgent) -> Name:
    """Return what agents are ordered by: tester-2 comes before tester-10."""
    parts = re.split(r"([0-9]+)", row.name.lower())
    return [(int(part), "") if part.isdigit() else (0, part) for part in parts]


def _owners(agents: AgentsPart, projects: Sequence[Project]) -> list[str]:
    """Return whose costs the page shows."""
    return [
        NAMESPACE,
        *(f"agent:{name}" for name in agents.names),
        *(f"project:{project.id}" for project in projects[:PROJECTS_READ]),
    ]


def _status(
    needs: overview.Needs, agents: AgentsPart, hours: Sequence[Hour]
) -> Status:
    hours_today = needs.now // HOUR_MS % DAY_HOURS + 1
    today = sum(hour.completed for hour in hours[-hours_today:])
    return Status(
        in_progress=needs.in_progress,
        needs=needs.count,
        silent=sum(row.is_silent or row.is_expired for row in agents.rows),
        unstarted=sum(row.is_unstarted for row in agents.rows),
        done_today=today if hours else None,
        hours=_bars(hours),
    )


def _needs_part(needs: overview.Needs) -> NeedsPart:
    last = NEEDS_SHOWN + NEEDS_FOLDED
    return NeedsPart(
        shown=needs.rows[:NEEDS_SHOWN],
        folded=needs.rows[NEEDS_SHOWN:last],
        count=max(needs.count, len(needs.rows)),
    )


def _pools_part(pools: Sequence[PoolWork]) -> PoolsPart:
    rows = tuple(PoolRow(pool=pool) for pool in pools[:POOLS_SHOWN])
    return PoolsPart(rows=rows, has_more=len(pools) > len(rows))


def _projects_part(
    projects: Sequence[Project], spent: Mapping[str, Spending]
) -> ProjectsPart:
    rows = tuple(
        _project_row(each, spent.get(f"project:{each.id}"))
        for each in projects[:PROJECTS_READ]
    )
    return ProjectsPart(
        shown=rows[:PROJECTS_SHOWN],
        folded=rows[PROJECTS_SHOWN:],
        has_more=len(projects) > len(rows),
    )


def _project_row(project: Project, spending: Spending | None) -> ProjectRow:
    return ProjectRow(
        id=project.id,
        title=project.title,
        completed=project.completed,
        wanted=project.wanted,
        is_closing=project.status == "closing",
        ticks=ticks(project.counts),
        spending=spending if spending and spending.is_shown else None,
    )


def _bars(hours: Sequence[Hour]) -> tuple[Bar, ...]:
    return tuple(Bar(at=hour.at, done=hour.completed) for hour in hours)


def _flow_part(workload: Workload, hours: Sequence[Hour]) -> FlowPart:
    since = [
        line.queued_since for line in workload.agents if line.queued_since
    ]
    waited = _sum_of([hour.queue_wait for hour in hours])
    return FlowPart(
        bars=_bars(hours),
        ready=sum(line.queued_count for line in workload.agents),
        oldest=min(since, default=0),
        half_waited_s=waited.quantile(0.5),
        most_waited_s=waited.quantile(0.9),
    )


def _sum_of(histograms: Sequence[Histogram]) -> Histogram:
    buckets: dict[float, int] = {}
    for histogram in histograms:
        for bound, number in histogram.buckets.items():
            buckets[bound] = buckets.get(bound, 0) + number
    return Histogram(buckets=buckets)


def _news_part(lines: Sequence[NewsLine]) -> NewsPart:
    """Return rows of events; items that a plan created are one row."""
    rows = []
    for _, group in groupby(lines, key=_group_of):
        first, *others = group
        rows.append(NewsRow(line=first, count=1 + len(others)))
    return NewsPart(rows=tuple(rows[:EVENTS_SHOWN]))


def _group_of(line: NewsLine) -> tuple[str, str]:
    """Return what adjacent events of one row have in common."""
    event = line.event
    if event.verb == "create":
        return event.verb, event.project
    return event.verb, event.cursor


PAGES = (BoardPage(path="/", show=show, entry="now"),)
