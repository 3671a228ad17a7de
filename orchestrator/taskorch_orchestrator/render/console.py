"""The screen that results are drawn for: a terminal with its width and colours, or a pipe that has none."""

import os
from typing import Literal

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Column, Table
from rich.text import Text
from taskorch.cli.output import on_terminal
from taskorch.domain.item import State

#: A pipe has no width: nothing is cut or folded there.
PIPE_WIDTH = 100_000
ID_WIDTH = 13
#: In front of the rest of a line that is too long, as of the later lines of a text.
GOES_ON = "    | "
#: Columns with what people copy.
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
#: As much of any other column is shown side by side; where there is no room for that, the terminal breaks the rows.
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
        column.min_width = ID_WIDTH if column.header == "HOLDS" else None
    return made


def bar(done: int, total: int, width: int = 20) -> ProgressBar:
    """Return a bar of so much out of so much."""
    return ProgressBar(total=max(total, 1), completed=done, width=width)


def share(percent: int, bar_width: int) -> RenderableType:
    """Return a percentage, behind its bar where that has a width."""
    if not bar_width:
        return f"{percent}%"
    cell = Table.grid(padding=(0, 1))
    cell.add_row(bar(percent, 100, bar_width), f"{percent}%")
    return cell


def state(shown: State) -> Text:
    """Return a state in its colour."""
    return Text(shown, style=STYLES.get(shown, ""))


def console() -> Console:
    """Return where results go, as rich knows it."""
    colours: Literal["auto"] | None = None if os.environ.get("NO_COLOR") else "auto"
    width = None if on_terminal() else PIPE_WIDTH
    return Console(
        color_system=colours, width=width, highlight=False, markup=False, emoji=False
    )


def printed(*parts: RenderableType) -> str:
    """Return what the parts look like; a table without rows is nothing."""
    screen = console()
    with screen.capture() as capture:
        for part in parts:
            if isinstance(part, Table):
                screen.width = max(screen.width, _least_width(part))
            if not isinstance(part, Table) or part.row_count:
                screen.print(_folded(part, screen) if isinstance(part, Text) else part)
    return "\n".join(row.rstrip() for row in capture.get().splitlines())


def _folded(text: Text, screen: Console) -> Text:
    """Return a text that fits the width of the screen; where a line is broken, it goes on behind a mark."""
    rows = (
        row.wrap(screen, max(screen.width - len(GOES_ON), len(GOES_ON)))
        for row in text.split("\n")
    )
    return Text("\n").join(Text(f"\n{GOES_ON}").join(row) for row in rows)


def _least_width(table: Table) -> int:
    """Return how wide a table is with what people copy in one piece: rich would cut it off."""
    return sum(_least_of(column) + BETWEEN for column in table.columns)


def _least_of(column: Column) -> int:
    widest = max(cell_len(str(cell)) for cell in (column.header, *column.cells))
    return widest if column.no_wrap else min(widest, LEAST_WIDTH)
