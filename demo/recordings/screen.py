"""The screen of a terminal: its cells, its cursor, and how far it has scrolled."""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import pyte


class Style(NamedTuple):
    """How a cell looks."""

    colour: str = "default"
    bold: bool = False


class Cell(NamedTuple):
    """A character in its place; the right half of a wide character is ""."""

    text: str
    style: Style = Style()


BLANK = Cell(" ")
Line = tuple[Cell, ...]


class Position(NamedTuple):
    """A place on a screen, or among all lines that a terminal has had."""

    row: int
    column: int


@dataclass(frozen=True, kw_only=True)
class Screen:
    """A screen at one moment."""

    #: Number of lines that have left it at the top.
    scrolled: int
    lines: tuple[Line, ...]
    #: None while the cursor is hidden.
    cursor: Position | None

    def text(self) -> str:
        """Return the lines, without trailing blanks."""
        rows = (_text(line) for line in self.lines)
        return "\n".join(row.rstrip() for row in rows).rstrip("\n")

    def masked(self, word: str, by: str) -> "Screen":
        """Return the screen with another text for a word, in the same columns."""
        return replace(
            self, lines=tuple(_masked(line, word, by) for line in self.lines)
        )


class Emulator(pyte.Screen):
    """A terminal emulator that counts the lines that have left it."""

    def __init__(self, *, columns: int, rows: int) -> None:
        super().__init__(columns, rows)
        self._scrolled = 0

    def index(self) -> None:
        """Move the cursor down; at the bottom, all lines move up instead."""
        if self.cursor.y == self.lines - 1:
            self._scrolled += 1
        super().index()

    def screen(self) -> Screen:
        """Return what it shows now."""
        return Screen(
            scrolled=self._scrolled,
            lines=tuple(
                tuple(
                    _cell(self.buffer[row][column])
                    for column in range(self.columns)
                )
                for row in range(self.lines)
            ),
            cursor=None
            if self.cursor.hidden
            else Position(self.cursor.y, self.cursor.x),
        )


def _text(line: Line) -> str:
    return "".join(cell.text for cell in line)


def _masked(line: Line, word: str, by: str) -> Line:
    cells = list(line)
    # One character for each column, whatever is in it.
    text = "".join(cell.text[:1] or " " for cell in line)
    for found in re.finditer(rf"(?<!\S){re.escape(word)}(?!\S)", text):
        for column, shown in enumerate(
            by.ljust(len(word)), start=found.start()
        ):
            cells[column] = cells[column]._replace(text=shown)
    return tuple(cells)


def _cell(character: pyte.screens.Char) -> Cell:
    if character.data == " ":
        return BLANK
    return Cell(character.data, Style(character.fg, character.bold))
