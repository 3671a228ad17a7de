"""The queue as one agent sees it: only the verbs of a worker."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from time import monotonic, time_ns
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, cast

from taskorch.domain import errors, limits
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.backoff import Notify
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    Assignments,
    Caller,
    Claim,
    Delivery,
    Item,
    Lease,
    Note,
    Receipt,
    ReviewedItem,
    SettledReceipt,
)
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.queue import replies
from taskorch.queue.fields import Damage, readable
from taskorch.queue.port import Argument, Connection, Reply
from taskorch.queue.requests import Requests
from taskorch.queue.scripts import Scripts
from taskorch.tracing import switch as tracing

if TYPE_CHECKING:
    from taskorch.domain.acceptance import CheckEvidence
    from taskorch.domain.item import DiscoveryPage
    from taskorch.domain.mirror_record import Origin
    from taskorch.domain.short_id import Candidate, ShortId
    from taskorch.queue.briefing import AgentBriefing
    from taskorch.queue.wait_results import Answered

#: A wake token is lost if its taker dies before it claims, so a waiter looks again
#: after this time.
WAIT_PERIOD_S = 60.0
#: What a claim returns if another one may find an item: more was due than one call
#: handles, or items of a closing project are in front of it.
NOW = "0"
#: What a claim returns in place of a wait if an earlier copy of it has ended the wait.
OVER = "over"
#: Looks of a claim that follow each other immediately.
MOST_LOOKS = 100
CHECK_LIMIT = 20
#: The number of held items, and of queued items, that `prime` returns.
PRIME_LIMIT = 3
DISCOVERIES_LIMIT = 50
REVIEWS_LIMIT = 20
NOT_STARTED = "The worker did not start on it."
#: What items have used, if that is not known.
NOTHING: Mapping[str, ModelUsage] = {}


class ClaimNotice(NamedTuple):
    """The callbacks of a waiting claim."""

    #: Receives the seconds that the wait may take, when it begins.
    wait: Callable[[float], object]
    #: Receives each failure in an outage, and None after each success.
    outage: Notify
    #: Receives the error for a budget that keeps the agent from an item, each time.
    over_budget: Callable[[errors.OverBudget], object] = lambda _: None


NO_NOTICE = ClaimNotice(wait=lambda _: None, outage=lambda _: None)


class AgentQueue:
    """The queue of one agent: one method per verb, one script per method.

    A method that takes a `Lease` checks its token first, and changes nothing if it
    raises errors.NoItem, errors.NotYours (assigned to another agent), errors.Cancelled,
    errors.LeaseLost (a newer claim, or given up), errors.Held (no token, and another
    session holds the item) or errors.WrongState. A successful step renews the lease. An
    expired lease still works until another session claims the item.
    """

    def __init__(  # noqa: PLR0913  six, which the house style allows
        self,
        connection: Connection,
        namespace: str,
        caller: Caller,
        *,
        requests: Requests | None = None,
        origin: "Origin | None" = None,
        damage: Damage | None = None,
    ) -> None:
        """Open a namespace for `caller`, the agent.

        `requests` gives each call its id. With an `origin`, a report or note is marked
        as the one of that entry of a file, and made once. Damaged rows of lists are
        left out and added to `damage`. Raises errors.Invalid for a bad name.
        """
        limits.name(namespace, "a namespace")
        limits.name(caller.agent, "an agent")
        limits.session(caller.session)
        self._origin: tuple[Argument, ...] = ()
        if origin:
            requests = Requests(same=origin.request)
            written_at = ("written_at", origin.written_at)
            self._origin = (*written_at, "made_at", origin.at or "")
        self._scripts = Scripts(
            connection, namespace, caller, requests=requests, damage=damage
        )
        self._run_script = self._scripts.run_script
        self._damage = self._scripts.damage

    @property
    def connection(self) -> Connection:
        """The connection to Redis."""
        return self._scripts.connection

    def report_upgrade(self, notify: Callable[[str], object]) -> None:
        """Have a call that takes long send a sentence to `notify`.

        That is the first call in a namespace of an earlier version, which upgrades it.
        """
        self._scripts.notify = notify

    @property
    def namespace(self) -> str:
        """The name of the namespace."""
        return self._scripts.namespace

    def over(self, connection: Connection) -> "AgentQueue":
        """Return the queue of the same agent over another connection."""
        scripts = self._scripts
        return AgentQueue(
            connection, scripts.namespace, scripts.caller, damage=self._damage
        )

    def find(self, short: "ShortId") -> str:
        """Return the id that begins with these digits.

        Raises errors.NoItem, errors.NoProject and errors.AmbiguousId.
        """
        from taskorch.queue import short_ids

        return short_ids.whole_id(self._run_script, short)

    def candidates(
        self, short: "ShortId", *, limit: int
    ) -> "tuple[Candidate, ...]":
        """Return items of the agent whose ids begin with these digits.

        They are those that it holds and those that are ready for it.
        """
        from taskorch.queue import short_ids

        return short_ids.candidates(
            self._run_script,
            short,
            limit=limits.number(limit, "limit", 1, limits.SHOWN_ITEMS),
            agent=self._scripts.caller.agent,
        )

    def check(self, *, limit: int = CHECK_LIMIT) -> Assignments:
        """Return up to `limit` assigned items that are ready, held items first."""
        view = self._run_script(
            "check", limits.number(limit, "limit", 1, limits.SHOWN_ITEMS)
        )
        return replies.assignments(
            self._scripts.caller.agent, view, self._damage
        )

    def prime(
        self, leases: Sequence[Lease] = (), *, limit: int = PRIME_LIMIT
    ) -> "AgentBriefing":
        """Return what the agent needs to continue; change nothing.

        These are the items that it holds, with reports and notes, and its queue, at
        most `limit` of each, and at most 20 that it holds. `leases` are those of the
        caller, at most 200.
        """
        from taskorch.queue.briefing import briefing

        limits.number(len(leases), "number of leases", 0, limits.LIST_VALUES)
        tokens = [
            (limits.item_id(lease.item), lease.shown()) for lease in leases
        ]
        limit = limits.number(limit, "limit", 1, limits.SHOWN_ITEMS)
        view = self._run_script("prime", limit, json.dumps(tokens))
        return briefing(
            self._scripts.caller, self._scripts.namespace, view, self._damage
        )

    def discoveries(
        self,
        item: str = "",
        *,
        since: str = "",
        limit: int = DISCOVERIES_LIMIT,
    ) -> "DiscoveryPage":
        """Return the discoveries of the project of an item, after a cursor.

        Without an item, they are those of the projects of the items that the agent holds
        or has queued; without a cursor, the newest.
        """
        from taskorch.queue import discoveries

        target = limits.item_id(item) if item else discoveries.OWN
        return discoveries.in_order(self._scripts, target, since, limit)

    def new_discoveries(
        self, item: str = "", *, limit: int = DISCOVERIES_LIMIT
    ) -> "DiscoveryPage":
        """Return the discoveries that the agent has not read yet, of the same projects.

        They count as read from now on.
        """
        from taskorch.queue import discoveries

        target = limits.item_id(item) if item else discoveries.OWN
        return discoveries.new(
            self._scripts, discoveries.WORKER, target, limit
        )

    def claim(
        self, *, wait_s: float = 0, lease_ms: int | None = None
    ) -> Claim | None:
        """Claim the first item of the agent's queue.

        Wait up to `wait_s` seconds for one, then return None. `lease_ms` is the lease
        duration, if not that of the item. A waiter blocks on a wake token. It only
        looks by itself when a lease or a delay in the namespace ends. Under a budget that is
        used up, it waits like that until the budget is raised, or the day ends.
        """
        claims = self.claim_many(1, wait_s=wait_s, lease_ms=lease_ms)
        return claims[0] if claims else None

    def claim_many(
        self,
        count: int,
        *,
        wait_s: float = 0,
        lease_ms: int | None = None,
        notice: ClaimNotice = NO_NOTICE,
    ) -> tuple[Claim, ...]:
        """Claim the first items of the agent's queue, at most `count`.

        `count` is 1 to 100; one step claims at most 16. Each is claimed as by `claim`.
        Wait up to `wait_s` seconds for the first item only, then return (). The wait
        survives an outage of Redis that ends before its time; only the first look raises
        errors.Unavailable immediately. If Redis is unreachable between two steps, return
        what was claimed by then. With Requests(same=…), it is one step: a repeat returns
        its items, as far as the caller still holds them, and no others.
        """
        limits.number(count, "number of items", 1, limits.CLAIMS)
        asked = min(count, limits.BATCH_STEPS)
        duration = _lease(lease_ms)
        claims = part = self._claim_some(asked, duration, wait_s, notice)
        if self._scripts.has_one_request:
            return claims
        with suppress(errors.Unavailable):
            while len(part) == asked and len(claims) < count:
                asked = min(count - len(claims), limits.BATCH_STEPS)
                part = self._claim_some(asked, duration, 0, notice)
                claims += part
        return claims

    def _claim_some(
        self,
        count: int,
        duration: Argument,
        wait_s: float,
        notice: ClaimNotice,
    ) -> tuple[Claim, ...]:
        """Claim the first items in one step, after a wait for the first of them."""
        deadline = monotonic() + limits.seconds(wait_s, "wait_s")
        is_first_look, looks = True, 1
        while True:
            left_s = deadline - monotonic()
            words = ("claim", duration, self._next_look(left_s), count)
            started_ns = time_ns()
            if is_first_look:
                reply = self._run_script(*words)
            else:
                reply = self._scripts.run_through_outages(
                    *words, seconds=left_s, notify=notice.outage
                )
            views, due_ms, over = cast(
                "tuple[list[Reply], str, list[str]]", reply
            )
            claims = self._held(views, started_ns)
            _note_budget(over, notice)
            if claims or self._has_ended(views, due_ms):
                return claims
            if views:
                # a repeated request, whose items the caller no longer holds; or damage
                continue
            if due_ms == NOW and looks < MOST_LOOKS:
                looks += 1
                continue
            if left_s <= 0:
                return ()
            if is_first_look:
                notice.wait(left_s)
                is_first_look = False
            due_s = int(due_ms) / 1000 if due_ms else WAIT_PERIOD_S
            # a server may end a block up to a millisecond early
            block_s = min(left_s, due_s, WAIT_PERIOD_S) + 0.001
            try:
                self._scripts.wait_for_wake(
                    block_s, leaves_pools=_may_claim_nothing(over)
                )
            except errors.Unavailable as outage:
                if not outage.retryable:
                    raise
                notice.outage(outage)

    def _has_ended(self, views: Sequence[Reply], due_ms: str) -> bool:
        """Return whether an earlier copy of a claim has got all that there was."""
        return due_ms == OVER or (bool(views) and self._scripts.is_repeatable)

    def _next_look(self, left_s: float) -> str:
        """Return what a claim says of the look after it."""
        if left_s <= 0:
            return "1"
        return "again" if self._scripts.has_one_request else ""

    def pass_wake_on(self) -> None:
        """Claim nothing, and wake another session that waits, if there is an item.

        A wait that was broken off may have taken the wake token of that item.
        """
        self._run_script("claim", "", "1", 0)

    def get(
        self,
        lease: Lease,
        *,
        peek: bool = False,
        takeover: bool = False,
        lease_ms: int | None = None,
    ) -> Claim:
        """Return an item with its package, and claim it if it is queued for the agent.

        `peek` never claims. `takeover` takes the item from another session of the agent
        and revokes that lease. The lease of the result is None if the caller cannot
        work on the item now, for example because it waits or is completed.
        """
        mode = "claim"
        if takeover:
            mode = "takeover"
        if peek:
            mode = "peek"
        started_ns = time_ns()
        claim = self._claim(
            self._run(
                "get",
                lease,
                mode,
                _lease(lease_ms),
            )
        )
        if claim.lease and claim.lease.token != lease.token:
            self._note_received([claim], started_ns)
        return claim

    def progress(
        self,
        lease: Lease,
        text: str,
        *,
        percent: int | None = None,
        used: ModelUsage = NONE,
    ) -> Receipt:
        """Report progress, 0 to 100 percent. A blocked item is in progress again.

        `used` is what was used since the report before.
        """
        text = limits.text(text, "report", required=True)
        return self._step(
            "progress",
            lease,
            text,
            _percent(percent),
            _packed(used),
            *self._origin,
        )

    def add_usage(self, lease: Lease, used: ModelUsage) -> None:
        """Add what a claim has used, even after it has ended.

        Raises errors.LeaseLost if the item was claimed again since then.
        """
        self._run("add_usage", lease, _packed(used))

    def wait_for_answer(
        self,
        lease: Lease,
        *,
        timeout_s: float,
        question: int = 0,
        notice: Callable[[float], object] = lambda _: None,
    ) -> "Answered":
        """Wait until a question on an item is answered, at most `timeout_s` seconds.

        Without a `question`, wait for all that are open. Return immediately if none is
        open. Raises errors.NoQuestion for a number that was not asked; errors.Cancelled,
        errors.LeaseLost or errors.NotYours as soon as the caller no longer holds the
        item. `notice` receives the seconds that the wait may take, when it begins.
        """
        from taskorch.queue.waits import Waits

        return Waits(self._scripts).answer(
            lease, timeout_s=timeout_s, question=question, notice=notice
        )

    def discover(
        self, lease: Lease, text: str, *, impact: str = ""
    ) -> Receipt:
        """Share a discovery with the project; the receipt's `entry` is its cursor."""
        text = limits.text(text, "discovery", required=True)
        impact = limits.text(impact, "impact")
        return self._step(
            "discover",
            lease,
            text,
            impact,
            *self._origin,
        )

    def blocker(self, lease: Lease, text: str, *, needs: str = "") -> Receipt:
        """Ask the orchestrator a question, and say what would answer it.

        The receipt has the number of the question. It stays open until it is answered
        or withdrawn, or the item is completed or cancelled. The same question keeps
        its number. The item is blocked until its last open question is answered or
        withdrawn, or its holder reports progress; a blocked item has no lease that can
        expire. Raises errors.TooMany if ten questions are open.
        """
        text = limits.text(text, "blocker", required=True)
        needs = limits.text(needs, "need")
        return self._step(
            "blocker",
            lease,
            text,
            needs,
            *self._origin,
        )

    def withdraw(self, lease: Lease, *, question: int = 0) -> Receipt:
        """Withdraw a question that needs no answer any more; 0 for the only open one.

        With the last one, a blocked item is in progress again. Raises
        errors.NoQuestion, or errors.SeveralQuestions without a number.
        """
        return self._step("withdraw", lease, limits.question(question))

    def comment(self, lease: Lease, text: str) -> Receipt:
        """Comment on the item, for the orchestrator and the item's next holder.

        It asks nothing and changes no state: a blocked item stays blocked. Only the
        holder may comment: it does not claim a queued item.
        """
        text = limits.text(text, "comment", required=True)
        return self._step("agent_comment", lease, text)

    def complete(  # noqa: PLR0913  six, which the house style allows
        self,
        lease: Lease,
        summary: str = "",
        *,
        deliverables: Mapping[str, object] | None = None,
        evidence: "Sequence[CheckEvidence]" = (),
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Complete the item with its deliverables (the ack).

        A deliverable that is not a text, such as a number, becomes JSON text. The
        `evidence` has the results of the item's acceptance checks in their order, as
        `acceptance.CheckRunner` returns them. Raises errors.Unchecked without it, and
        errors.ChecksFailed for a check that did not pass.

        With `next`, claim the agent's next item in the same step, under a lease of
        `lease_ms` if that is given; the receipt's `next` is None if none is ready. A
        repeat with the same content changes nothing, and the receipt's `remark` is then
        "repeat". Raises errors.AlreadyCompleted for a repeat with other content.
        `used` is what was used since the report before; a repeat does not count it again.
        """
        delivery = Delivery(
            summary=summary,
            deliverables=deliverables or {},
            evidence=tuple(evidence),
            used=used,
        )
        return self.deliver(lease, delivery, next=next, lease_ms=lease_ms)

    def deliver(
        self,
        lease: Lease,
        delivery: Delivery,
        *,
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
    ) -> SettledReceipt:
        """Complete the item as `complete` does."""
        (receipt,), claims = self._complete(
            [(lease, delivery)], (*_next(next=next, lease_ms=lease_ms), "")
        )
        return _with_next(receipt, claims)

    def complete_many(
        self,
        deliveries: Sequence[tuple[Lease, str, Mapping[str, object]]],
        *,
        evidence: "Mapping[str, Sequence[CheckEvidence]]" = MappingProxyType(
            {}
        ),
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: Mapping[str, ModelUsage] = NOTHING,
    ) -> tuple[SettledReceipt, ...]:
        """Complete 1 to 16 items in one step: all, or none.

        Each delivery is a lease, a summary and deliverables; by the item, `evidence` has
        the results of acceptance checks, and `used` what was used since its report
        before. An error names the item;
        leave that one out and complete the others. With `next`, the last receipt has
        the next item, as in `complete`. Raises errors.TooMany for an item that is given
        twice.
        """
        limits.batch_steps(len(deliveries))
        whole = [
            (
                lease,
                Delivery(
                    summary=summary,
                    deliverables=deliverables,
                    evidence=tuple(evidence.get(lease.item, ())),
                    used=used.get(lease.item, NONE),
                ),
            )
            for lease, summary, deliverables in deliveries
        ]
        receipts, claims = self._complete(
            whole, (*_next(next=next, lease_ms=lease_ms), "")
        )
        *others, last = receipts
        return *others, _with_next(last, claims)

    def complete_and_claim(
        self,
        lease: Lease,
        delivery: Delivery,
        *,
        count: int,
        lease_ms: int | None = None,
        asks: bool = False,
    ) -> tuple[SettledReceipt, tuple[Claim, ...]]:
        """Complete an item, and claim up to `count` of the next ones in the same step.

        This is a step of a worker's loop. `count` is 0 to 16, and `lease_ms` is that
        of `claim`. With `asks`, a blocked item keeps its question: errors.WrongState is
        raised. After errors.NotReplicated the caller holds none of the next items.
        """
        limits.number(count, "number of items", 0, limits.BATCH_STEPS)
        options = (count or "", _lease(lease_ms), "1" if asks else "")
        (receipt,), claims = self._complete([(lease, delivery)], options)
        return receipt, claims

    def fail(  # noqa: PLR0913  six, which the house style allows
        self,
        lease: Lease,
        reason: str,
        *,
        retry: bool = True,
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Give up the attempt (the nack).

        The item is delayed if attempts are left and `retry` is true. Otherwise it
        becomes a dead letter. `next`, `lease_ms` and `used` are those of `complete`.
        """
        reason = limits.text(reason, "reason", required=True)
        started_ns = time_ns()
        try:
            with self._settling([lease], AttemptEnd.FAILED):
                view = self._run(
                    "fail",
                    lease,
                    reason,
                    "1" if retry else "",
                    *_next(next=next, lease_ms=lease_ms),
                    _packed(used),
                )
        except errors.NotReplicated as shortfall:
            if next:
                self._give_back_claims(shortfall)
            raise
        if not next:
            return replies.settled(view, self._damage)
        settled, claims = cast("tuple[Reply, list[Reply]]", view)
        return _with_next(
            replies.settled(settled, self._damage),
            self._held(claims, started_ns),
        )

    def release(
        self, lease: Lease, *, reason: str = "", asks: bool = False
    ) -> Receipt:
        """Return the item to its place in the queue, without using up an attempt.

        With `asks`, a blocked item stays blocked, without a holder: the answer queues
        it again.
        """
        reason = limits.text(reason, "reason")
        with self._settling([lease], AttemptEnd.RELEASED):
            return self._step(
                "release",
                lease,
                reason,
                "1" if asks else "",
            )

    def reviews(self, *, limit: int = REVIEWS_LIMIT) -> tuple[Item, ...]:
        """Return the items that wait for the agent as their reviewer, oldest first."""
        from taskorch.queue import reviews

        limits.number(limit, "limit", 1, limits.SHOWN_ITEMS)
        return reviews.waiting(self._scripts, limit, as_agent=True)

    def accept(self, item: str, text: str = "") -> ReviewedItem:
        """Complete an item of another agent, as its reviewer.

        What waited for it is queued. Accepting a completed item changes nothing. Raises
        errors.NotReviewer, errors.OwnWork, and errors.WrongState for an item that is
        not in review.
        """
        from taskorch.queue import reviews

        return reviews.accept(self._scripts, item, text, as_agent=True)

    def send_back(self, item: str, text: str) -> ReviewedItem:
        """Return an item to the queue of its agent, as its reviewer.

        Its next claim shows the text first, and no attempt is used up. Raises the
        errors of `accept`.
        """
        from taskorch.queue import reviews

        return reviews.send_back(self._scripts, item, text, as_agent=True)

    def renew(
        self, lease: Lease, *, leaves_news: bool = False, shown: str = ""
    ) -> Receipt:
        """Renew the lease for its full duration.

        With `leaves_news`, new comments and edits are left to the next step of the
        holder. `shown` is the id of the newest comment that a wait has shown to it: that
        one, and older ones, are no longer new.
        """
        return self._step(
            "renew",
            lease,
            "1" if leaves_news else "",
            limits.cursor(shown) if shown else "",
        )

    def stray(
        self, item: str, text: str, *, percent: int | None = None
    ) -> None:
        """Add a report of an agent that does not hold the item to its history."""
        limits.item_id(item)
        text = limits.text(text, "report")
        self._run_script(
            "stray",
            item,
            text,
            _percent(percent),
            *self._origin,
        )

    def note(self, item: str, text: str) -> None:
        """Add a private note to an item that is assigned to the agent."""
        limits.item_id(item)
        text = limits.text(text, "note", required=True)
        self._run_script(
            "note",
            item,
            text,
            *self._origin,
        )

    def notes(self, item: str) -> tuple[Note, ...]:
        """Return the agent's notes on an item, oldest first."""
        limits.item_id(item)
        found: list[Reply] = []
        last, more = "", "1"
        while more:
            reply = self._run_script("notes", item, last)
            entries, more = cast("tuple[list[list[Reply]], str]", reply)
            found += entries
            last = str(entries[-1][0]) if entries else ""
        return readable(replies.note, found, self._damage)

    def _resume(self) -> None:
        """Finish what a call has left, as `reviews.resume` does."""
        from taskorch.queue import reviews

        reviews.resume(self._scripts)

    def _complete(
        self,
        deliveries: Sequence[tuple[Lease, Delivery]],
        options: tuple[Argument, Argument, Argument],
    ) -> tuple[tuple[SettledReceipt, ...], tuple[Claim, ...]]:
        """Run `complete` with its first three arguments; return what it claimed, too."""
        words: list[Argument] = []
        for lease, delivery in deliveries:
            words += (limits.item_id(lease.item), lease.shown())
            words.append(limits.text(delivery.summary, "summary"))
            words.append(
                limits.pairs(
                    delivery.deliverables, "deliverables", "deliverables"
                )
            )
            words += (_evidence(delivery), _packed(delivery.used))
        limits.batch_size(words)
        leases = [lease for lease, _ in deliveries]
        started_ns = time_ns()
        try:
            with self._settling(leases, AttemptEnd.COMPLETED):
                view = self._run_script(
                    "complete",
                    *options,
                    len(deliveries),
                    *words,
                    *self._origin,
                )
        except errors.NotReplicated as shortfall:
            self._give_back_claims(shortfall)
            raise
        settled, claims, is_left = cast(
            "tuple[list[Reply], list[Reply], str]", view
        )
        if is_left and not self._origin:
            self._resume()
        completed = partial(replies.completed, damage=self._damage)
        held = self._held(claims, started_ns)
        return tuple(map(completed, settled)), held

    def _give_back_claims(self, shortfall: errors.NotReplicated) -> None:
        """Release what a step has claimed with its settling: its caller gets an error."""
        _, claims, *_ = cast("list[list[Reply]]", shortfall.reply)
        for claim in self._held(claims, time_ns()):
            with suppress(errors.TaskOrchestratorError):
                if claim.lease:
                    self.release(claim.lease, reason=NOT_STARTED)

    def _held(self, claims: list[Reply], started_ns: int) -> tuple[Claim, ...]:
        """Return the claims of a reply to a call that began at a time.

        A repeated request may return some that the caller no longer holds.
        """
        found = readable(self._claim, claims, self._damage)
        held = tuple(claim for claim in found if claim.lease)
        self._note_received(held, started_ns)
        return held

    def _note_received(self, claims: Sequence[Claim], started_ns: int) -> None:
        if not tracing.tracer():
            return
        from taskorch.queue import spans

        scripts = self._scripts
        spans.received(
            scripts.namespace, scripts.caller.agent, claims, started_ns
        )

    def _settling(
        self, leases: Sequence[Lease], end: AttemptEnd
    ) -> AbstractContextManager[None]:
        """Return a block that ends claims, for its spans."""
        if not tracing.tracer():
            return nullcontext()
        from taskorch.queue import spans

        def look(item: str) -> Item:
            # with request ids of its own: they are for the step in the block
            own = self.over(self.connection)
            return own.get(Lease(item=item), peek=True).package.item

        return spans.settling(self._scripts.namespace, look, leases, end)

    def _claim(self, view: Reply) -> Claim:
        return replies.claim(view, self._damage)

    def _step(self, verb: str, lease: Lease, *arguments: Argument) -> Receipt:
        return self._receipt(self._run(verb, lease, *arguments))

    def _receipt(self, view: Reply) -> Receipt:
        return replies.receipt(view, self._damage)

    def _run(self, verb: str, lease: Lease, *arguments: Argument) -> Reply:
        item = limits.item_id(lease.item)
        return self._run_script(
            verb,
            item,
            lease.shown(),
            *arguments,
        )


def _may_claim_nothing(over: Sequence[str]) -> bool:
    """Return whether a budget, that of the agent or of all, keeps it from every item."""
    return bool(over) and not over[0].startswith("project:")


def _note_budget(words: Sequence[str], notice: ClaimNotice) -> None:
    """Report the budget that has kept a claim from an item, if one has."""
    if words:
        notice.over_budget(replies.over_budget(words))


def _with_next(
    receipt: SettledReceipt, claims: Sequence[Claim]
) -> SettledReceipt:
    return replace(receipt, next=claims[0]) if claims else receipt


def _next(
    *,
    next: bool,  # noqa: A002
    lease_ms: int | None,
) -> tuple[Argument, Argument]:
    return "1" if next else "", _lease(lease_ms)


def _evidence(delivery: Delivery) -> str:
    if not delivery.evidence:
        return ""
    # few items have checks, and short commands begin sooner without their rules
    from taskorch.domain.acceptance_rules import evidence_of

    return evidence_of(delivery.evidence)


def _packed(used: ModelUsage) -> str:
    if used.is_empty and not used.model:
        return ""
    # few reports have used anything, and short commands begin sooner without the rules
    from taskorch.domain.usage_rules import packed

    return packed(used)


def _lease(lease_ms: int | None) -> Argument:
    if lease_ms is None:
        return ""
    return limits.number(lease_ms, "lease in ms", 1, limits.LONGEST_MS)


def _percent(percent: int | None) -> Argument:
    if percent is None:
        return ""
    return limits.number(percent, "percentage", 0, 100)
