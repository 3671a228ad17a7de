"""A block of ours in a text file of somebody else, between two marks; and a file that is ours as a whole.

After a text with a line break at its end come an empty line and the block; another text has no line break at its end
afterwards either. So it can be told what has to go with the block.
"""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import cast

from taskorch_orchestrator.program_file import Json, Unfit, joined

MARK = "task-orchestrator"
STAMP = f"<!-- {MARK} -->"


class Block:
    """Lines of ours in a Markdown file."""

    _comment = "<!-- {} -->"

    def __init__(self, content: str) -> None:
        """`content` has no line break at its end."""
        self._content_of_ours = content
        self._begin = self._comment.format(f"{MARK}: begin (orchestrate setup)")
        self._end = self._comment.format(f"{MARK}: end")

    def has(self, text: str) -> bool:
        """Return whether the block is there as it should be."""
        _, block, _ = self._split(text)
        return block == self._renewed(block, _newline(block))

    def added(self, text: str | None) -> str:
        """Return the text with the block: where it stands, or at the end."""
        if text is None:
            return self._renewed("", "\n") + "\n"
        before, block, after = self._split(text)
        if block:
            return before + self._renewed(block, _newline(block)) + after
        newline = _newline(text)
        between, behind = (newline, newline) if text.endswith("\n") else (newline * 2 if text else "", "")
        return text + between + self._renewed("", newline) + behind

    def removed(self, text: str) -> str | None:
        """Return the text without the block, and without the line breaks that came with it."""
        before, block, after = self._split(text)
        newline = _newline(block)
        if block and not before and after == newline:
            return None
        if not block:
            return text
        came_with_it = newline if after.startswith(newline) else newline * 2
        return before.removesuffix(came_with_it) + after.removeprefix(newline)

    def _split(self, text: str) -> tuple[str, str, str]:
        """Return what stands before our block, the block, "" where there is none, and what stands behind it."""
        marks = list(re.finditer(rf"(?m)^(?:{re.escape(self._begin)}|{re.escape(self._end)})(?=\r?$)", text))
        if not marks:
            return text, "", ""
        if [mark[0] for mark in marks] != [self._begin, self._end]:
            lines = ", ".join(str(text.count("\n", 0, mark.start()) + 1) for mark in marks)
            raise Unfit(f"has {self._begin} or {self._end} in line {lines}: there must be one of each, or none")
        start, end = marks[0].start(), marks[1].end()
        return text[:start], text[start:end], text[end:]

    def _renewed(self, block: str, newline: str) -> str:
        there = block.replace("\r\n", "\n").removeprefix(f"{self._begin}\n").removesuffix(f"\n{self._end}")
        return "\n".join((self._begin, self._content(there), self._end)).replace("\n", newline)

    def _content(self, _there: str) -> str:
        return self._content_of_ours


class Tables(Block):
    """Tables of ours in a TOML file; what somebody adds to one of them stays."""

    _comment = "# {}"

    def __init__(self, tables: dict[str, Json]) -> None:
        """`tables` is the document that they make."""
        super().__init__("")
        self._tables = tables

    def added(self, text: str | None) -> str:
        """Return the text with the tables: where they stand, or at the end."""
        added = super().added(text)
        _parsed(added, "has no room for our tables")
        return added

    def _split(self, text: str) -> tuple[str, str, str]:
        _parsed(text)
        return super()._split(text)

    def _content(self, there: str) -> str:
        theirs = _parsed(there)
        whole = cast("dict[str, Json]", joined(self._tables, theirs))
        return there if whole == theirs else "\n\n".join(_tables(whole))


class WholeFile:
    """A file that is ours from beginning to end; it has our stamp in it, which nobody else writes."""

    def __init__(self, content: str) -> None:
        """`content` has STAMP in it."""
        self._content = content

    def has(self, text: str) -> bool:
        """Return whether it is as it should be."""
        return text.replace("\r\n", "\n") == self._content

    def added(self, text: str | None) -> str:
        """Return the file; somebody else's is left alone."""
        if text is not None and STAMP not in text:
            raise Unfit("is somebody else's")
        return self._content

    def removed(self, text: str) -> str | None:
        """Return nothing where it is ours, whatever its version."""
        return None if STAMP in text else text


def _parsed(text: str, otherwise: str = "is not valid TOML") -> dict[str, Json]:
    try:
        return tomllib.loads(text.removeprefix("\ufeff"))
    except tomllib.TOMLDecodeError as error:
        raise Unfit(f"{otherwise} ({error})") from None


def _tables(table: dict[str, Json], *path: str) -> Iterator[str]:
    """Return each table of a document as text; what JSON and TOML write alike is all that there is in it."""
    lines = [f"{_key(name)} = {json.dumps(value)}" for name, value in table.items() if not isinstance(value, dict)]
    if lines:
        yield "\n".join([f"[{'.'.join(path)}]", *lines])
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _tables(value, *path, _key(name))


def _key(name: str) -> str:
    return name if re.fullmatch(r"[\w-]+", name, re.ASCII) else json.dumps(name)


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"
