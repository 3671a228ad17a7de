"""Our parts in the files of an agent's program: put in, looked for, taken out; all of them, or none."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from taskorch import errors
from taskorch.frozen import Frozen

from taskorch_orchestrator.program_file import Change, Part, Unfit, read, replace, with_part, without_part
from taskorch_orchestrator.program_parts import Parts

Text = TypeVar("Text")
Result = TypeVar("Result")


class ProgramFile(Frozen):
    """A file of a program, and what became of it: created, changed, removed, unchanged; looked at, current or not."""

    file: str
    status: str


def check(parts: Parts) -> tuple[ProgramFile, ...]:
    """Return which files have our part. Raises errors.Invalid for a file that cannot be read."""

    def status(file: Path, part: Part) -> str:
        text = read(file)
        return "current" if text is not None and _fit(file, part.has, text) else "not current"

    return tuple(ProgramFile(file=str(file), status=status(file, part)) for file, part in parts.items())


def install(parts: Parts, top: Path) -> tuple[ProgramFile, ...]:
    """Put our part into each file, unless it is there. Raises errors.Invalid, and nothing is written then."""
    return _apply(parts, top, with_part)


def remove(parts: Parts, top: Path) -> tuple[ProgramFile, ...]:
    """Take our part out of each file, in the same way; folders below `top` that are empty then go as well."""
    return _apply(parts, top, without_part)


def _apply(parts: Parts, top: Path, change: Callable[[Part, str | None], str | None]) -> tuple[ProgramFile, ...]:
    changes = dict[Path, Change]()
    for file, part in parts.items():
        before = read(file)
        changes[file] = Change(before=before, after=_fit(file, partial(change, part), before))
    replace({file: each for file, each in changes.items() if each.before != each.after}, top)
    return tuple(ProgramFile(file=str(file), status=_status(each)) for file, each in changes.items())


def _fit(file: Path, change: Callable[[Text], Result], text: Text) -> Result:
    try:
        return change(text)
    except Unfit as unfit:
        raise errors.Invalid(reason=f"{file} {unfit}. It was left as it is; nothing was written.") from None


def _status(change: Change) -> str:
    if change.before == change.after:
        return "unchanged"
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "changed"
