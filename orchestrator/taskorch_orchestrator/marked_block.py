"""A block of ours in a text file of somebody else, between two marks; and a file that is ours as a whole.

After a text with a line break at its end come an empty line and the block; another text has no line break at its end
afterwards either. So it can be told what has to go with the block.
"""

import re
import tomllib

from taskorch_orchestrator.tool_file import Unfit

MARK = "task-orchestrator"
STAMP = f"<!-- {MARK} -->"


class Block:
    """Lines of ours in a text file: Markdown, or TOML with `#` for its comments."""

    def __init__(self, content: str, *, toml: bool = False) -> None:
        """`content` has no line break at its end."""
        opening, closing = ("# ", "") if toml else ("<!-- ", " -->")
        begin, end = (f"{opening}{MARK}: {word}{closing}" for word in ("begin (orchestrate setup)", "end"))
        self._toml = toml
        self._block = f"{begin}\n{content}\n{end}"
        self._pattern = re.compile(rf"(?ms)^{re.escape(begin)}\r?\n.*?^{re.escape(end)}(?=\r?\n|\Z)")

    def has(self, text: str) -> bool:
        """Return whether the block is there as it should be."""
        self._check(text)
        return [found.replace("\r\n", "\n") for found in self._pattern.findall(text)] == [self._block]

    def added(self, text: str | None) -> str:
        """Return the text with the block at its end."""
        if text is None:
            return f"{self._block}\n"
        newline = "\r\n" if "\r\n" in text else "\n"
        between = newline if not text or text.endswith("\n") else newline * 2
        after = "" if not text or not text.endswith("\n") else newline
        added = f"{text}{between if text else ''}{self._block.replace(chr(10), newline)}{after}"
        self._check(added)
        return added

    def removed(self, text: str) -> str | None:
        """Return the text without the block, and without the line breaks that came with it."""
        self._check(text)
        for found in reversed(list(self._pattern.finditer(text))):
            before, after = text[: found.start()], text[found.end() :]
            newline = "\r\n" if "\r\n" in found[0] else "\n"
            if not before and after == newline:
                return None
            came_with_it = newline if after.startswith(newline) else newline * 2
            text = before.removesuffix(came_with_it) + after.removeprefix(newline)
        return text

    def _check(self, text: str) -> None:
        if self._toml:
            try:
                tomllib.loads(text)
            except tomllib.TOMLDecodeError as error:
                raise Unfit(f"is not valid TOML ({error})") from None


class WholeFile:
    """A file that is ours from beginning to end; it has our stamp in it, which nobody else writes."""

    def __init__(self, content: str) -> None:
        """`content` has STAMP in it."""
        self._content = content

    def has(self, text: str) -> bool:
        """Return whether it is as it should be."""
        return text == self._content

    def added(self, text: str | None) -> str:
        """Return the file; somebody else's is left alone."""
        if text is not None:
            raise Unfit("is somebody else's")
        return self._content

    def removed(self, text: str) -> str | None:
        """Return nothing where it is ours, whatever its version."""
        return None if STAMP in text else text
