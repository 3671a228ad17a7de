"""Which text is where on a terminal, from when until when.

Each line has one place among all lines that the terminal has had, so scrolling moves
the view and not the text. Cells of a line that appear together, or key by key, are one
span.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from demo.recordings.recorder import KEY_MS, Frame
from demo.recordings.screen import BLANK, Cell, Position, Screen, Style


@dataclass(frozen=True, kw_only=True)
class Span:
    """A text in one style that appears at a time."""

    at: Position
    text: str
    #: Number of columns.
    width: int
    style: Style
    from_ms: int
    #: None for a text that stays.
    until_ms: int | None
    #: Time between two characters of a text that is typed, else 0.
    key_ms: int = 0


class _Life(NamedTuple):
    """The content of one cell, from when until when."""

    at: Position
    cell: Cell
    from_ms: int
    until_ms: int | None


def spans(frames: Sequence[Frame]) -> list[Span]:
    """Return the texts of a terminal, in the order in which they appear."""
    lives = list(_lives(frames))
    taken = {life.at for life in lives}
    found = [
        span
        for _, group in groupby(
            sorted(lives, key=_row_first),
            key=lambda life: (life.at.row, life.until_ms, life.cell.style),
        )
        for span in _joined(group, taken)
    ]
    return sorted(found, key=lambda span: (span.from_ms, span.at))


def _row_first(life: _Life) -> tuple[int, int, Style, int]:
    return life.at.row, life.until_ms or 0, life.cell.style, life.at.column


def _lives(frames: Sequence[Frame]) -> Iterator[_Life]:
    alive: dict[Position, _Life] = {}
    for frame in frames:
        for at, cell in _cells(frame.screen):
            known = alive.get(at)
            if cell == (known.cell if known else BLANK):
                continue
            if known:
                yield alive.pop(at)._replace(until_ms=frame.at_ms)
            if cell != BLANK:
                alive[at] = _Life(at, cell, frame.at_ms, None)
    yield from alive.values()


def _cells(screen: Screen) -> Iterator[tuple[Position, Cell]]:
    for row, line in enumerate(screen.lines, start=screen.scrolled):
        for column, cell in enumerate(line):
            yield Position(row, column), cell


def _joined(lives: Iterable[_Life], taken: set[Position]) -> Iterator[Span]:
    """Join the cells of a line; blanks between them may not belong to other spans."""
    span: Span | None = None
    for life in lives:
        longer = span and _continued(span, life, taken)
        if span and not longer:
            yield span
        span = longer or Span(
            at=life.at,
            text=life.cell.text,
            width=1,
            style=life.cell.style,
            from_ms=life.from_ms,
            until_ms=life.until_ms,
        )
    if span:
        yield span


def _continued(span: Span, life: _Life, taken: set[Position]) -> Span | None:
    """Return the span with one more cell, or None if the cell is not part of it."""
    offset = life.at.column - span.at.column
    between = range(span.at.column + span.width, life.at.column)
    if any(Position(span.at.row, column) in taken for column in between):
        return None
    key_ms = span.key_ms
    if span.width == 1 and life.from_ms > span.from_ms:
        key_ms = KEY_MS
    if life.from_ms != span.from_ms + offset * key_ms:
        return None
    return replace(
        span,
        text=span.text + " " * len(between) + life.cell.text,
        width=offset + 1,
        key_ms=key_ms,
    )
