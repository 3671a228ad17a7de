"""The screen for results: a terminal with width and colours, or a pipe."""

import os
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.domain.item import State

#: The width of a pipe: nothing is cut or folded there.
PIPE_WIDTH = 100_000
ID_WIDTH = 13
#: The start of a continued line.
CONTINUED = "    | "
#: Columns that people copy from: they are never broken.
WHOLE = (
    "ITEM",
    "WHY",
    "SINCE",
    "PROJECT",
    "AGENT",
    "LAST SEEN",
    "STATE",
    "STATUS",
    "DONE",
    "WHAT HELPS",
)
#: Minimum width of the other columns, and the space between two columns. On a narrower
#: screen, the terminal breaks the rows.
LEAST_WIDTH, BETWEEN = 20, 2
STYLES = {
    State.IN_PROGRESS: "cyan",
    State.COMPLETED: "green",
    State.BLOCKED: "yellow",
    State.DELAYED: "yellow",
    State.FAILED: "red",
    State.CANCELLED: "dim",
}


def table(*columns: str) -> Table:
    """Return an empty table with these columns."""
    made = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for column in made.columns:
        column.no_wrap = column.header in WHOLE
        column.overflow = "fold"
        if column.header == "HOLDS":
            column.min_width = ID_WIDTH
    return made


def bar(done: int, total: int, width: int = 20) -> ProgressBar:
    """Return a progress bar, `width` characters long."""
    return ProgressBar(total=max(total, 1), completed=done, width=width)


def share(percent: int, bar_width: int) -> RenderableType:
    """Return a percentage, with a bar unless its width is 0."""
    if not bar_width:
        return f"{percent}%"
    cell = Table.grid(padding=(0, 1))
    cell.add_row(bar(percent, 100, bar_width), f"{percent}%")
    return cell


def state(shown: State) -> Text:
    """Return a state in its colour."""
    return Text(shown, style=STYLES.get(shown, ""))


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


def printed(*parts: RenderableType) -> str:
    """Return the parts as text for the screen. A table without rows is left out."""
    screen = console()
    with screen.capture() as capture:
        for part in parts:
            if isinstance(part, Table):
                _print_table(screen, part)
            elif isinstance(part, Text):
                screen.print(_folded(part, screen))
            else:
                screen.print(part)
    return "\n".join(row.rstrip() for row in capture.get().splitlines())


def _print_table(screen: Console, table: Table) -> None:
    """Print a table, on a wider screen if rich would cut off what people copy."""
    if not table.row_count:
        return
    least = sum(_least_width(column) + BETWEEN for column in table.columns)
    screen.width = max(screen.width, least)
    screen.print(table)


def _least_width(column: Column) -> int:
    widest = max(
        cell_len(str(cell)) for cell in (column.header, *column.cells)
    )
    return widest if column.no_wrap else min(widest, LEAST_WIDTH)


def _folded(text: Text, screen: Console) -> Text:
    """Return a text that fits the screen; a broken line continues after a mark."""
    width = max(screen.width - len(CONTINUED), len(CONTINUED))
    lines = [
        Text(f"\n{CONTINUED}").join(line.wrap(screen, width))
        for line in text.split("\n")
    ]
    return Text("\n").join(lines)
