"""The verbs of a worker, over HTTP: their arguments and what performs them.

The docstring of a verb is its description for users of the API. The gateway keeps no
leases: a holder shows its token with each step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated

from taskorch.domain import acceptance_rules, errors, limits, usage_rules
from taskorch.domain.item import Lease, Receipt, SettledReceipt
from taskorch.domain.usage import ModelUsage
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_worker.session import AgentSession

from taskorch_gateway.api.fields import (
    ROWS,
    SHOWN,
    Cost,
    Cursor,
    Duration,
    Item,
    Model,
    Pairs,
    Percent,
    Question,
    Token,
    Tokens,
    Wait,
    duration_ms,
    whole,
)

GONE = "The client that claimed it was gone."
NextLease = Annotated[Duration, "Lease duration of the next item, such as 30m"]
Next = Annotated[bool, "Claim the next item of your queue in the same step"]
Deliverables = Annotated[Pairs, "Name: value or path"]
Evidence = Annotated[
    tuple[object, ...],
    {
        "type": "array",
        "items": {
            "type": "object",
            "required": ["check", "passed"],
            "properties": {
                "check": {
                    "type": "object",
                    "description": "As checks of the item has it",
                },
                "passed": {"type": "boolean"},
                "exit_code": {"type": "integer"},
                "duration_ms": {"type": "integer"},
                "output": {"type": "string", "description": "Its end"},
            },
        },
        "maxItems": acceptance_rules.CHECKS,
    },
    "The results of the item's acceptance checks in their order, without deliverables. "
    "You run them; they are kept as reported by you",
]
OfPools = Annotated[
    tuple[str, ...],
    {
        "type": "array",
        "items": {"type": "string"},
        "maxItems": limits.POOLS,
    },
    "Take items from these pools, in this order; none for all that the token names",
]
OfItem = Annotated[
    str, "An item of the project; none for the projects of your items"
]


class Check(ToolArguments):
    """List the ready items assigned to you or to your pools, those that you hold first."""

    name = "check"
    read_only = True
    limit: Annotated[int, SHOWN] = 20
    pool: OfPools = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the assigned items."""
        session = _session(call, self.pool)
        return ToolResult(session.queue.check(limit=self.limit))


class Pop(ToolArguments):
    """Claim the next item of your queue, then of your pools. If none is ready, data is null.

    With count, data is a list.
    """

    name = "pop"
    waits_for = "wait"
    wait: Wait = 0
    lease: Duration = ""
    count: Annotated[int | None, whole(1, limits.CLAIMS)] = None
    pool: OfPools = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Claim the items; if the client is gone, release them."""
        session = _session(call, self.pool)
        claims = session.pop(
            _number(self.count),
            wait_s=self.wait,
            lease_ms=duration_ms(self.lease),
        )
        if not claims:
            raise errors.NothingToDo
        leases = [claim.lease for claim in claims if claim.lease]
        call.undo = partial(_release, call, leases)
        return ToolResult(claims[0] if self.count is None else claims)


class Get(ToolArguments):
    """Show an item in full, and claim it if it is queued for you."""

    name = "get"
    item: Item
    takeover: Annotated[
        bool, "Claim it from another session of yours, which loses it"
    ] = False
    lease: Duration = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the item; if the client is gone, release what this has claimed."""
        session = _session(call)
        before = session.lease(self.item)
        claim = session.get(
            self.item,
            peek=False,
            takeover=self.takeover,
            lease_ms=duration_ms(self.lease),
        )
        if claim.lease and claim.lease.claim != before.claim:
            call.undo = partial(_release, call, [claim.lease])
        return ToolResult(claim)


class Peek(ToolArguments):
    """Show an item in full, and claim nothing."""

    name = "get"
    read_only = True
    item: Item

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the item."""
        claim = _session(call).get(
            self.item, peek=True, takeover=False, lease_ms=None
        )
        return ToolResult(claim)


class ReportProgress(ToolArguments):
    """Report progress on an item and renew its lease."""

    name = "progress"
    item: Item
    text: str
    percent: Percent = None
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    cache_read: Tokens = 0
    cost: Cost = 0
    model: Model = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Report the progress."""
        return ToolResult(
            _session(call).progress(
                self.item, self.text, percent=self.percent, used=_used(self)
            )
        )


class Notes(ToolArguments):
    """List your private notes on an item."""

    name = "notes"
    read_only = True
    item: Item

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the notes."""
        return ToolResult(_session(call).queue.notes(self.item))


class KeepNote(ToolArguments):
    """Keep a private note on an item."""

    name = "notes"
    item: Item
    text: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Keep the note."""
        _session(call).note(self.item, self.text)
        return ToolResult({"id": self.item})


class Discover(ToolArguments):
    """Share a discovery with the whole project."""

    name = "discover"
    item: Item
    text: str
    impact: Annotated[str, "Consequence for the project"] = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Share the discovery."""
        return ToolResult(
            _session(call).discover(self.item, self.text, impact=self.impact)
        )


class ReadDiscoveries(ToolArguments):
    """Read what the agents of a project found. meta.cursor is the next cursor."""

    name = "discoveries"
    read_only = True
    item: OfItem = ""
    since: Cursor = ""
    limit: Annotated[int, ROWS] = 50

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the discoveries."""
        return _discoveries(
            call, self.item, new=False, since=self.since, limit=self.limit
        )


class ReadNewDiscoveries(ToolArguments):
    """Read what the agents of a project found that you have not read yet.

    It counts as read from now on.
    """

    name = "discoveries"
    item: OfItem = ""
    limit: Annotated[int, ROWS] = 50

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the new discoveries."""
        return _discoveries(
            call, self.item, new=True, since="", limit=self.limit
        )


class Blocker(ToolArguments):
    """Ask the orchestrator about what blocks you. You keep the item."""

    name = "blocker"
    item: Item
    text: str
    needs: Annotated[str, "What you need to continue"] = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Ask the question."""
        return ToolResult(
            _session(call).blocker(self.item, self.text, needs=self.needs)
        )


class Withdraw(ToolArguments):
    """Withdraw a question on an item, instead of waiting for its answer."""

    name = "withdraw"
    item: Item
    question: Question = 0
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Withdraw the question."""
        return ToolResult(
            _session(call).withdraw(self.item, question=self.question)
        )


class HolderComment(ToolArguments):
    """Comment on an item that you hold, for the orchestrator and its next holder."""

    name = "comment"
    item: Item
    text: str
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Add the comment."""
        return ToolResult(_session(call).comment(self.item, self.text))


class WaitForAnswer(ToolArguments):
    """Wait for the answers to your questions on an item, or for a comment.

    Returns immediately if you have no open question. If the time runs out, data is null.
    """

    name = "wait"
    waits_for = "timeout"
    item: Item
    question: Question = 0
    timeout: Wait = 30
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the answers."""
        answered = _session(call).wait_for_answer(
            self.item, timeout_s=self.timeout, question=self.question
        )
        return ToolResult(answered)


class Renew(ToolArguments):
    """Renew the lease on an item for its full duration."""

    name = "renew"
    item: Item
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Renew the lease."""
        return ToolResult(_session(call).renew(self.item))


class Complete(ToolArguments):
    """Deliver an item. With next, claim your next item, too."""

    name = "complete"
    item: Item
    summary: str
    deliverables: Deliverables = {}  # noqa: RUF012  it is never changed
    evidence: Evidence = ()
    next: Next = False
    lease: NextLease = ""
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    cache_read: Tokens = 0
    cost: Cost = 0
    model: Model = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Complete the item."""
        return _delivered(call, self, _session(call).complete)


class Ack(ToolArguments):
    """Deliver an item, with or without a summary. With next, claim your next item, too."""

    name = "ack"
    item: Item
    summary: str = ""
    deliverables: Deliverables = {}  # noqa: RUF012  it is never changed
    evidence: Evidence = ()
    next: Next = False
    lease: NextLease = ""
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    cache_read: Tokens = 0
    cost: Cost = 0
    model: Model = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Complete the item."""
        return _delivered(call, self, _session(call).ack)


class Fail(ToolArguments):
    """Give up this attempt at an item. It is retried later while attempts are left."""

    name = "fail"
    item: Item
    reason: str
    retry: Annotated[bool, "false makes it a dead letter"] = True
    next: Next = False
    lease: NextLease = ""
    tokens_in: Tokens = 0
    tokens_out: Tokens = 0
    cache_read: Tokens = 0
    cost: Cost = 0
    model: Model = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Fail the attempt."""
        receipt = _session(call).fail(
            self.item,
            self.reason,
            retry=self.retry,
            next=self.next,
            lease_ms=_next_ms(self.lease, is_wanted=self.next),
            used=_used(self),
        )
        return _settled(call, receipt)


class Release(ToolArguments):
    """Return an item to its queue; no attempt is spent."""

    name = "release"
    item: Item
    reason: Annotated[str, "For the history"] = ""
    token: Token = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Release the item."""
        return ToolResult(
            _session(call).release(self.item, reason=self.reason)
        )


class Reviews(ToolArguments):
    """List the items of other agents that wait for your review."""

    name = "reviews"
    read_only = True
    limit: Annotated[int, SHOWN] = 20

    def perform(self, call: ToolCall) -> ToolResult:
        """List the items."""
        return ToolResult(_session(call).reviews(limit=self.limit))


class AcceptAsReviewer(ToolArguments):
    """Accept an item of another agent, as its reviewer."""

    name = "accept"
    item: Item
    text: Annotated[str, "For its history"] = ""

    def perform(self, call: ToolCall) -> ToolResult:
        """Accept the item."""
        return ToolResult(_session(call).accept(self.item, self.text))


class SendBackAsReviewer(ToolArguments):
    """Send an item back to its agent, as its reviewer. No attempt is used up."""

    name = "send-back"
    item: Item
    text: Annotated[str, "Its next holder reads this first"]

    def perform(self, call: ToolCall) -> ToolResult:
        """Send the item back."""
        return ToolResult(_session(call).send_back(self.item, self.text))


class Prime(ToolArguments):
    """Show what you need to continue after a fresh start."""

    name = "prime"
    read_only = True

    def perform(self, call: ToolCall) -> ToolResult:
        """Return the briefing."""
        return ToolResult(_session(call).prime())


def _session(call: ToolCall, pools: Sequence[str] = ()) -> AgentSession:
    """Return the session of the client; with `pools`, it takes items from these."""
    session = AgentSession(
        call.settings,
        call.connection,
        call.requests,
        call.damage,
        call.leases,
    )
    if pools:
        session.take_from(pools)
    return session


def _discoveries(
    call: ToolCall, item: str, *, new: bool, since: str, limit: int
) -> ToolResult:
    page = _session(call).discoveries(item, new=new, since=since, limit=limit)
    return ToolResult(
        page.discoveries,
        cursor=page.cursor,
        more=page.more,
        projects=page.own_projects,
    )


def _delivered(
    call: ToolCall,
    delivery: Complete | Ack,
    deliver: Callable[..., SettledReceipt],
) -> ToolResult:
    receipt = deliver(
        delivery.item,
        delivery.summary,
        deliverables=delivery.deliverables,
        evidence=tuple(map(acceptance_rules.result_of, delivery.evidence)),
        next=delivery.next,
        lease_ms=_next_ms(delivery.lease, is_wanted=delivery.next),
        used=_used(delivery),
    )
    return _settled(call, receipt)


def _used(report: ReportProgress | Complete | Ack | Fail) -> ModelUsage:
    return usage_rules.reported(
        tokens_in=report.tokens_in,
        tokens_out=report.tokens_out,
        cache_read=report.cache_read,
        cost_micros=usage_rules.micros_of(report.cost),
        model=report.model,
    )


def _settled(call: ToolCall, receipt: Receipt) -> ToolResult:
    """Return a receipt; if the client is gone, the next item is released."""
    following = getattr(receipt, "next", None)
    if following and following.lease:
        call.undo = partial(_release, call, [following.lease])
    return ToolResult(receipt)


def _release(call: ToolCall, leases: list[Lease]) -> None:
    """Release what a client has claimed that is gone."""
    session = _session(call.new_call())
    for lease in leases:
        session.release_claim(lease, reason=GONE)


def _next_ms(duration: str, *, is_wanted: bool) -> int | None:
    """Return the lease of the next item. Raises errors.Usage if none is wanted."""
    if duration and not is_wanted:
        raise errors.Usage(
            reason="lease is that of the next item: it needs next."
        )
    return duration_ms(duration)


def _number(count: int | None) -> int:
    return 1 if count is None else count
