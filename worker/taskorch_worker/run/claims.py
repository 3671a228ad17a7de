"""The claims of a worker pool: each slot asks for its next item here.

A slot first looks for an item, for the idle time of the run at most. Without one it
rests: it waits without a limit, because the commands of other slots may create items.
When all slots rest, the run is over.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from threading import Lock

from taskorch.config import files
from taskorch.domain import errors
from taskorch.domain.item import Claim, Delivery, Lease, Receipt
from taskorch.domain.leases import LeaseSlot
from taskorch.queue.agent_queue import NO_NOTICE, NOT_STARTED, AgentQueue
from taskorch.queue.port import Connection

from taskorch_worker.inherited_lease import handed_down
from taskorch_worker.run.context import PoolContext


class Claims:
    """The source of items for the slots of a pool."""

    def __init__(
        self,
        context: PoolContext,
        *,
        looking: Connection,
        resting: Connection,
        on_idle: Callable[[], object],
    ) -> None:
        """Claim on two connections: of slots that look for an item, and that rest.

        `on_idle` is called when all slots rest.
        """
        self._context = context
        self._options = context.options
        self._looking = looking
        self._resting = resting
        self._on_idle = on_idle
        namespace, caller = context.settings.namespace, context.caller
        self._looking_queue = AgentQueue(looking, namespace, caller)
        self._resting_queue = AgentQueue(resting, namespace, caller)
        self._lock = Lock()
        #: The number of resting slots.
        self._idle = 0
        #: The budget that has kept the run from work, and those that it has named.
        self.over_budget: errors.OverBudget | None = None
        self._budgets: set[object] = set()
        #: The connections that no slot may use any more.
        self._closed: Sequence[Connection] = ()

    def next(self) -> Claim | None:
        """Claim the next item of a slot, and keep its token in the workspace.

        Return None when a slot that takes one item at most finds none. Raises
        ConnectionClosed when the slot must end, errors.RootNotWritable for a token that
        cannot be kept, and errors.Unavailable when Redis stays unreachable for the idle
        time.
        """
        outage = None
        try:
            claim = self._claim(self._looking_queue, self._options.idle_s)
            if claim or self._options.once:
                return claim
        except errors.Unavailable as error:
            if self._options.once:
                raise
            outage = error
        with self._rest(outage):
            return self._claim(self._resting_queue, inf)

    def complete_and_claim(
        self, lease: Lease, delivery: Delivery
    ) -> tuple[Receipt, Claim | None]:
        """Complete an item and claim the next one of its slot in the same step.

        Claim nothing if the slot is not going on, or its token could not be kept.
        """
        context = self._context
        count = 0 if self._must_not_claim() else 1
        with ExitStack() as reserved:
            try:
                slots = reserved.enter_context(
                    context.workspace.reserve(count)
                )
            except errors.RootNotWritable:
                count, slots = 0, ()  # the claim of the next item reports it
            receipt, claims = context.queue.complete_and_claim(
                lease,
                delivery,
                count=count,
                lease_ms=self._options.lease_ms,
            )
            for slot, claim in zip(slots, claims, strict=False):
                if not self._keep(slot, claim):
                    return receipt, claim
        return receipt, None

    def give_back(self, claim: Claim) -> None:
        """Release a claimed item that its slot does not begin."""
        if claim.lease:
            with suppress(errors.TaskOrchestratorError):
                self._context.queue.release(claim.lease, reason=NOT_STARTED)
            self._context.workspace.forget(claim.lease.item)

    @property
    def stopped(self) -> bool:
        """Return whether nothing more is claimed."""
        return self._looking in self._closed

    @property
    def has_broken_off(self) -> bool:
        """Return whether waits of slots were broken off."""
        return bool(self._closed)

    def stop(self) -> None:
        """Claim nothing more, in any slot."""
        self._closed = (self._looking, self._resting)

    def stop_resting(self) -> None:
        """End the resting slots.

        A claim that is under way may still bring an item to one of them, and that slot
        looks for others afterwards.
        """
        if not self._closed:
            self._closed = (self._resting,)

    def break_off_waits(self) -> bool:
        """Break off the waits of slots that must end.

        Return whether there may be any. A slot that has just begun to wait does not
        notice, so this must be repeated until all of them have ended.
        """
        for connection in self._closed:
            connection.close()
        return bool(self._closed)

    @contextmanager
    def _rest(self, outage: errors.Unavailable | None) -> Iterator[None]:
        """Count a slot as idle. The last one raises the outage that made it idle."""
        with self._lock:
            if outage and self._idle + 1 == self._options.pool:
                raise outage
            self._idle += 1
            if self._idle == self._options.pool:
                self._on_idle()
        try:
            yield
        finally:
            with self._lock:
                self._idle -= 1

    def _claim(self, queue: AgentQueue, wait_s: float) -> Claim | None:
        context = self._context
        with context.workspace.reserve() as (slot,):
            claims = queue.claim_many(
                1,
                wait_s=wait_s,
                lease_ms=self._options.lease_ms,
                notice=NO_NOTICE._replace(over_budget=self._note_budget),
            )
            claim = claims[0] if claims else None
            if claim and (failure := self._keep(slot, claim)):
                root = context.settings.root
                raise files.root_not_writable(root, failure) from None
        return claim

    def _keep(self, slot: LeaseSlot, claim: Claim) -> OSError | None:
        """Keep the token of a claim; release the item if that fails."""
        assert claim.lease  # noqa: S101  every claim of this agent has one
        try:
            slot.keep(handed_down(claim.lease, claim.package.item))
        except OSError as failure:
            reason = "the lease file could not be written"
            self._context.queue.release(claim.lease, reason=reason)
            return failure
        return None

    def _note_budget(self, over: errors.OverBudget) -> None:
        """Say once for each budget that it keeps the run from work."""
        budget = over.details["owner"], over.details["period"]
        with self._lock:
            is_new = budget not in self._budgets
            self._budgets.add(budget)
            self.over_budget = over
        if is_new:
            self._context.log.notify(f"{over} {over.hint()}")

    def _must_not_claim(self) -> bool:
        return (
            self._options.once
            or self.stopped
            or self._context.pauses.left_s > 0
        )
