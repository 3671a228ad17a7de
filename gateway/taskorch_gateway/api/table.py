"""The table of verbs: what the API serves, and what describes it."""

from collections.abc import Mapping, Sequence

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import (
    AnsweredItem,
    Assignments,
    CancelledItem,
    Claim,
    ClosedProject,
    CompletedProject,
    Discovery,
    EditedItem,
    Item,
    Note,
    Package,
    Project,
    ProjectProgress,
    ReapCounts,
    Receipt,
    ReopenedProject,
    Requeued,
    ReviewedItem,
    SettledReceipt,
)
from taskorch.domain.role import Role
from taskorch.domain.schedule import AddedSchedule, Schedule
from taskorch.domain.timeline import ItemTimeline
from taskorch.mcp.tool import ToolArguments
from taskorch.queue import roles
from taskorch.queue.agents import AgentStatus
from taskorch.queue.briefing import AgentBriefing
from taskorch.queue.budgets import Budget, Costs
from taskorch.queue.plan import AppliedPlan
from taskorch.queue.stuck import StuckItem
from taskorch.queue.wait_results import Answered
from taskorch_orchestrator.actions import (
    AssignedItem,
    CommentedItem,
    CreatedProject,
    ItemState,
    PublishedItem,
    WaitOutcome,
)

from taskorch_gateway.api import orchestrator_verbs as orchestrator
from taskorch_gateway.api import schedule_verbs as schedules
from taskorch_gateway.api import worker_verbs as worker

#: Where the API begins. The number changes when clients would break.
PREFIX = "/api/v1"
#: Scripts that read discoveries: a worker reads those of the projects of its items.
_OF_READERS = ("discoveries", "new_discoveries")


class ItemId(Frozen):
    """The id of an item."""

    id: str


class Identity(Frozen):
    """What the gateway knows of a client."""

    #: The id of its token.
    token: str
    #: The name of the agent, or of the orchestrator, that it acts as.
    name: str
    role: Role
    #: The project that it is confined to; "" for none.
    project: str
    namespace: str
    #: The version of the gateway.
    version: str
    #: The verbs that its role may call, such as "POST /api/v1/worker/pop".
    verbs: tuple[str, ...]


class VerbRow(Frozen):
    """A verb of the API."""

    #: The part of the path in front of its name: the command that has it.
    group: str
    verb: type[ToolArguments]
    #: The script that it begins with, which decides which roles may call it.
    script: str
    #: The type of its data.
    data: object
    #: Whether data is null if there is nothing to return.
    may_be_empty: bool = False

    @property
    def path(self) -> str:
        """The path of its URL."""
        return f"{PREFIX}/{self.group}/{self.verb.name}"

    @property
    def method(self) -> str:
        """GET for a verb that changes nothing."""
        return "GET" if self.verb.read_only else "POST"

    @property
    def roles(self) -> Sequence[Role]:
        """The roles that may call it.

        For verbs that read discoveries, these are fewer than may run the script.
        """
        others: set[Role] = set()
        if self.script in _OF_READERS and self.group == "orchestrator":
            others = {Role.WORKER}
        elif self.script == "new_discoveries":
            others = {*Role} - {Role.WORKER, Role.ADMIN}
        return [
            role for role in roles.of_script(self.script) if role not in others
        ]

    @property
    def takes_key(self) -> bool:
        """Whether a repeat with the same Idempotency-Key acts once."""
        return not (self.verb.read_only or self.verb is worker.WaitForAnswer)


def _rows(
    group: str,
    *rows: tuple[type[ToolArguments], str, object],
    may_be_empty: Sequence[type[ToolArguments]],
) -> Sequence[VerbRow]:
    return [
        VerbRow(
            group=group,
            verb=verb,
            script=script,
            data=data,
            may_be_empty=verb in may_be_empty,
        )
        for verb, script, data in rows
    ]


VERBS: Sequence[VerbRow] = (
    *_rows(
        "orchestrator",
        (orchestrator.OpenProject, "project", CreatedProject),
        (orchestrator.Create, "create", PublishedItem),
        (orchestrator.Apply, "create", AppliedPlan),
        (orchestrator.Depend, "depend", ItemState),
        (orchestrator.Edit, "edit", EditedItem | tuple[EditedItem, ...]),
        (
            orchestrator.Assign,
            "assign",
            AssignedItem | tuple[AssignedItem, ...],
        ),
        (orchestrator.CompleteProject, "close_project", CompletedProject),
        (
            orchestrator.Progress,
            "progress_of_project",
            ProjectProgress | Package,
        ),
        (orchestrator.ListDiscoveries, "discoveries", tuple[Discovery, ...]),
        (
            orchestrator.ListNewDiscoveries,
            "new_discoveries",
            tuple[Discovery, ...],
        ),
        (orchestrator.ListItems, "list", tuple[Item, ...]),
        (orchestrator.Show, "timeline", ItemTimeline),
        (orchestrator.Handoff, "records", Mapping[str, object]),
        (orchestrator.Unassigned, "indexed", tuple[Item, ...]),
        (orchestrator.Projects, "projects", tuple[Project, ...]),
        (orchestrator.Agents, "agents", tuple[AgentStatus, ...]),
        (orchestrator.WaitUntil, "standing", WaitOutcome),
        (orchestrator.Inbox, "inbox", tuple[Item, ...]),
        (orchestrator.Answer, "answer", AnsweredItem),
        (orchestrator.AcceptItem, "accept", ReviewedItem),
        (orchestrator.SendBackItem, "send_back", ReviewedItem),
        (orchestrator.Comment, "comment", CommentedItem),
        (orchestrator.ListStuck, "stuck", tuple[StuckItem, ...]),
        (orchestrator.Cancel, "cancel", CancelledItem | ClosedProject),
        (orchestrator.Requeue, "requeue", Requeued),
        (orchestrator.Reopen, "reopen_project", ReopenedProject),
        (orchestrator.Reap, "reap", ReapCounts),
        (orchestrator.ListBudgets, "budgets", tuple[Budget, ...]),
        (orchestrator.SetBudget, "set_budget", tuple[Budget, ...]),
        (orchestrator.ShowCosts, "costs", Costs),
        (schedules.ListSchedules, "schedules", tuple[Schedule, ...]),
        (schedules.AddSchedule, "create_schedule", AddedSchedule),
        (
            schedules.RemoveSchedule,
            "remove_schedule",
            schedules.RemovedSchedule,
        ),
        (schedules.RunSchedule, "end_scheduled", AppliedPlan),
        may_be_empty=(orchestrator.WaitUntil,),
    ),
    *_rows(
        "worker",
        (worker.Check, "check", Assignments),
        (worker.Pop, "claim", Claim | tuple[Claim, ...]),
        (worker.Get, "get", Claim),
        (worker.Peek, "get", Claim),
        (worker.ReportProgress, "progress", Receipt),
        (worker.Notes, "notes", tuple[Note, ...]),
        (worker.KeepNote, "note", ItemId),
        (worker.Discover, "discover", Receipt),
        (worker.ReadDiscoveries, "discoveries", tuple[Discovery, ...]),
        (worker.ReadNewDiscoveries, "new_discoveries", tuple[Discovery, ...]),
        (worker.Blocker, "blocker", Receipt),
        (worker.Withdraw, "withdraw", Receipt),
        (worker.HolderComment, "agent_comment", Receipt),
        (worker.WaitForAnswer, "wait", Answered),
        (worker.Renew, "renew", Receipt),
        (worker.Complete, "complete", SettledReceipt),
        (worker.Ack, "complete", SettledReceipt),
        (worker.Fail, "fail", SettledReceipt),
        (worker.Release, "release", Receipt),
        (worker.Reviews, "reviews", tuple[Item, ...]),
        (worker.AcceptAsReviewer, "accept", ReviewedItem),
        (worker.SendBackAsReviewer, "send_back", ReviewedItem),
        (worker.Prime, "prime", AgentBriefing),
        may_be_empty=(
            worker.Pop,
            worker.WaitForAnswer,
            worker.ReadDiscoveries,
            worker.ReadNewDiscoveries,
        ),
    ),
)
