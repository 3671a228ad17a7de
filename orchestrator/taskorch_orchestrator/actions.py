"""The verbs of an orchestrator: one function each, which returns the published result.

The commands print the results, and the MCP tools send them. Each function takes the
open queue and the values of its verb, and raises errors.TaskOrchestratorError. `purge`
and `prime` have modules of their own.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from taskorch.cli.text import counted, line
from taskorch.domain import errors
from taskorch.domain import hints as next_steps
from taskorch.domain.events import FROM_THE_START
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State

if TYPE_CHECKING:
    from taskorch.domain.events import Event
    from taskorch.domain.item import (
        AnsweredItem,
        Assignment,
        CancelledItem,
        ClosedProject,
        CompletedProject,
        Discovery,
        DiscoveryPage,
        EditedItem,
        Item,
        ItemEdit,
        ItemFilter,
        NewItem,
        Package,
        Project,
        ProjectProgress,
        ReapCounts,
        ReopenedProject,
        Requeued,
        ReviewedItem,
    )
    from taskorch.domain.schedule import Schedule
    from taskorch.domain.timeline import ItemTimeline
    from taskorch.queue.agents import AgentStatus
    from taskorch.queue.budgets import Budget, Costs
    from taskorch.queue.plan import AppliedPlan, CreatedItem, Plan
    from taskorch.queue.queue import Queue
    from taskorch.queue.stuck import StuckItem
    from taskorch.queue.wait_results import Goal, Standing
    from taskorch.queue.waits import Waits

    from taskorch_orchestrator.mirror.handoff_writer import HandoffWriter

#: Maximum number of rows of a list.
LIMIT = 100
#: Maximum number of rows of `discoveries` and `progress`.
LONG_LIMIT = 1000
#: Maximum number of hints of one kind: more rows push what matters off the screen.
HINTS_SHOWN = 5
#: Maximum number of differences from a plan; --json has all.
DIFFERENCES_SHOWN = 100
#: The hint for a plan without a key or the id of a project.
NO_KEY = (
    "The plan has no key: applied again, it creates another project. To update this "
    "one instead, write in the plan: project: {project}"
)
#: Known agents that a remark on a new one names, and how close their names must be.
AGENTS_SHOWN, CLOSE = 3, 0.85

Data = TypeVar("Data", covariant=True)  # noqa: PLC0105  it is the data that is named


class Published(Frozen, Generic[Data]):
    """The result of a verb: the data and the meta of its document, and its hints."""

    data: Data
    meta: Mapping[str, object] = {}
    #: What a person should know, a sentence each.
    hints: Sequence[str] = ()


class CreatedProject(Frozen):
    """The id of a new project."""

    id: str


class PublishedItem(Frozen):
    """A new item, or the existing item with the same key."""

    id: str
    created: bool
    state: State | None
    not_before_at: int


class ItemState(Frozen):
    """An item and its new state."""

    id: str
    state: State


class CommentedItem(Frozen):
    """An item with a new comment, its state, and its agent or ""."""

    id: str
    state: State
    agent: str


class AssignedItem(Frozen):
    """An assignment, and the path of its handoff package, or ""."""

    _flat = "assignment"
    assignment: "Assignment"
    handoff: str


class WaitOutcome(Frozen):
    """The end of a wait: the goal that was reached, and the item or project."""

    _hidden = ("state",)
    reached: str
    #: None when the wait was for a project.
    item: "Item | None"
    project: "Project"
    #: The items with an open question, when the wait was for one.
    blocked: "tuple[Item, ...]"
    events: "tuple[Event, ...]"
    gap: bool
    cursor: str
    #: The state in words, such as "in_progress, 40%".
    state: str


def project(
    queue: "Queue", title: str, *, description: str = ""
) -> Published[CreatedProject]:
    """Open a project."""
    return Published(
        data=CreatedProject(id=queue.project(title, description=description))
    )


def create(
    queue: "Queue",
    handoffs: "HandoffWriter",
    project: str,
    new: "NewItem",
    *,
    remark: str = "",
) -> Published[PublishedItem]:
    """Add an item to a project; `remark` is a hint about its values."""
    from taskorch.queue.plan import Plan

    applied = queue.apply(Plan(items=(new,), project=project))
    (created,) = applied.items
    is_assigned = bool(new.agent and created.created)
    written = handoffs.write(queue, [created.id] if is_assigned else [])
    unknown = _remarks_on_slips(applied.new_agents, applied.other_agents)
    pools = _remarks_on_pools(applied.pools_without_agents)
    candidates = (remark, created.hint, *unknown, *pools, written.trouble)
    hints = [hint for hint in candidates if hint]
    meta: dict[str, object] = {}
    if created.dead_dependency:
        meta["dead_dependency"] = created.dead_dependency
    if hints:
        meta["hint"] = " ".join(hints)
    item = PublishedItem(
        id=created.id,
        created=created.created,
        state=created.state,
        not_before_at=created.not_before_at,
    )
    return Published(data=item, meta=meta, hints=hints)


def apply(
    queue: "Queue",
    handoffs: "HandoffWriter",
    plan: "Plan",
    *,
    dry_run: bool = False,
    updates: bool = True,
) -> "Published[AppliedPlan]":
    """Create and update the items of a plan, all or none; `dry_run` only checks it.

    Without `updates`, items that exist stay as they are.
    """
    applied = queue.apply(plan, dry_run=dry_run, updates=updates)
    written = handoffs.write(queue, [] if dry_run else _queued(applied))
    items = [
        f"{line(item.name)}: {item.hint}"
        for item in applied.items
        if item.hint
    ]
    hints = [
        *_first(
            [line(remark) for remark in plan.remarks], "remarks on the plan"
        ),
        *_first(items, "items"),
        *_first(
            _remarks_on_slips(applied.new_agents, applied.other_agents),
            "new agents",
        ),
        *_first(_remarks_on_pools(applied.pools_without_agents), "pools"),
        *_first(
            [hint for item in applied.items for hint in _differences(item)],
            "differences",
            DIFFERENCES_SHOWN,
        ),
    ]
    if not (plan.key or plan.project or dry_run):
        hints.append(NO_KEY.format(project=applied.project))
    if written.trouble:
        hints.append(written.trouble)
    meta: dict[str, object] = {"hints": hints} if hints else {}
    if dry_run and plan.filled is not None:
        meta["plan"] = plan.filled
    return Published(data=applied, meta=meta, hints=hints)


def _differences(item: "CreatedItem") -> Iterator[str]:
    """Yield the changes of an updated item, and its differences from the plan."""
    name = f"{line(item.name)} ({item.id})"
    for change in item.changes:
        yield f"{name} {line(str(change))}"
    owner = ""
    fields = []
    for each in item.differences:
        if each.field == "agent":
            owner = each.after
        elif each.field == "pool":
            owner = f"--pool {each.after}"
        else:
            fields.append(each.field)
    if fields and item.state:
        differ = "differs" if len(fields) == 1 else "differ"
        state = item.state.replace("_", " ")
        yield f"{name} is {state}: {', '.join(fields)} {differ} from the plan."
    if owner:
        now = "not assigned"
        if item.agent or item.pool:
            now = f"assigned to {item.agent or f'the pool {item.pool}'}"
        yield f"{name} is {now}. To follow the plan: orchestrate assign {item.id} {owner}"


def _first(
    hints: Sequence[str], what: str, most: int = HINTS_SHOWN
) -> Iterator[str]:
    yield from hints[:most]
    if len(hints) > most:
        yield f"… and {len(hints) - most} more {what}."


def _queued(applied: "AppliedPlan") -> list[str]:
    """Return the new and the changed items of a plan that are in an agent's queue."""
    return [
        each.id
        for each in applied.items
        if (each.created or each.changes) and each.state is State.QUEUED
    ]


def depend(
    queue: "Queue", item: str, dependencies: Sequence[str]
) -> Published[ItemState]:
    """Make an item wait for other items as well."""
    return Published(
        data=ItemState(id=item, state=queue.depend(item, dependencies))
    )


def undepend(
    queue: "Queue",
    handoffs: "HandoffWriter",
    item: str,
    dependencies: Sequence[str],
) -> Published[ItemState]:
    """Make an item no longer wait for some of its dependencies."""
    from taskorch.domain.item import ItemEdit

    edit = ItemEdit(remove_dependencies=tuple(dependencies))
    (edited,) = queue.edit([item], edit)
    written = handoffs.write(queue, [item] if edited.changes else [])
    hints = [written.trouble] if written.trouble else []
    if not edited.changes:
        others = " or ".join(dependencies)
        hints.append(
            f"Nothing has changed: {item} does not depend on {others}."
        )
    return Published(
        data=ItemState(id=item, state=edited.state),
        meta={"hints": hints} if hints else {},
        hints=hints,
    )


def edit(
    queue: "Queue",
    handoffs: "HandoffWriter",
    items: Sequence[str],
    edit: "ItemEdit",
) -> "Published[EditedItem | tuple[EditedItem, ...]]":
    """Change items in the same way, all or none; the result of one item is not a list."""
    edited = queue.edit(items, edit)
    same = [
        f"Nothing has changed in {each.id}: it is like this already."
        for each in edited
        if not each.changes
    ]
    hints = list(_first(same, "items"))
    changed = [each.id for each in edited if each.changes]
    written = handoffs.write(queue, changed)
    if written.trouble:
        hints.append(written.trouble)
    meta = {"hints": hints} if hints else {}
    data = edited[0] if len(edited) == 1 else edited
    return Published(data=data, meta=meta, hints=hints)


def assign(
    queue: "Queue",
    handoffs: "HandoffWriter",
    items: Sequence[str],
    agent: str = "",
    *,
    pool: str = "",
    context: Mapping[str, str],
    resources: Sequence[str] = (),
    force: bool = False,
) -> Published[tuple[AssignedItem, ...]]:
    """Give items to an agent or a pool, all or none; `force` takes them from holders."""
    assigned = queue.assign_many(
        items,
        agent,
        pool=pool,
        context=context,
        resources=resources,
        force=force,
    )
    written = handoffs.write(queue, [each.id for each in assigned])
    made = assigned[0]
    hints = []
    if made.is_new_agent:
        similar = _similar(agent, made.other_agents)
        hints.append(_remark_on_agent(agent, similar))
    if made.has_no_agents:
        similar = _similar(pool, made.other_pools)
        hints.append(_remark_on_pool(pool, similar))
    if written.trouble:
        hints.append(written.trouble)
    return Published(
        data=tuple(
            AssignedItem(
                assignment=each, handoff=written.paths.get(each.id, "")
            )
            for each in assigned
        ),
        meta={"hints": hints} if hints else {},
        hints=hints,
    )


def _remarks_on_slips(
    new_agents: Sequence[str], known: Sequence[str]
) -> list[str]:
    """Return that agents are new whose names are similar to those of known ones."""
    return [
        _remark_on_agent(agent, similar)
        for agent in new_agents
        if (similar := _similar(agent, known))
    ]


def _remark_on_agent(agent: str, similar: Sequence[str]) -> str:
    remark = f"No agent named {agent} has called yet."
    if similar:
        remark += f" Did you mean {' or '.join(similar)}?"
    return remark


def _remarks_on_pools(pools: Sequence[str]) -> list[str]:
    return [_remark_on_pool(pool, ()) for pool in pools]


def _remark_on_pool(pool: str, similar: Sequence[str]) -> str:
    remark = (
        f"No agent takes items from the pool {pool} yet: AGENT_POOLS={pool}"
    )
    if similar:
        remark += f" Did you mean {' or '.join(similar)}?"
    return remark


def _similar(agent: str, known: Sequence[str]) -> Sequence[str]:
    from difflib import get_close_matches

    # agent_2 beside agent_1 is a sibling, not a slip
    others = [
        name
        for name in known
        if _without_digits(name) != _without_digits(agent)
    ]
    return get_close_matches(agent, others, n=AGENTS_SHOWN, cutoff=CLOSE)


def _without_digits(name: str) -> str:
    return "".join(letter for letter in name if not letter.isdigit())


def complete(
    queue: "Queue", project: str, *, force: bool = False
) -> "Published[CompletedProject]":
    """Close a project and return what it delivered; `force` cancels its open items."""
    from taskorch.domain.item import CompletedProject

    closed = queue.complete_project(project, force=force)
    try:
        items = queue.views.items_of(project)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{project} is completed. Rerun this command to see what it delivered."
        ) from None
    completed = CompletedProject(
        project=closed.project,
        items=items,
        last_reports={},
        closed_questions=closed.closed_questions,
    )
    return Published(data=completed)


def answer(
    queue: "Queue", item: str, text: str, *, question: int = 0
) -> "Published[AnsweredItem]":
    """Answer a question on an item; 0 for the only open one."""
    return Published(data=queue.answer(item, text, question=question))


def accept(
    queue: "Queue", item: str, text: str = ""
) -> "Published[ReviewedItem]":
    """Complete an item in review."""
    return Published(data=queue.accept(item, text))


def send_back(
    queue: "Queue", item: str, text: str
) -> "Published[ReviewedItem]":
    """Return an item in review to its agent, which reads the text first."""
    return Published(data=queue.send_back(item, text))


def comment(queue: "Queue", item: str, text: str) -> Published[CommentedItem]:
    """Comment on an open item, whether its holder waits for an answer or not."""
    state, agent = queue.comment(item, text)
    hints = []
    if state is State.BLOCKED:
        hints.append(
            f"The question of {item} stays open: orchestrate answer {item} TEXT"
        )
    return Published(
        data=CommentedItem(id=item, state=state, agent=agent), hints=hints
    )


def cancel(
    queue: "Queue", item: str, *, reason: str = ""
) -> "Published[CancelledItem]":
    """Cancel an item."""
    cancelled = queue.cancel(item, reason=reason)
    hints = []
    if cancelled.waiting:
        items = counted(cancelled.waiting, "item waits", "items wait")
        hints.append(f"{items} for {item}. Requeue it, or cancel them too.")
    return Published(data=cancelled, hints=hints)


def cancel_project(
    queue: "Queue", project: str, *, reason: str = ""
) -> "Published[ClosedProject]":
    """Cancel the open items of a project, and close it."""
    return Published(data=queue.cancel_project(project, reason=reason))


def reopen(queue: "Queue", project: str) -> "Published[ReopenedProject]":
    """Make a completed project active again."""
    reopened = queue.reopen_project(project)
    hints = []
    if not reopened.remark and reopened.project.counts:
        hints.append(
            "Its items keep their states. To queue one: orchestrate requeue ITEM"
        )
    return Published(data=reopened, hints=hints)


def requeue(
    queue: "Queue", item: str, *, reason: str = "", reopen: bool = False
) -> "Published[Requeued]":
    """Start a failed, cancelled or completed item again, with all its attempts."""
    return Published(data=queue.requeue(item, reason=reason, reopen=reopen))


def reap(queue: "Queue") -> "Published[ReapCounts]":
    """Act on expired leases, on delayed items that are due, and on unfinished steps."""
    return Published(data=queue.reap())


def progress(
    queue: "Queue", project: str, *, limit: int = LONG_LIMIT
) -> "Published[ProjectProgress]":
    """Return a project and the newest report on each of its items."""
    return Published(data=queue.views.progress(project, limit=limit))


def show(queue: "Queue", item: str) -> "Published[ItemTimeline]":
    """Return an item with all its details and its timeline."""
    from taskorch.domain.timeline import REPORTS_KEPT

    shown = queue.views.timeline(item)
    if not shown.trimmed:
        return Published(data=shown)
    hint = (
        f"Older reports may be gone: an item keeps its newest {REPORTS_KEPT}."
    )
    return Published(data=shown, meta={"hint": hint}, hints=(hint,))


def item_progress(queue: "Queue", item: str) -> "Published[Package]":
    """Return an item with its newest reports."""
    return Published(data=queue.views.show(item))


def handoff(queue: "Queue", item: str) -> Published[Mapping[str, object]]:
    """Return the handoff package of an item, as its file holds it."""
    from taskorch_orchestrator.mirror import handoff_package

    for record in queue.views.records([item]):
        return Published(data=handoff_package.of(record))
    if why := queue.damage.pop(("item", item), ""):
        raise errors.Damaged(kind="item", id=item, reason=why)
    raise errors.NoItem(item=item)


def discoveries(
    queue: "Queue",
    project: str = "",
    *,
    since: str = FROM_THE_START,
    limit: int = LONG_LIMIT,
) -> "Published[tuple[Discovery, ...]]":
    """Return the discoveries after a cursor, of a project or of all projects.

    meta.cursor is the next cursor; meta.more says if there are more.
    """
    page = queue.views.discoveries(project, since=since, limit=limit)
    hints = _projects_left_out(page)
    if page.discoveries:
        hints.append(f"Continue with --since {page.cursor}")
    return _published_page(page, hints)


def new_discoveries(
    queue: "Queue", project: str = "", *, limit: int = LONG_LIMIT
) -> "Published[tuple[Discovery, ...]]":
    """Return the discoveries that this orchestrator has not read yet, as `discoveries`.

    They count as read from now on.
    """
    page = queue.new_discoveries(project, limit=limit)
    hints = _projects_left_out(page)
    if page.more:
        hints.append("There are more: rerun this command.")
    return _published_page(page, hints)


def _published_page(
    page: "DiscoveryPage", hints: Sequence[str]
) -> "Published[tuple[Discovery, ...]]":
    meta = {
        "cursor": page.cursor,
        "more": page.more,
        "looked_at": page.looked_at,
        "projects": page.project_count,
    }
    return Published(data=page.discoveries, meta=meta, hints=hints)


def _projects_left_out(page: "DiscoveryPage") -> list[str]:
    if page.looked_at == page.project_count:
        return []
    read = f"{page.looked_at} of {page.project_count}"
    hint = f"Only the newest {read} projects were read. For an older one: orchestrate discoveries PROJECT"
    return [hint]


def list_items(
    queue: "Queue",
    wanted: "ItemFilter",
    *,
    cursor: str = "",
    limit: int = LIMIT,
) -> "Published[tuple[Item, ...]]":
    """Return the items that match; the hints say if there are more.

    Without an order, meta.cursor is that of the next page, "" for the last. With one,
    meta.matching is the number of items that match.
    """
    if cursor and wanted.order:
        raise errors.Usage(reason="A list with an order has no further page.")
    found = queue.views.search(wanted, cursor=cursor, limit=limit)
    shown = len(found.items)
    hints = []
    if wanted.order is None and found.cursor:
        hints.append(f"There are more: --cursor {found.cursor}")
    elif found.cursor:
        hints.append(
            "Not all items were visited: narrow the list to a project."
        )
    elif wanted.order and found.matching > shown:
        hints.append(
            f"{counted(found.matching, 'item matches', 'items match')}; "
            f"the first {shown} are shown: --limit"
        )
    meta: dict[str, object] = {"cursor": found.cursor}
    if wanted.order:
        meta["matching"] = found.matching
    return Published(data=found.items, meta=meta, hints=hints)


def unassigned(
    queue: "Queue", *, project: str = "", limit: int = LIMIT
) -> "Published[tuple[Item, ...]]":
    """Return the items without an agent."""
    return Published(data=queue.views.unassigned(project=project, limit=limit))


def inbox(
    queue: "Queue", *, limit: int = LIMIT
) -> "Published[tuple[Item, ...]]":
    """Return what waits for a decision: open questions, reviews, then dead letters.

    meta.reasons has why a dead letter failed, by its id.
    """
    waiting = queue.views.inbox(limit=limit)
    reasons = {item.id: item.failure for item in waiting if item.failure}
    meta = {"reasons": reasons} if reasons else {}
    return Published(data=waiting, meta=meta)


def stuck(
    queue: "Queue",
    *,
    unstarted_ms: int | None = None,
    silent_ms: int | None = None,
    project: str = "",
    limit: int = LIMIT,
) -> "Published[tuple[StuckItem, ...]]":
    """Return the stalled items; meta has the number of checked items, and if more exist."""
    from taskorch.queue.stuck import SILENT_MS, UNSTARTED_MS

    found = queue.views.stuck(
        unstarted_ms=UNSTARTED_MS if unstarted_ms is None else unstarted_ms,
        silent_ms=SILENT_MS if silent_ms is None else silent_ms,
        project=project,
        limit=limit,
    )
    meta = {"looked_at": found.looked_at, "more": found.more}
    return Published(data=found.items, meta=meta)


def budgets(
    queue: "Queue", owner: str = ""
) -> "Published[tuple[Budget, ...]]":
    """Return the budgets, of one owner or of all, those that are used up first.

    Raises errors.NoProject and errors.NoAgent.
    """
    return Published(data=queue.views.budgets(owner))


def set_budget(
    queue: "Queue",
    owner: str,
    *,
    period: str,
    limit_micros: int | None = None,
    limit_tokens: int | None = None,
) -> "Published[tuple[Budget, ...]]":
    """Set a budget, or remove it without any limit; return those of its owner.

    Raises errors.NoProject and errors.NoAgent.
    """
    change = queue.set_budget(
        owner,
        period=period,
        limit_micros=limit_micros,
        limit_tokens=limit_tokens,
    )
    return Published(data=change.budgets)


def change_budget(
    queue: "Queue",
    owner: str,
    *,
    period: str,
    dollars: float | None,
    tokens: int | None,
    remove: bool,
) -> "Published[tuple[Budget, ...]]":
    """Set the budget of a period, in dollars and tokens, or remove it.

    Raises errors.Usage if it is not one of both, and the errors of `set_budget`.
    """
    from taskorch.domain import usage_rules
    from taskorch.queue.budgets import MOST_MICROS

    if remove == ((dollars, tokens) != (None, None)):
        raise errors.Usage(reason="Give a limit or tokens, or else remove.")
    return set_budget(
        queue,
        owner,
        period=period,
        limit_micros=None
        if dollars is None
        else usage_rules.micros_of(dollars, MOST_MICROS),
        limit_tokens=tokens,
    )


def costs(
    queue: "Queue", owner: str = "", *, by: str = ""
) -> "Published[Costs]":
    """Return what a project, an agent or the namespace has used, in rows of a kind.

    Without `by`, these are the agents of a project, the models of an agent, and the
    projects of the namespace. Raises errors.NoProject and errors.NoAgent.
    """
    from taskorch.queue.budgets import usual_rows

    found = queue.views.costs(owner, by=by or usual_rows(owner))
    return Published(data=found)


def schedules(queue: "Queue") -> "Published[tuple[Schedule, ...]]":
    """Return the schedules, the next one first."""
    return Published(data=queue.schedules().list())


def run_schedule(
    queue: "Queue", handoffs: "HandoffWriter", name: str
) -> "Published[AppliedPlan]":
    """Apply the plan of a schedule now; its next run stays.

    Raises errors.NoSchedule, and the errors of the plan.
    """
    from taskorch_orchestrator.schedule import runs

    results = []

    def applied(plan: "Plan") -> "AppliedPlan":
        results.append(apply(queue, handoffs, plan, updates=False))
        return results[0].data

    runs.run_now(queue, name, applied)
    return results[0]


def projects(
    queue: "Queue", *, limit: int = LIMIT
) -> "Published[tuple[Project, ...]]":
    """Return the projects, the newest first; the hints say which are being closed."""
    found = queue.views.projects(limit=limit)
    closing = [
        next_steps.closing(project.id, project.open)
        for project in found
        if project.status == "closing"
    ]
    hints = list(_first(closing, "projects are being closed"))
    meta = {"hints": hints} if hints else {}
    return Published(data=found, meta=meta, hints=hints)


def agents(
    queue: "Queue", *, limit: int = LIMIT
) -> "Published[tuple[AgentStatus, ...]]":
    """Return the agents, the last caller first; meta.pools has the pools."""
    found, pools = queue.views.agents_and_pools(limit=limit)
    return Published(data=found, meta={"pools": pools} if pools else {})


def wait(
    queue: "Queue",
    waits: "Waits",
    id_: str,
    goals: "Collection[Goal]",
    *,
    timeout_s: float,
    since: str = "",
) -> Published[WaitOutcome]:
    """Wait until a project or an item has reached one of the goals.

    Raises errors.WaitOver after `timeout_s` seconds.
    """
    from taskorch.queue.wait_results import Goal

    waited = waits.until(id_, goals, timeout_s=timeout_s, since=since)
    standing = waited.standing
    if waited.reached is None:
        raise errors.WaitOver(
            id=standing.id,
            state=standing_in_words(standing),
            seconds=f"{timeout_s:g}",
            cursor=waited.cursor if Goal.ANY in goals else "",
        )
    outcome = WaitOutcome(
        reached=str(waited.reached),
        item=standing.item,
        project=standing.project,
        blocked=_blocked(queue, standing)
        if waited.reached is Goal.BLOCKED
        else (),
        events=waited.events,
        gap=waited.gap,
        cursor=waited.cursor,
        state=standing_in_words(standing),
    )
    return Published(data=outcome)


def _blocked(queue: "Queue", standing: "Standing") -> "tuple[Item, ...]":
    """Return the item itself, or the items of a project that have an open question."""
    if standing.item:
        return (standing.item,)
    return queue.views.questions(project=standing.project.id, limit=LIMIT)


def standing_in_words(standing: "Standing") -> str:
    """Return the state of an item or a project, such as "in_progress, 40%"."""
    if standing.item:
        state = next_steps.state_in_words(standing.item.state)
        return f"{state}, {standing.item.percent}%"
    project = standing.project
    words = f"{project.status}, {project.done}"
    others = [
        f"{number} {state}"
        for state, number in project.counts.items()
        if number and state not in (State.COMPLETED, State.CANCELLED)
    ]
    return f"{words} ({', '.join(others)})" if others else words
