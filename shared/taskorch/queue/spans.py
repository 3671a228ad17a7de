"""The steps of the queue that make spans, if they are traced."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import time_ns
from typing import TYPE_CHECKING

from taskorch.domain import errors, limits
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import replace
from taskorch.domain.item import Claim, Item, Lease, NewItem
from taskorch.queue.keys import of_pool
from taskorch.tracing import switch, trace_context

if TYPE_CHECKING:
    from taskorch.queue.plan import AppliedPlan, Plan
    from taskorch.tracing.tracer import Sending


class PlanSpans:
    """A plan whose items know their places in traces, and the spans that send them."""

    def __init__(self, plan: "Plan", namespace: str) -> None:
        self._sendings: list[Sending | None] = []
        items = tuple(self._placed(new, namespace) for new in plan.items)
        self.plan = replace(plan, items=items)

    def _placed(self, new: NewItem, namespace: str) -> NewItem:
        sending = None
        if _may_be_sent(new) and (tracer := switch.tracer()):
            owner = of_pool(new.pool) if new.pool else new.agent
            sending = tracer.send(namespace, owner, new.traceparent)
        self._sendings.append(sending)
        if sending:
            return replace(new, traceparent=sending.traceparent)
        if not _has_no_place(new):
            return new
        inherited = trace_context.inherited()
        return replace(new, traceparent=inherited) if inherited else new

    def end(self, applied: "AppliedPlan") -> None:
        """End the spans of the items that were created."""
        for sending, item in zip(self._sendings, applied.items, strict=True):
            if sending and item.created:
                sending.end([item.id], applied.project)


def _may_be_sent(new: NewItem) -> bool:
    """Return whether a new item goes to an agent or into a pool.

    What is malformed is refused later.
    """
    is_new = isinstance(new, NewItem) and not new.id
    if not is_new or not (new.agent or new.pool):
        return False
    return not new.traceparent or limits.is_traceparent(new.traceparent)


def _has_no_place(new: NewItem) -> bool:
    """Return whether a new item is to get the place of this process.

    An imported item has its own, or none.
    """
    return isinstance(new, NewItem) and not new.id and not new.traceparent


@contextmanager
def assigning(
    namespace: str, owner: str, items: Sequence[str]
) -> Iterator[None]:
    """Make the span of a block that assigns items to the owner of a queue."""
    tracer = switch.tracer()
    sending = tracer.send(namespace, owner) if tracer else None
    yield
    if sending:
        sending.end(items, "")


def received(
    namespace: str, agent: str, claims: Sequence[Claim], started_ns: int
) -> None:
    """Make the span of a step that has claimed items."""
    if claims and (tracer := switch.tracer()):
        items = [claim.package.item for claim in claims]
        tracer.received(namespace, agent, items, started_ns)


@contextmanager
def settling(
    namespace: str,
    look: Callable[[str], Item],
    leases: Sequence[Lease],
    end: AttemptEnd,
) -> Iterator[None]:
    """Make the spans of a block that ends claims.

    `look` returns an item: when its claim began is known only until the claim ends. An
    item that the caller does not hold, because it was settled before, has no spans.
    """
    tracer = switch.tracer()
    if not tracer:
        yield
        return
    held = _held(look, leases)
    started_ns = time_ns()
    yield
    for item in held:
        tracer.settled(namespace, item.agent, item, end, started_ns)


@contextmanager
def working(namespace: str, item: Item) -> Iterator[None]:
    """Make the spans of a block, which works on a claimed item, those of its claim."""
    place = place_of_work(namespace, item)
    tracer = switch.tracer()
    if not tracer or not place:
        yield
        return
    with tracer.working_at(place):
        yield


def place_of_work(namespace: str, item: Item) -> str:
    """Return the place in a trace of the work on a claimed item, or "".

    If claims have no spans, it is that of the item.
    """
    if item.holder and switch.tracer():
        return trace_context.of_attempt(
            namespace, item.id, item.token, item.holder.since
        )
    return item.traceparent


def _held(
    look: Callable[[str], Item], leases: Sequence[Lease]
) -> Sequence[Item]:
    try:
        items = [(lease, look(lease.item)) for lease in leases]
    except errors.TaskOrchestratorError:  # the step itself tells
        return ()
    return [
        item
        for lease, item in items
        if item.holder and lease.token in (0, item.token)
    ]
