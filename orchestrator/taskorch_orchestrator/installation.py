"""Our parts in the files of a tool: put in, looked for, taken out; all of them, or none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from taskorch import errors, folder
from taskorch.frozen import Frozen

from taskorch_orchestrator.tool_file import Part, Unfit, read, with_part, without_part, write
from taskorch_orchestrator.tool_parts import Parts

Text = TypeVar("Text")
Result = TypeVar("Result")


class ToolFile(Frozen):
    """A file of a tool, and what became of it: created, changed, removed, unchanged; when looked at, current or not."""

    file: str
    status: str


def check(parts: Parts) -> tuple[ToolFile, ...]:
    """Return which files have our part as it should be. Raises errors.Invalid for a file that cannot be read."""

    def status(file: Path, part: Part) -> str:
        text = read(file)
        return "current" if text is not None and _fit(file, part.has, text) else "not current"

    return tuple(ToolFile(file=str(file), status=status(file, part)) for file, part in parts.items())


def install(parts: Parts, top: Path) -> tuple[ToolFile, ...]:
    """Put our part into each file, unless it is there. Raises errors.Invalid, before anything is written."""
    return _apply(parts, top, with_part)


def remove(parts: Parts, top: Path) -> tuple[ToolFile, ...]:
    """Take our part out of each file, in the same way; folders below `top` that are empty then go as well."""
    return _apply(parts, top, without_part)


def _apply(parts: Parts, top: Path, change: Callable[[Part, str | None], str | None]) -> tuple[ToolFile, ...]:
    before = {file: read(file) for file in parts}
    after = {file: _fit(file, partial(change, part), before[file]) for file, part in parts.items()}
    changed = {file: text for file, text in after.items() if text != before[file]}
    for file, text in changed.items():
        try:
            write(file, text, top)
        except OSError as error:
            raise folder.refusal(file.parent, error) from None
    return tuple(ToolFile(file=str(file), status=_status(before[file], after[file])) for file in parts)


def _fit(file: Path, change: Callable[[Text], Result], text: Text) -> Result:
    try:
        return change(text)
    except Unfit as unfit:
        raise errors.Invalid(reason=f"{file} {unfit}. It was left as it is; nothing was written.") from None


def _status(before: str | None, after: str | None) -> str:
    if before == after:
        return "unchanged"
    if before is None:
        return "created"
    return "removed" if after is None else "changed"
