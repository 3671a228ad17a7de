"""The verbs of an orchestrator, over HTTP: their arguments and what performs them.

The docstring of a verb is its description for users of the API.
"""

import json
from typing import Annotated, Any, Literal, Self, TypeVar

from taskorch.domain import (
    acceptance_rules,
    errors,
    limits,
    start_time,
)
from taskorch.domain.amounts import MICROS
from taskorch.domain.events import FROM_THE_START
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    ItemEdit,
    ItemFilter,
    NewItem,
    Order,
    State,
)
from taskorch.domain.start_time import StartTime
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.budgets import MOST_MICROS, MOST_TOKENS
from taskorch.queue.wait_results import Goal
from taskorch_orchestrator import actions
from taskorch_orchestrator.actions import Published
from taskorch_orchestrator.mcp_tools import PLANNED_ITEM
from taskorch_orchestrator.mirror import handoff_writer

from taskorch_gateway.api.fields import (
    ROWS,
    Accept,
    Agent,
    AnyProject,
    Attempts,
    Cursor,
    Duration,
    Item,
    ItemOrProject,
    Items,
    MaybeAccept,
    MaybeText,
    MaybeTexts,
    Pairs,
    Pool,
    Priorities,
    Priority,
    Project,
    Question,
    Rows,
    Sort,
    States,
    Texts,
    Title,
    Wait,
    duration_ms,
    whole,
)
from taskorch_gateway.client_queue import queue_of

#: Options of the API -> the fields of an item that they empty.
CLEARABLE = {
    "description": "description",
    "requirements": "requirements",
    "accept": "criteria",
    "checks": "checks",
    "reviewer": "reviewer",
    "deliverables": "deliverables_expected",
    "resources": "resources",
    "context": "context",
    "labels": "labels",
}
NO_HANDOFFS = handoff_writer.writer(None)

Value = TypeVar("Value")


class OpenProject(ToolArguments):
    """Open a project for a user's request."""

    name = "project"
    title: Title
    description: str = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Open the project."""
        queue = queue_of(call)
        return _result(
            actions.project(queue, self.title, description=self.description)
        )


class Create(ToolArguments):
    """Add a work item to a project."""

    name = "create"
    project: Project
    title: Title
    description: str = ""
    requirements: Texts = ()
    depends_on: Annotated[Texts, "Items that must be completed first"] = ()
    priority: Priority = None
    lease: Duration = ""
    max_attempts: Attempts = None
    not_before: Annotated[
        str, "Earliest start: a delay (30m) or a time (RFC 3339)"
    ] = ""
    context: Annotated[Pairs, "Facts for the agent"] = {}  # noqa: RUF012  it is never changed
    resources: Annotated[Texts, "Files and links for the agent"] = ()
    deliverables: Annotated[Texts, "Expected deliverables"] = ()
    accept: Accept = ()
    labels: Texts = ()
    traceparent: Annotated[str, "Its place in a trace, as W3C writes it"] = ""
    key: Annotated[
        str, "If an item of the project has this key, its id is returned"
    ] = ""
    assign: Annotated[str, "The agent to assign it to"] = ""
    pool: Pool = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Create the item."""
        starts = _start_time(self.not_before)
        accepted = acceptance_rules.parse(self.accept)
        new = NewItem(
            title=self.title,
            description=self.description,
            requirements=self.requirements,
            context=self.context,
            resources=self.resources,
            deliverables_expected=self.deliverables,
            criteria=accepted.criteria,
            checks=accepted.checks,
            reviewer=accepted.reviewer,
            priority=_given(self.priority, DEFAULT_PRIORITY),
            lease_ms=_given(duration_ms(self.lease), DEFAULT_LEASE_MS),
            max_attempts=_given(self.max_attempts, DEFAULT_MAX_ATTEMPTS),
            depends_on=self.depends_on,
            not_before_at=starts.at,
            delay_ms=starts.delay_ms,
            key=self.key,
            agent=self.assign,
            pool=self.pool,
            labels=self.labels,
            traceparent=self.traceparent,
        )
        created = actions.create(
            queue_of(call),
            NO_HANDOFFS,
            self.project,
            new,
            remark=starts.remark,
        )
        return _result(created)


class Apply(ToolArguments):
    """Create or update a project and its items from a plan: all of it, or nothing."""

    name = "apply"
    project: Annotated[str, "The title of a new project, or proj_…"]
    items: Annotated[
        list[object],
        {
            "type": "array",
            "items": PLANNED_ITEM,
            "minItems": 1,
            "maxItems": limits.BATCH_ITEMS,
        },
    ]
    description: Annotated[str, "Of a new project"] = ""
    key: Annotated[
        str, "A plan with the same key changes the same project"
    ] = ""
    variables: Annotated[
        dict[str, object],
        {"type": "object"},
        "Name: default, or an object with default and description",
    ] = {}  # noqa: RUF012  it is never changed
    set: Annotated[Pairs, "Name of a variable: the text for ${name}"] = {}  # noqa: RUF012
    dry_run: Annotated[bool, "Only check the plan"] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Apply the plan, with the checks and messages of a plan file."""
        given: dict[str, object] = {
            "project": self.project,
            "items": self.items,
        }
        for name in ("description", "key", "variables"):
            if value := getattr(self, name):
                given[name] = value
        # pydantic and yaml take 10 MB, which a gateway whose clients send no plan saves
        from taskorch_orchestrator.plan import plan_file

        plan = plan_file.read("This", json.dumps(given).encode(), self.set)
        applied = actions.apply(
            queue_of(call), NO_HANDOFFS, plan, dry_run=self.dry_run
        )
        return _result(applied)


class Depend(ToolArguments):
    """Make an item wait for more items, or for fewer."""

    name = "depend"
    item: Item
    dependencies: Annotated[
        tuple[str, ...],
        {
            "type": "array",
            "items": {"type": "string"},
            "minItems": 1,
            "maxItems": limits.BATCH_DEPENDENCIES,
        },
        "item_…",
    ]
    remove: Annotated[bool, "Make it no longer wait for these"] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Add or remove the dependencies."""
        queue = queue_of(call)
        if not self.dependencies:
            raise errors.Usage(reason="dependencies is empty.")
        if self.remove:
            return _result(
                actions.undepend(
                    queue, NO_HANDOFFS, self.item, self.dependencies
                )
            )
        return _result(actions.depend(queue, self.item, self.dependencies))


class Edit(ToolArguments):
    """Change items. Once an agent has begun one: only priority, context and labels."""

    name = "edit"
    items: Items
    title: MaybeText = None
    description: MaybeText = None
    requirements: MaybeTexts = None
    resources: MaybeTexts = None
    deliverables: MaybeTexts = None
    accept: MaybeAccept = None
    priority: Annotated[int | None, whole(0, 4)] = None
    lease: Annotated[Duration, "Of later claims, such as 30m"] = ""
    max_attempts: Annotated[int | None, whole(1, 1000)] = None
    context: Annotated[Pairs, "Facts to add or replace"] = {}  # noqa: RUF012  it is never changed
    remove_context: Annotated[Texts, "Names of facts to remove"] = ()
    label: Annotated[Texts, "Labels to add"] = ()
    unlabel: Annotated[Texts, "Labels to remove"] = ()
    undepend: Annotated[Texts, "Dependencies to remove"] = ()
    clear: Annotated[
        tuple[str, ...],
        {
            "type": "array",
            "items": {"type": "string", "enum": list(CLEARABLE)},
        },
        "Fields to empty",
    ] = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Edit the items."""
        change = self.change()
        if change == ItemEdit():
            raise errors.Usage(reason="Say what to change, such as title.")
        edited = actions.edit(queue_of(call), NO_HANDOFFS, self.items, change)
        return _result(edited)

    def change(self) -> ItemEdit:
        """Return the changes. Raises errors.Usage."""
        accepted: dict[str, Any] = {}
        if self.accept is not None:
            accepted = acceptance_rules.changes(self.accept)
        return ItemEdit(
            title=self.title,
            description=self._cleared("description", self.description, ""),
            requirements=self._cleared("requirements", self.requirements, ()),
            resources=self._cleared("resources", self.resources, ()),
            deliverables_expected=self._cleared(
                "deliverables", self.deliverables, ()
            ),
            criteria=self._cleared("accept", accepted.get("criteria"), ()),
            checks=self._cleared("checks", accepted.get("checks"), ()),
            reviewer=self._cleared("reviewer", accepted.get("reviewer"), ""),
            priority=self.priority,
            lease_ms=duration_ms(self.lease),
            max_attempts=self.max_attempts,
            context=self.context,
            remove_context=self.remove_context,
            clears_context="context" in self.clear,
            add_labels=self.label,
            remove_labels=self.unlabel,
            clears_labels="labels" in self.clear,
            remove_dependencies=self.undepend,
        )

    def _cleared(
        self, word: str, value: Value | None, empty: Value
    ) -> Value | None:
        """Return the new value of a field, the empty one if it is cleared."""
        if word not in self.clear:
            return value
        if value is not None:
            raise errors.Usage(
                reason=f"clear {word} and a new value for it exclude each other."
            )
        return empty


class Assign(ToolArguments):
    """Assign items to an agent or to a pool, all or none."""

    name = "assign"
    items: Items
    agent: Agent = ""
    pool: Pool = ""
    context: Annotated[Pairs, "More facts for the agent"] = {}  # noqa: RUF012  it is never changed
    resources: Annotated[Texts, "More files and links for the agent"] = ()
    force: Annotated[
        bool, "Reassign items that an agent holds; it loses its lease"
    ] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Assign the items; the result of one item is not a list."""
        assigned = actions.assign(
            queue_of(call),
            NO_HANDOFFS,
            self.items,
            self.agent,
            pool=self.pool,
            context=self.context,
            resources=self.resources,
            force=self.force,
        )
        if len(assigned.data) > 1:
            return _result(assigned)
        return ToolResult(assigned.data[0], **assigned.meta)


class CompleteProject(ToolArguments):
    """Complete a project and return its deliverables. Refused while items are open."""

    name = "complete"
    project: Project
    force: Annotated[bool, "Cancel the items that are still open"] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Complete the project."""
        return _result(
            actions.complete(queue_of(call), self.project, force=self.force)
        )


class Progress(ToolArguments):
    """Show the progress of a project or an item."""

    name = "progress"
    read_only = True
    id: ItemOrProject

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the project or the item."""
        queue = queue_of(call)
        if self.id.startswith("item_"):
            return _result(actions.item_progress(queue, self.id))
        return _result(actions.progress(queue, self.id))


class ListDiscoveries(ToolArguments):
    """List what the agents found, after a cursor. meta.cursor is the next one."""

    name = "discoveries"
    read_only = True
    project: AnyProject = ""
    since: Cursor = ""
    limit: Annotated[int, ROWS] = actions.LONG_LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the discoveries."""
        found = actions.discoveries(
            queue_of(call),
            self.project,
            since=self.since or FROM_THE_START,
            limit=self.limit,
        )
        return _result(found)


class ListNewDiscoveries(ToolArguments):
    """List what the agents found that you have not read yet.

    They count as read from now on.
    """

    name = "discoveries"
    project: AnyProject = ""
    limit: Annotated[int, ROWS] = actions.LONG_LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the new discoveries."""
        found = actions.new_discoveries(
            queue_of(call), self.project, limit=self.limit
        )
        return _result(found)


class ListItems(ToolArguments):
    """List items, of a project or of all. meta.cursor is that of the next page."""

    name = "list"
    read_only = True
    project: AnyProject = ""
    state: States = ()
    agent: Annotated[Texts, "Only items of one of these agents"] = ()
    pool: Annotated[Texts, "Only items of one of these pools"] = ()
    priority: Priorities = ()
    label: Annotated[Texts, "Only items with all of these labels"] = ()
    grep: Annotated[str, "In their title or description"] = ""
    since: Annotated[
        str, "Only items that changed since then: an age (2h) or a time"
    ] = ""
    sort: Sort = ""
    cursor: Cursor = ""
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the items."""
        since = _start_time(self.since)
        wanted = ItemFilter(
            project=self.project,
            states=tuple(map(State, self.state)),
            agents=self.agent,
            pools=self.pool,
            priorities=self.priority,
            labels=self.label,
            texts=(self.grep,) if self.grep else (),
            since_at=since.at,
            since_ago_ms=since.delay_ms,
            order=Order(self.sort) if self.sort else None,
        )
        found = actions.list_items(
            queue_of(call), wanted, cursor=self.cursor, limit=self.limit
        )
        return _result(found)


class Show(ToolArguments):
    """Show everything about an item, and what happened to it, in order."""

    name = "show"
    read_only = True
    item: Item

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the item."""
        return _result(actions.show(queue_of(call), self.item))


class Handoff(ToolArguments):
    """Show the handoff package of an item."""

    name = "handoff"
    read_only = True
    item: Item

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the package."""
        return _result(actions.handoff(queue_of(call), self.item))


class Unassigned(ToolArguments):
    """List the items that have no agent."""

    name = "unassigned"
    read_only = True
    project: AnyProject = ""
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the items."""
        found = actions.unassigned(
            queue_of(call), project=self.project, limit=self.limit
        )
        return _result(found)


class Inbox(ToolArguments):
    """List what waits for a decision: questions, items in review, dead letters.

    Of each kind, the one that waits longest comes first.
    """

    name = "inbox"
    read_only = True
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the items."""
        return _result(actions.inbox(queue_of(call), limit=self.limit))


class ListStuck(ToolArguments):
    """List stalled items, each with the reason."""

    name = "stuck"
    read_only = True
    unstarted_for: Annotated[Duration, "Of queued items, such as 30m"] = ""
    silent_for: Annotated[Duration, "Of held items, such as 1h"] = ""
    project: AnyProject = ""
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the items."""
        found = actions.stuck(
            queue_of(call),
            unstarted_ms=duration_ms(self.unstarted_for),
            silent_ms=duration_ms(self.silent_for),
            project=self.project,
            limit=self.limit,
        )
        return _result(found)


class Projects(ToolArguments):
    """List the projects, the newest first."""

    name = "projects"
    read_only = True
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the projects."""
        return _result(actions.projects(queue_of(call), limit=self.limit))


class Agents(ToolArguments):
    """List the agents with the items that they hold, the last caller first."""

    name = "agents"
    read_only = True
    limit: Rows = actions.LIMIT

    def perform(self, call: ToolCall) -> ToolResult:
        """List the agents."""
        return _result(actions.agents(queue_of(call), limit=self.limit))


class WaitUntil(ToolArguments):
    """Wait until a project or an item reaches the first of some goals.

    `any` is any event after the cursor `since`, or from now on. If the time runs out,
    data is null.
    """

    name = "wait"
    read_only = True
    waits_for = "timeout"
    id: ItemOrProject
    until: tuple[Literal["completed", "blocked", "review", "any"], ...] = (
        "completed",
    )
    since: Annotated[str, "Of any: only events after this cursor"] = ""
    timeout: Wait = 30

    def after_wait(self, left_s: float, cursor: str) -> Self:
        """Go on from the last event that the wait has seen, if events count."""
        since = cursor if "any" in self.until else ""
        return replace(self, timeout=left_s, since=since)

    def perform(self, call: ToolCall) -> ToolResult:
        """Wait for the first of the goals."""
        queue = queue_of(call)
        if not self.until:
            raise errors.Usage(reason="until must name a goal.")
        waited = actions.wait(
            queue,
            queue.waits(),
            self.id,
            [Goal(goal) for goal in self.until],
            timeout_s=self.timeout,
            since=self.since,
        )
        return _result(waited)


class Answer(ToolArguments):
    """Answer a question on an item."""

    name = "answer"
    item: Item
    text: str
    question: Question = 0

    def perform(self, call: ToolCall) -> ToolResult:
        """Answer the question."""
        return _result(
            actions.answer(
                queue_of(call), self.item, self.text, question=self.question
            )
        )


class AcceptItem(ToolArguments):
    """Accept an item that its agent has completed for review."""

    name = "accept"
    item: Item
    text: Annotated[str, "For its history"] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Accept the item."""
        return _result(actions.accept(queue_of(call), self.item, self.text))


class SendBackItem(ToolArguments):
    """Send an item in review back to its agent, without using up an attempt."""

    name = "send-back"
    item: Item
    text: Annotated[str, "Its next holder reads this first"]

    def perform(self, call: ToolCall) -> ToolResult:
        """Send the item back."""
        return _result(actions.send_back(queue_of(call), self.item, self.text))


class Comment(ToolArguments):
    """Comment on an item, for its holder or the next one."""

    name = "comment"
    item: Item
    text: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Comment on the item."""
        return _result(actions.comment(queue_of(call), self.item, self.text))


class Cancel(ToolArguments):
    """Cancel an item, or all open items of a project and close it."""

    name = "cancel"
    id: ItemOrProject
    reason: Annotated[str, "The holder reads it"] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Cancel the item or the project."""
        queue = queue_of(call)
        if limits.is_project_id(self.id):
            return _result(
                actions.cancel_project(queue, self.id, reason=self.reason)
            )
        return _result(actions.cancel(queue, self.id, reason=self.reason))


class Requeue(ToolArguments):
    """Queue a failed, cancelled or completed item again."""

    name = "requeue"
    item: Item
    reason: Annotated[str, "Its next holder reads it"] = ""
    reopen: Annotated[bool, "Reopen its project if that is completed"] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Requeue the item."""
        return _result(
            actions.requeue(
                queue_of(call),
                self.item,
                reason=self.reason,
                reopen=self.reopen,
            )
        )


class Reopen(ToolArguments):
    """Make a completed project active again, for new and requeued items."""

    name = "reopen"
    project: Project

    def perform(self, call: ToolCall) -> ToolResult:
        """Reopen the project."""
        return _result(actions.reopen(queue_of(call), self.project))


class ListBudgets(ToolArguments):
    """List the budgets with what is used of them, those that are used up first."""

    name = "budget"
    read_only = True
    owner: Annotated[str, "Only of proj_…, an agent or namespace"] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """List the budgets."""
        return _result(actions.budgets(queue_of(call), self.owner))


class SetBudget(ToolArguments):
    """Limit what a project, an agent or the namespace may use, or remove a limit.

    Once it has used that much, no agent claims any further item of it.
    """

    name = "budget"
    owner: Annotated[str, "proj_…, the name of an agent, or namespace"]
    per: Annotated[Literal["day", "total"], "A day of UTC, or all the time"]
    limit: Annotated[
        float | None,
        {"type": "number", "minimum": 0, "maximum": MOST_MICROS // MICROS},
        "Maximum cost in dollars; 0 stops all claims",
    ] = None
    tokens: Annotated[
        int | None,
        whole(0, MOST_TOKENS),
        "Maximum number of tokens in and out, without those from a cache",
    ] = None
    remove: Annotated[bool, "Remove the budget of the period"] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Set or remove the budget."""
        changed = actions.change_budget(
            queue_of(call),
            self.owner,
            period=self.per,
            dollars=self.limit,
            tokens=self.tokens,
            remove=self.remove,
        )
        return _result(changed)


class ShowCosts(ToolArguments):
    """Show the tokens and the cost that agents have reported."""

    name = "costs"
    read_only = True
    owner: Annotated[str, "Of proj_… or of an agent; none for all"] = ""
    by: Annotated[
        Literal["", "agent", "project", "model", "day"],
        "What the rows are about",
    ] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Show the costs."""
        return _result(actions.costs(queue_of(call), self.owner, by=self.by))


class Reap(ToolArguments):
    """Act on expired leases and due delays now."""

    name = "reap"

    def perform(self, call: ToolCall) -> ToolResult:
        """Reap and promote."""
        return _result(actions.reap(queue_of(call)))


def _result(published: Published[object]) -> ToolResult:
    return ToolResult(published.data, **published.meta)


def _start_time(time: str) -> StartTime:
    return start_time.parse(time) if time else StartTime()


def _given(value: int | None, default: int) -> int:
    return default if value is None else value
