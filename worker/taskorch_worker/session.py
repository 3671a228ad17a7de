"""The verbs of a worker, under the leases that its session keeps."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from taskorch.cli.text import questions
from taskorch.config.settings import Settings, is_gateway
from taskorch.domain import errors, limits
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    Assignments,
    Caller,
    Claim,
    Delivery,
    Lease,
    Receipt,
    SettledReceipt,
    State,
)
from taskorch.domain.usage import NONE, ModelUsage
from taskorch.queue.agent_queue import NO_NOTICE, AgentQueue, ClaimNotice
from taskorch.queue.fields import Damage
from taskorch.queue.port import Connection
from taskorch.queue.requests import Requests

from taskorch_worker import inherited_lease
from taskorch_worker.agent_name import agent_of
from taskorch_worker.lease_store import Workspace

if TYPE_CHECKING:
    from taskorch.domain.acceptance import CheckEvidence
    from taskorch.domain.item import DiscoveryPage, Item, ReviewedItem
    from taskorch.domain.leases import LeaseSlot, LeaseStore
    from taskorch.queue.briefing import AgentBriefing
    from taskorch.queue.wait_results import Answered

    from taskorch_worker.checked_delivery import RequiredChecks

    RunChecks = Callable[[RequiredChecks], tuple[CheckEvidence, ...]]

P = ParamSpec("P")
R = TypeVar("R", bound=Receipt)

#: States without a holder: a lease on such an item is of no more use.
WITHOUT_HOLDER = (
    State.REVIEW,
    State.COMPLETED,
    State.FAILED,
    State.DELAYED,
    State.QUEUED,
    State.WAITING,
    State.PENDING,
)


class AgentSession:
    """One session of an agent: its queue, its workspace and its leases.

    A verb that takes an item acts under the lease that the session keeps on it. Its
    errors are those of `AgentQueue`; errors.Cancelled and errors.NotYours also remove
    the lease.
    """

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        requests: Requests,
        damage: Damage,
        leases: "LeaseStore | None" = None,
    ) -> None:
        """Act as the configured agent. Raises errors.Usage without an agent name.

        Damaged rows are left out of lists and added to `damage`. With `leases`, an agent
        on another machine keeps its leases itself, and nothing is kept here.
        """
        self._settings = settings
        self.caller = Caller(
            agent=agent_of(settings),
            host=os.uname().nodename,
            pid=os.getppid(),
            session=settings.session,
            pools=settings.pools,
        )
        self._open_queue = partial(
            AgentQueue,
            connection,
            settings.namespace,
            requests=requests,
            damage=damage,
        )
        self.queue = self._open_queue(self.caller)
        self.workspace = Workspace(
            settings.folder_path, self.caller.agent, settings.session
        )
        self._is_elsewhere = leases is not None
        #: Gets a sentence when acceptance checks begin.
        self.report_checks: Callable[[str], object] = lambda _: None
        #: Runs acceptance checks, if not the session itself.
        self.run_checks: RunChecks | None = None
        #: Where the session keeps its leases.
        self.store: LeaseStore = leases or inherited_lease.store(
            self.workspace
        )

    def take_from(self, pools: Sequence[str]) -> None:
        """Take items from these pools instead of those of the settings."""
        self.caller = replace(self.caller, pools=limits.pools(pools))
        self.queue = self._open_queue(self.caller)

    def lease(self, item: str) -> Lease:
        """Return the lease on an item; one without a token for an item not held."""
        return self.store.lease(limits.item_id(item))

    def held_elsewhere(self, assigned: Assignments) -> set[str]:
        """Return the ids of assigned items that another session of the agent holds.

        Of an agent on another machine, that is not known.
        """
        if self._is_elsewhere:
            return set()
        return {
            item.id
            for item in assigned.items
            if item.holder and self.lease(item.id).token != item.token
        }

    def adopt_leases(self) -> None:
        """Take over the leases that sessions of ended programs have left in this root.

        A program that was started again goes on with the items of its predecessor.
        """
        from taskorch.config.program_session import ProgramSessions

        sessions = ProgramSessions(self._settings.folder_path)
        self.workspace.adopt(sessions.is_over)

    def prime(self) -> "AgentBriefing":
        """Return what the agent needs in order to continue after a fresh start."""
        return self.queue.prime(self.store.leases())

    def pop(
        self,
        count: int,
        *,
        wait_s: float,
        lease_ms: int | None,
        notice: ClaimNotice = NO_NOTICE,
    ) -> tuple[Claim, ...]:
        """Claim at most `count` items and keep their leases; () if there is no item.

        Raises errors.RunHolds in a command of `worker run`, and errors.OverBudget if a
        budget keeps the agent from the items of its queue.
        """
        self.store.refuse_next_item()
        over: list[errors.OverBudget] = []
        with self.store.reserve(count) as slots:
            claims = self.queue.claim_many(
                count,
                wait_s=wait_s,
                lease_ms=lease_ms,
                notice=notice._replace(over_budget=over.append),
            )
            for slot, claim in zip(slots, claims, strict=False):
                _keep(slot, claim)
        if over and not claims:
            raise over[-1]
        return claims

    def get(
        self, item: str, *, peek: bool, takeover: bool, lease_ms: int | None
    ) -> Claim:
        """Return an item, and claim it if it is queued for this agent.

        `peek` claims nothing. `takeover` claims it from another session of the agent.
        Raises errors.Usage for both.
        """
        if peek and takeover:
            raise errors.Usage(
                reason="peek and takeover exclude each other: peek claims nothing."
            )
        lease = self.lease(item)
        if peek:
            return self.queue.get(lease, peek=True)
        if self.store.inherited and item == self.store.inherited.item:
            takeover = False  # the command of a run holds its item already
        with self.store.reserve() as (slot,):
            claim = self.queue.get(lease, takeover=takeover, lease_ms=lease_ms)
            _keep(slot, claim)
        if claim.lease and _ends_with_answer(claim):
            self._resume(item)
        return claim

    def wait_for_answer(
        self,
        item: str,
        *,
        timeout_s: float,
        question: int = 0,
        notice: Callable[[float], object] = lambda _: None,
    ) -> "Answered":
        """Wait until a question on an item is answered, or for a comment.

        Of an item in review, wait for the decision. Without a `question`, wait for all
        that are open. `notice` receives the seconds that the wait may take, when it
        begins.

        Raises errors.WaitOver if neither arrives within `timeout_s` seconds.
        """
        try:
            lease = self.lease(item)
            answered = self.queue.wait_for_answer(
                lease, timeout_s=timeout_s, question=question, notice=notice
            )
        except errors.Cancelled:
            self.store.forget(item)
            raise
        if answered.item.state is State.REVIEW and not answered.comments:
            raise errors.WaitOver(
                id=item,
                state="in review, without a decision",
                seconds=f"{timeout_s:g}",
            )
        if answered.unanswered and not answered.comments:
            numbers = questions(answered.unanswered)
            state = f"{answered.item.state}, without an answer to {numbers}"
            raise errors.WaitOver(
                id=item, state=state, seconds=f"{timeout_s:g}"
            )
        resumed = None
        if answered.answers and answered.item.state is State.IN_PROGRESS:
            resumed = self._resume(item)
        if resumed:
            return replace(
                answered, comments=resumed.comments, edited=resumed.edited
            )
        if answered.comments:
            self._mark_shown(lease, answered.comments[-1].id)
        return answered

    def progress(
        self,
        item: str,
        text: str,
        *,
        percent: int | None = None,
        used: ModelUsage = NONE,
    ) -> Receipt:
        """Report progress, 0 to 100 percent. Claims an item that is still queued.

        `used` is what was used since the report before.
        """
        return self._report(
            self.queue.progress, item, text, percent=percent, used=used
        )

    def discover(self, item: str, text: str, *, impact: str = "") -> Receipt:
        """Share a discovery with the project. Claims an item that is still queued."""
        return self._report(self.queue.discover, item, text, impact=impact)

    def blocker(self, item: str, text: str, *, needs: str = "") -> Receipt:
        """Ask what blocks the work. Claims an item that is still queued."""
        return self._report(self.queue.blocker, item, text, needs=needs)

    def discoveries(
        self, item: str, *, new: bool, since: str, limit: int
    ) -> "DiscoveryPage":
        """Return discoveries of the project of an item, or of all own items for "".

        They are those after a cursor, the `new` ones, or else the newest. Raises
        errors.Usage for both, and errors.NoOwnItems if the agent has no items.
        """
        if new and since:
            raise errors.Usage(
                reason="new and since exclude each other: new keeps a cursor itself."
            )
        if new:
            page = self.queue.new_discoveries(item, limit=limit)
        else:
            page = self.queue.discoveries(item, since=since, limit=limit)
        if not item and not page.own_projects:
            raise errors.NoOwnItems
        return page

    def withdraw(self, item: str, *, question: int = 0) -> Receipt:
        """Withdraw a question on an item; 0 for the only open one."""
        lease = self.lease(item)
        return self._step(self.queue.withdraw, lease, question=question)

    def comment(self, item: str, text: str) -> Receipt:
        """Comment on an item that the session holds."""
        return self._step(self.queue.comment, self.lease(item), text)

    def note(self, item: str, text: str) -> str:
        """Keep a private note, in the queue and in the workspace.

        Return a message if the workspace cannot be written, else "".
        """
        self.queue.note(item, text)
        if self._is_elsewhere:
            return ""
        try:
            with self.workspace.reserve():
                self.workspace.add_note(item, text)
        except (OSError, errors.RootNotWritable) as error:
            return f"The note is kept in Redis, but not in {item}_notes.md: {error}"
        return ""

    def reviews(self, *, limit: int) -> "tuple[Item, ...]":
        """Return the items of other agents that wait for this one to review them."""
        return self.queue.reviews(limit=limit)

    def accept(self, item: str, text: str) -> "ReviewedItem":
        """Accept an item of another agent, as its reviewer."""
        return self.queue.accept(item, text)

    def send_back(self, item: str, text: str) -> "ReviewedItem":
        """Send an item back to its agent, as its reviewer."""
        return self.queue.send_back(item, text)

    def renew(self, item: str) -> Receipt:
        """Renew the lease for its full duration."""
        lease = self.lease(item)
        return self._step(self.queue.renew, lease)

    def complete(  # noqa: PLR0913  six, which the house style allows
        self,
        item: str,
        summary: str,
        *,
        deliverables: Mapping[str, str],
        evidence: "Sequence[CheckEvidence]" = (),
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Deliver an item; with `next`, claim the next one in the same step.

        Raises errors.NoSummary for a blank summary, and the errors of `ack`.
        """
        if not summary.strip():
            raise errors.NoSummary(item=limits.item_id(item))
        return self.ack(
            item,
            summary,
            deliverables=deliverables,
            evidence=evidence,
            next=next,
            lease_ms=lease_ms,
            used=used,
        )

    def ack(  # noqa: PLR0913  six, which the house style allows
        self,
        item: str,
        summary: str,
        *,
        deliverables: Mapping[str, str],
        evidence: "Sequence[CheckEvidence]" = (),
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Deliver an item as `complete` does, with or without a summary.

        A command of `worker run` delivers its git worktree, too. The acceptance checks
        of the item are run first, by the run of such a command; an agent on another
        machine runs them itself, and gives their results as `evidence`. Raises
        errors.ChecksFailed if one does not pass: the item stays held.
        """
        if evidence and not self._is_elsewhere:
            raise errors.Usage(
                reason="evidence is not for this agent: its checks run here."
            )
        lease = self.lease(item)
        work = inherited_lease.work_on(lease, deliverables)
        if work:
            deliverables = work.deliverables(deliverables)
        delivery = Delivery(
            summary=summary,
            deliverables=deliverables,
            evidence=tuple(evidence),
            used=used,
        )
        if next:
            self.store.refuse_next_item()

        def deliver(lease: Lease, delivery: Delivery) -> SettledReceipt:
            step = partial(self.queue.deliver, delivery=delivery)
            if next:
                return self._settle_and_claim(step, lease, lease_ms)
            return self._step(step, lease)

        try:
            return deliver(lease, delivery)
        except errors.Unchecked as refusal:
            if self._is_elsewhere:
                raise
            lease = self._held_lease(lease)
            shown = self._evidence(lease, refusal)
            return deliver(lease, replace(delivery, evidence=shown))
        except errors.RunCompletes as refusal:
            self._evidence(lease, refusal)
            return self._deliver_to_run(refusal, summary, deliverables)

    def _held_lease(self, lease: Lease) -> Lease:
        """Return the lease on an item, which is claimed if it is only queued.

        A budget that is used up keeps it from being claimed, but not from being completed.
        """
        if not lease.token:
            with suppress(errors.OverBudget):
                self.get(lease.item, peek=False, takeover=False, lease_ms=None)
        return self.lease(lease.item)

    def _evidence(
        self, lease: Lease, refusal: errors.TaskOrchestratorError
    ) -> "tuple[CheckEvidence, ...]":
        """Run the checks that a refused completion names, and return their results."""
        # most items have no checks, and their commands end sooner without it
        from taskorch_worker import checked_delivery

        required = checked_delivery.required_by(refusal, lease, self._settings)
        try:
            if self.run_checks:
                return self.run_checks(required)
            return checked_delivery.evidence(
                self.queue, required, self.report_checks
            )
        except (errors.Cancelled, errors.NotYours):
            self.store.forget(lease.item)
            raise

    def _deliver_to_run(
        self,
        refusal: errors.RunCompletes,
        summary: str,
        deliverables: Mapping[str, str],
    ) -> SettledReceipt:
        """Leave a delivery to the run of this command, which completes the item."""
        from taskorch_worker import checked_delivery

        receipt = self.renew(str(refusal.details["item"]))
        return checked_delivery.deliver_to_run(
            refusal, receipt, summary, deliverables
        )

    def fail(  # noqa: PLR0913  six, which the house style allows
        self,
        item: str,
        reason: str,
        *,
        retry: bool,
        next: bool = False,  # noqa: A002
        lease_ms: int | None = None,
        used: ModelUsage = NONE,
    ) -> SettledReceipt:
        """Give up the attempt; with `next`, claim the next item in the same step.

        Without `retry`, the item becomes a dead letter.
        """
        lease = self.lease(item)
        work = inherited_lease.work_on(lease)
        if work:
            reason = work.added_to(reason)
        step = partial(self.queue.fail, reason=reason, retry=retry, used=used)
        if next:
            return self._settle_and_claim(step, lease, lease_ms)
        return self._step(step, lease)

    def release(self, item: str, *, reason: str) -> Receipt:
        """Return an item to its queue; no attempt is spent."""
        return self.release_claim(self.lease(item), reason=reason)

    def release_claim(self, lease: Lease, *, reason: str) -> Receipt:
        """Return the item of one claim to its queue, not that of a later claim."""
        return self._step(self.queue.release, lease, reason=reason)

    def identity(self) -> dict[str, object]:
        """Return the agent, its queue, and the source of each setting."""
        from taskorch.transport import address

        settings = self._settings
        has_gateway = is_gateway(settings.redis_url)
        url = "gateway_url" if has_gateway else "redis_url"
        sources = {
            **settings.sources,
            "host": "this machine",
            "pid": "the process that called",
            url: settings.sources["redis_url"],
        }
        return {
            "agent": self.caller.agent,
            "session": self.caller.session,
            "host": self.caller.host,
            "pid": self.caller.pid,
            url: address.redacted(address.url_of(settings)),
            "redis_password": "***" if settings.redis_password else "",
            "access_token": "***" if settings.access_token else "",
            "wait_replicas": settings.wait_replicas,
            "wait_timeout": f"{settings.wait_timeout_ms}ms",
            "retention": f"{settings.retention_ms}ms"
            if settings.retention_ms
            else "off",
            "namespace": settings.namespace,
            "pools": ",".join(settings.pools or ()),
            "root": settings.root_path,
            "service": "on" if settings.service else "off",
            "orchestrator": settings.orchestrator,
            "sources": sources,
        }

    def _report(
        self,
        verb: Callable[Concatenate[Lease, P], Receipt],
        item: str,
        /,
        *arguments: P.args,
        **options: P.kwargs,
    ) -> Receipt:
        """Run a verb that claims the item if it is queued, and keep the lease then."""
        lease = self.lease(item)
        if lease.token:
            return self._step(verb, lease, *arguments, **options)
        with self.store.reserve() as (slot,):
            receipt = verb(lease, *arguments, **options)
            slot.keep(receipt.lease)
        return receipt

    def _step(
        self,
        verb: Callable[Concatenate[Lease, P], R],
        lease: Lease,
        /,
        *arguments: P.args,
        **options: P.kwargs,
    ) -> R:
        """Run a verb of the holder; remove the lease of an item without a holder.

        It reserves no disk space: an item can be delivered when the disk is full.
        """
        try:
            receipt = verb(lease, *arguments, **options)
        except (errors.Cancelled, errors.NotYours):
            self.store.forget(lease.item)
            raise
        if receipt.state in WITHOUT_HOLDER:
            self.store.forget(lease.item)
        return receipt

    def _mark_shown(self, lease: Lease, comment: str) -> None:
        """Renew the lease, after which the comments of a wait are no longer new.

        Later comments are left to the next step. After a failure, all of them stay new:
        they are shown twice, and not lost.
        """
        with suppress(errors.TaskOrchestratorError):
            self.queue.renew(lease, leaves_news=True, shown=comment)

    def _settle_and_claim(
        self,
        step: Callable[..., SettledReceipt],
        lease: Lease,
        lease_ms: int | None,
    ) -> SettledReceipt:
        """Settle an item, claim the next one, and keep its lease.

        Without disk space for that lease, the step only settles the item, and then
        raises errors.NextNotClaimed. Raises errors.RunHolds in a command of `worker
        run`, before anything is changed.
        """
        self.store.refuse_next_item()
        with ExitStack() as reserved:
            try:
                (slot,) = reserved.enter_context(self.store.reserve())
            except errors.RootNotWritable as error:
                state = self._step(step, lease).state
                raise errors.NextNotClaimed(
                    item=lease.item, state=state, reason=str(error)
                ) from None
            receipt = self._step(step, lease, next=True, lease_ms=lease_ms)
            if receipt.next:
                _keep(slot, receipt.next)
        return receipt

    def _resume(self, item: str) -> Receipt | None:
        """Report that a command of `worker run` has read the answer on its item.

        Otherwise the run would give the item to the command again. The receipt has what
        is new to the holder. Return None outside of a run.
        """
        inherited = self.store.inherited
        if inherited and inherited.item == item:
            return self.queue.progress(inherited, "Continues with the answer.")
        return None


def _keep(slot: "LeaseSlot", claim: Claim) -> None:
    if claim.lease:
        slot.keep(claim.lease)


def _ends_with_answer(claim: Claim) -> bool:
    """Return whether the newest report of the work is an answer that lets it continue."""
    if claim.package.item.state is not State.IN_PROGRESS:
        return False
    for report in reversed(claim.package.history):
        if report.kind in ("progress", "blocker", "answer", "withdraw"):
            return report.kind == "answer"
    return False
