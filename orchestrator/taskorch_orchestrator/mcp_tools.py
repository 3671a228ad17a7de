"""The MCP tools of an orchestrator, which `orchestrate mcp` serves.

It is loaded before the first answer to a client: what a call needs is imported by it.
"""

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.frozen import replace
from taskorch.mcp.tool import SECONDS, ToolArguments, ToolResult, seconds
from taskorch.mcp.tool_set import ToolSet
from taskorch.mcp.tool_texts import Tool, Tools

from taskorch_orchestrator import mcp_tasks
from taskorch_orchestrator.call_queue import queue_of

if TYPE_CHECKING:
    from taskorch.config.settings import Settings
    from taskorch.mcp.call import ToolCall
    from taskorch.queue.queue import Queue

    from taskorch_orchestrator.actions import Published

ABOUT = "You are an orchestrator: break a request into work items, assign them to agents, and see them done."

#: The longest end of a log that the tool `status` returns.
LOG_CHARACTERS = 16_000

Project = Annotated[str, "proj_…"]
Texts = tuple[str, ...]
#: The values of `wait_results.Goal`.
Goals = tuple[Literal["completed", "blocked", "review", "any"], ...]
Priorities = tuple[int, ...]
Pairs = dict[str, str]

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
#: What `plan_file.PlannedItem` takes.
PLANNED_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "title"],
    "properties": {
        "name": {**_TEXT, "description": "Unique"},
        "title": _TEXT,
        "description": _TEXT,
        "agent": {**_TEXT, "description": "Assigns it"},
        "pool": _TEXT,
        "requirements": _TEXTS,
        "depends_on": {**_TEXTS, "description": "Names, or item_…"},
        "priority": {"type": "integer", "description": "0 (urgent) to 4"},
        "lease": {**_TEXT, "description": "30m, 4h"},
        "max_attempts": {"type": "integer"},
        "not_before": {**_TEXT, "description": "30m, or RFC 3339"},
        "context": {"type": "object", "description": "Name: fact"},
        "resources": _TEXTS,
        "deliverables": _TEXTS,
        "accept": {
            "type": "array",
            "description": "Criteria; {run: [make, test]}, {file}, {deliverable}, {review: NAME}",
        },
        "labels": _TEXTS,
        "traceparent": _TEXT,
    },
}


class PlanArguments(ToolArguments):
    """Create a project with its items, or add items to one: all or none."""

    name = "plan"
    access = Access.CREATE
    project: Annotated[str, "Title of a new one, or proj_…"]
    items: Annotated[list[object], {"type": "array", "items": PLANNED_ITEM}]
    description: Annotated[str, "What the user wants"] = ""
    key: Annotated[
        str,
        "The same adds to the same project",
    ] = ""
    dry_run: bool = False
    update: Annotated[
        bool,
        "Make items of the same name exactly this",
    ] = False
    variables: Annotated[
        dict[str, object], "Name: default, for ${name} in texts"
    ] = {}  # noqa: RUF012  it is never changed
    set: Annotated[Pairs, "Their values"] = {}  # noqa: RUF012  it is never changed

    def perform(self, call: "ToolCall") -> ToolResult:
        """Apply the plan, with the checks and the messages of a plan file."""
        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer
        from taskorch_orchestrator.plan import plan_file

        given: dict[str, object] = {
            "project": self.project,
            "items": self.items,
        }
        for name in ("description", "key", "variables"):
            if value := getattr(self, name):
                given[name] = value
        plan = plan_file.read("This", json.dumps(given).encode(), self.set)
        applied = actions.apply(
            queue_of(call),
            handoff_writer.writer(call.files),
            plan,
            dry_run=self.dry_run,
            updates=self.update,
        )
        return _result(applied)


class EditArguments(ToolArguments):
    """Change items, all or none. Once begun: only priority, context, labels."""

    name = "edit"
    idempotent = True
    items: Texts
    title: str | None = None
    description: str | None = None
    requirements: Texts | None = None
    accept: tuple[object, ...] | None = None
    priority: int | None = None
    context: Pairs = {}  # noqa: RUF012  it is never changed
    label: Texts = ()
    unlabel: Texts = ()
    undepend: Texts = ()

    def perform(self, call: "ToolCall") -> ToolResult:
        """Edit the items."""
        from taskorch.domain import acceptance_rules
        from taskorch.domain.item import ItemEdit

        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer

        change = ItemEdit(
            title=self.title,
            description=self.description,
            requirements=self.requirements,
            priority=self.priority,
            context=self.context,
            add_labels=self.label,
            remove_labels=self.unlabel,
            remove_dependencies=self.undepend,
        )
        if self.accept is not None:
            change = replace(change, **acceptance_rules.changes(self.accept))
        if change == ItemEdit():
            raise errors.Usage(reason="Say what to change, such as title.")
        handoffs = handoff_writer.writer(call.files)
        edited = actions.edit(queue_of(call), handoffs, self.items, change)
        return _result(edited)


class AssignArguments(ToolArguments):
    """Assign items to an agent (any name) or a pool, all or none."""

    name = "assign"
    idempotent = True
    items: Texts
    agent: str = ""
    pool: str = ""
    context: Pairs = {}  # noqa: RUF012  it is never changed
    resources: Texts = ()

    def perform(self, call: "ToolCall") -> ToolResult:
        """Assign the items."""
        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer

        assigned = actions.assign(
            queue_of(call),
            handoff_writer.writer(call.files),
            self.items,
            self.agent,
            pool=self.pool,
            context=self.context,
            resources=self.resources,
        )
        return _result(assigned)


class StatusArguments(ToolArguments):
    """Show a project, an item or a list.

    inbox: what waits for a decision; stuck: stalled items, and why.
    """

    name = "status"
    quotes_others = True
    read_only = True
    access = Access.READ
    of: Annotated[
        str,
        "proj_…, item_…, projects, items, agents, inbox, stuck, unassigned, budgets, costs, schedules",
    ] = "projects"
    limit: int = 50
    by: Annotated[
        Literal["", "agent", "project", "model", "day"], "Of costs"
    ] = ""
    project: Annotated[
        str, "This and below: of items. project, agent: of budgets, costs, too"
    ] = ""
    state: Texts = ()
    agent: Texts = ()
    pool: Texts = ()
    priority: Priorities = ()
    label: Annotated[Texts, "All of them"] = ()
    grep: Annotated[str, "In title, description"] = ""
    since: Annotated[str, "Changed since: 2h, RFC 3339"] = ""
    sort: Literal["", "created", "changed", "priority"] = ""
    cursor: str = ""
    log: Annotated[int, "Lines of an item's output"] = 0

    def perform(self, call: "ToolCall") -> ToolResult:
        """Read the project, the item, its log, or the list."""
        from taskorch_orchestrator import actions, mcp_results

        queue = queue_of(call)
        if self.log:
            return self._read_log(call, queue)
        if self.of == "items":
            return self._list_items(queue)
        if self.of.startswith("proj_"):
            found = actions.progress(queue, self.of, limit=self.limit)
            return _result(found, mcp_results.progress(found.data))
        if self.of.startswith("item_"):
            return _result(actions.show(queue, self.of))
        lists = self._lists()
        if self.of not in lists:
            known = " or ".join([*lists, "items"])
            raise errors.Usage(
                reason=f"of must be the id of a project or an item, {known}."
            )
        return _result(lists[self.of](queue, limit=self.limit))

    def _lists(self) -> "dict[str, Callable[..., Published[object]]]":
        """Return the other lists, by name."""
        from taskorch_orchestrator import actions

        return {
            "stuck": actions.stuck,
            "projects": actions.projects,
            "agents": actions.agents,
            "inbox": actions.inbox,
            "unassigned": actions.unassigned,
            "budgets": lambda queue, **_: actions.budgets(
                queue, self._owner()
            ),
            "costs": lambda queue, **_: actions.costs(
                queue, self._owner(), by=self.by
            ),
            "schedules": lambda queue, **_: actions.schedules(queue),
        }

    def _owner(self) -> str:
        """Return the project or the agent whose budgets or costs are shown, or ""."""
        owners = [self.project] if self.project else []
        owners += self.agent
        if len(owners) > 1:
            raise errors.Usage(
                reason=f"{self.of} are of one project or of one agent."
            )
        return owners[0] if owners else ""

    def _list_items(self, queue: "Queue") -> ToolResult:
        """List the items that match the filters."""
        from taskorch.domain import start_time
        from taskorch.domain.item import ItemFilter, Order, State
        from taskorch.domain.start_time import StartTime

        from taskorch_orchestrator import actions, mcp_results

        since = start_time.parse(self.since) if self.since else StartTime()
        try:
            states = tuple(map(State, self.state))
        except ValueError as error:
            raise errors.Usage(reason=f"state: {error}") from None
        wanted = ItemFilter(
            project=self.project,
            states=states,
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
            queue, wanted, cursor=self.cursor, limit=self.limit
        )
        return _result(found, mcp_results.items(found.data, self.project))

    def _read_log(self, call: "ToolCall", queue: "Queue") -> ToolResult:
        """Read the end of the newest log of an item."""
        from taskorch.config import wanted_log
        from taskorch.config.wanted_log import LogRequest

        from taskorch_orchestrator import actions

        if self.log < 0:
            raise errors.Usage(reason="log must be 0 or more.")
        if call.files is None:
            raise errors.Usage(
                reason="log: logs are on the machine of the worker."
            )
        request = LogRequest(item=limits.item_id(self.of), tail=self.log)
        log, remark = wanted_log.find(
            call.settings,
            request,
            lambda: actions.show(queue, self.of).data.item,
        )
        content = wanted_log.content(call.settings, log, self.log)
        text = content.text[-LOG_CHARACTERS:]
        meta = {"hint": remark} if remark else {}
        return ToolResult(replace(content, text=text), **meta)


class DiscoveriesArguments(ToolArguments):
    """List the discoveries of a project or of all. meta.cursor is the next since."""

    name = "discoveries"
    quotes_others = True
    access = Access.READ
    project: Annotated[str, "proj_…, or all"] = ""
    new: Annotated[bool, "Only unread ones"] = False
    since: str = ""
    limit: int = 100

    def perform(self, call: "ToolCall") -> ToolResult:
        """Read the discoveries after the cursor, or the new ones."""
        from taskorch.domain.events import FROM_THE_START
        from taskorch.mcp.brief import discoveries

        from taskorch_orchestrator import actions

        if self.new and self.since:
            raise errors.Usage(reason="new and since exclude each other.")
        if self.new:
            found = actions.new_discoveries(
                queue_of(call), self.project, limit=self.limit
            )
        else:
            found = actions.discoveries(
                queue_of(call),
                self.project,
                since=self.since or FROM_THE_START,
                limit=self.limit,
            )
        return _result(found, discoveries(found.data))


class AnswerArguments(ToolArguments):
    """Answer a question on an item, or end its review.

    comment: for the holder of an open item, or its next one.
    """

    name = "answer"
    item: str
    text: str
    question: Annotated[int, "Its number, if several are open"] = 0
    kind: Literal["answer", "comment", "accept", "send-back"] = "answer"

    def perform(self, call: "ToolCall") -> ToolResult:
        """Answer the question, comment on the item, or decide about it."""
        from taskorch_orchestrator import actions

        queue = queue_of(call)
        if self.question and self.kind != "answer":
            reason = f"question is for kind answer, not for {self.kind}."
            raise errors.Usage(reason=reason)
        match self.kind:
            case "comment":
                return _result(actions.comment(queue, self.item, self.text))
            case "accept":
                return _result(actions.accept(queue, self.item, self.text))
            case "send-back":
                return _result(actions.send_back(queue, self.item, self.text))
            case _:
                answered = actions.answer(
                    queue, self.item, self.text, question=self.question
                )
                return _result(answered)


class MendArguments(ToolArguments):
    """Change an item; cancel, reopen or complete a project.

    assign: take it from its holder. complete: cancel its open items, too.
    """

    name = "mend"
    destroys = True
    item: Annotated[str, "item_… or proj_…"]
    verb: Literal[
        "cancel", "requeue", "depend", "assign", "reopen", "complete"
    ]
    reason: Annotated[str, "Of cancel and requeue"] = ""
    reopen: Annotated[bool, "Of requeue"] = False
    depends_on: Annotated[Texts, "Of depend: item_…"] = ()
    agent: Annotated[str, "Of assign"] = ""
    pool: Annotated[str, "Of assign"] = ""

    def perform(self, call: "ToolCall") -> ToolResult:
        """Change an item or a project as `verb` says."""
        self._check()
        if self.verb == "complete":
            return _close(call, self.item, force=True)
        if limits.is_project_id(self.item):
            return _result(self._mend_project(queue_of(call)))
        return _result(self._mend_item(queue_of(call), call.files))

    def _mend_project(self, queue: "Queue") -> "Published[object]":
        from taskorch_orchestrator import actions

        match self.verb:
            case "cancel":
                return actions.cancel_project(
                    queue, self.item, reason=self.reason
                )
            case "reopen":
                return actions.reopen(queue, self.item)
            case _:
                raise errors.Usage(reason=f"{self.verb} is for items.")

    def _mend_item(
        self, queue: "Queue", files: "Settings | None"
    ) -> "Published[object]":
        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer

        match self.verb:
            case "cancel":
                return actions.cancel(queue, self.item, reason=self.reason)
            case "requeue":
                return actions.requeue(
                    queue, self.item, reason=self.reason, reopen=self.reopen
                )
            case "depend":
                return actions.depend(queue, self.item, self.depends_on)
            case "assign":
                return actions.assign(
                    queue,
                    handoff_writer.writer(files),
                    [self.item],
                    self.agent,
                    pool=self.pool,
                    context={},
                    force=True,
                )
            case _:
                raise errors.Usage(reason=f"{self.verb} is for projects.")

    def _check(self) -> None:
        """Raise errors.Usage for an argument that the verb does not take."""
        depends = self.verb == "depend"
        if bool(self.depends_on) != depends:
            raise errors.Usage(
                reason="Only depend takes depends_on, and needs it."
            )
        if self.reason and self.verb not in ("cancel", "requeue"):
            raise errors.Usage(reason="Only cancel and requeue take a reason.")
        if self.reopen and self.verb != "requeue":
            raise errors.Usage(reason="Only requeue takes reopen.")
        if bool(self.agent or self.pool) != (self.verb == "assign"):
            raise errors.Usage(
                reason="Only assign takes agent or pool, and needs one of them."
            )


class BudgetArguments(ToolArguments):
    """Limit what is used. Beyond the limit, nothing more is claimed."""

    name = "budget"
    idempotent = True
    owner: Annotated[str, "proj_…, an agent, or namespace"]
    per: Literal["day", "total"]
    limit: Annotated[float | None, "Dollars"] = None
    tokens: int | None = None
    remove: bool = False

    def perform(self, call: "ToolCall") -> ToolResult:
        """Set or remove the budget of the period."""
        from taskorch_orchestrator import actions

        changed = actions.change_budget(
            queue_of(call),
            self.owner,
            period=self.per,
            dollars=self.limit,
            tokens=self.tokens,
            remove=self.remove,
        )
        return _result(changed)


class ScheduleArguments(ToolArguments):
    """Have a plan applied at the times of a cron line; run it now; or remove it."""

    name = "schedule"
    verb: Literal["add", "run", "remove"]
    schedule: Annotated[str, "Its name"]
    plan: Annotated[dict[str, object], "Of add: the arguments of plan"] = {}  # noqa: RUF012  it is never changed
    cron: Annotated[str, "Of add: 0 6 * * 1-5"] = ""
    tz: Annotated[str, "Of add: Europe/Berlin"] = ""

    def perform(self, call: "ToolCall") -> ToolResult:
        """Add, run or remove the schedule."""
        from taskorch_orchestrator import actions
        from taskorch_orchestrator.mirror import handoff_writer

        self._check()
        queue = queue_of(call)
        match self.verb:
            case "add":
                return self._add(queue)
            case "run":
                handoffs = handoff_writer.writer(call.files)
                return _result(
                    actions.run_schedule(queue, handoffs, self.schedule)
                )
            case _:
                queue.schedules().remove(self.schedule)
                return ToolResult({"name": self.schedule})

    def _add(self, queue: "Queue") -> ToolResult:
        """Add a schedule; the queue keeps its plan as JSON, which is YAML, too."""
        from taskorch_orchestrator.schedule import runs

        content = dict(self.plan)
        values = content.pop("set", {})
        if not isinstance(values, dict) or not all(
            isinstance(value, str) for value in values.values()
        ):
            raise errors.Usage(reason="set of plan must be texts by name.")
        added = runs.add(
            queue,
            self.schedule,
            ("This", json.dumps(content).encode()),
            runs.ScheduleTiming(cron=self.cron, zone=self.tz or "UTC"),
            values,
        )
        return ToolResult(added)

    def _check(self) -> None:
        """Raise errors.Usage for an argument that the verb does not take."""
        has_plan = bool(self.plan and self.cron)
        has_any = bool(self.plan or self.cron or self.tz)
        if has_plan != (self.verb == "add") or has_any != has_plan:
            raise errors.Usage(
                reason="Only add takes plan, cron and tz, and it needs plan and cron."
            )


class WaitUntilArguments(ToolArguments):
    """Wait until a project or an item reaches one of the goals."""

    name = "wait"
    read_only = True
    quotes_others = True
    waits_for = "timeout"
    access = Access.READ
    id: Annotated[str, "proj_… or item_…"]
    until: Goals = ("completed",)
    since: Annotated[str, "Of any: after this cursor"] = ""
    timeout: Annotated[float, SECONDS] = limits.SHORT_WAIT_S

    def after_wait(self, left_s: float, cursor: str) -> Self:
        """Go on from the last event that the wait has seen, if events count."""
        since = cursor if "any" in self.until else ""
        return replace(self, timeout=left_s, since=since)

    def perform(self, call: "ToolCall") -> ToolResult:
        """Wait for the first of the goals."""
        from taskorch.queue.wait_results import Goal

        from taskorch_orchestrator import actions, mcp_results

        if not self.until:
            raise errors.Usage(reason="until must name a goal.")
        queue = queue_of(call)
        waited = actions.wait(
            queue,
            queue.waits(),
            self.id,
            [Goal(goal) for goal in self.until],
            timeout_s=seconds(self.timeout, "timeout"),
            since=self.since,
        )
        return _result(waited, mcp_results.waited(waited.data))


class CompleteProjectArguments(ToolArguments):
    """Close a project, and get what it delivered. Refused while items are open."""

    name = "complete"
    idempotent = True
    quotes_others = True
    project: Project

    def perform(self, call: "ToolCall") -> ToolResult:
        """Close the project."""
        return _close(call, self.project, force=False)


def _status(of: str = "") -> Tool:
    """Return the tool `status` of an argument, or of a list."""
    if of:
        return Tool(name="status", fixed={"of": of})
    return Tool(name="status", positional=("of",))


def _answer(kind: str) -> Tool:
    """Return the tool `answer` with another kind."""
    return Tool(
        name="answer", positional=("item", "text"), fixed={"kind": kind}
    )


def _mend(verb: str, *more: str) -> Tool:
    """Return the tool `mend` with a verb."""
    return Tool(name="mend", positional=("item", *more), fixed={"verb": verb})


def _schedule(verb: str) -> Tool:
    """Return the tool `schedule` with a verb."""
    return Tool(
        name="schedule", positional=("schedule",), fixed={"verb": verb}
    )


#: The tools in place of commands, in hints.
COMMANDS: Tools = {
    "project": Tool(name="plan", positional=("project",)),
    "create": Tool(name="plan", positional=("project",)),
    "edit": Tool(name="edit", positional=("items",)),
    "assign": Tool(
        name="assign", positional=("items", "agent"), valued=("pool",)
    ),
    "assign --force": _mend("assign", "agent"),
    "budget": Tool(
        name="budget",
        positional=("owner",),
        valued=("limit", "tokens", "per"),
    ),
    "costs": _status("costs"),
    "schedule": Tool(name="schedule"),
    "schedule list": _status("schedules"),
    "schedule remove": _schedule("remove"),
    "schedule run": _schedule("run"),
    "status": _status("projects"),
    "projects": _status("projects"),
    "agents": _status("agents"),
    "inbox": _status("inbox"),
    "stuck": _status("stuck"),
    "unassigned": _status("unassigned"),
    "list": _status("items"),
    "progress": _status(),
    "show": _status(),
    "discoveries": Tool(name="discoveries", positional=("project",)),
    "answer": Tool(name="answer", positional=("item", "text")),
    "comment": _answer("comment"),
    "accept": _answer("accept"),
    "send-back": _answer("send-back"),
    "cancel": _mend("cancel"),
    "requeue": _mend("requeue"),
    "depend": _mend("depend"),
    "reopen": _mend("reopen"),
    "wait": Tool(name="wait", positional=("id",)),
    "complete": Tool(name="complete", positional=("project",)),
    "complete --force": _mend("complete"),
}

TOOLS: tuple[type[ToolArguments], ...] = (
    PlanArguments,
    mcp_tasks.DelegateArguments,
    EditArguments,
    AssignArguments,
    StatusArguments,
    DiscoveriesArguments,
    AnswerArguments,
    MendArguments,
    BudgetArguments,
    ScheduleArguments,
    WaitUntilArguments,
    CompleteProjectArguments,
)

TOOL_SET = ToolSet(
    role="orchestrate",
    about=ABOUT,
    tools=TOOLS,
    commands=COMMANDS,
    task_methods=mcp_tasks.METHODS,
)


def _close(call: "ToolCall", project: str, *, force: bool) -> ToolResult:
    """Close a project; `force` cancels its open items."""
    from taskorch_orchestrator import actions, mcp_results

    closed = actions.complete(queue_of(call), project, force=force)
    return _result(closed, mcp_results.completed(closed.data))


def _result(published: "Published[object]", data: object = None) -> ToolResult:
    """Return the result of an action, with its data as they are or as `data`."""
    shown = published.data if data is None else data
    return ToolResult(shown, **published.meta)
