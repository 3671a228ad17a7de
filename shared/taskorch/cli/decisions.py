"""The decision of a reviewer, as the commands of both roles print it."""

from taskorch.domain.item import ReviewedItem, State


def decision(done: ReviewedItem) -> str:
    """Return the state of an item after the decision of its reviewer."""
    if done.remark == "repeat":
        return f"{done.id} was {done.state} already; nothing changed."
    if done.state is State.COMPLETED:
        return f"Accepted. {done.id} is {done.state}."
    return f"Sent back to {done.agent}. {done.id} is {done.state}."
