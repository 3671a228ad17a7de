"""Settles an item: reports an outcome to the queue, unless the command has done it."""

from collections.abc import Callable
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Delivery, Lease, Package, Receipt, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.claim_reports import REPORTS, last_question, last_report
from taskorch.queue.renewal import LOST

from taskorch_worker.run.outcome import Outcome, of_refusal

#: The errors that mean that the holder has lost the item, or cannot change it any more.
REFUSALS = (*LOST, errors.WrongState)
#: The kinds of reports that end a claim.
ENDS = {
    "complete": AttemptEnd.COMPLETED,
    "fail": AttemptEnd.FAILED,
    "release": AttemptEnd.RELEASED,
}


class Settled(Frozen):
    """How an item was settled."""

    end: AttemptEnd
    #: The item's state, or "" if it is not known.
    state: str
    text: str


#: Completes an item.
Complete = Callable[[Lease, Delivery], Receipt]


def settle(
    queue: AgentQueue,
    lease: Lease,
    outcome: Outcome,
    complete: Complete | None = None,
) -> Settled:
    """Report an outcome, unless the command has ended its claim itself.

    If the item is blocked, or the command's last report is a question, it is left to
    the answer instead. `complete` completes it, if not the queue.
    """
    try:
        return _settle(queue, lease, outcome, complete)
    except REFUSALS as refusal:
        return settled_by_refusal(refusal)
    except errors.Unavailable as error:
        return Settled(end=AttemptEnd.UNSAID, state="", text=str(error))


def awaits_completion(queue: AgentQueue, lease: Lease) -> bool:
    """Tell whether the item is still to be completed when its command has ended.

    The command may have ended its claim itself, or have left a question.
    """
    try:
        package = _look(queue, lease)
    except errors.Unavailable:
        return True
    is_held = package.item.state is State.IN_PROGRESS
    return (
        is_held
        and not _settled_by_command(package, lease)
        and not last_question(package, lease)
    )


def renew_lease(queue: AgentQueue, lease: Lease) -> None:
    """Renew the lease of a running command.

    Raises one of LOST if the command must be terminated. It may go on without a lease
    if it has ended its claim itself.
    """
    try:
        # The command itself is to see the comments on its item.
        queue.renew(lease, leaves_news=True)
    except errors.LeaseLost:
        if not _settled_by_command(_look(queue, lease), lease):
            raise


def settled_by_refusal(refusal: errors.TaskOrchestratorError) -> Settled:
    """Return what became of an item whose holder was refused by one of REFUSALS."""
    state = str(refusal.details.get("state", ""))
    if isinstance(refusal, errors.Cancelled):
        return Settled(
            end=AttemptEnd.CANCELLED,
            state=State.CANCELLED,
            text=str(refusal),
        )
    if isinstance(refusal, errors.WrongState):
        text = f"the item is already {state}"
        return Settled(end=AttemptEnd.FAILED, state=state, text=text)
    return Settled(end=AttemptEnd.LOST, state=state, text=str(refusal))


def _settle(
    queue: AgentQueue,
    lease: Lease,
    outcome: Outcome,
    complete: Complete | None,
) -> Settled:
    package = _look(queue, lease)
    _add_usage(queue, lease, package, outcome.usage)
    settled = _settled_by_command(package, lease)
    if settled:
        return settled
    if not last_report(package, lease, REPORTS):
        outcome = outcome.without_report
    question = last_question(package, lease)
    if question:
        outcome = replace(outcome, end=AttemptEnd.RELEASED, text=question)
    try:
        receipt = _report(queue, lease, outcome, complete)
    except (errors.ChecksFailed, errors.Unchecked) as refusal:
        outcome = of_refusal(refusal)
        receipt = _report(queue, lease, outcome, complete)
    except (
        errors.NotReplicated,
        errors.LeaseLost,
        errors.AlreadyCompleted,
    ) as error:
        # The report may have been accepted: by too few replicas, or by an earlier call
        # whose reply was lost for longer than Redis remembers the request. Or the
        # command has completed the item in the meantime.
        settled = _settled_by_command(_look(queue, lease), lease)
        if not settled:
            raise
        if isinstance(error, errors.NotReplicated):
            return replace(settled, text=f"{settled.text} ({error})")
        return settled
    return _settled(outcome.end, receipt.state, outcome.text)


def _add_usage(
    queue: AgentQueue, lease: Lease, package: Package, used: ModelUsage
) -> None:
    """Count what the command has used, unless it has reported some of that itself.

    It may have ended its claim itself: only a later claim keeps it from being counted.
    """
    is_reported = any(
        report.usage and report.token == lease.token
        for report in package.history
    )
    if not (used.is_empty or is_reported):
        with suppress(*REFUSALS):
            queue.add_usage(lease, used)


def _look(queue: AgentQueue, lease: Lease) -> Package:
    return queue.get(lease, peek=True).package


def _report(
    queue: AgentQueue,
    lease: Lease,
    outcome: Outcome,
    complete: Complete | None,
) -> Receipt:
    text = outcome.text
    match outcome.end:
        case AttemptEnd.COMPLETED:
            delivery = Delivery(
                summary=text,
                deliverables=outcome.deliverables,
                evidence=outcome.evidence,
            )
            return (complete or queue.deliver)(lease, delivery)
        case AttemptEnd.FAILED:
            return queue.fail(lease, text)
        case _:
            return queue.release(lease, reason=text, asks=True)


def _settled_by_command(package: Package, lease: Lease) -> Settled | None:
    """Return how a report has ended the claim, or None if there is no such report."""
    last = last_report(package, lease, ENDS)
    if last is None:
        return None
    item = package.item
    is_in_progress = item.state is State.IN_PROGRESS
    if is_in_progress and item.token == lease.token:
        # After a failover, another claim may have got the same token number.
        return None
    return _settled(ENDS[last.kind], item.state, last.text)


def _settled(end: AttemptEnd, state: State, text: str) -> Settled:
    """Return how an item was settled: a released one with a question is blocked."""
    if state is State.BLOCKED:
        end = AttemptEnd.BLOCKED
    return Settled(end=end, state=state, text=text)
