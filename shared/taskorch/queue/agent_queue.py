"""The queue as one agent sees it: what a worker may do, and nothing that an orchestrator does."""

import json
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, cast

from taskorch.domain import limits
from taskorch.domain.item import Assignments, Caller, Claim, Lease, Note, Receipt
from taskorch.domain.mirror_record import Origin
from taskorch.queue import replies
from taskorch.queue.port import Argument, Connection, Reply
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import Damage, Scripts

if TYPE_CHECKING:
    from taskorch.queue.briefing import AgentBriefing
    from taskorch.queue.wait_results import Answered

#: A wake token is lost when its taker dies before it claims, so a waiter looks again after this long.
WAIT_PERIOD_S = 60.0
CHECK_LIMIT = 20
#: So many items are told with all that they carry, and so many of the queue are named.
PRIME_LIMIT = 3


class AgentQueue:
    """An agent's own work: one method per verb, one script per method.

    A method that takes a `Lease` checks its token first: errors.NoItem, errors.NotYours (assigned to another agent),
    errors.Cancelled, errors.LeaseLost (a newer claim, or given up), errors.Held (no token shown, and another session
    holds it), errors.WrongState. Nothing has changed then. A step that succeeds renews the lease. A lease whose time
    ran out still serves its holder as long as nobody else has claimed the item since.
    """

    def __init__(  # noqa: PLR0913  six, which the house style allows
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        requests: Requests | None = None,
        origin: Origin | None = None,
        damage: Damage | None = None,
    ) -> None:
        """Speak for `caller`, whose agent must be a valid name (errors.Invalid).

        `requests` gives each call its id. With an `origin`, a report or note is marked
        as the one of that entry of a file, and made once. Damaged rows of lists are
        left out and added to `damage`.
        """
        limits.name(namespace, "a namespace")
        limits.name(caller.agent, "an agent")
        if origin:
            requests = Requests(same=origin.request)
        self._scripts = Scripts(
            connection, namespace, caller, requests=requests, damage=damage
        )
        self._origin = (
            ("written_at", origin.written_at, "made_at", origin.at or "")
            if origin
            else ()
        )

    def check(self, *, limit: int = CHECK_LIMIT) -> Assignments:
        """Return what is assigned to the agent and ready, what it holds first."""
        view = self._scripts.run_script("check", limits.number(limit, "limit", 1, 1000))
        return replies.assignments(
            self._scripts.caller.agent, view, self._scripts.damage
        )

    def prime(
        self, leases: Sequence[Lease] = (), *, limit: int = PRIME_LIMIT
    ) -> "AgentBriefing":
        """Return what the agent needs to go on: what it holds, with reports and notes, and its queue; nothing changes.

        `leases` are those that the caller keeps the tokens of, at most 200: the items that it may act on.
        """
        from taskorch.queue.briefing import briefing

        limits.number(len(leases), "number of leases", 0, limits.LIST_VALUES)
        kept = json.dumps(
            [(limits.item_id(lease.item), lease.shown()) for lease in leases]
        )
        view = self._scripts.run_script(
            "prime", limits.number(limit, "limit", 1, 1000), kept
        )
        return briefing(
            self._scripts.caller, self._scripts.namespace, view, self._scripts.damage
        )

    def claim(self, *, wait_s: float = 0, lease_ms: int | None = None) -> Claim | None:
        """Take the first item of the agent's queue under a lease; None when there is none within `wait_s` seconds.

        It waits blocked on a wake token, and looks by itself only when a lease or a delay in the namespace runs out.
        `lease_ms` is the length of this claim's lease instead of the item's own.
        """
        return next(iter(self.claim_many(1, wait_s=wait_s, lease_ms=lease_ms)), None)

    def claim_many(
        self, count: int, *, wait_s: float = 0, lease_ms: int | None = None
    ) -> tuple[Claim, ...]:
        """Take the first items of the agent's queue in one step, at most `count` (1 to 100), each as by `claim`.

        It waits for the first one only, and takes what is there then; none when there is none within `wait_s` seconds.
        """
        limits.number(count, "number of items", 1, limits.BATCH_STEPS)
        deadline = monotonic() + wait_s
        while True:
            left_s = deadline - monotonic()
            view = self._scripts.run_script(
                "claim", _lease(lease_ms), "" if left_s > 0 else "1", count
            )
            views, due = cast("tuple[list[Reply], str]", view)
            claims = tuple(
                claim
                for claim in replies.sound(self._claim, views, self._scripts.damage)
                if claim.lease
            )
            if claims:
                return claims
            if views:
                continue  # it was a repeat, and what it had claimed is another's by now, or done; or it is damaged
            if left_s <= 0:
                return ()
            self._scripts.wait_for_wake(_pause(left_s, due))

    def get(
        self,
        lease: Lease,
        *,
        peek: bool = False,
        takeover: bool = False,
        lease_ms: int | None = None,
    ) -> Claim:
        """Return an item with all that it carries, and claim it if it is queued for the agent.

        `peek` only looks. `takeover` takes it from another session of the same agent, whose token dies.
        The claim's lease is None when the item is not the caller's to work on now (waiting, completed …).
        """
        mode = "peek" if peek else "takeover" if takeover else "claim"
        return self._claim(self._run("get", lease, mode, _lease(lease_ms)))

    def progress(
        self, lease: Lease, text: str, *, percent: int | None = None
    ) -> Receipt:
        """Report on the item; `percent` is 0 to 100. A blocked item is in progress again."""
        done = "" if percent is None else limits.number(percent, "percentage", 0, 100)
        return self._step(
            "progress",
            lease,
            limits.text(text, "report", required=True),
            done,
            *self._origin,
        )

    def wait_for_answer(self, lease: Lease, *, timeout_s: float) -> "Answered":
        """Wait until the question on an item is answered; at once where none is open, or its time is over.

        Raises errors.Cancelled, errors.LeaseLost or errors.NotYours as soon as the item is not the caller's any more.
        """
        from taskorch.queue.waits import Waits

        return Waits(self._scripts).answer(lease, timeout_s=timeout_s)

    def discover(self, lease: Lease, text: str, *, impact: str = "") -> Receipt:
        """Share a finding with the project; the receipt's entry is its cursor."""
        text = limits.text(text, "discovery", required=True)
        return self._step(
            "discover", lease, text, limits.text(impact, "impact"), *self._origin
        )

    def blocker(self, lease: Lease, text: str, *, needs: str = "") -> Receipt:
        """Say what stops the work; the item is blocked, its lease without a clock, until an answer or a report."""
        text = limits.text(text, "blocker", required=True)
        return self._step(
            "blocker", lease, text, limits.text(needs, "need"), *self._origin
        )

    def complete(
        self,
        lease: Lease,
        summary: str = "",
        *,
        deliverables: Mapping[str, str] | None = None,
    ) -> Receipt:
        """Deliver the item: the ack. A repeat changes nothing and says so in the receipt's remark."""
        return self.complete_many([(lease, summary, deliverables or {})])[0]

    def complete_many(
        self, deliveries: Sequence[tuple[Lease, str, Mapping[str, str]]]
    ) -> tuple[Receipt, ...]:
        """Deliver 1 to 100 items in one step, each by its lease, summary and deliverables: all, or none.

        Where one is refused, the error names it, and nothing has changed: leave it out, and deliver the others. Raises
        errors.TooMany where an item stands twice.
        """
        limits.number(len(deliveries), "number of items", 1, limits.BATCH_STEPS)
        words = [word for delivery in deliveries for word in _delivery(*delivery)]
        view = self._scripts.run_script(
            "complete", len(deliveries), *words, *self._origin
        )
        return tuple(replies.receipt(row) for row in cast("list[Reply]", view))

    def fail(self, lease: Lease, reason: str, *, retry: bool = True) -> Receipt:
        """Give up the attempt: the nack. Delayed while attempts are left and `retry` is wanted, else a dead letter."""
        return self._step(
            "fail",
            lease,
            limits.text(reason, "reason", required=True),
            "1" if retry else "",
        )

    def release(self, lease: Lease, *, reason: str = "", asks: bool = False) -> Receipt:
        """Give the item back to its place in the queue; no attempt is spent.

        With `asks`, an open question stays: the item is blocked, nobody holds it, and its answer gives it back.
        """
        return self._step(
            "release", lease, limits.text(reason, "reason"), "1" if asks else ""
        )

    def renew(self, lease: Lease) -> Receipt:
        """Keep the lease for another full length."""
        return self._step("renew", lease)

    def stray(self, item: str, text: str, *, percent: int | None = None) -> None:
        """Keep a report of an agent that does not hold the item in its history; nothing else changes."""
        done = "" if percent is None else limits.number(percent, "percentage", 0, 100)
        self._scripts.run_script(
            "stray",
            limits.item_id(item),
            limits.text(text, "report"),
            done,
            *self._origin,
        )

    def note(self, item: str, text: str) -> None:
        """Keep a private memo on an item that is assigned to the agent."""
        self._scripts.run_script(
            "note",
            limits.item_id(item),
            limits.text(text, "note", required=True),
            *self._origin,
        )

    def notes(self, item: str) -> tuple[Note, ...]:
        """Return the agent's own notes on an item, oldest first."""
        entries = cast(
            "list[Reply]", self._scripts.run_script("notes", limits.item_id(item))
        )
        return replies.sound(replies.note, entries, self._scripts.damage)

    def _claim(self, view: Reply) -> Claim:
        return replies.claim(view, self._scripts.damage)

    def _step(self, verb: str, lease: Lease, *arguments: Argument) -> Receipt:
        return replies.receipt(self._run(verb, lease, *arguments))

    def _run(self, verb: str, lease: Lease, *arguments: Argument) -> Reply:
        return self._scripts.run_script(
            verb, limits.item_id(lease.item), lease.shown(), *arguments
        )


def _delivery(
    lease: Lease, summary: str, deliverables: Mapping[str, str]
) -> tuple[Argument, ...]:
    delivered = limits.pairs(deliverables, "deliverables")
    return (
        limits.item_id(lease.item),
        lease.shown(),
        limits.text(summary, "summary"),
        delivered,
    )


def _lease(lease_ms: int | None) -> Argument:
    return (
        ""
        if lease_ms is None
        else limits.number(lease_ms, "lease in ms", 1, limits.LONGEST_MS)
    )


def _pause(left_s: float, until_due_ms: str) -> float:
    """Return how long to block: a millisecond past the time, for a server may end a wait that much too early."""
    due_s = int(until_due_ms) / 1000 if until_due_ms else WAIT_PERIOD_S
    return min(left_s, due_s, WAIT_PERIOD_S) + 0.001
