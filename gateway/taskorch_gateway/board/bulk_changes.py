"""What can be done with many items at once, and the doing.

An item is only changed if it is still in the state in which the person has seen it. A form
that is sent twice, or again after an outage, acts once for each item.
"""

from collections.abc import Callable, Mapping, Sequence

from taskorch.domain import errors, limits
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.api.orchestrator_verbs import (
    Assign,
    Cancel,
    Edit,
    Requeue,
)
from taskorch_gateway.board import filters, items
from taskorch_gateway.board.assignee import need_assignee, owner_of_item
from taskorch_gateway.board.forms import Form
from taskorch_gateway.client_queue import queue_of
from taskorch_gateway.performer import KeyedRequests

OPEN = filters.OPEN_STATES


class BulkChange(Frozen):
    """What is done with many items."""

    name: str
    #: The question and the receipt, with a place for "3 items".
    question: str
    done: str
    #: The states in which it is possible.
    states: Sequence[State]
    #: Returns the verb for an item. Raises errors.Usage if something is missing.
    verb: Callable[[str, Form], ToolArguments]
    #: Tells of an item in another state whether an earlier request has done this.
    is_done: Callable[[Item, Form], bool]
    #: What follows for an item that an agent holds, for several, and for all; "" for
    #: nothing.
    why_held: str = ""
    why_many_held: str = ""
    why: str = ""
    is_dangerous: bool = False


class BulkStep(Frozen):
    """A verb for an item, and the state in which the person has seen it."""

    item: str
    state: State
    verb: ToolArguments


class BulkOutcome(Frozen):
    """What has become of an item."""

    item: str
    title: str
    #: Why it was not changed; "" if it was.
    refusal: str
    #: Whether it had changed before, so that nothing was tried.
    had_changed: bool = False


class ChangeItems(ToolArguments):
    """Perform a verb for each of some items. Its result are BulkOutcomes."""

    name = "board_bulk"
    steps: tuple[BulkStep, ...]
    is_done: Callable[[Item], bool]
    #: The same for a repeat of the form.
    key: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Perform them. Raises errors.Unavailable."""
        return ToolResult([self._outcome(call, step) for step in self.steps])

    def _outcome(self, call: ToolCall, step: BulkStep) -> BulkOutcome:
        try:
            item = queue_of(call).views.show(step.item).item
        except (errors.NotFound, errors.Damaged) as error:
            return _left(step.item, "", str(error))
        if item.state is not step.state:
            if self.is_done(item):
                return _changed(item)
            return _left(item.id, item.title, f"It is {items.words_of(item)}.")
        # each item has a request of its own: a repeat may skip others
        call.requests = KeyedRequests(f"{self.name} {self.key} {item.id}")
        try:
            step.verb.perform(call)
        except (errors.Unavailable, errors.TokenRefused):
            raise
        except TaskOrchestratorError as error:
            return BulkOutcome(
                item=item.id, title=item.title, refusal=str(error)
            )
        return _changed(item)


def _changed(item: Item) -> BulkOutcome:
    return BulkOutcome(item=item.id, title=item.title, refusal="")


def _left(item: str, title: str, why: str) -> BulkOutcome:
    return BulkOutcome(item=item, title=title, refusal=why, had_changed=True)


def _cancel(item: str, form: Form) -> ToolArguments:
    return Cancel(id=item, reason=form.text("text"))


def _requeue(item: str, form: Form) -> ToolArguments:
    return Requeue(item=item, reason=form.text("text"))


def _assign(item: str, form: Form) -> ToolArguments:
    wanted = need_assignee(form.text("agent"))
    return Assign(items=(item,), agent=wanted.agent, pool=wanted.pool)


def _prioritise(item: str, form: Form) -> ToolArguments:
    priority = form.number("priority")
    if priority is None:
        raise errors.Usage(reason="Say which priority the items get.")
    limits.number(priority, "priority", 0, 4)
    return Edit(items=(item,), priority=priority)


def _label(item: str, form: Form) -> ToolArguments:
    added = tuple(form.text("label").replace(",", " ").split())
    removed = tuple(form.text("unlabel").replace(",", " ").split())
    if not (added or removed):
        raise errors.Usage(reason="Say which labels to add or to remove.")
    for label in (*added, *removed):
        limits.label(label)
    return Edit(items=(item,), label=added, unlabel=removed)


CHANGES: Mapping[str, BulkChange] = {
    change.name: change
    for change in (
        BulkChange(
            name="assign",
            question="Reassign {items}?",
            done="{items} reassigned.",
            states=(
                State.PENDING,
                State.WAITING,
                State.QUEUED,
                State.DELAYED,
            ),
            verb=_assign,
            is_done=lambda item, form: (
                owner_of_item(item).typed == form.text("agent")
            ),
        ),
        BulkChange(
            name="requeue",
            question="Requeue {items}?",
            done="{items} requeued.",
            states=(State.FAILED, State.CANCELLED),
            verb=_requeue,
            is_done=lambda item, _: (
                item.state in (State.QUEUED, State.WAITING, State.PENDING)
            ),
            why="Each starts again, with all its attempts.",
        ),
        BulkChange(
            name="priority",
            question="Change the priority of {items}?",
            done="The priority of {items} changed.",
            states=OPEN,
            verb=_prioritise,
            is_done=lambda item, form: (
                str(item.priority) == form.text("priority")
            ),
        ),
        BulkChange(
            name="label",
            question="Change the labels of {items}?",
            done="The labels of {items} changed.",
            states=tuple(State),
            verb=_label,
            is_done=lambda *_: False,
        ),
        BulkChange(
            name="cancel",
            question="Cancel {items}?",
            done="{items} cancelled.",
            states=OPEN,
            verb=_cancel,
            is_done=lambda item, _: item.state is State.CANCELLED,
            why_held="The agent loses its lease, and is refused at its next step.",
            why_many_held="The agents lose their leases, and are refused at their next "
            "steps.",
            why="Requeue brings an item back, as a fresh start.",
            is_dangerous=True,
        ),
    )
}
