"""The tools of `worker mcp`. The docstring of a tool is its description for agents.

It is loaded before the first answer to a client: what a call needs is imported by it.
"""

import os
from collections.abc import Mapping
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

from taskorch.config.program_session import ProgramSessions
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.frozen import replace
from taskorch.mcp.tool import (
    SECONDS,
    QuotingResult,
    ToolArguments,
    ToolResult,
    seconds,
)
from taskorch.mcp.tool_set import ToolSet
from taskorch.mcp.tool_texts import Tool, Tools

from taskorch_worker.agent_name import agent_of

if TYPE_CHECKING:
    from taskorch.domain.acceptance import CheckEvidence
    from taskorch.domain.item import Lease, Receipt, SettledReceipt
    from taskorch.domain.usage import ModelUsage
    from taskorch.mcp.background import Background
    from taskorch.mcp.call import ToolCall

    from taskorch_worker.checked_delivery import RequiredChecks
    from taskorch_worker.session import AgentSession

ABOUT = "You are the agent {agent}: claim the work items assigned to you, report on them and deliver them."
CANCELLED_CALL = "The call that claimed it was cancelled."
#: The longest wait of a call for acceptance checks: many programs end a call after 120 s.
CHECKS_WAIT_S = limits.SHORT_WAIT_S

LeaseTime = Annotated[str, "30m, 4h"]
Deliverables = Annotated[dict[str, str], "Name: value or path"]
Next = Annotated[bool, "Also claim your next item"]
#: What was used since the last report; `_used` reads it.
UsedValues = Annotated[
    dict[str, object], "tokens_in, tokens_out, cache_read, cost ($), model"
]
Used = Annotated[dict[str, object], "As in report"]
#: Argument of a report -> the kind of report that takes it.
KIND_OF_ARGUMENT = {
    "percent": "progress",
    "impact": "discover",
    "needs": "blocker",
    "question": "withdraw",
    "usage": "progress",
}


class CheckArguments(ToolArguments):
    """List your work: the items you hold first, then those that are ready."""

    name = "check"
    quotes_others = True
    read_only = True
    access = Access.READ
    limit: int = 20
    reviews: Annotated[bool, "Instead, what waits for your review"] = False

    def perform(self, call: "ToolCall") -> ToolResult:
        """Return the assigned items, or those of others to review."""
        from taskorch_worker import mcp_results

        session = _session(call)
        if self.reviews:
            waiting = session.reviews(limit=self.limit)
            return ToolResult(mcp_results.reviews(waiting))
        assigned = session.queue.check(limit=self.limit)
        elsewhere = session.held_elsewhere(assigned)
        return ToolResult(mcp_results.assignments(assigned, elsewhere))


class PopArguments(ToolArguments):
    """Claim your next item, in full. Error NOTHING_TO_DO if none is ready in time."""

    name = "pop"
    quotes_others = True
    waits_for = "wait"
    wait: Annotated[float, SECONDS] = 0
    lease: LeaseTime = ""

    def perform(self, call: "ToolCall") -> ToolResult:
        """Claim an item; if the call is cancelled, release it."""
        from taskorch_worker import mcp_results

        session = _session(call)
        wait_s = seconds(self.wait, "wait")
        lease_ms = _lease_ms(self.lease)
        claims = session.pop(1, wait_s=wait_s, lease_ms=lease_ms)
        if not claims:
            raise errors.NothingToDo
        if lease := claims[0].lease:
            call.undo = partial(_release, call, lease)
        return ToolResult(mcp_results.claim(claims[0]))


class GetArguments(ToolArguments):
    """Get an item in full, with your notes. Claims it if it is queued for you."""

    name = "get"
    idempotent = True
    quotes_others = True
    item: Annotated[str, "item_…"]
    peek: Annotated[bool, "Do not claim it"] = False
    takeover: Annotated[bool, "From another session of yours"] = False
    lease: LeaseTime = ""

    def perform(self, call: "ToolCall") -> ToolResult:
        """Return an item; if the call is cancelled, release what it claimed."""
        from taskorch_worker import mcp_results

        session = _session(call)
        before = session.lease(self.item)
        claim = session.get(
            self.item,
            peek=self.peek,
            takeover=self.takeover,
            lease_ms=_lease_ms(self.lease),
        )
        if claim.lease and claim.lease.claim != before.claim:
            call.undo = partial(_release, call, claim.lease)
        notes = session.queue.notes(self.item)
        return ToolResult(mcp_results.claim(claim), notes=notes)


class ReportArguments(ToolArguments):
    """Report on an item; you keep it.

    discover: for the whole project; note: for you alone; comment: for the orchestrator.
    After a blocker, wait for the answer, or withdraw it. accept, send-back: end your
    review.
    """

    name = "report"
    item: str
    kind: Literal[
        "progress",
        "discover",
        "blocker",
        "note",
        "comment",
        "withdraw",
        "accept",
        "send-back",
    ]
    text: str = ""
    percent: Annotated[int | None, "For progress"] = None
    impact: Annotated[str, "For discover: its consequence"] = ""
    needs: Annotated[str, "For blocker"] = ""
    question: Annotated[int | None, "For withdraw, if several are open"] = None
    usage: UsedValues = {}  # noqa: RUF012  it is never changed

    def perform(self, call: "ToolCall") -> ToolResult:
        """Report, and claim the item if it is still queued; or decide about it."""
        self._check()
        session = _session(call)
        match self.kind:
            case "accept":
                return ToolResult(session.accept(self.item, self.text))
            case "send-back":
                return ToolResult(session.send_back(self.item, self.text))
            case "progress":
                receipt = session.progress(
                    self.item,
                    self.text,
                    percent=self.percent,
                    used=_used(self.usage),
                )
            case "discover":
                receipt = session.discover(
                    self.item, self.text, impact=self.impact
                )
            case "blocker":
                receipt = session.blocker(
                    self.item, self.text, needs=self.needs
                )
            case "comment":
                receipt = session.comment(self.item, self.text)
            case "withdraw":
                receipt = self._withdraw(session)
            case "note":
                return self._keep_note(session)
        return _receipt(receipt)

    def _check(self) -> None:
        """Raise errors.Usage for an argument that the kind does not take."""
        for name, kind in KIND_OF_ARGUMENT.items():
            is_given = getattr(self, name) not in (None, "", {})
            if is_given and self.kind != kind:
                reason = f"{name} is for kind {kind}, not for {self.kind}."
                raise errors.Usage(reason=reason)

    def _withdraw(self, session: "AgentSession") -> "Receipt":
        if self.text:
            raise errors.Usage(reason="text is not for kind withdraw.")
        return session.withdraw(self.item, question=self.question or 0)

    def _keep_note(self, session: "AgentSession") -> ToolResult:
        problem = session.note(self.item, self.text)
        meta = {"hint": problem} if problem else {}
        return ToolResult({"id": self.item}, **meta)


class ReadDiscoveriesArguments(ToolArguments):
    """Read the discoveries of an item's project, or of those of your items."""

    name = "discoveries"
    quotes_others = True
    access = Access.READ
    item: str = ""
    new: Annotated[bool, "Only unread ones"] = False
    since: Annotated[str, "A cursor"] = ""
    limit: int = 20

    def perform(self, call: "ToolCall") -> ToolResult:
        """Read the discoveries."""
        from taskorch.mcp.brief import discoveries

        session = _session(call)
        page = session.discoveries(
            self.item, new=self.new, since=self.since, limit=self.limit
        )
        return ToolResult(
            discoveries(page.discoveries),
            cursor=page.cursor,
            more=page.more,
            projects=page.own_projects,
        )


class WaitArguments(ToolArguments):
    """Wait for an answer, a comment, or the item's cancellation."""

    name = "wait"
    quotes_others = True
    waits_for = "timeout"
    access = Access.READ
    item: str
    question: int = 0
    timeout: Annotated[float, SECONDS] = limits.SHORT_WAIT_S

    def perform(self, call: "ToolCall") -> ToolResult:
        """Return the answer."""
        from taskorch_worker import mcp_results

        session = _session(call)
        timeout_s = seconds(self.timeout, "timeout")
        answered = session.wait_for_answer(
            self.item, timeout_s=timeout_s, question=self.question
        )
        return ToolResult(mcp_results.answered(answered))


class CompleteArguments(ToolArguments):
    """Deliver an item."""

    name = "complete"
    item: str
    summary: str
    deliverables: Deliverables = {}  # noqa: RUF012  it is never changed
    evidence: Annotated[
        tuple[object, ...],
        "Over HTTP only: its checks, {check, passed, exit_code, output}",
    ] = ()
    next: Next = False
    usage: Used = {}  # noqa: RUF012  it is never changed

    def perform(self, call: "ToolCall") -> ToolResult:
        """Complete the item; if the call is cancelled, release the next one."""
        results: tuple[CheckEvidence, ...] = ()
        if self.evidence:
            from taskorch.domain.acceptance_rules import result_of

            results = tuple(map(result_of, self.evidence))
        receipt = _session(call).complete(
            self.item,
            self.summary,
            deliverables=self.deliverables,
            evidence=results,
            next=self.next,
            used=_used(self.usage),
        )
        return _settled(call, receipt)


class FailArguments(ToolArguments):
    """Give up this attempt. The item is retried while attempts are left."""

    name = "fail"
    item: str
    reason: str
    retry: Annotated[bool, "false if it would fail again"] = True
    next: Next = False
    usage: Used = {}  # noqa: RUF012  it is never changed

    def perform(self, call: "ToolCall") -> ToolResult:
        """Fail the attempt; if the call is cancelled, release the next item."""
        receipt = _session(call).fail(
            self.item,
            self.reason,
            retry=self.retry,
            next=self.next,
            used=_used(self.usage),
        )
        return _settled(call, receipt)


class ReleaseArguments(ToolArguments):
    """Return an item to its queue; no attempt is spent."""

    name = "release"
    idempotent = True
    item: str
    reason: str = ""

    def perform(self, call: "ToolCall") -> ToolResult:
        """Release the item."""
        session = _session(call)
        receipt = session.release(self.item, reason=self.reason)
        return _receipt(receipt)


def _report(kind: str) -> Tool:
    """Return the tool `report` with a kind."""
    return Tool(
        name="report", positional=("item", "text"), fixed={"kind": kind}
    )


#: The tools in place of commands, in hints.
COMMANDS: Tools = {
    "check": Tool(name="check"),
    "pop": Tool(name="pop"),
    "get": Tool(name="get", positional=("item",)),
    "wait": Tool(name="wait", positional=("item",)),
    "progress": _report("progress"),
    "blocker": _report("blocker"),
    "blocker --withdraw": Tool(
        name="report",
        positional=("item", "question"),
        fixed={"kind": "withdraw"},
    ),
    "comment": _report("comment"),
    "discoveries": Tool(name="discoveries", positional=("item",)),
    "complete": Tool(name="complete", positional=("item", "summary")),
    "ack": None,  # the tool wants a summary
    "fail": Tool(name="fail", positional=("item", "reason")),
    "release": Tool(name="release", positional=("item",)),
    "reviews": Tool(name="check", fixed={"reviews": "true"}),
    "accept": _report("accept"),
    "send-back": _report("send-back"),
}

TOOLS: tuple[type[ToolArguments], ...] = (
    CheckArguments,
    PopArguments,
    GetArguments,
    ReportArguments,
    ReadDiscoveriesArguments,
    WaitArguments,
    CompleteArguments,
    FailArguments,
    ReleaseArguments,
)


def tool_set(settings: Settings) -> ToolSet:
    """Return the tools of the configured agent.

    Raises errors.Usage if no agent is set, errors.Invalid for a bad name.
    """
    return tools_of(agent_of(settings))


def tools_of(agent: str) -> ToolSet:
    """Return the tools of an agent."""
    return ToolSet(
        role="worker",
        about=ABOUT.format(agent=agent),
        tools=TOOLS,
        commands=COMMANDS,
    )


def _session(call: "ToolCall") -> "AgentSession":
    """Return the agent's session: as the call names it, or as a hook has recorded it."""
    from taskorch_worker.session import AgentSession

    settings = call.settings
    if call.leases is None and "AGENT_SESSION" not in os.environ:
        sessions = ProgramSessions(settings.folder_path)
        session = sessions.named(call.program_session) or sessions.current(
            os.environ
        )
        settings = replace(settings, session=session or settings.session)
    opened = AgentSession(
        settings, call.connection, call.requests, call.damage, call.leases
    )
    if call.background:
        opened.run_checks = partial(_checked, call, call.background)
    return opened


def _checked(
    call: "ToolCall",
    background: "Background[tuple[CheckEvidence, ...]]",
    required: "RequiredChecks",
) -> "tuple[CheckEvidence, ...]":
    """Return the results of checks, which go on if the client does not wait for them.

    Raises errors.ChecksRunning; the next call with the same checks gets the results.
    """
    from taskorch_worker import checked_delivery

    def run() -> "tuple[CheckEvidence, ...]":
        with closing(call.new_call()) as own:
            queue = _session(own).queue
            return checked_delivery.evidence(queue, required, lambda _: None)

    lease = required.lease
    about = f"{lease.item} {lease.shown()} {required.folder} {required.checks}"
    try:
        return background.result(
            about,
            run,
            timeout_s=CHECKS_WAIT_S,
            look=call.raise_if_cancelled,
        )
    except TimeoutError:
        raise errors.ChecksRunning(
            item=lease.item, seconds=f"{CHECKS_WAIT_S:g}"
        ) from None


def _receipt(receipt: "Receipt") -> ToolResult:
    """Return the result of a step, with a notice if it has comments."""
    from taskorch_worker import mcp_results

    shown = mcp_results.receipt(receipt)
    return QuotingResult(shown) if receipt.comments else ToolResult(shown)


def _settled(call: "ToolCall", receipt: "SettledReceipt") -> ToolResult:
    """Return a receipt; if the call is cancelled, the next item is released."""
    from taskorch_worker import mcp_results

    if receipt.next is None:
        return _receipt(receipt)
    if lease := receipt.next.lease:
        call.undo = partial(_release, call, lease)
    return QuotingResult(mcp_results.receipt(receipt))


def _used(values: Mapping[str, object]) -> "ModelUsage":
    """Return a usage of an argument. Raises errors.Usage and errors.Invalid."""
    from taskorch.domain import usage_rules

    known = ("tokens_in", "tokens_out", "cache_read", "cost", "model")
    if unknown := sorted(values.keys() - set(known)):
        shown = limits.shortened(unknown[0])
        raise errors.Usage(
            reason=f"usage has no {shown}; there are {', '.join(known)}."
        )
    given: dict[str, Any] = dict(values)
    cost = usage_rules.micros_of(given.pop("cost", 0))
    used = usage_rules.reported(**given, cost_micros=cost)
    usage_rules.packed(used)  # its numbers are in their ranges
    return used


def _lease_ms(lease: str) -> int | None:
    return limits.duration_ms(lease) if lease else None


def _release(call: "ToolCall", lease: "Lease") -> None:
    """Release what a cancelled call has claimed."""
    from taskorch.mcp.call import logger

    with closing(call.new_call()) as again:
        try:
            session = _session(again)
            session.release_claim(lease, reason=CANCELLED_CALL)
        except errors.TaskOrchestratorError as error:
            logger.warning(
                "%s: its call was cancelled, but it could not be released. %s",
                lease.item,
                error,
            )
