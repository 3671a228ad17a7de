"""The result of a handler: the summary and the deliverables of its item."""

from collections.abc import Mapping
from typing import TypeAlias

from taskorch.domain import errors
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Claim, Delivery
from taskorch.library.task import IsStopped, Task, never

#: What a handler may return: nothing, a summary, deliverables, or both.
Result: TypeAlias = (
    str | Mapping[str, object] | tuple[str, Mapping[str, object]] | None
)


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


class SettledTask(Frozen):
    """How an item was settled, and what was claimed in the same step."""

    end: AttemptEnd
    claims: tuple[Claim, ...] = ()


def settle(
    task: Task,
    result: object,
    *,
    count: int,
    lease_ms: int,
    is_stopped: IsStopped = never,
) -> SettledTask:
    """Complete an item with the result of its handler, unless that has settled it.

    Claim up to `count` of the next items in the same step. An item with a question is
    left to its answer. When `is_stopped` returns true, a running check is terminated.
    """
    if task.end_of_attempt:
        return SettledTask(end=task.end_of_attempt)
    delivered = delivery(result)
    question = task.question() if task.has_asked else ""
    if not question:
        try:
            claims = task.complete_and_claim(
                delivered,
                count=count,
                lease_ms=lease_ms,
                is_stopped=is_stopped,
            )
            return SettledTask(end=AttemptEnd.COMPLETED, claims=claims)
        except errors.WrongState:
            # another process has asked under the same lease
            question = task.question()
            if not question:
                raise
    task.release(reason=question)
    return SettledTask(end=AttemptEnd.BLOCKED)
