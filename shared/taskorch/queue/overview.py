"""What people want to see in one view, in short rows.

That is what needs a person, what the agents work on, and what has just happened.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import cast

from taskorch.domain import limits
from taskorch.domain.events import Event
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.domain.usage_rules import summed
from taskorch.queue import fields as read
from taskorch.queue import replies
from taskorch.queue.fields import (
    Damage,
    DamagedField,
    Fields,
    Reading,
    readable,
)
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: Why an item needs a person, in the order of the script.
QUESTION, REVIEW, FAILED = "question", "review", "failed"
DEAD_DEPENDENCY, UNASSIGNED = "dead_dependency", "unassigned"
REASONS = (QUESTION, REVIEW, FAILED, DEAD_DEPENDENCY, UNASSIGNED)
#: Those that the script counts, too.
COUNTED = (QUESTION, REVIEW, FAILED, UNASSIGNED)
#: Calls that read what needs a person, until all kinds have their rows.
NEEDS_CALLS = 24
#: Calls that read agents: each looks at 150 at most. The last one begins at the end of the
#: list, where those are that never called.
AGENT_CALLS, LAST_AGENTS = 16, 100
#: Pools that one call reads, and owners whose usage it reads.
POOLS_PAGE, OWNERS_PAGE = 100, 60


class ItemSummary(Frozen):
    """An item in a line; long texts are cut."""

    id: str
    title: str
    project: str
    project_title: str
    agent: str
    state: State
    #: The pool that it came from; "" for none.
    pool: str = ""
    #: How often it was requeued.
    generation: int = 0

    @property
    def name(self) -> str:
        """Return its title, or the id if that shows nothing."""
        return self.title.strip() or self.id


class Need(Frozen):
    """An item that cannot go on without a person or the orchestrator."""

    item: ItemSummary
    #: One of REASONS.
    why: str
    #: Since when it waits, in ms.
    since: int
    #: The question, what was delivered for review, or why the last attempt failed.
    text: str = ""
    #: The kind of the report of the failure, such as `fail` or `expire`.
    kind: str = ""
    #: What would answer the question.
    needs: str = ""
    #: The number of the question, the agent that asked, and the number of open ones.
    question: int = 0
    asker: str = ""
    open: int = 0
    #: Who reviews it; "" for anybody.
    reviewer: str = ""
    attempts: int = 0
    max_attempts: int = 0
    #: The number of items that wait for it.
    waiting: int = 0
    #: The failed or cancelled item that it waits for. Without a title, it is damaged, or in
    #: a project that the caller does not see.
    dependency: str = ""
    dependency_title: str = ""
    dependency_state: str = ""
    dependency_agent: str = ""
    dependency_generation: int = 0
    #: Whether the requeue that helps has to reopen a project.
    reopens: bool = False


class Needs(Frozen):
    """The first items of each kind that need a person, the oldest first."""

    rows: tuple[Need, ...]
    #: The number of items in progress.
    in_progress: int
    #: The number of items that need a person, with those that have no row.
    count: int
    #: Time of the read in ms, by the clock of Redis.
    now: int


class HeldLine(Frozen):
    """An item that a session of an agent holds."""

    item: ItemSummary
    host: str
    session: str
    #: Since when it is held, in ms.
    since: int
    #: None if its holder has given none.
    percent: int | None
    #: The newest report under this claim; 0 and "" if there is none.
    reported_at: int = 0
    kind: str = ""
    text: str = ""
    #: The end of the lease, its duration, and the last step of the holder, in ms; 0 for
    #: a blocked item.
    expires_at: int = 0
    lease_ms: int = 0
    last_step_at: int = 0
    #: When a blocked item was blocked, in ms; else 0.
    asked_at: int = 0


class PoolMember(Frozen):
    """An agent that takes items from a pool."""

    name: str
    #: Time of its last call in ms; 0 if none of its sessions has called.
    last_seen_at: int


class PoolWork(Frozen):
    """A pool, the items that wait in it, and the agents that take items from it."""

    name: str
    #: The numbers of items that are ready, delayed, and waiting for dependencies.
    queued: int
    delayed: int
    waiting: int
    #: Since when the oldest of the ready ones is queued, in ms; 0 for none.
    queued_since: int
    #: The first of these.
    first: ItemSummary | None
    member_count: int
    #: At most 20 of them.
    members: tuple[PoolMember, ...]


class OwnerUsage(Frozen):
    """What a project, an agent or the namespace has used."""

    total: ModelUsage = NONE
    #: What was used today, by UTC.
    today: ModelUsage = NONE
    #: The title of a project.
    title: str = ""


class AgentWork(Frozen):
    """An agent, and what it has."""

    name: str
    #: Time of its last call in ms; 0 if none of its sessions has called.
    last_seen_at: int
    #: The machine of the session that called last; "" for an agent without items.
    host: str
    held_count: int
    #: The items that it has held longest, at most 20.
    held: tuple[HeldLine, ...]
    queued_count: int
    #: Since when the oldest item of its queue is queued, in ms; 0 for none.
    queued_since: int
    #: The first item of its queue; None if it holds items.
    first: ItemSummary | None


class Workload(Frozen):
    """The agents, the one that called last first."""

    agents: tuple[AgentWork, ...]
    #: The number of agents that were not looked at.
    more: int


class NewsLine(Frozen):
    """An event, with the texts that belong to it."""

    event: Event
    title: str
    project_title: str
    text: str
    percent: int | None


class News(Frozen):
    """The newest events, the newest first."""

    lines: tuple[NewsLine, ...]
    #: The cursor of the newest event of all.
    newest: str


def read_needs(scripts: Scripts, limit: int) -> Needs:
    """Return the items that need a person, at most `limit` of each kind."""
    listed: list[Need] = []
    cursor = ""
    for _ in range(NEEDS_CALLS):
        now, counts, rows, cursor = cast(
            "tuple[str, list[int], list[Reply], str]",
            scripts.run_script("overview", "needs", cursor, limit),
        )
        listed += readable(_need, rows, scripts.damage)
        if not cursor:
            break
    found: dict[str, Need] = {}
    for need in listed:
        # of an item with a question that has failed, too, the question is shown
        found.setdefault(need.item.id, need)
    in_progress, *numbers = counts
    kinds = Counter(need.why for need in listed)
    without_row = sum(
        max(0, number - kinds[why])
        for why, number in zip(COUNTED, numbers, strict=True)
    )
    return Needs(
        rows=tuple(sorted(found.values(), key=_age)),
        in_progress=in_progress,
        count=len(found) + without_row,
        now=int(now),
    )


def read_workload(scripts: Scripts) -> Workload:
    """Return the agents in a bounded number of calls.

    If there are very many, some of those in the middle of the list are not looked at.
    """
    found: dict[str, AgentWork] = {}
    skip, count, looked_at = "0", 0, 0
    for place in range(AGENT_CALLS):
        is_last = place == AGENT_CALLS - 1
        if is_last:
            skip = str(max(int(skip), count - LAST_AGENTS))
        began = int(skip)
        _, skip, count, rows = cast(
            "tuple[str, str, int, list[Reply]]",
            scripts.run_script("overview", "agents", began, 1),
        )
        looked_at += (int(skip) if skip else max(count, began)) - began
        lines = readable(
            lambda row: _agent_line(row, scripts.damage), rows, scripts.damage
        )
        for line in lines:
            # one that called between two pages is on both
            found[line.name] = line
        if not skip:
            break
    return Workload(
        agents=tuple(found.values()), more=max(0, count - looked_at)
    )


def read_pools(
    scripts: Scripts,
    limit: int,
    *,
    skip: str = "0",
    first: Sequence[Reply] = (),
) -> tuple[PoolWork, ...]:
    """Return the pools in the order in which they were first named.

    `first` are rows of another script, and `skip` says where to go on, "" for nowhere.
    """
    rows = list(first)
    while skip and len(rows) < limit:
        asked = min(limit - len(rows), POOLS_PAGE)
        _, skip, page = cast(
            "tuple[str, str, list[Reply]]",
            scripts.run_script("overview", "pools", int(skip), asked),
        )
        rows += page
    lines = readable(
        lambda row: _pool_line(row, scripts.damage), rows, scripts.damage
    )
    return tuple({line.name: line for line in lines}.values())


def read_usage(
    scripts: Scripts, owners: Sequence[str]
) -> Mapping[str, OwnerUsage]:
    """Return what owners have used; those that the caller does not see are left out."""
    found: dict[str, OwnerUsage] = {}
    for start in range(0, len(owners), OWNERS_PAGE):
        asked = owners[start : start + OWNERS_PAGE]
        _, rows = cast(
            "tuple[str, list[tuple[str, str, str, str]]]",
            scripts.run_script("overview", "usage", 0, 0, *asked),
        )
        for owner, total, today, title in rows:
            found[owner] = OwnerUsage(
                total=summed(total), today=summed(today), title=title
            )
    return found


def read_news(scripts: Scripts, limit: int) -> News:
    """Return the newest events that people care about."""
    _, newest, rows = cast(
        "tuple[str, str, list[Reply]]",
        scripts.run_script("overview", "events", 0, limit),
    )
    lines = readable(_news_line, rows, scripts.damage)
    return News(lines=lines, newest=newest)


def _age(need: Need) -> tuple[int, str]:
    return need.since, need.item.id


def _need(row: Reply) -> Need:
    """Read `{why, since, item, {field, value …}}`."""
    why, since, id_, flat = cast("tuple[str, str, str, Reply]", row)
    with Reading("item", id_):
        fields = read.fields_of(flat)
        if why not in REASONS:
            raise DamagedField("reason")
        return Need(
            item=_item_line(id_, fields),
            why=why,
            since=int(since),
            text=fields.get("text", ""),
            kind=fields.get("kind", ""),
            needs=fields.get("needs", ""),
            question=read.number(fields, "number", 0),
            asker=read.agent_name(fields, "asker", ""),
            open=read.number(fields, "open", 0),
            reviewer=read.agent_name(fields, "reviewer", ""),
            attempts=read.number(fields, "attempts", 0),
            max_attempts=read.number(fields, "max_attempts", 0),
            waiting=read.number(fields, "waiting", 0),
            dependency=read.item_id(fields.get("dependency", "")),
            dependency_title=fields.get("dependency_title", ""),
            dependency_state=fields.get("dependency_state", ""),
            dependency_agent=fields.get("dependency_agent", ""),
            dependency_generation=read.number(
                fields, "dependency_generation", 0
            ),
            reopens=bool(fields.get("reopens")),
        )


def _agent_line(row: Reply, damage: Damage) -> AgentWork:
    """Read a row of the part `agents`."""
    name, seen, host, held_count, held, queued, since, first = cast(
        "tuple[str, str, str, int, list[Reply], int, str, Reply]", row
    )
    with Reading("agent", name):
        if not limits.is_name(name):
            raise DamagedField("name")
        return AgentWork(
            name=name,
            last_seen_at=read.whole(seen),
            host=host,
            held_count=held_count,
            held=readable(_held_line, held, damage),
            queued_count=queued,
            queued_since=read.whole(since),
            first=_first_item(first, damage),
        )


def _pool_line(row: Reply, damage: Damage) -> PoolWork:
    """Read a row of the part `pools`."""
    name, numbers, since, first, count, members = cast(
        "tuple[str, list[int], str, Reply, int, list[tuple[str, str]]]", row
    )
    queued, delayed, waiting = numbers
    with Reading("pool", name):
        if not limits.is_name(name):
            raise DamagedField("name")
        return PoolWork(
            name=name,
            queued=queued,
            delayed=delayed,
            waiting=waiting,
            queued_since=read.whole(since),
            first=_first_item(first, damage),
            member_count=count,
            members=tuple(
                PoolMember(name=agent, last_seen_at=read.whole(seen))
                for agent, seen in members
                if limits.is_name(agent)
            ),
        )


def _held_line(row: Reply) -> HeldLine:
    """Read `{item, {field, value …}}`."""
    id_, flat = cast("tuple[str, Reply]", row)
    with Reading("item", id_):
        fields = read.fields_of(flat)
        return HeldLine(
            item=_item_line(id_, fields),
            host=fields["host"],
            session=fields["session"],
            since=read.number(fields, "since", 0),
            percent=_percent(fields),
            reported_at=read.number(fields, "reported_at", 0),
            kind=fields.get("kind", ""),
            text=fields.get("text", ""),
            expires_at=read.whole(fields.get("expires", "")),
            lease_ms=read.number(fields, "lease_ms", 0),
            last_step_at=read.whole(fields.get("last_step", "")),
            asked_at=read.whole(fields.get("asked_at", "")),
        )


def _first_item(row: Reply, damage: Damage) -> ItemSummary | None:
    """Read the row of the first item of a queue: {} if there is none to show."""

    def summary(row: Reply) -> ItemSummary:
        id_, flat = cast("tuple[str, Reply]", row)
        with Reading("item", id_):
            return _item_line(id_, read.fields_of(flat))

    return next(iter(readable(summary, [row] if row else [], damage)), None)


def _item_line(id_: str, fields: Fields) -> ItemSummary:
    if not limits.is_project_id(fields["project"]):
        raise DamagedField("project")
    return ItemSummary(
        id=id_,
        title=fields["title"],
        project=fields["project"],
        project_title=fields["project_title"],
        agent=read.agent_name(fields, "agent"),
        state=read.state(fields),
        pool=read.agent_name(fields, "pool", ""),
        generation=read.number(fields, "generation", 0),
    )


def _news_line(row: Reply) -> NewsLine:
    """Read `{stream entry, title, title of the project, text, percent or ''}`."""
    entry, title, project_title, text, percent = cast(
        "tuple[Reply, str, str, str, str]", row
    )
    event = replies.event(entry)
    with Reading("event", event.cursor):
        return NewsLine(
            event=event,
            title=title,
            project_title=project_title,
            text=text,
            percent=_percent({"percent": percent}),
        )


def _percent(fields: Fields) -> int | None:
    if not fields.get("percent"):
        return None
    return read.number(fields, "percent")
