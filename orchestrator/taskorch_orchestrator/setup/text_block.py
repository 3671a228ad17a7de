"""A block of ours in another's text file, known by two marks or by its content; and a file that is ours as a whole.

After a text with a line break at its end come an empty line and the block; another text has no line break at its end
afterwards either. So it can be told what has to go with the block.
"""

import re

from taskorch_orchestrator.setup.managed_file import UnsupportedFile

MARK = "task-orchestrator"
STAMP = f"<!-- {MARK} -->"


class Block:
    """Lines of ours in a Markdown file."""

    _begin = f"<!-- {MARK}: begin (orchestrate setup) -->"
    _end = f"<!-- {MARK}: end -->"

    def __init__(self, content: str) -> None:
        """`content` has no line break at its end."""
        self._lines = content.split("\n")

    def has(self, text: str) -> bool:
        """Return whether the block is there as it should be."""
        _, block, _ = self._split(text)
        return block == self._drawn(newline_of(block))

    def added(self, text: str | None) -> str:
        """Return the text with the block: where it stands, or at the end."""
        if text is None:
            return self._drawn("\n") + "\n"
        before, block, after = self._split(text)
        if block:
            return before + self._drawn(newline_of(block)) + after
        newline = newline_of(text)
        between, behind = (
            (newline, newline)
            if text.endswith("\n")
            else (newline * 2 if text else "", "")
        )
        return text + between + self._drawn(newline) + behind

    def removed(self, text: str) -> str | None:
        """Return the text without the block, and without the line breaks that came with it."""
        before, block, after = self._split(text)
        newline = newline_of(block)
        if block and not before and after == newline:
            return None
        if not block:
            return text
        came_with_it = newline if after.startswith(newline) else newline * 2
        return before.removesuffix(came_with_it) + after.removeprefix(newline)

    def _split(self, text: str) -> tuple[str, str, str]:
        """Return what stands before our block, the block, "" where there is none, and what stands behind it."""
        marks = list(
            re.finditer(
                rf"(?m)^(?:{re.escape(self._begin)}|{re.escape(self._end)})(?=\r?$)",
                text,
            )
        )
        if [mark[0] for mark in marks] == [self._begin, self._end]:
            start, end = marks[0].start(), marks[1].end()
        elif (found := self._by_content(text)) and all(
            found.start() <= mark.start() < found.end() for mark in marks
        ):
            start, end = found.span()
        elif marks:
            lines = ", ".join(
                str(text.count("\n", 0, mark.start()) + 1) for mark in marks
            )
            raise UnsupportedFile(
                f"has {self._begin} or {self._end} in line {lines}: there must be one of each, or none"
            )
        else:
            start = end = len(text)
        return text[:start], text[start:end], text[end:]

    def _by_content(self, text: str) -> re.Match[str] | None:
        """Return the only place of our content, with a mark that is left of it; None where it is not there once."""
        content = r"\r?\n".join(map(re.escape, self._lines))
        block = rf"(?m)^(?:{re.escape(self._begin)}\r?\n)?{content}(?:\r?\n{re.escape(self._end)})?(?=\r?$)"
        found = list(re.finditer(block, text))
        return found[0] if len(found) == 1 else None

    def _drawn(self, newline: str) -> str:
        return newline.join((self._begin, *self._lines, self._end))


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
            raise UnsupportedFile("is somebody else's")
        return self._content

    def removed(self, text: str) -> str | None:
        """Return nothing where it is ours, whatever its version."""
        return None if STAMP in text else text


def newline_of(text: str) -> str:
    """Return the line break that a text has."""
    return "\r\n" if "\r\n" in text else "\n"
