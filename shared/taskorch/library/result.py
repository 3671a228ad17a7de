"""The result of a handler: the summary and the deliverables of its item."""

from collections.abc import Mapping
from typing import TypeAlias

from taskorch.domain import errors
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import Frozen
from taskorch.library.task import Task
from taskorch.queue.claim_reports import last_question

#: What a handler may return: nothing, a summary, deliverables, or both.
Result: TypeAlias = (
    str | Mapping[str, object] | tuple[str, Mapping[str, object]] | None
)


class Delivery(Frozen):
    """What a handler delivers."""

    summary: str = ""
    deliverables: Mapping[str, object] = {}


def delivery(result: object) -> Delivery:
    """Return what the result of a handler delivers. Raises errors.Invalid."""
    match result:
        case None:
            return Delivery()
        case str():
            return Delivery(summary=result)
        case Mapping():
            return Delivery(deliverables=result)
        case (str() as summary, Mapping() as deliverables):
            return Delivery(summary=summary, deliverables=deliverables)
    kind = type(result).__name__
    raise errors.Invalid(
        reason=f"The handler returned {kind}. Return a summary (str), deliverables "
        "(dict), both as a tuple, or None."
    )


def settle(task: Task, result: object) -> AttemptEnd:
    """Complete an item with the result of its handler, unless that has settled it.

    An item with a question is left to its answer.
    """
    if task.end_of_attempt:
        return task.end_of_attempt
    delivered = delivery(result)
    with task.held():
        package = task.queue.get(task.lease, peek=True).package
    if question := last_question(package, task.lease):
        task.release(reason=question)
        return AttemptEnd.BLOCKED
    task.complete(delivered.summary, deliverables=delivered.deliverables)
    return AttemptEnd.COMPLETED
