"""Says to the queue what became of an item, and understands when somebody else has said it already."""

from enum import StrEnum

from taskorch import errors
from taskorch.agent_queue import AgentQueue
from taskorch.frozen import Frozen
from taskorch.item import Lease, Receipt, State

from taskorch_worker.outcome import Outcome, Verb
from taskorch_worker.patient import Closed

#: What says that the item is not this holder's any more, or that nothing more can be done with it.
REFUSALS = (errors.Conflict, errors.NotYours, errors.NotFound, errors.WrongState)


class End(StrEnum):
    """What became of an item, as far as this run is concerned."""

    COMPLETED = "completed"
    FAILED = "failed"
    RELEASED = "released"
    #: The command has asked something; the item waits for the answer.
    BLOCKED = "blocked"
    #: It is another's now, or nobody's.
    LOST = "lost"
    CANCELLED = "cancelled"
    #: The run was ended while Redis was away; the lease runs out.
    UNSAID = "unsaid"


class Settled(Frozen):
    """How an item ended: its state is "" where it is not known."""

    end: End
    state: str
    text: str


ENDS = {Verb.COMPLETE: End.COMPLETED, Verb.FAIL: End.FAILED, Verb.RELEASE: End.RELEASED}
#: What a command has done itself that left the item in this state.
BY_ITSELF = {State.COMPLETED: End.COMPLETED, State.FAILED: End.FAILED, State.DELAYED: End.FAILED}


def settle(queue: AgentQueue, lease: Lease, outcome: Outcome) -> Settled:
    """End a claim, unless the command has ended it, or asked something."""
    try:
        item = queue.get(lease, peek=True).package.item
        if item.state is State.BLOCKED and item.token == lease.token:
            return Settled(end=End.BLOCKED, state=item.state, text=item.blocker)
        receipt = _said(queue, lease, outcome)
    except REFUSALS as refusal:
        return of_refusal(refusal)
    except (Closed, errors.Unavailable) as away:
        return Settled(end=End.UNSAID, state="", text=str(away) or "Redis is away; the lease runs out by itself")
    if receipt.remark == "repeat":
        return Settled(end=End.COMPLETED, state=receipt.state, text="by the command itself")
    return Settled(end=ENDS[outcome.verb], state=receipt.state, text=outcome.text)


def of_refusal(refusal: errors.TaskOrchestratorError) -> Settled:
    """Return what it means that a step was refused to the holder."""
    state = str(refusal.details.get("state", ""))
    if isinstance(refusal, errors.Cancelled):
        return Settled(end=End.CANCELLED, state=State.CANCELLED, text=str(refusal))
    if isinstance(refusal, errors.WrongState):
        return Settled(end=End.FAILED, state=state, text=f"it is {state} already")
    if is_given_up(refusal):
        return Settled(end=BY_ITSELF.get(State(state), End.RELEASED), state=state, text="by the command itself")
    return Settled(end=End.LOST, state=state, text=str(refusal))


def is_given_up(refusal: errors.TaskOrchestratorError) -> bool:
    """Return whether the claim has ended, and nobody has claimed the item since: so the command has done it."""
    return isinstance(refusal, errors.LeaseLost) and refusal.details["newest"] == refusal.details["token"]


def _said(queue: AgentQueue, lease: Lease, outcome: Outcome) -> Receipt:
    match outcome.verb:
        case Verb.COMPLETE:
            return queue.complete(lease, outcome.text, deliverables=outcome.deliverables)
        case Verb.FAIL:
            return queue.fail(lease, outcome.text)
        case Verb.RELEASE:
            return queue.release(lease, reason=outcome.text)
