"""The tools of a worker: what `worker mcp` offers to an agent's program."""

import logging
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import Field, WithJsonSchema
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.item import Lease, Receipt
from taskorch.mcp.tool import ToolArguments, ToolCall, ToolResult, seconds

from taskorch_worker.session import AgentSession, agent_of

ABOUT = "You are the agent {agent}: take the work items that are assigned to you, report, and deliver."
#: A program starts the servers of both roles, whatever the agent in it is.
NOBODY = (
    "You are no agent of the queue here: AGENT_ID is not set, and there are no tools."
)
TAKEN_BACK = "The call that claimed it was taken back."

Item = Annotated[str, Field(description="item_…")]
LeaseTime = Annotated[
    str, Field(description="How long it is yours without a report: 30m, 4h")
]
Deliverables = Annotated[
    dict[str, str],
    WithJsonSchema({"type": "object", "description": "Name: value or path"}),
]
#: Which argument of a report goes with which kind.
GOES_WITH = {"percent": "progress", "impact": "discover", "needs": "blocker"}

logger = logging.getLogger(__name__)


def about(settings: Settings) -> str:
    """Return what the server says of the agent that the settings name, if they name one; errors.Invalid."""
    return ABOUT.format(agent=agent_of(settings)) if settings.agent else NOBODY


class CheckArguments(ToolArguments):
    """List your work: what you hold first, then what is ready."""

    name: ClassVar[str] = "check"
    quotes_others: ClassVar[bool] = True
    read_only: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    limit: int = 20

    def perform(self, call: ToolCall) -> ToolResult:
        """Look."""
        return ToolResult(_session(call).queue.check(limit=self.limit))


class PopArguments(ToolArguments):
    """Claim your next item, and get all that it carries. Error NOTHING_TO_DO if there is none in time."""

    name: ClassVar[str] = "pop"
    quotes_others: ClassVar[bool] = True
    wait: Annotated[
        float, Field(description=f"Seconds to wait, 0 to {limits.PATIENCE_S}")
    ] = 0
    lease: LeaseTime = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Claim; what was claimed is released when the call is taken back."""
        wait_s, lease_ms = seconds(self.wait, "wait"), _lease_ms(self.lease)
        taken = _session(call).pop(1, wait_s=wait_s, lease_ms=lease_ms)
        if not taken:
            raise errors.NothingToDo
        if taken[0].lease:
            call.undo = partial(_release, call, taken[0].lease)
        return ToolResult(taken[0])


class GetArguments(ToolArguments):
    """Get all that an item carries, and your notes on it. Claims it if it is queued for you."""

    name: ClassVar[str] = "get"
    quotes_others: ClassVar[bool] = True
    item: Item
    peek: Annotated[bool, Field(description="Only look")] = False
    takeover: Annotated[
        bool, Field(description="Take it from another session of yours")
    ] = False
    lease: LeaseTime = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Claim or look; what was claimed is released when the call is taken back."""
        session = _session(call)
        before = session.lease(self.item)
        taken = session.get(
            self.item,
            peek=self.peek,
            takeover=self.takeover,
            lease_ms=_lease_ms(self.lease),
        )
        if taken.lease and taken.lease.claim != before.claim:
            call.undo = partial(_release, call, taken.lease)
        return ToolResult(taken, notes=session.queue.notes(self.item))


class ReportArguments(ToolArguments):
    """Report on an item; it stays yours.

    A discovery is for the whole project, a note for you alone; after a blocker, wait for the answer.
    """

    name: ClassVar[str] = "report"
    item: Item
    kind: Literal["progress", "discover", "blocker", "note"]
    text: str
    percent: Annotated[
        int | None,
        WithJsonSchema(
            {"type": "integer", "description": "Of progress: how much is done"}
        ),
    ] = None
    impact: Annotated[
        str, Field(description="Of a discovery: what it means for the project")
    ] = ""
    needs: Annotated[
        str, Field(description="Of a blocker: what would set you going")
    ] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Report, and claim an item that is still queued."""
        self._refuse_what_does_not_go_together()
        session = _session(call)
        if self.kind == "note":
            trouble = session.note(self.item, self.text)
            return ToolResult(
                {"id": self.item}, **({"hint": trouble} if trouble else {})
            )
        queue = session.queue
        verbs: dict[str, Callable[[Lease], Receipt]] = {
            "progress": lambda lease: queue.progress(
                lease, self.text, percent=self.percent
            ),
            "discover": lambda lease: queue.discover(
                lease, self.text, impact=self.impact
            ),
            "blocker": lambda lease: queue.blocker(lease, self.text, needs=self.needs),
        }
        return ToolResult(session.report(self.item, verbs[self.kind]))

    def _refuse_what_does_not_go_together(self) -> None:
        for name, kind in GOES_WITH.items():
            if getattr(self, name) not in (None, "") and self.kind != kind:
                raise errors.Usage(
                    reason=f"{name} goes with {kind}, not with {self.kind}."
                )


class WaitArguments(ToolArguments):
    """Wait for the answer to your blocker, or for the item's cancellation."""

    name: ClassVar[str] = "wait"
    quotes_others: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    item: Item
    timeout: Annotated[
        float, Field(description=f"Seconds, 0 to {limits.PATIENCE_S}")
    ] = limits.PATIENCE_S

    def perform(self, call: ToolCall) -> ToolResult:
        """Wait."""
        return ToolResult(
            _session(call).wait(self.item, timeout_s=seconds(self.timeout, "timeout"))
        )


class CompleteArguments(ToolArguments):
    """Deliver an item."""

    name: ClassVar[str] = "complete"
    item: Item
    summary: Annotated[str, Field(description="What you did")] = ""
    deliverables: Deliverables = Field(default_factory=dict)

    def perform(self, call: ToolCall) -> ToolResult:
        """Deliver."""
        session = _session(call)
        complete = partial(
            session.queue.complete, summary=self.summary, deliverables=self.deliverables
        )
        return ToolResult(session.step(self.item, complete))


class FailArguments(ToolArguments):
    """Give up this attempt at an item. It is tried again later while attempts are left."""

    name: ClassVar[str] = "fail"
    item: Item
    reason: str
    retry: Annotated[bool, Field(description="false if it would fail again")] = True

    def perform(self, call: ToolCall) -> ToolResult:
        """Give up."""
        session = _session(call)
        return ToolResult(
            session.step(
                self.item,
                partial(session.queue.fail, reason=self.reason, retry=self.retry),
            )
        )


class ReleaseArguments(ToolArguments):
    """Give an item back to its queue; no attempt is spent."""

    name: ClassVar[str] = "release"
    item: Item
    reason: str = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Give it back."""
        session = _session(call)
        return ToolResult(
            session.step(self.item, partial(session.queue.release, reason=self.reason))
        )


TOOLS: tuple[type[ToolArguments], ...] = (
    CheckArguments,
    PopArguments,
    GetArguments,
    ReportArguments,
    WaitArguments,
    CompleteArguments,
    FailArguments,
    ReleaseArguments,
)


def _session(call: ToolCall) -> AgentSession:
    return AgentSession(call.settings, call.connection, call.requests, call.damage)


def _lease_ms(lease: str) -> int | None:
    return limits.duration_ms(lease) if lease else None


def _release(call: ToolCall, lease: Lease) -> None:
    """Give back what was claimed for a call that nobody waits for any more."""
    with closing(call.again()) as again:
        session = _session(again)
        try:
            session.step(
                lease.item, lambda _: session.queue.release(lease, reason=TAKEN_BACK)
            )
        except errors.TaskOrchestratorError as error:
            logger.warning(
                "%s: its call was taken back, but it could not be given back. %s",
                lease.item,
                error,
            )
