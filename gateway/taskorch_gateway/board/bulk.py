"""Bulk actions: the same verb for many items, after a question that names the number.

The question has the ids of the items that it is about, each with its state. Only these are
changed, and only if they are still in that state: an item that another one has changed in
the meantime, and an item that matches the filter only since then, is left alone, and the
reply says so. A form that is sent twice, or again after an outage, acts once for each item.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State

from taskorch_gateway.board import filters, formats, items, refusals
from taskorch_gateway.board.assignee import LABEL, ReadAssignees
from taskorch_gateway.board.bulk_changes import (
    CHANGES,
    BulkChange,
    BulkOutcome,
    BulkStep,
    ChangeItems,
)
from taskorch_gateway.board.filters import WrongFilter
from taskorch_gateway.board.forms import ActionReceipt, Form
from taskorch_gateway.board.search import FindItems, FoundItems
from taskorch_gateway.board.visit import Action, BoardPage, Visit

PATH = "/bulk"
#: Maximum number of items of one bulk action, and of calls that look for them.
MOST_ITEMS, CALLS = 1_000, 100
#: Items that are changed in one turn: other clients have theirs between two.
PART = limits.BATCH_STEPS
#: Items that the question names.
SHOWN = 10


class ChosenItems(Frozen):
    """The items that a person has chosen: some of a page, or all that match."""

    change: BulkChange
    #: The filter, and where its page begins.
    text: str
    cursor: str = ""
    #: The ids of those that are selected; none for all.
    ids: Sequence[str]


class BulkQuestion(Frozen):
    """What is asked before a bulk action."""

    change: BulkChange
    #: The items that it is about, and those that stay as they are.
    items: Sequence[Item]
    left: Mapping[State, int]
    held: int
    #: Ids of selected items that no longer match the filter.
    missing: Sequence[str]
    #: Whether more items may match than it is about; and how many were looked at.
    has_more: bool
    visited: int
    #: Whether it is about all items that match, not about selected ones.
    is_whole: bool

    @property
    def title(self) -> str:
        """The question, with the exact number."""
        return self.change.question.format(
            items=formats.counted(len(self.items), "item")
        )

    @property
    def yes(self) -> str:
        """The word of the button that answers."""
        return self.title.removesuffix("?")

    @property
    def field(self) -> str:
        """The items with their states, for the form that answers."""
        return " ".join(f"{item.id}:{item.state}" for item in self.items)

    @property
    def reasons(self) -> Iterator[str]:
        """What follows, and what does not, a sentence each."""
        if self.change.why_held and self.held:
            change = self.change
            yield (
                f"1 item is held by an agent. {change.why_held}"
                if self.held == 1
                else f"{self.held:,} items are held by agents. {change.why_many_held}"
            )
        if self.change.why and self.items:
            yield self.change.why
        if self.left:
            number = formats.counted(
                sum(self.left.values()),
                "item stays as it is",
                "items stay as they are",
            )
            named = ", ".join(
                f"{count} {formats.mark(state).words}"
                for state, count in self.left.items()
            )
            yield f"{number}: {named}."
        if self.missing:
            number = formats.counted(
                len(self.missing),
                "selected item no longer matches the filter, and stays as it is",
                "selected items no longer match the filter, and stay as they are",
            )
            yield f"{number}."
        if self.has_more and len(self.items) + sum(self.left.values()) >= (
            MOST_ITEMS
        ):
            yield (
                f"At most {MOST_ITEMS:,} items are changed at a time. More match the "
                "filter, and stay as they are: repeat this for the rest."
            )
        elif self.has_more:
            yield (
                f"The search has looked at the newest {self.visited:,} items and "
                "projects. Older ones stay as they are: narrow the filter to a project."
            )


class BulkResult(Frozen):
    """What has become of the items of a bulk action."""

    #: Such as "26 of 28 items cancelled."
    summary: str
    changed: Sequence[BulkOutcome]
    refused: Sequence[BulkOutcome]
    #: The number of items that match only since the question.
    new: int


async def ask(visit: Visit) -> Response:
    """Ask before a bulk action, and name the number of items."""
    if not visit.may_act:
        raise errors.NotAllowed(
            reason=f"its role is {visit.access.role}, which only looks."
        )
    chosen = ChosenItems(
        change=_change_of(visit.query("action")),
        text=visit.query("q"),
        ids=_selected(visit),
        cursor=visit.query("cursor"),
    )
    return await _page(visit, chosen, Form(()))


async def act(visit: Visit, form: Form) -> ActionReceipt | Response:
    """Perform a bulk action for the items of its question, in parts."""
    change = _change_of(form.text("action"))
    steps = [
        BulkStep(item=item, state=state, verb=change.verb(item, form))
        for item, state in confirmed(form.text("items"))
    ]
    new = await _count_new(visit, form, change, {step.item for step in steps})
    outcomes: list[BulkOutcome] = []
    for at in range(0, len(steps), PART):
        part = ChangeItems(
            steps=tuple(steps[at : at + PART]),
            is_done=lambda item: change.is_done(item, form),
            key=form.digest,
        )
        outcomes += cast("Sequence[BulkOutcome]", await visit.ask(part))
    result = _result(change, outcomes, new)
    next_path = items.path_of(form.text("q"))
    if result.changed or result.refused or new:
        return visit.page("bulk_result.html", result=result, back=next_path)
    return ActionReceipt(text=result.summary, next_path=next_path)


async def ask_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Ask again, with what was typed and what is wrong with it."""
    if form.text("action") not in CHANGES:
        raise error
    is_whole = form.has("whole") or form.has("part")
    seen = () if is_whole else confirmed(form.text("items"))
    chosen = ChosenItems(
        change=_change_of(form.text("action")),
        text=form.text("q"),
        ids=[item for item, _ in seen],
        cursor=form.text("cursor"),
    )
    return await _page(visit, chosen, form, error)


PAGES = (BoardPage(path=PATH, show=ask, entry="items"),)
ACTIONS = (
    Action(
        path=PATH,
        act=act,
        word="Do it",
        texts={
            "text": "Reason",
            "agent": LABEL,
            "label": "Labels to add",
            "unlabel": "Labels to remove",
        },
        again=ask_again,
    ),
)


async def _page(
    visit: Visit,
    chosen: ChosenItems,
    form: Form,
    error: TaskOrchestratorError | None = None,
) -> Response:
    try:
        found = await _found(visit, chosen)
    except WrongFilter as wrong:
        return items.mistaken(visit, chosen.text, wrong)
    change = chosen.change
    question = _question(change, found, chosen.ids)
    assignees: Sequence[str] = ()
    if change.name == "assign":
        assignees = cast("Sequence[str]", await visit.ask(ReadAssignees()))
    return visit.page(
        "bulk.html",
        status=refusals.status_of(error) if error else 200,
        question=question,
        shown=question.items[:SHOWN],
        assignees=assignees,
        text=chosen.text,
        cursor=chosen.cursor,
        back=items.path_of(chosen.text, cursor=chosen.cursor),
        typed={
            name: form.text(name)
            for name in ("text", "agent", "priority", "label", "unlabel")
        },
        error=refusals.shown(error) if error else None,
    )


async def _found(visit: Visit, chosen: ChosenItems) -> FoundItems:
    """Return the page of the selected items as it is now, or all that match."""
    parsed = filters.parse(chosen.text)
    if chosen.ids:
        return await items.find(visit, parsed, chosen.cursor)
    found = await visit.ask(
        FindItems(
            wanted=parsed,
            confined=visit.access.project,
            limit=MOST_ITEMS,
            calls=CALLS,
        )
    )
    return cast("FoundItems", found)


def _question(
    change: BulkChange, found: FoundItems, selected: Sequence[str]
) -> BulkQuestion:
    matching = {item.id: item for item in found.items}
    wanted = [
        item for item in found.items if item.id in selected or not selected
    ]
    possible = [item for item in wanted if item.state in change.states]
    left = Counter(
        item.state for item in wanted if item.state not in change.states
    )
    return BulkQuestion(
        change=change,
        items=possible,
        left=left,
        held=sum(1 for item in possible if item.holder),
        missing=[item for item in selected if item not in matching],
        has_more=bool(found.cursor) and not selected,
        visited=found.visited,
        is_whole=not selected,
    )


async def _count_new(
    visit: Visit, form: Form, change: BulkChange, known: set[str]
) -> int:
    """Return the number of items that match only since the question."""
    if not form.has("whole"):
        return 0
    chosen = ChosenItems(change=change, text=form.text("q"), ids=())
    found = await _found(visit, chosen)
    return sum(
        1
        for item in found.items
        if item.state in change.states and item.id not in known
    )


def _result(
    change: BulkChange, outcomes: Sequence[BulkOutcome], new: int
) -> BulkResult:
    done = [each for each in outcomes if not each.refusal]
    number = formats.counted(len(done), "item")
    if len(done) < len(outcomes):
        number = f"{len(done):,} of {formats.counted(len(outcomes), 'item')}"
    return BulkResult(
        summary=change.done.format(items=number),
        changed=[each for each in outcomes if each.had_changed],
        refused=[
            each for each in outcomes if each.refusal and not each.had_changed
        ],
        new=new,
    )


def _change_of(name: str) -> BulkChange:
    if name not in CHANGES:
        raise errors.Usage(reason="There is no such bulk action.")
    return CHANGES[name]


def _selected(visit: Visit) -> Sequence[str]:
    given = visit.request.query_params.getlist("item")
    if len(given) > items.ROWS:
        raise errors.Usage(
            reason=f"At most {items.ROWS} items can be selected."
        )
    return [limits.item_id(each) for each in given]


def confirmed(field: str) -> Iterable[tuple[str, State]]:
    """Return the items of a question with their states. Raises errors.Usage."""
    pairs = [word.partition(":") for word in field.split()]
    known = {str(state): state for state in State}
    if not pairs or len(pairs) > MOST_ITEMS:
        raise errors.Usage(reason=f"Choose 1 to {MOST_ITEMS:,} items.")
    for item, _, state in pairs:
        if state not in known:
            raise errors.Usage(reason="The form is damaged: ask again.")
        limits.item_id(item)
    return [(item, known[state]) for item, _, state in pairs]
