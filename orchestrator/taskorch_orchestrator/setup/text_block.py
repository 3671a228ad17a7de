"""Our block in a Markdown file of others, and Markdown files of our own.

A block has marks around it. If a mark was lost, it is found by its content. It follows
an empty line; a text without a line break at its end gets none after the block either,
so that the original text can be restored.
"""

import re

from taskorch_orchestrator.setup.managed_file import UnsupportedFile

MARK = "task-orchestrator"
STAMP = f"<!-- {MARK} -->"


BEGIN = f"<!-- {MARK}: begin (orchestrate setup) -->"
END = f"<!-- {MARK}: end -->"
_MARKS = re.compile(rf"(?m)^(?:{re.escape(BEGIN)}|{re.escape(END)})(?=\r?$)")


class Block:
    """Our lines in a Markdown file."""

    def __init__(self, content: str) -> None:
        """`content` has no line break at its end."""
        self._lines = content.split("\n")

    def has(self, text: str) -> bool:
        """Return whether the text has the current block."""
        _, block, _ = self._split(text)
        return block == self._text(newline_of(block))

    def added(self, text: str | None) -> str:
        """Return the text with the block: in the place of an old one, or at the end."""
        if text is None:
            return self._text("\n") + "\n"
        before, block, after = self._split(text)
        if block:
            return before + self._text(newline_of(block)) + after
        newline = newline_of(text)
        if text.endswith("\n"):
            return text + newline + self._text(newline) + newline
        separator = newline * 2 if text else ""
        return text + separator + self._text(newline)

    def removed(self, text: str) -> str | None:
        """Return the text without the block and the line breaks added with it."""
        before, block, after = self._split(text)
        if not block:
            return text
        newline = newline_of(block)
        if not before and after == newline:
            return None
        separator = newline if after.startswith(newline) else newline * 2
        return before.removesuffix(separator) + after.removeprefix(newline)

    def _split(self, text: str) -> tuple[str, str, str]:
        """Return the text before our block, the block or "", and the text after it."""
        marks = list(_MARKS.finditer(text))
        if [mark[0] for mark in marks] == [BEGIN, END]:
            begin, end = marks
            return _split_at(text, begin.start(), end.end())
        found = self._find_content(text)
        if found:
            start, stop = found.span()
            if all(start <= mark.start() < stop for mark in marks):
                return _split_at(text, start, stop)
        if not marks:
            return text, "", ""
        lines = []
        for mark in marks:
            before = text[: mark.start()]
            lines.append(str(before.count("\n") + 1))
        raise UnsupportedFile(
            f"has {BEGIN} or {END} in line {', '.join(lines)}. "
            "There must be one of each, in this order, or none"
        )

    def _find_content(self, text: str) -> re.Match[str] | None:
        """Return the only place of our content, with a mark that is left of it."""
        newline = r"\r?\n"
        lines = [re.escape(line) for line in self._lines]
        pattern = (
            f"(?m)^(?:{re.escape(BEGIN)}{newline})?"
            + newline.join(lines)
            + rf"(?:{newline}{re.escape(END)})?(?=\r?$)"
        )
        found = list(re.finditer(pattern, text))
        return found[0] if len(found) == 1 else None

    def _text(self, newline: str) -> str:
        return newline.join((BEGIN, *self._lines, END))


class WholeFile:
    """A file of our own, recognised by a stamp."""

    def __init__(self, content: str) -> None:
        """`content` contains STAMP."""
        self._content = content

    def has(self, text: str) -> bool:
        """Return whether the file is current."""
        return text.replace("\r\n", "\n") == self._content

    def added(self, text: str | None) -> str:
        """Return the file. Raises UnsupportedFile for a file of others."""
        if text is not None and STAMP not in text:
            raise UnsupportedFile("was not written by orchestrate setup")
        return self._content

    def removed(self, text: str) -> str | None:
        """Return None for a file of ours, whatever its version."""
        return None if STAMP in text else text


def newline_of(text: str) -> str:
    """Return the kind of line break in a text."""
    return "\r\n" if "\r\n" in text else "\n"


def _split_at(text: str, start: int, end: int) -> tuple[str, str, str]:
    return text[:start], text[start:end], text[end:]
