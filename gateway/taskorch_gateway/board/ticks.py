"""The ticks of a project: one for each of its items, by state.

The height of a tick says how far its item is, and a dot on top that it needs a person.
"""

from collections.abc import Iterator, Mapping

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State

#: A project with more items shows the shares of its states among this number of ticks.
MOST = 36
#: Pixels: the width of a tick, the distance of two, and the height of the picture.
WIDTH, STEP, HEIGHT = 5, 7, 14


class TickMark(Frozen):
    """How the ticks of a state look."""

    #: The class of its colour, and its word in the label.
    style: str
    word: str
    height: int
    has_dot: bool = False


#: In the order in which they stand.
MARKS: Mapping[State, TickMark] = {
    State.COMPLETED: TickMark(style="s-done", word="completed", height=10),
    State.BLOCKED: TickMark(
        style="s-ask", word="blocked", height=10, has_dot=True
    ),
    State.REVIEW: TickMark(
        style="s-review", word="in review", height=10, has_dot=True
    ),
    State.FAILED: TickMark(
        style="s-failed", word="failed", height=10, has_dot=True
    ),
    State.IN_PROGRESS: TickMark(style="s-work", word="in progress", height=6),
    State.DELAYED: TickMark(style="s-wait", word="delayed", height=3),
    State.QUEUED: TickMark(style="s-wait", word="queued", height=3),
    State.PENDING: TickMark(
        style="s-wait", word="unassigned", height=2, has_dot=True
    ),
    State.WAITING: TickMark(style="s-wait", word="waiting", height=2),
}


class Shape(Frozen):
    """The ticks of one state, as the path of an SVG; its dots have their own."""

    style: str
    path: str


class Ticks(Frozen):
    """A picture of ticks, and what it shows in words."""

    shapes: tuple[Shape, ...]
    width: int
    label: str


def ticks(counts: Mapping[State, int]) -> Ticks:
    """Return the ticks of a project with a number of items in each state.

    Cancelled items have none.
    """
    numbers = {
        state: counts.get(state, 0)
        for state in MARKS
        if counts.get(state, 0) > 0
    }
    shapes, place = [], 0
    for state, number in _shares(numbers).items():
        mark = MARKS[state]
        path = "".join(_path(mark, place + n) for n in range(number))
        shapes.append(Shape(style=mark.style, path=path))
        place += number
    words = [f"{n} {MARKS[state].word}" for state, n in numbers.items()]
    return Ticks(
        shapes=tuple(shapes),
        width=max(0, place * STEP - (STEP - WIDTH)),
        label=", ".join(words) or "no items",
    )


def _shares(numbers: Mapping[State, int]) -> Mapping[State, int]:
    """Return the number of ticks of each state; each has at least one."""
    total = sum(numbers.values())
    if total <= MOST:
        return numbers
    shares = {
        state: max(1, round(MOST * number / total))
        for state, number in numbers.items()
    }
    largest = max(shares, key=lambda state: shares[state])
    shares[largest] += MOST - sum(shares.values())
    return shares


def _path(mark: TickMark, place: int) -> str:
    left, top = place * STEP, HEIGHT - mark.height
    drawn = f"M{left} {top}h{WIDTH}v{mark.height}h-{WIDTH}z"
    return drawn + "".join(_dot(left, top) if mark.has_dot else ())


def _dot(left: int, top: int) -> Iterator[str]:
    """Yield a dot above a tick: two half circles."""
    yield f"M{left + 0.9:g} {top - 2.4:g}"
    yield "a1.6 1.6 0 1 1 3.2 0"
    yield "a1.6 1.6 0 1 1-3.2 0z"
