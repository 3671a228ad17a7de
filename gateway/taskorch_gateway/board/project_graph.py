"""The dependency graph of a project: which items it shows, and their words.

It says the state of an item in words and by a shape; the colour only repeats it. Ages are
left out: the graph is drawn again only when something happens.
"""

from collections.abc import Iterator, Mapping, Sequence
from unicodedata import category, east_asian_width

from taskorch.cli.text import cell, counted
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Item, State
from taskorch.queue.plan import DEAD
from taskorch.queue.stuck import StuckItem

from taskorch_gateway.board import graph
from taskorch_gateway.board.formats import StateMark, failed, mark

#: Maximum number of items in a graph.
MOST_ITEMS = 150
#: Which items a larger project shows: first those, then these, and so on.
URGENT = (
    State.FAILED,
    State.BLOCKED,
    State.REVIEW,
    State.PENDING,
    State.IN_PROGRESS,
)
READY = (State.DELAYED, State.QUEUED, State.WAITING)
OVER = (State.COMPLETED, State.CANCELLED)
#: The order in which a person needs the items.
ORDER = (*URGENT, *READY, *OVER)
#: How an item in progress looks whose holder is silent, by the reason why it is stuck.
STUCK_MARKS = {
    "silent": StateMark(glyph="silent", style="silent", words="silent"),
    "expired": StateMark(glyph="delayed", style="slow", words="lease expired"),
}
#: The room for the texts of a box, in pixels, and the widths of characters at 12 and at
#: 11 pixels.
TEXT_WIDTH = graph.BOX_WIDTH - 31 - 6
TITLE_PX, SUB_PX = 12, 11
#: Widths of characters, as shares of the size of the font.
WIDE, BROAD, NARROW, USUAL = 1.05, 0.75, 0.36, 0.57
BROAD_LETTERS = frozenset("MWmw@%—…ABCDEGHKNOPQRUVXYZ&<>=+~^#")
NARROW_LETTERS = frozenset("iljtfrI.,:;'!|()[] ")
#: Joins the parts of an emoji.
JOINER = "\u200d"
#: Dependencies that the text of an item names.
NAMED = 10


class GraphItem(Frozen):
    """An item with its place and its texts."""

    id: str
    x: int
    y: int
    mark: StateMark
    #: Two lines that fit into the box.
    title: str
    sub: str
    #: Everything in words, for a screen reader and a pointer that rests.
    label: str


class GraphLine(Frozen):
    """A dependency: the data of its path, and how far it is."""

    path: str
    is_open: bool
    #: Whether the item that is waited for has failed, or was cancelled.
    is_dead: bool


class ProjectGraph(Frozen):
    """The graph of a project."""

    items: tuple[GraphItem, ...]
    lines: tuple[GraphLine, ...]
    width: int
    height: int
    #: The number of items of the project.
    total: int
    #: The number of dependencies between the items that are not drawn.
    left_out: int

    @property
    def is_whole(self) -> bool:
        """Whether it shows every item."""
        return len(self.items) >= self.total


def drawn(
    items: Sequence[Item], stuck: Mapping[str, StuckItem], total: int
) -> ProjectGraph:
    """Return the graph of some items of a project that has `total` items."""
    known = {item.id: item for item in items}
    layout = graph.layout({item.id: item.depends_on for item in items})
    boxes = []
    for box in layout.boxes:
        item = known[box.id]
        look = mark_of(item, stuck.get(item.id))
        sub = _sub(item, look.words, known)
        boxes.append(
            GraphItem(
                id=item.id,
                x=box.x,
                y=box.y,
                mark=look,
                title=clipped(item.title, TITLE_PX),
                sub=clipped(sub, SUB_PX),
                label="; ".join(_label(item, look.words, sub, known)),
            )
        )
    lines = []
    for edge in layout.edges:
        source = known[edge.source].state
        lines.append(
            GraphLine(
                path=edge.path,
                is_open=source is not State.COMPLETED,
                is_dead=source in DEAD,
            )
        )
    return ProjectGraph(
        items=tuple(boxes),
        lines=tuple(lines),
        width=layout.width,
        height=layout.height,
        total=total,
        left_out=layout.left_out,
    )


def mark_of(item: Item, stuck: StuckItem | None) -> StateMark:
    """Return how an item looks; an item in progress may be stuck."""
    if item.state is State.IN_PROGRESS and stuck:
        return STUCK_MARKS.get(stuck.why, mark(item.state))
    if item.state is State.FAILED:
        words = failed(item.attempts, item.max_attempts)
        return replace(mark(item.state), words=words)
    return mark(item.state)


def waits_for(item: Item, known: Mapping[str, Item]) -> str:
    """Return what a waiting item waits for, as far as its dependencies are known."""
    open_items = [
        known[each]
        for each in item.depends_on
        if each in known and known[each].state is not State.COMPLETED
    ]
    dead = [each for each in open_items if each.state in DEAD]
    if dead:
        if len(dead) == 1:
            return f"waits for a {dead[0].state} item"
        return f"waits for {len(dead)} dead items"
    if not open_items:
        return "waits for other items"
    return f"waits for {counted(len(open_items), 'item', 'items')}"


def owner_words(agent: str, pool: str) -> str:
    """Return who has an item, in a box: its agent, or its pool."""
    return agent or (pool and f"pool {pool}")


def clipped(text: str, size: int, width: int = TEXT_WIDTH) -> str:
    """Return a text on one line that fits into a width in pixels.

    A server does not know the font: the widths are those of common ones, a little
    generous.
    """
    shown = cell(text)
    left = float(width)
    for place, character in enumerate(shown):
        left -= _share(character) * size
        if left < 0:
            return _cut(shown, place, size) + "…"
    return shown


def _cut(text: str, place: int, size: int) -> str:
    """Return the start of a text that has room for an ellipsis behind it."""
    room = WIDE * size
    while place and room > 0:
        place -= 1
        room -= _share(text[place]) * size
    return text[:place].rstrip(JOINER).rstrip()


def _share(character: str) -> float:
    if character in NARROW_LETTERS:
        return NARROW
    if character in BROAD_LETTERS:
        return BROAD
    if character.isascii():
        return USUAL
    if category(character) in ("Mn", "Me", "Cf"):
        return 0.0
    is_wide = east_asian_width(character) in "WF"
    return WIDE if is_wide else BROAD


def _sub(item: Item, state: str, known: Mapping[str, Item]) -> str:
    """Return the second line of a box."""
    match item.state:
        case State.IN_PROGRESS:
            who = item.agent if state == "in progress" else state
            words = (who, f"{item.percent}%")
        case State.BLOCKED:
            asked = item.questions[0].text if item.questions else "a question"
            words = (f"asks: {asked}", "")
        case State.WAITING:
            words = (waits_for(item, known), "")
        case State.PENDING:
            words = ("no agent", "")
        case State.REVIEW:
            words = (f"review of {item.agent}", "")
        case State.COMPLETED:
            words = (item.agent, "")
        case _:
            words = (state, owner_words(item.agent, item.pool))
    return " · ".join(filter(None, words))


def _label(
    item: Item, state: str, sub: str, known: Mapping[str, Item]
) -> Iterator[str]:
    yield cell(item.title)
    if state not in sub:
        yield state
    yield cell(sub)
    after = [
        cell(known[each].title) for each in item.depends_on if each in known
    ]
    if after:
        more = len(after) - NAMED
        yield f"after {', '.join(after[:NAMED])}" + (
            f" and {more} more" if more > 0 else ""
        )
