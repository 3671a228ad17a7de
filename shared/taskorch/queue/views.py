"""The reads of an orchestrator: each is one script, and changes nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, TypeVar, cast

from taskorch.domain import limits
from taskorch.domain.events import FROM_THE_START, Events
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    DiscoveryPage,
    Found,
    Item,
    ItemFilter,
    NewDiscoveries,
    Package,
    Page,
    Project,
    ProjectPage,
    ProjectProgress,
    State,
)
from taskorch.domain.mirror_record import (
    MirrorRecord,
    MirrorStatus,
    RecordCursor,
)
from taskorch.domain.short_id import Candidate, ShortId
from taskorch.queue import (
    audit,
    discoveries,
    keys,
    mirror_replies,
    replies,
    search,
    short_ids,
    stuck,
)
from taskorch.queue import fields as read
from taskorch.queue.agents import AgentStatus
from taskorch.queue.audit import Environment
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import Scripts
from taskorch.queue.stuck import SILENT_MS, UNSTARTED_MS, Stuck

if TYPE_CHECKING:
    from taskorch.domain.timeline import ItemTimeline
    from taskorch.queue.budgets import Budget, Costs
    from taskorch.queue.metrics import (
        AgentFigures,
        AgentUsage,
        Counters,
        Hour,
        PoolFigures,
    )
    from taskorch.queue.overview import (
        Needs,
        News,
        OwnerUsage,
        PoolWork,
        Workload,
    )

Row = TypeVar("Row")

LIMIT = 1000
#: Rows that one call of a script returns, so that it blocks Redis for some ms at most.
PAGE = 40
#: The same of rows that take longer, because each has the newest report.
SHORT_PAGE = 20
#: Items whose records one call returns: a record has many reports on its item.
RECORDS = 20
#: Projects that one call of `purged` looks for.
PURGED_PAGE = 500
#: Projects that a call looks at to find old ones.
FINISHED_PAGE = 400
#: Calls for one page of projects, each of which looks at a bounded number.
MOST_PROJECT_CALLS = 10
#: The sections of INFO that `environment` reads.
SECTIONS = ("server", "replication", "persistence", "memory")


class Views:
    """The reads of a namespace.

    Each raises errors.NotFound for an unknown id and errors.Invalid for a value that is
    not allowed. In a list, a damaged row is left out and added to the `damage` of the
    queue; if it was asked for by its id, it raises errors.Damaged. `limit` is the
    maximum number of rows, 1 to 5000.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._run_script = scripts.run_script
        self._damage = scripts.damage

    def find(self, short: ShortId) -> str:
        """Return the id that begins with these digits.

        Raises errors.NoItem, errors.NoProject and errors.AmbiguousId.
        """
        return short_ids.whole_id(self._run_script, short)

    def candidates(
        self, short: ShortId, *, limit: int
    ) -> tuple[Candidate, ...]:
        """Return ids that begin with these digits, as far as one call finds them."""
        return short_ids.candidates(
            self._run_script, short, limit=_checked(limit)
        )

    def show(self, item: str) -> Package:
        """Return an item with its project, its dependencies and its newest reports."""
        view = self._run_script("show", limits.item_id(item))
        return replies.package(view, self._damage)

    def timeline(
        self, item: str, *, most_pages: int | None = None
    ) -> "ItemTimeline":
        """Return an item with everything that happened to it, oldest first.

        That is one call; a very long timeline takes more, one per 200 entries. With
        `most_pages`, it takes no more calls than that: the oldest entries are left out.
        """
        from taskorch.queue.timeline import read_timeline

        return read_timeline(self._scripts, item, most_pages=most_pages)

    def progress(self, project: str, *, limit: int = LIMIT) -> ProjectProgress:
        """Return a project and its first items, with the newest report on each."""
        limits.project_id(project)
        rows, view, new = self._pages(
            "progress_of_project",
            project,
            limit=limit,
            page_size=SHORT_PAGE,
        )
        return replies.project_progress(
            rows, cast(Reply, view), cast(Reply, new), self._damage
        )

    def discoveries(
        self,
        project: str = "",
        *,
        since: str = FROM_THE_START,
        limit: int = LIMIT,
    ) -> DiscoveryPage:
        """Return the discoveries after a cursor, of one project or of all.

        Of all projects, it reads the newest 100.
        """
        target = limits.project_id(project) if project else discoveries.ALL
        return discoveries.in_order(self._scripts, target, since, limit)

    def count_new_discoveries(self) -> NewDiscoveries:
        """Return the number of discoveries that the orchestrator has not read yet."""
        view = self._run_script(
            "count_new_discoveries", discoveries.ORCHESTRATOR, discoveries.ALL
        )
        return replies.new_discoveries(view)

    def list(
        self,
        *,
        project: str = "",
        state: State | None = None,
        agent: str = "",
        cursor: str = "",
        limit: int = 100,
    ) -> Page:
        """Return a page of the items of one project or of all, by state and agent.

        A page can be shorter than `limit` and still have a cursor, because a call
        visits a bounded number of items.
        """
        wanted = ItemFilter(
            project=project,
            states=(state,) if state else (),
            agents=(agent,) if agent else (),
        )
        words = search.arguments(wanted)
        cursor = limits.list_cursor(cursor)
        left, is_full = _checked(limit), True
        items: list[Item] = []
        while left > 0 and is_full:
            asked = min(left, PAGE)
            reply = self._run_script("list", *words, cursor, asked)
            cursor, views, number, *_ = cast("tuple[str, Reply, int]", reply)
            items += self._readable(replies.item, views)
            left -= number
            is_full = number == asked and cursor != ""
        return Page(items=tuple(items), cursor=cursor)

    def items_of(self, project: str) -> tuple[Item, ...]:
        """Return all items of a project in the order of their creation."""
        found: list[Item] = []
        cursor, is_first = "", True
        while cursor or is_first:
            page = self.list(project=project, cursor=cursor, limit=LIMIT)
            found += page.items
            cursor, is_first = page.cursor, False
        return tuple(found)

    def search(
        self,
        wanted: ItemFilter,
        *,
        cursor: str = "",
        limit: int = 100,
        most_calls: int = search.MOST_CALLS,
    ) -> Found:
        """Return the first items that match, in as many calls as that takes.

        Each call visits a bounded number of items, and there are at most `most_calls`. A
        search with an order takes no cursor.
        """
        words = search.arguments(wanted)
        cursor = limits.list_cursor(cursor)
        left = _checked(limit)
        found: list[Item] = []
        titles: dict[str, str] = {}
        matching = visited = 0
        for _ in range(most_calls):
            asked = min(left, PAGE)
            reply = self._run_script("list", *words, cursor, asked)
            cursor, views, number, looked_at, projects = cast(
                "tuple[str, Reply, int, int, Reply]", reply
            )
            found += self._readable(replies.item, views)
            matching += number
            visited += looked_at
            titles.update(read.fields_of(projects))
            if wanted.order:
                found = search.first(found, wanted.order, limit)
            else:
                left -= number
            if not cursor or left < 1:
                break
        return Found(
            items=tuple(found),
            cursor=cursor,
            matching=matching,
            visited=visited,
            project_titles=titles,
        )

    def unassigned(
        self, *, project: str = "", limit: int = LIMIT
    ) -> tuple[Item, ...]:
        """Return the items without an agent, oldest first, of one project or of all."""
        if project:
            return self.list(
                project=project, state=State.PENDING, limit=limit
            ).items
        return self._items("indexed", "unassigned", limit=limit)

    def inbox(
        self, *, project: str = "", limit: int = LIMIT
    ) -> tuple[Item, ...]:
        """Return what waits for a decision, of one project or of all.

        These are the items with an open question, which are in any state, then those
        that wait for their reviewer, then the failed ones; of each kind, the one that
        waits longest first.
        """
        return self._inbox(project, "", limit)

    def questions(
        self, *, project: str = "", limit: int = LIMIT
    ) -> tuple[Item, ...]:
        """Return the items with an open question, the one that waits longest first.

        They are in any state, and of one project or of all.
        """
        return self._inbox(project, "1", limit)

    def _inbox(
        self, project: str, only_questions: str, limit: int
    ) -> tuple[Item, ...]:
        wanted = limits.project_id(project) if project else ""
        found: dict[str, Item] = {}
        cursor, is_first, left = "", True, _checked(limit)
        while (cursor or is_first) and left > 0:
            reply = self._run_script(
                "inbox", wanted, only_questions, cursor, min(left, PAGE)
            )
            cursor, views, reasons = cast(
                "tuple[str, list[Reply], list[str]]", reply
            )
            failures = dict(zip(reasons[::2], reasons[1::2], strict=True))
            # an item that moves between two calls may be in both
            for item in self._readable(replies.item, views):
                failure = failures.get(item.id, "")
                found[item.id] = replace(item, failure=failure)
            is_first, left = False, left - len(views)
        return tuple(found.values())

    def reviews(self, *, limit: int = LIMIT) -> tuple[Item, ...]:
        """Return the items that wait for their reviewer, the oldest first."""
        from taskorch.queue import reviews

        return reviews.waiting(self._scripts, _checked(limit), as_agent=False)

    def stuck(
        self,
        *,
        unstarted_ms: int = UNSTARTED_MS,
        silent_ms: int = SILENT_MS,
        project: str = "",
        limit: int = LIMIT,
        most_calls: int = stuck.MOST_CALLS,
    ) -> Stuck:
        """Return stalled items of one project or of all, with the reason.

        A queued item is stalled if no agent has claimed it for `unstarted_ms`, an item
        in progress if its holder has not reported for `silent_ms`. It checks at most
        100,000 items: 45 in each of `most_calls`.
        """
        words = (
            limits.number(
                unstarted_ms, "time unstarted in ms", 1, limits.LONGEST_MS
            ),
            limits.number(silent_ms, "silence in ms", 1, limits.LONGEST_MS),
            limits.project_id(project) if project else "",
        )
        return stuck.read_stuck(
            self._scripts, words, _checked(limit), most_calls
        )

    def projects(self, *, limit: int = LIMIT) -> tuple[Project, ...]:
        """Return the newest projects."""
        return self._projects("", limit)

    def open_projects(self, *, limit: int = LIMIT) -> tuple[Project, ...]:
        """Return the newest projects that are active or closing."""
        return self._projects("open", limit)

    def projects_page(
        self, which: str = "", *, skip: int = 0, limit: int = 100
    ) -> ProjectPage:
        """Return a page of the newest projects: all, `open` or `completed` ones.

        `skip` is that of the page before. A page can be shorter than `limit` and still
        have a next one, because its calls look at a bounded number of projects.
        """
        left = _checked(limit)
        next_skip: int | None = limits.number(skip, "skip", 0, limits.LARGEST)
        found: list[Project] = []
        for _ in range(MOST_PROJECT_CALLS):
            asked = min(left, PAGE)
            reply = self._run_script("projects", which, next_skip or 0, asked)
            passed, views = cast("tuple[str, list[Reply]]", reply)
            found += self._readable(replies.project, views)
            left -= len(views)
            next_skip = int(passed) if passed else None
            if next_skip is None or left < 1:
                break
        return ProjectPage(projects=tuple(found), skip=next_skip)

    def finished(
        self, *, older_than_ms: int, limit: int | None = None
    ) -> tuple[Project, ...]:
        """Return the projects completed at least this long ago, in creation order.

        Without a `limit`, all of them are returned.
        """
        age = limits.number(older_than_ms, "age in ms", 1, limits.LONGEST_MS)
        found: dict[str, Project] = {}
        skip: int | None = 0
        while skip is not None and (limit is None or len(found) < limit):
            page, skip = self.finished_page(older_than_ms=age, skip=skip)
            for project in page:
                found[project.id] = project
        return tuple(found.values())[:limit]

    def finished_page(
        self, *, older_than_ms: int, skip: int
    ) -> tuple[tuple[Project, ...], int | None]:
        """Return some of these projects, and the `skip` of the next page or None.

        `skip` counts all projects in creation order: for each one that was purged since
        then, it is one less.
        """
        age = limits.number(older_than_ms, "age in ms", 1, limits.LONGEST_MS)
        reply = self._run_script("finished", age, skip, FINISHED_PAGE)
        passed, views = cast("tuple[str, Reply]", reply)
        projects = tuple(self._readable(replies.project, views))
        return projects, int(passed) if passed else None

    def purged(self, projects: Sequence[str]) -> tuple[str, ...]:
        """Return those of the projects that were purged; old purges are forgotten."""
        purged: list[str] = []
        for start in range(0, len(projects), PURGED_PAGE):
            page = projects[start : start + PURGED_PAGE]
            purged += read.texts(self._run_script("purged", *page))
        return tuple(purged)

    def agents(self, *, limit: int = LIMIT) -> tuple[AgentStatus, ...]:
        """Return the agents, the one that called last first."""
        from taskorch.queue.agents import read_agents

        return read_agents(self._scripts, _checked(limit)).agents

    def agents_and_pools(
        self, *, limit: int = LIMIT
    ) -> "tuple[tuple[AgentStatus, ...], tuple[PoolWork, ...]]":
        """Return the agents and the pools: the first of both with one call."""
        from taskorch.queue.agents import read_agents
        from taskorch.queue.overview import read_pools

        read = read_agents(self._scripts, _checked(limit), pools=limit)
        pools = read_pools(
            self._scripts, limit, skip=read.skip_pools, first=read.pool_rows
        )
        return read.agents, pools

    def events(
        self, *, since: str = FROM_THE_START, limit: int = LIMIT
    ) -> Events:
        """Return the events after a cursor, oldest first."""
        cursor = limits.cursor(since)
        view = self._run_script("events", cursor, _checked(limit))
        return replies.events(view, self._damage)

    def wait_for_event(self, since: str, timeout_s: float) -> bool:
        """Block until there is an event after a cursor; False after `timeout_s`."""
        stream = keys.events(self._scripts.namespace)
        return self._scripts.wait_for_entry(
            stream, limits.cursor(since), timeout_s
        )

    def records(
        self, items: Sequence[str], *, session: str | None = None
    ) -> tuple[MirrorRecord, ...]:
        """Return the whole records of items for the file mirror.

        Missing and damaged items are left out. Each record has the lease of `session`,
        if that session claimed the item.
        """
        whole = []
        for record in self.new_records(dict.fromkeys(items), session=session):
            pages = [record]
            if record.more:
                pages += self.record_pages(
                    record.item.id, after=record.cursor, session=session
                )
            last = pages[-1]
            if not last.more:
                reports = tuple(chain(*(page.reports for page in pages)))
                found = tuple(chain(*(page.discoveries for page in pages)))
                whole.append(replace(last, reports=reports, discoveries=found))
        return tuple(whole)

    def record_pages(
        self,
        item: str,
        *,
        after: RecordCursor | None = None,
        session: str | None = None,
    ) -> Iterator[MirrorRecord]:
        """Yield the pages of an item's record after a cursor.

        They end early, with `more` in the last one, if the item is gone or damaged by
        then.
        """
        has_more = True
        while has_more:
            pages = self.new_records({item: after}, session=session)
            yield from pages
            has_more = any(page.more for page in pages)
            after = pages[0].cursor if pages else None

    def new_records(
        self,
        after: Mapping[str, RecordCursor | None],
        *,
        session: str | None = None,
    ) -> tuple[MirrorRecord, ...]:
        """Return records with the reports and discoveries after the cursor of each item.

        A record is one page, about 1 MiB: see `more`. None as a cursor is the start.
        Missing and damaged items are left out.
        """
        asked: list[tuple[str, str, str]] = []
        for item, cursor in after.items():
            last = cursor or RecordCursor()
            asked.append((limits.item_id(item), last.report, last.discovery))
        claimed_by = "" if session is None else f":{session}"
        rows: list[Reply] = []
        while asked:
            words = [word for each in asked[:RECORDS] for word in each]
            view = self._run_script("records", claimed_by, *words)
            page, looked_at = cast("tuple[list[Reply], int]", view)
            rows += page
            del asked[:looked_at]
        return self._readable(
            lambda row: mirror_replies.record(row, self._damage), rows
        )

    def mirrors(self, *, limit: int = LIMIT) -> tuple[MirrorStatus, ...]:
        """Return the roots with mirrored files, and the result of each last pass."""
        rows, *_ = self._pages("mirrors", limit=limit)
        # a root whose pass ends between two pages may be on both
        found = {
            each.root: each
            for each in self._readable(mirror_replies.status, rows)
        }
        return tuple(found.values())

    def environment(self) -> Environment:
        """Return the clock of the server, and its INFO if the user may read it."""
        return audit.environment(self._run_script("environment", *SECTIONS))

    def counters(self) -> "Counters":
        """Return the counters of the namespace."""
        from taskorch.queue.metrics import read_counters

        return read_counters(self._scripts)

    def hours(self, number: int = 24) -> "tuple[Hour, ...]":
        """Return what happened in each of the last hours, this one last.

        At most 192, which are 8 days.
        """
        from taskorch.queue.metrics import HOURS_KEPT, read_hours

        limits.number(number, "number of hours", 1, HOURS_KEPT)
        return read_hours(self._scripts, number)

    def item_counts(self) -> Mapping[State, int]:
        """Return the number of items in each state, in all projects."""
        from taskorch.queue.metrics import read_items

        return read_items(self._scripts)

    def agent_figures(self) -> "tuple[AgentFigures, ...]":
        """Return what each agent holds and has in its queue."""
        from taskorch.queue.metrics import read_agents

        return read_agents(self._scripts)

    def pool_figures(self) -> "tuple[PoolFigures, ...]":
        """Return what each pool has in its queue."""
        from taskorch.queue.metrics import read_pools

        return read_pools(self._scripts)

    def pools(self, *, limit: int = LIMIT) -> "tuple[PoolWork, ...]":
        """Return the pools, their waiting items, and who takes items from them."""
        from taskorch.queue.overview import read_pools

        return read_pools(self._scripts, _checked(limit))

    def agent_usage(self) -> "tuple[AgentUsage, ...]":
        """Return what each agent has used of each model."""
        from taskorch.queue.metrics import read_usage

        return read_usage(self._scripts)

    def budgets(self, owner: str = "") -> "tuple[Budget, ...]":
        """Return the budgets with what is used of them, those that are used up first.

        Those of all owners, or of a project, an agent or `namespace`.
        """
        from taskorch.queue.budgets import owner_of, read_budgets

        return read_budgets(self._scripts, owner and owner_of(owner))

    def usage(self, owners: Sequence[str]) -> "Mapping[str, OwnerUsage]":
        """Return what owners such as `agent:ada` have used, as far as the caller sees them."""
        from taskorch.queue.overview import read_usage

        return read_usage(self._scripts, owners)

    def costs(self, owner: str = "", *, by: str = "agent") -> "Costs":
        """Return what a project, an agent or, for "", the namespace has used.

        The rows are by `agent`, `project`, `model` or `day`.
        """
        from taskorch.domain.amounts import NAMESPACE
        from taskorch.queue.budgets import owner_of, read_costs

        return read_costs(self._scripts, owner_of(owner or NAMESPACE), by)

    def needs(self, *, limit: int = 25) -> "Needs":
        """Return the items that need a person, at most `limit` of each kind.

        Those are items with a question, those in review, failed ones, some that wait for
        a dead item, and unassigned ones.
        """
        from taskorch.queue.overview import read_needs

        return read_needs(self._scripts, _checked(limit))

    def workload(self) -> "Workload":
        """Return the agents, and what each holds and has in its queue, in short."""
        from taskorch.queue.overview import read_workload

        return read_workload(self._scripts)

    def news(self, *, limit: int = 10) -> "News":
        """Return the newest events with their texts, the newest first: at most 150."""
        from taskorch.queue.overview import read_news

        return read_news(self._scripts, _checked(limit))

    def _items(
        self, script: str, *arguments: Argument, limit: int
    ) -> tuple[Item, ...]:
        rows, *_ = self._pages(script, *arguments, limit=limit)
        return self._readable(replies.item, rows)

    def _projects(self, which: str, limit: int) -> tuple[Project, ...]:
        rows, *_ = self._pages("projects", which, limit=limit)
        return self._readable(replies.project, rows)

    def _pages(
        self,
        script: str,
        *arguments: Argument,
        limit: int,
        page_size: int = PAGE,
    ) -> Sequence[Sequence[Reply]]:
        """Return the rows of a script, page by page, and the rest of its last reply.

        Its reply is `{number of rows to skip next time or '', {row …}, …}`.
        """
        left, skip = _checked(limit), "0"
        rows: list[Reply] = []
        rest: Sequence[Sequence[Reply]] = []
        while skip and left > 0:
            reply = self._run_script(
                script, *arguments, int(skip), min(left, page_size)
            )
            skip, page, *rest = cast("tuple[str, list[Reply]]", reply)
            rows += page
            left -= len(page)
        return rows, *rest

    def _readable(
        self, read_row: Callable[[Reply], Row], views: Reply | Sequence[Reply]
    ) -> tuple[Row, ...]:
        rows = cast("Sequence[Reply]", views)
        return read.readable(read_row, rows, self._damage)


def _checked(limit: int) -> int:
    return limits.number(limit, "limit", 1, 5000)
