"""Says to the queue what became of an item, unless the command has said it already."""

from collections.abc import Collection

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Lease, Package, Receipt, Report, State
from taskorch.queue.agent_queue import AgentQueue

from taskorch_worker.run.outcome import AttemptEnd, Outcome

#: What says that the item is not this holder's any more, or that nothing more can be done with it.
REFUSALS = (errors.Conflict, errors.NotYours, errors.NotFound, errors.WrongState)
#: The reports by which a holder ends its claim.
ENDS = {
    "complete": AttemptEnd.COMPLETED,
    "fail": AttemptEnd.FAILED,
    "release": AttemptEnd.RELEASED,
}


class Settled(Frozen):
    """How an item ended: its state is "" where it is not known."""

    end: AttemptEnd
    state: str
    text: str


def settle(queue: AgentQueue, lease: Lease, meaning: Outcome) -> Settled:
    """End a claim, unless the command has ended it; leave the item of one that has asked something to the answer."""
    try:
        return _settled(queue, lease, meaning)
    except REFUSALS as refusal:
        return of_refusal(refusal)
    except errors.Unavailable as away:
        return Settled(end=AttemptEnd.UNSAID, state="", text=str(away))


def renew(queue: AgentQueue, lease: Lease) -> None:
    """Keep the lease of a command that may still deliver. Raises one of REFUSALS where it may not.

    There is no lease to keep where the command has ended its claim itself, and where its last attempt has run out of
    time: a dead letter is delivered all the same.
    """
    try:
        queue.renew(lease)
    except (errors.WrongState, errors.NotReplicated):
        pass
    except errors.LeaseLost:
        if not _ended(_look(queue, lease), lease):
            raise


def of_refusal(refusal: errors.TaskOrchestratorError) -> Settled:
    """Return what it means that a step was refused to the holder."""
    state = str(refusal.details.get("state", ""))
    if isinstance(refusal, errors.Cancelled):
        return Settled(
            end=AttemptEnd.CANCELLED, state=State.CANCELLED, text=str(refusal)
        )
    if isinstance(refusal, errors.WrongState):
        return Settled(
            end=AttemptEnd.FAILED, state=state, text=f"it is {state} already"
        )
    return Settled(end=AttemptEnd.LOST, state=state, text=str(refusal))


def _settled(queue: AgentQueue, lease: Lease, meaning: Outcome) -> Settled:
    package = _look(queue, lease)
    if ended := _ended(package, lease):
        return ended
    if question := _question(package, lease):
        meaning = replace(meaning, end=AttemptEnd.RELEASED, text=question)
    try:
        return _as_it_is(meaning.end, _said(queue, lease, meaning).state, meaning.text)
    except (
        errors.NotReplicated,
        errors.LeaseLost,
    ) as doubt:  # a call that was answered after long may have been done
        done = _ended(_look(queue, lease), lease)
        if not done:
            raise
        too_few = isinstance(doubt, errors.NotReplicated)
        return replace(done, text=f"{done.text} ({doubt})") if too_few else done


def _look(queue: AgentQueue, lease: Lease) -> Package:
    return queue.get(lease, peek=True).package


def _ended(package: Package, lease: Lease) -> Settled | None:
    """Return how its holder has ended a claim; None where it has not."""
    state, last = package.item.state, _last(package, lease, ENDS)
    goes_on = (
        state is State.IN_PROGRESS and package.item.token == lease.token
    )  # a failover may give a number again
    if not last or goes_on:
        return None
    return _as_it_is(ENDS[last.kind], state, last.text)


def _as_it_is(end: AttemptEnd, state: State, text: str) -> Settled:
    """Return how an item ended: one that was released with an open question is blocked."""
    return Settled(
        end=AttemptEnd.BLOCKED if state is State.BLOCKED else end,
        state=state,
        text=text,
    )


def _question(package: Package, lease: Lease) -> str:
    """Return the question that is a command's last word, or "": one that goes on with the answer says so."""
    last = _last(package, lease, ("progress", "blocker"))
    return last.text if last and last.kind == "blocker" else ""


def _last(package: Package, lease: Lease, kinds: Collection[str]) -> Report | None:
    """Return the newest report of these kinds that was made under the token of a claim."""
    made = (
        report for report in reversed(package.history) if report.token == lease.token
    )
    return next((report for report in made if report.kind in kinds), None)


def _said(queue: AgentQueue, lease: Lease, meaning: Outcome) -> Receipt:
    match meaning.end:
        case AttemptEnd.COMPLETED:
            return queue.complete(
                lease, meaning.text, deliverables=meaning.deliverables
            )
        case AttemptEnd.FAILED:
            return queue.fail(lease, meaning.text)
        case _:
            return queue.release(lease, reason=meaning.text, asks=True)
