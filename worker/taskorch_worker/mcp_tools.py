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
from taskorch.mcp.tool import Call, Result, Tool, seconds

from taskorch_worker.session import Holding, agent_of

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


class Check(Tool):
    """List your work: what you hold first, then what is ready."""

    quotes: ClassVar[bool] = True
    looks: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    limit: int = 20

    def run(self, call: Call) -> Result:
        """Look."""
        return Result(_holding(call).queue.check(limit=self.limit))


class Pop(Tool):
    """Claim your next item, and get all that it carries. Error NOTHING_TO_DO if there is none in time."""

    quotes: ClassVar[bool] = True
    wait: Annotated[
        float, Field(description=f"Seconds to wait, 0 to {limits.PATIENCE_S}")
    ] = 0
    lease: LeaseTime = ""

    def run(self, call: Call) -> Result:
        """Claim; what was claimed is released when the call is taken back."""
        wait_s, lease_ms = seconds(self.wait, "wait"), _lease_ms(self.lease)
        taken = _holding(call).pop(1, wait_s=wait_s, lease_ms=lease_ms)
        if not taken:
            raise errors.NothingToDo
        if taken[0].lease:
            call.undo = partial(_release, call, taken[0].lease)
        return Result(taken[0])


class Get(Tool):
    """Get all that an item carries, and your notes on it. Claims it if it is queued for you."""

    quotes: ClassVar[bool] = True
    item: Item
    peek: Annotated[bool, Field(description="Only look")] = False
    takeover: Annotated[
        bool, Field(description="Take it from another session of yours")
    ] = False
    lease: LeaseTime = ""

    def run(self, call: Call) -> Result:
        """Claim or look; what was claimed is released when the call is taken back."""
        holding = _holding(call)
        before = holding.lease(self.item)
        taken = holding.get(
            self.item,
            peek=self.peek,
            takeover=self.takeover,
            lease_ms=_lease_ms(self.lease),
        )
        if taken.lease and taken.lease.claim != before.claim:
            call.undo = partial(_release, call, taken.lease)
        return Result(taken, notes=holding.queue.notes(self.item))


class Report(Tool):
    """Report on an item; it stays yours.

    A discovery is for the whole project, a note for you alone; after a blocker, wait for the answer.
    """

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

    def run(self, call: Call) -> Result:
        """Report, and claim an item that is still queued."""
        self._refuse_what_does_not_go_together()
        holding = _holding(call)
        if self.kind == "note":
            trouble = holding.note(self.item, self.text)
            return Result({"id": self.item}, **({"hint": trouble} if trouble else {}))
        queue = holding.queue
        verbs: dict[str, Callable[[Lease], Receipt]] = {
            "progress": lambda lease: queue.progress(
                lease, self.text, percent=self.percent
            ),
            "discover": lambda lease: queue.discover(
                lease, self.text, impact=self.impact
            ),
            "blocker": lambda lease: queue.blocker(lease, self.text, needs=self.needs),
        }
        return Result(holding.report(self.item, verbs[self.kind]))

    def _refuse_what_does_not_go_together(self) -> None:
        for name, kind in GOES_WITH.items():
            if getattr(self, name) not in (None, "") and self.kind != kind:
                raise errors.Usage(
                    reason=f"{name} goes with {kind}, not with {self.kind}."
                )


class Wait(Tool):
    """Wait for the answer to your blocker, or for the item's cancellation."""

    quotes: ClassVar[bool] = True
    access: ClassVar[Access] = Access.READ
    item: Item
    timeout: Annotated[
        float, Field(description=f"Seconds, 0 to {limits.PATIENCE_S}")
    ] = limits.PATIENCE_S

    def run(self, call: Call) -> Result:
        """Wait."""
        return Result(
            _holding(call).wait(self.item, timeout_s=seconds(self.timeout, "timeout"))
        )


class Complete(Tool):
    """Deliver an item."""

    item: Item
    summary: Annotated[str, Field(description="What you did")] = ""
    deliverables: Deliverables = Field(default_factory=dict)

    def run(self, call: Call) -> Result:
        """Deliver."""
        holding = _holding(call)
        complete = partial(
            holding.queue.complete, summary=self.summary, deliverables=self.deliverables
        )
        return Result(holding.step(self.item, complete))


class Fail(Tool):
    """Give up this attempt at an item. It is tried again later while attempts are left."""

    item: Item
    reason: str
    retry: Annotated[bool, Field(description="false if it would fail again")] = True

    def run(self, call: Call) -> Result:
        """Give up."""
        holding = _holding(call)
        return Result(
            holding.step(
                self.item,
                partial(holding.queue.fail, reason=self.reason, retry=self.retry),
            )
        )


class Release(Tool):
    """Give an item back to its queue; no attempt is spent."""

    item: Item
    reason: str = ""

    def run(self, call: Call) -> Result:
        """Give it back."""
        holding = _holding(call)
        return Result(
            holding.step(self.item, partial(holding.queue.release, reason=self.reason))
        )


TOOLS: tuple[type[Tool], ...] = (Check, Pop, Get, Report, Wait, Complete, Fail, Release)


def _holding(call: Call) -> Holding:
    return Holding(call.settings, call.connection, call.damage)


def _lease_ms(lease: str) -> int | None:
    return limits.duration_ms(lease) if lease else None


def _release(call: Call, lease: Lease) -> None:
    """Give back what was claimed for a call that nobody waits for any more."""
    with closing(call.again()) as again:
        holding = _holding(again)
        try:
            holding.step(
                lease.item, lambda _: holding.queue.release(lease, reason=TAKEN_BACK)
            )
        except errors.TaskOrchestratorError as error:
            logger.warning(
                "%s: its call was taken back, but it could not be given back. %s",
                lease.item,
                error,
            )
