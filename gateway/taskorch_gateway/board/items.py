"""All items: a table with a filter, page by page, and what to do with many of them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import cast
from urllib.parse import urlencode

from starlette.responses import Response
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Item, State

from taskorch_gateway.board import filters, formats
from taskorch_gateway.board.filters import Filter, ParsedFilter, WrongFilter
from taskorch_gateway.board.search import FindItems, FoundItems
from taskorch_gateway.board.visit import BoardPage, Visit

PATH = "/items"
#: The filter of a page that is opened without one.
FIRST_FILTER = f"state:{filters.OPEN}"
#: Rows of a page, and the calls that it makes to find them.
ROWS, CALLS = 50, 20
#: The longest number of rows in front of a page that is believed.
NUMBER_CHARACTERS = 9


class StateChip(Frozen):
    """A link to the items in some states."""

    words: str
    #: None for several states.
    state: State | None
    number: int
    path: str
    is_current: bool


class ItemRow(Frozen):
    """An item in the table."""

    item: Item
    project_title: str
    #: Its state, such as "failed 3 of 3".
    words: str


class FilterMistake(Frozen):
    """A filter that does not parse: the text in front of the mistake, it, and the rest."""

    before: str
    wrong: str
    after: str
    message: str


async def show(visit: Visit) -> Response:
    """Show a page of the items that a filter means."""
    text = filter_of(visit)
    try:
        parsed = filters.parse(text)
        found = await find(visit, parsed, visit.query("cursor"))
    except WrongFilter as error:
        return mistaken(visit, text, error)
    return visit.page(
        "items.html",
        text=text,
        mistake=None,
        table=_table(visit, parsed, found),
    )


PAGES = (BoardPage(path=PATH, show=show, entry="items"),)


class ItemTable(Frozen):
    """The table of a page, and what leads on from it."""

    rows: Sequence[ItemRow]
    chips: Sequence[StateChip]
    #: The number of rows on the pages in front of it.
    before: int
    #: The number of items that match; None if it is not known.
    matching: int | None
    #: The number of items in the projects of the filter, in any state.
    total: int
    #: Whether items that match may follow, and the number of those that were looked at.
    has_more: bool
    #: Whether the page has as many rows as it may have.
    is_full: bool
    visited: int
    #: The page behind it, the first one, and itself.
    next_path: str
    first_path: str
    path: str
    #: Where it begins, for the forms of its rows.
    cursor: str


def filter_of(visit: Visit) -> str:
    """Return the filter that a page was opened with."""
    given = [name for name, _ in visit.request.query_params.multi_items()]
    return visit.query("q") if "q" in given else FIRST_FILTER


async def find(visit: Visit, wanted: ParsedFilter, cursor: str) -> FoundItems:
    """Return a page of items. Raises WrongFilter."""
    found = await visit.ask(
        FindItems(
            wanted=wanted,
            confined=visit.access.project,
            cursor=cursor,
            limit=ROWS,
            calls=CALLS,
        )
    )
    return cast("FoundItems", found)


def mistaken(visit: Visit, text: str, error: WrongFilter) -> Response:
    """Return the page of a filter that does not parse, which shows the place."""
    mistake = FilterMistake(
        before=text[: error.at],
        wrong=text[error.at : error.end] or " ",
        after=text[error.end :],
        message=str(error),
    )
    return visit.page("items.html", text=text, mistake=mistake, table=None)


def path_of(text: str, **more: object) -> str:
    """Return the path of the page of a filter; `more` are other values of the query."""
    given = {name: value for name, value in more.items() if value}
    return f"{PATH}?{urlencode({'q': text, **given})}"


def words_of(item: Item) -> str:
    """Return the state of an item in words."""
    words = formats.mark(item.state).words
    match item.state:
        case State.IN_PROGRESS if item.percent:
            return f"{words}, {item.percent}%"
        case State.FAILED:
            return formats.failed(item.attempts, item.max_attempts)
        case State.QUEUED if item.attempts:
            return f"{words}, attempt {item.attempts + 1}"
    return words


def _table(visit: Visit, parsed: ParsedFilter, found: FoundItems) -> ItemTable:
    text, cursor = str(parsed.filter), visit.query("cursor")
    before = _number(visit.query("before")) if cursor else 0
    rows = [
        ItemRow(
            item=item,
            project_title=found.project_titles.get(item.project, ""),
            words=words_of(item),
        )
        for item in found.items
    ]
    shown = before + len(rows)
    return ItemTable(
        rows=rows,
        chips=list(_chips(parsed.filter, found.counts)),
        before=before,
        matching=_matching(parsed.filter, found, shown),
        total=sum(found.counts.values()),
        has_more=bool(found.cursor),
        is_full=len(rows) >= ROWS,
        visited=found.visited,
        next_path=path_of(text, cursor=found.cursor, before=shown),
        first_path=path_of(text),
        path=path_of(text, cursor=cursor, before=before),
        cursor=cursor,
    )


def _matching(wanted: Filter, found: FoundItems, shown: int) -> int | None:
    """Return the number of items that match, as far as it is known."""
    only_states = Filter(states=wanted.states, projects=wanted.projects)
    if wanted == only_states:
        states = wanted.states or tuple(State)
        return sum(found.counts.get(state, 0) for state in states)
    return None if found.cursor else shown


def _chips(wanted: Filter, counts: Mapping[State, int]) -> Iterator[StateChip]:
    """Yield the links to the states that items have, and to those of the filter."""

    def chip(words: str, state: State | None, *states: State) -> StateChip:
        return StateChip(
            words=words,
            state=state,
            number=sum(counts.get(each, 0) for each in states or State),
            path=path_of(str(wanted.of_states(*states))),
            is_current=wanted.states == states,
        )

    yield chip("all", None)
    yield chip(filters.OPEN, None, *filters.OPEN_STATES)
    for state in State:
        if counts.get(state, 0) or wanted.states == (state,):
            yield chip(formats.mark(state).words, state, state)


def _number(text: str) -> int:
    is_number = text.isascii() and text.isdigit()
    return int(text) if is_number and len(text) <= NUMBER_CHARACTERS else 0
