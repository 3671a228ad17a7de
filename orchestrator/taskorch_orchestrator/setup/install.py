"""Add, check and remove our parts in the files of a program, all or none."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.setup import remote_server
from taskorch_orchestrator.setup.json_entries import JsonEntries
from taskorch_orchestrator.setup.managed_file import (
    Absent,
    Change,
    Part,
    UnsupportedFile,
    read,
    replace_all,
    with_part,
    without_part,
)
from taskorch_orchestrator.setup.programs import Parts
from taskorch_orchestrator.setup.remote_server import RemoteServer
from taskorch_orchestrator.setup.toml_entries import TomlEntries

Text = TypeVar("Text")
NewText = TypeVar("NewText")
Changes = Mapping[Path, Change]


class ProgramFile(Frozen):
    """A file of a program.

    `status` is "created", "changed", "removed" or "unchanged"; after a check, "current"
    or "not current".
    """

    file: str
    status: str


def check(parts: Parts) -> tuple[ProgramFile, ...]:
    """Return which files have our part.

    Raises errors.Invalid for an unreadable file.
    """
    found = []
    for file, part in parts.items():
        text = read(file)
        is_current = (
            isinstance(part, Absent)
            if text is None
            else _in_file(file, part.has, text)
        )
        status = "current" if is_current else "not current"
        found.append(ProgramFile(file=str(file), status=status))
    return tuple(found)


def has_any(parts: Parts) -> bool:
    """Return whether a file has our part. A file that cannot be read has none."""
    for file, part in parts.items():
        with suppress(errors.Invalid):
            text = read(file)
            if text is not None and _in_file(file, part.has, text):
                return True
    return False


def remote_of(parts: Parts) -> RemoteServer | None:
    """Return the server of a gateway that the files have, None if they have none.

    `parts` are those of a program with our command as a server. Raises errors.Invalid.
    """
    for file, part in parts.items():
        if not isinstance(part, JsonEntries | TomlEntries):
            continue
        text = read(file)
        if text is None:
            continue
        for value in _in_file(file, part.obsolete_in, text):
            if found := remote_server.server_in(value):
                return found
    return None


def addition(parts: Parts) -> Changes:
    """Return the changes after which each file has our part.

    Raises errors.Invalid for a file that cannot contain it.
    """
    return _changes(parts, _added)


def removal(parts: Parts) -> Changes:
    """Return the changes after which no file has our part. Raises errors.Invalid."""
    return _changes(parts, without_part)


def outside(changes: Changes, top: Path) -> Mapping[Path, Path]:
    """Return the files that would change outside `top`, and their links' targets."""
    targets = {file: file.resolve() for file in _changed(changes)}
    return {
        file: target
        for file, target in targets.items()
        if not target.is_relative_to(top.resolve())
    }


def apply(changes: Changes, top: Path) -> tuple[ProgramFile, ...]:
    """Change all files or none, and remove folders below `top` that become empty.

    Raises errors.Invalid.
    """
    replace_all(_changed(changes), top)
    return tuple(
        ProgramFile(file=str(file), status=_status(change))
        for file, change in changes.items()
    )


def _added(part: Part, text: str | None) -> str | None:
    """Return the text with the part, None for a file that is not needed."""
    if isinstance(part, Absent):
        return without_part(part, text)
    return with_part(part, text)


def _changed(changes: Changes) -> Changes:
    return {
        file: change
        for file, change in changes.items()
        if change.before != change.after
    }


def _status(change: Change) -> str:
    if change.before == change.after:
        return "unchanged"
    if change.before is None:
        return "created"
    return "removed" if change.after is None else "changed"


def _changes(
    parts: Parts, change: Callable[[Part, str | None], str | None]
) -> Changes:
    texts = {file: read(file) for file in parts}
    changes = {}
    for file, part in parts.items():
        before = texts[file]
        after = _in_file(file, partial(change, part), before)
        changes[file] = Change(before=before, after=after)
    return changes


def _in_file(
    file: Path, function: Callable[[Text], NewText], text: Text
) -> NewText:
    """Call a function with a file's text; name the file in its errors."""
    try:
        return function(text)
    except UnsupportedFile as error:
        raise errors.Invalid(
            reason=f"{file} {error}. No file was changed."
        ) from None
