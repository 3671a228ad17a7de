"""Our parts in the files of an agent's program: put in, looked for, taken out; all of them, or none."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.setup.managed_file import (
    Change,
    Part,
    UnsupportedFile,
    read,
    replace,
    with_part,
    without_part,
)
from taskorch_orchestrator.setup.programs import Parts

Text = TypeVar("Text")
Result = TypeVar("Result")
Changes = Mapping[Path, Change]


class ProgramFile(Frozen):
    """A file of a program, and what became of it: created, changed, removed, unchanged; looked at, current or not."""

    file: str
    status: str


def check(parts: Parts) -> tuple[ProgramFile, ...]:
    """Return which files have our part. Raises errors.Invalid for a file that cannot be read."""

    def status(file: Path, part: Part) -> str:
        text = read(file)
        return (
            "current"
            if text is not None and _fit(file, part.has, text)
            else "not current"
        )

    return tuple(
        ProgramFile(file=str(file), status=status(file, part))
        for file, part in parts.items()
    )


def addition(parts: Parts) -> Changes:
    """Return what has to change so that each file has our part. Raises errors.Invalid for a file that cannot."""
    return _changes(parts, with_part)


def removal(parts: Parts) -> Changes:
    """Return what has to change so that no file has our part, in the same way."""
    return _changes(parts, without_part)


def outside(changes: Changes, top: Path) -> Mapping[Path, Path]:
    """Return the target of each file that would change, but lies out of `top`: a symbolic link leads to it."""
    targets = {
        file: file.resolve()
        for file, each in changes.items()
        if each.before != each.after
    }
    return {
        file: target
        for file, target in targets.items()
        if not target.is_relative_to(top.resolve())
    }


def apply(changes: Changes, top: Path) -> tuple[ProgramFile, ...]:
    """Change all files or none, as `replace` does; folders below `top` that are empty then go as well."""
    replace(
        {file: each for file, each in changes.items() if each.before != each.after}, top
    )
    return tuple(
        ProgramFile(file=str(file), status=_status(each))
        for file, each in changes.items()
    )


def _changes(parts: Parts, change: Callable[[Part, str | None], str | None]) -> Changes:
    before = {file: read(file) for file in parts}
    return {
        file: Change(
            before=before[file], after=_fit(file, partial(change, part), before[file])
        )
        for file, part in parts.items()
    }


def _fit(file: Path, change: Callable[[Text], Result], text: Text) -> Result:
    try:
        return change(text)
    except UnsupportedFile as unfit:
        raise errors.Invalid(
            reason=f"{file} {unfit}. It was left as it is; nothing was written."
        ) from None


def _status(change: Change) -> str:
    if change.before == change.after:
        return "unchanged"
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "changed"
