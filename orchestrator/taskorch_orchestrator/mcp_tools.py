"""The tools of an orchestrator: what `orchestrate mcp` offers to an agent's program."""

import json
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, WithJsonSchema
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.mcp.tool import ToolArguments, ToolCall, ToolResult, seconds
from taskorch.queue.queue import Queue
from taskorch.queue.wait_results import Goal

from taskorch_orchestrator import context as orchestrator_context
from taskorch_orchestrator.plan import plan_file
from taskorch_orchestrator.render import steps

ABOUT = "You are an orchestrator: break a request into work items, assign them to agents, and see them done."
#: A program starts the servers of both roles, whatever the agent in it is.
NOBODY = "You are no orchestrator here: AGENT_ID is set, ORCHESTRATOR_ID is not, and there are no tools."

Item = Annotated[str, Field(description="item_…")]
Project = Annotated[str, Field(description="proj_…")]
Texts = Annotated[
    tuple[str, ...], WithJsonSchema({"type": "array", "items": {"type": "string"}})
]
Goals = Annotated[
    tuple[Goal, ...],
    Field(min_length=1),
    WithJsonSchema(
        {"type": "array", "items": {"enum": ["completed", "blocked", "any"]}}
    ),
]
Pairs = Annotated[dict[str, str], WithJsonSchema({"type": "object"})]

_TEXT: dict[str, Any] = {"type": "string"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}
#: What `plan_file.PlannedItem` takes.
PLANNED_ITEM: dict[str, Any] = {
    "type": "object",
    "required": ["name", "title"],
    "properties": {
        "name": {**_TEXT, "description": "Unique in the project"},
        "title": _TEXT,
        "description": _TEXT,
        "agent": {**_TEXT, "description": "Assigns it"},
        "requirements": _TEXTS,
        "depends_on": {**_TEXTS, "description": "Names, or item_…"},
        "priority": {"type": "integer", "description": "0 (urgent) to 4"},
        "lease": {**_TEXT, "description": "30m, 4h"},
        "max_attempts": {"type": "integer"},
        "not_before": {**_TEXT, "description": "30m, or RFC 3339"},
        "context": {"type": "object", "description": "Name: fact"},
        "resources": {**_TEXTS, "description": "Files, links"},
        "deliverables": _TEXTS,
        "accept": {**_TEXTS, "description": "Criteria"},
    },
}


class PlanArguments(ToolArguments):
    """Create a project with its items, or add items to one: all or none.

    An item whose name is there already stays as it is.
    """

    name: ClassVar[str] = "plan"
    access: ClassVar[Access] = Access.CREATE
    project: Annotated[str, Field(description="Title of a new one, or proj_…")]
    items: Annotated[
        list[dict[str, Any]], WithJsonSchema({"type": "array", "items": PLANNED_ITEM})
    ]
    description: Annotated[
        str, Field(description="What the user wants, of a new project")
    ] = ""
    key: Annotated[
        str, Field(description="A plan of the same key adds to the same project")
    ] = ""
    dry_run: bool = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Apply it, as a plan file is."""
        given = self.model_dump(exclude={"dry_run"}, exclude_defaults=True)
        plan = plan_file.read("This", json.dumps(given).encode())
        applied = _queue(call).apply(plan, dry_run=self.dry_run)
        hints = [*steps.hints(applied, plan.remarks)]
        return ToolResult(applied, **({"hints": hints} if hints else {}))


class AssignArguments(ToolArguments):
    """Give items to an agent: all, or none. An agent is any name."""

    name: ClassVar[str] = "assign"
    items: Texts
    agent: str
    context: Pairs = Field(default_factory=dict)
    resources: Texts = ()
    force: Annotated[bool, Field(description="Take them from their holder")] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Assign."""
        queue = _queue(call)
        more = {
            "context": self.context,
            "resources": self.resources,
            "force": self.force,
        }
        return ToolResult(queue.assign_many(self.items, self.agent, **more))  # type: ignore[arg-type]


class StatusArguments(ToolArguments):
    """Show a project with its items, an item with its history, or a list.

    inbox: blockers that wait for your answer; stuck: what does not go on by itself, and why.
    """

    name: ClassVar[str] = "status"
    quotes_others: ClassVar[bool] = True
    read_only: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    of: Annotated[
        str,
        Field(
            description="proj_…, item_…, projects, agents, inbox, stuck or unassigned"
        ),
    ] = "projects"
    limit: int = 50

    def perform(self, call: ToolCall) -> ToolResult:
        """Look."""
        views = _queue(call).views
        if self.of.startswith("proj_"):
            return ToolResult(views.progress(self.of, limit=self.limit))
        if self.of.startswith("item_"):
            return ToolResult(views.show(self.of))
        if self.of == "stuck":
            found = views.stuck(limit=self.limit)
            return ToolResult(found.items, looked_at=found.looked_at, more=found.more)
        lists = {
            "projects": views.projects,
            "agents": views.agents,
            "inbox": views.inbox,
            "unassigned": views.unassigned,
        }
        if self.of not in lists:
            raise errors.Usage(
                reason=f"of is proj_…, item_…, stuck, {' or '.join(lists)}."
            )
        return ToolResult(lists[self.of](limit=self.limit))


class DiscoveriesArguments(ToolArguments):
    """List what the agents of a project found. meta.cursor is the next since."""

    name: ClassVar[str] = "discoveries"
    quotes_others: ClassVar[bool] = True
    read_only: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    project: Project
    since: str = "0-0"
    limit: int = 100

    def perform(self, call: ToolCall) -> ToolResult:
        """Look."""
        found = _queue(call).views.discoveries(
            self.project, since=self.since, limit=self.limit
        )
        return ToolResult(found, cursor=found[-1].cursor if found else self.since)


class AnswerArguments(ToolArguments):
    """Answer the blocker of an item: its holder goes on."""

    name: ClassVar[str] = "answer"
    item: Item
    text: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Answer."""
        return ToolResult(
            {"id": self.item, "state": _queue(call).answer(self.item, self.text)}
        )


class MendArguments(ToolArguments):
    """Take an item out of work, start a failed, cancelled or completed one afresh, or let one wait for others too."""

    name: ClassVar[str] = "mend"
    item: Item
    verb: Literal["cancel", "requeue", "depend"]
    reason: Annotated[str, Field(description="Of cancel")] = ""
    depends_on: Annotated[Texts, Field(description="Of depend: item_…")] = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Do as the verb says."""
        if bool(self.depends_on) != (self.verb == "depend") or (
            self.reason and self.verb != "cancel"
        ):
            raise errors.Usage(
                reason="depends_on goes with depend, and reason with cancel."
            )
        queue = _queue(call)
        if self.verb == "cancel":
            waiting = queue.cancel(self.item, reason=self.reason)
            return ToolResult(
                {"id": self.item, "state": "cancelled", "waiting": waiting}
            )
        if self.verb == "requeue":
            return ToolResult(queue.requeue(self.item))
        return ToolResult(
            {"id": self.item, "state": queue.depend(self.item, self.depends_on)}
        )


class WaitUntilArguments(ToolArguments):
    """Wait until a project or an item is completed, is blocked, or anything happens to it: what comes first."""

    name: ClassVar[str] = "wait"
    quotes_others: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    id: Annotated[str, Field(description="proj_… or item_…")]
    until: Goals = (Goal.COMPLETED,)
    since: Annotated[str, Field(description="Of any: after this cursor")] = ""
    timeout: Annotated[
        float, Field(description=f"Seconds, 0 to {limits.LONGEST_WAIT_S}")
    ] = limits.LONGEST_WAIT_S

    def perform(self, call: ToolCall) -> ToolResult:
        """Wait."""
        queue, timeout_s = _queue(call), seconds(self.timeout, "timeout")
        waited = queue.waits().until(
            self.id, self.until, timeout_s=timeout_s, since=self.since
        )
        return ToolResult(
            orchestrator_context.outcome_of(
                queue, waited, self.until, timeout_s=timeout_s
            )
        )


class CompleteProjectArguments(ToolArguments):
    """Close a project, and get what it delivered. Refused while items are open."""

    name: ClassVar[str] = "complete"
    quotes_others: ClassVar[bool] = True
    project: Project
    force: Annotated[bool, Field(description="Cancel the open items")] = False

    def perform(self, call: ToolCall) -> ToolResult:
        """Close it."""
        return ToolResult(_queue(call).complete_project(self.project, force=self.force))


TOOLS: tuple[type[ToolArguments], ...] = (
    PlanArguments,
    AssignArguments,
    StatusArguments,
    DiscoveriesArguments,
    AnswerArguments,
    MendArguments,
    WaitUntilArguments,
    CompleteProjectArguments,
)


def _queue(call: ToolCall) -> Queue:
    return Queue(
        call.connection,
        call.settings.namespace,
        orchestrator_context.caller_of(call.settings),
        requests=call.requests,
        damage=call.damage,
    )
