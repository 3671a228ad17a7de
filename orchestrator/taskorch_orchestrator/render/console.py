"""The screen for results: a terminal with width and colours, or a pipe."""

import os
from collections.abc import Iterator, Sequence
from time import time
from typing import Literal

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.cli.text import CONTINUED, ago, timestamp
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State

#: The width of a pipe: nothing is cut, left out or folded there.
PIPE_WIDTH = 100_000
#: The space between two columns, and before what is below a row.
GAP = "  "
BELOW = "    "
STYLES = {
    State.IN_PROGRESS: "cyan",
    State.COMPLETED: "green",
    State.BLOCKED: "yellow",
    State.REVIEW: "yellow",
    State.DELAYED: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "dim",
}
BAR = "━"


class Column(Frozen):
    """A column of a table, and how it gives way where there is no room."""

    header: str
    #: Its turn to be left out, from 1; 0 for a column that always stays.
    leaves: int = 0
    #: The width down to which its cells may be cut; 0 for cells that stay whole, because
    #: people copy from them.
    least: int = 0
    #: The width below which its cells are cut only after the first column has left.
    ample: int = 0
    #: Whether a cell is cut at its start: the end of a path says most.
    keeps_end: bool = False
    #: Whether its cells go below their rows if the table is too wide.
    is_below: bool = False
    #: Whether a terminal has no such column: another one says it in other words.
    in_pipes_only: bool = False


class Table:
    """Rows of cells that fit the screen: no cell is broken into the next line."""

    def __init__(self, *columns: Column) -> None:
        self._columns = columns
        self._hides = [
            column.in_pipes_only and on_terminal() for column in columns
        ]
        self._rows: list[tuple[Text, ...]] = []

    @property
    def row_count(self) -> int:
        """The number of rows, without the header."""
        return len(self._rows)

    def add_row(self, *cells: str | Text) -> None:
        """Add a row, with a cell for each column; each is one line."""
        self._rows.append(
            tuple(
                cell if isinstance(cell, Text) else Text(cell)
                for cell in cells
            )
        )

    def lines(self, width: int) -> Iterator[Text]:
        """Yield the header and the rows, at most `width` wide."""
        widths = [self._widest(place) for place in range(len(self._columns))]
        shown = [place for place, hides in enumerate(self._hides) if not hides]
        below = _below(self._columns, widths, width, shown)
        kept = _kept(
            self._columns,
            widths,
            width,
            [place for place in shown if place not in below],
        )
        _shrink(self._columns, widths, width, kept)
        header = [
            Text(column.header, style="bold") for column in self._columns
        ]
        yield self._line(header, kept, widths)
        for row in self._rows:
            yield self._line(row, kept, widths)
            for place in below:
                if row[place].plain:
                    yield Text(BELOW).append_text(row[place])

    def _widest(self, place: int) -> int:
        cells = [row[place].cell_len for row in self._rows]
        return max(cell_len(self._columns[place].header), *cells)

    def _line(
        self, cells: Sequence[Text], kept: Sequence[int], widths: Sequence[int]
    ) -> Text:
        fitted = [
            _cut(cells[place], widths[place], self._columns[place])
            for place in kept
        ]
        for place, cell in zip(kept[:-1], fitted, strict=False):
            cell.pad_right(widths[place] - cell.cell_len)
        return Text(GAP).join(fitted)


#: What is printed: a text, or a table.
Part = Text | Table


def bar(done: int, total: int, width: int = 20) -> Text:
    """Return a progress bar, `width` characters long; "" if nothing is done."""
    if not done:
        return Text("")
    full = width * min(done, total) // max(total, 1)
    style = STYLES[State.COMPLETED] if done >= total else ""
    return Text(BAR * full, style=style).append(
        BAR * (width - full), style="bright_black"
    )


def share(percent: int, bar_width: int) -> Text:
    """Return a percentage, after a bar unless its width is 0 or nothing is done."""
    if not bar_width or not percent:
        return Text(f"{percent}%")
    return bar(percent, 100, bar_width).append(f" {percent}%", style="default")


def state(shown: State) -> Text:
    """Return a state in its colour."""
    return Text(shown, style=STYLES.get(shown, ""))


def owner(agent: str, pool: str) -> str:
    """Return the agent of an item, or the pool in which it waits."""
    return agent or (f"pool {pool}" if pool else "-")


def since(at: int) -> str:
    """Return a time in ms since the epoch: its age on a terminal, UTC in a pipe."""
    if not at or not on_terminal():
        return timestamp(at)
    return ago(round(time() * 1000) - at)


def console() -> Console:
    """Return the console that results are printed on."""
    colours: Literal["auto"] | None = (
        None if os.environ.get("NO_COLOR") else "auto"
    )
    return Console(
        color_system=colours,
        width=None if on_terminal() else PIPE_WIDTH,
        highlight=False,
        markup=False,
        emoji=False,
    )


def printed(*parts: Part) -> str:
    """Return the parts as text for the screen. A table without rows is left out."""
    screen = console()
    with screen.capture() as capture:
        for part in parts:
            if isinstance(part, Table):
                _print_table(screen, part)
            else:
                screen.print(_folded(part, screen))
    return "\n".join(row.rstrip() for row in capture.get().splitlines())


def _print_table(screen: Console, table: Table) -> None:
    if not table.row_count:
        return
    for line in table.lines(screen.width):
        screen.print(line, no_wrap=True, overflow="ignore", crop=False)


def _total(widths: Sequence[int], kept: Sequence[int]) -> int:
    gaps = len(GAP) * (len(kept) - 1)
    return sum(widths[place] for place in kept) + gaps


def _least(columns: Sequence[Column], widths: Sequence[int]) -> list[int]:
    return [
        min(width, column.least) if column.least else width
        for column, width in zip(columns, widths, strict=True)
    ]


def _ample(columns: Sequence[Column], widths: Sequence[int]) -> list[int]:
    """Return the widths down to which columns are cut before the first one leaves."""
    return [
        min(width, max(column.least, column.ample)) if column.least else width
        for column, width in zip(columns, widths, strict=True)
    ]


def _below(
    columns: Sequence[Column],
    widths: Sequence[int],
    room: int,
    shown: Sequence[int],
) -> list[int]:
    """Return the columns whose cells go below their rows: none if all of them fit."""
    if _total(_least(columns, widths), shown) <= room:
        return []
    return [place for place in shown if columns[place].is_below]


def _kept(
    columns: Sequence[Column],
    widths: Sequence[int],
    room: int,
    shown: Sequence[int],
) -> list[int]:
    """Return the columns for which there is room, if some of them are cut."""
    kept = list(shown)
    if _total(_ample(columns, widths), kept) > room:
        kept = [place for place in kept if columns[place].leaves != 1]
    least = _least(columns, widths)
    while _total(least, kept) > room:
        leaving = [place for place in kept if columns[place].leaves]
        if not leaving:
            break
        kept.remove(min(leaving, key=lambda place: columns[place].leaves))
    return kept


def _shrink(
    columns: Sequence[Column],
    widths: list[int],
    room: int,
    kept: Sequence[int],
) -> None:
    """Cut the widest columns until the kept ones fit, at first to an ample width."""
    cut = [place for place in kept if columns[place].least]
    for place in cut:
        widths[place] = min(widths[place], max(room, columns[place].least))
    for floors in (_ample(columns, widths), _least(columns, widths)):
        while _total(widths, kept) > room:
            wide = [place for place in cut if widths[place] > floors[place]]
            if not wide:
                break
            widths[max(wide, key=lambda place: widths[place])] -= 1


def _cut(cell: Text, width: int, column: Column) -> Text:
    """Return a cell, cut to a width."""
    shown = cell.copy()
    if not column.keeps_end or shown.cell_len <= width:
        shown.truncate(width, overflow="ellipsis")
        return shown
    start = len(shown.plain) - width + 1
    while cell_len(shown.plain[start:]) > width - 1:
        start += 1
    return Text(f"…{shown.plain[start:]}")


def _folded(text: Text, screen: Console) -> Text:
    """Return a text that fits the screen; a broken line continues after a mark."""
    width = max(screen.width - len(CONTINUED), len(CONTINUED))
    lines = [
        line
        if line.cell_len <= screen.width
        else Text(f"\n{CONTINUED}").join(line.wrap(screen, width))
        for line in text.split("\n")
    ]
    return Text("\n").join(lines)
