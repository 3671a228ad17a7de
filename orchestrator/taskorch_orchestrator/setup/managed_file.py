"""A file of an agent's program that we have a part in: how our part gets in and out, and how files are replaced."""

import os
import re
import stat
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol, TypeAlias, cast

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

Json: TypeAlias = "str | int | bool | Sequence[Json] | dict[str, Json] | None"


class UnsupportedFile(Exception):
    """A file that cannot take our part; the reason goes on after the file's name."""


class Part(Protocol):
    """Our part of a file. Each method raises UnsupportedFile for a text that it cannot read."""

    def has(self, text: str) -> bool:
        """Return whether the part is there; what somebody has added to it is no fault."""

    def added(self, text: str | None) -> str:
        """Return the text with the part; a new text where there is no file."""

    def removed(self, text: str) -> str | None:
        """Return the text without the part, byte for byte as it was before; None where there was no file."""


class ConfigEntry(Frozen):
    """An object of ours with the command that it is known by, and the names that lead to it; None for one in a list."""

    labels: tuple[str | None, ...]
    value: dict[str, Json]


class Change(NamedTuple):
    """What a file holds, and what it shall hold; None where there is no file."""

    before: str | None
    after: str | None


def with_part(part: Part, text: str | None) -> str:
    """Return a text with the part; raises UnsupportedFile where it could not be taken out again."""
    if text is not None and part.has(text):
        return text
    after, was_not_there = part.added(text), without_part(part, text) == text
    if not part.has(after) or (
        was_not_there and not _is_undone(part.removed(after), text)
    ):
        raise UnsupportedFile(
            "is of a form that the change could not be taken back from"
        )
    return after


def _is_undone(left: str | None, text: str | None) -> bool:
    return left == text or (left is None and text is not None and is_blank(text))


def is_blank(text: str) -> bool:
    """Return whether a file holds nothing, as one that a program has created and not yet filled."""
    return not text.strip("\ufeff \t\r\n")


def without_part(part: Part, text: str | None) -> str | None:
    """Return a text without the part; None where there is, or was, no file."""
    return None if text is None else part.removed(text)


def joined(ours: Json, theirs: Json) -> Json:
    """Return what somebody has made of a value of ours, with what it lacks; where both say something, theirs holds."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return theirs | {
            name: joined(value, theirs.get(name, value)) for name, value in ours.items()
        }
    if isinstance(ours, list) and isinstance(theirs, list):
        return [
            *theirs,
            *(value for value in cast("list[Json]", ours) if value not in theirs),
        ]
    return theirs


def runs(value: object, entry: ConfigEntry) -> bool:
    """Return whether the command of ours is run somewhere in a value: by another path too, or with more options."""
    (ours,) = _commands(entry.value)
    return any(ours <= theirs for theirs in _commands(value))


def _commands(value: object) -> list[set[str]]:
    """Return the words of each command in a value."""
    inner = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list)
        else ()
    )
    found = [command for each in inner for command in _commands(each)]
    if isinstance(value, dict) and "command" in value:
        found.append(
            set(
                re.findall(
                    r"""[^\s/"'\[\],]+""", f"{value['command']} {value.get('args', '')}"
                )
            )
        )
    return found


def read(file: Path) -> str | None:
    """Return what stands in a file, None where there is none; raises errors.Invalid for what is no text."""
    try:
        # Not to wait, even for a pipe that nobody writes to.
        with os.fdopen(
            os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb"
        ) as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise errors.Invalid(reason=f"Cannot read {file}: it is not a file.")
            return opened.read().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(reason=f"Cannot read {file}: {error}") from None


def replace(changes: Mapping[Path, Change], top: Path) -> None:
    """Change all files, each in one go, or none; folders below `top` that are empty then go as well.

    A file keeps its mode, and a symbolic link stays one. Raises errors.Invalid, naming the file that is in the way.
    """
    file, ready = top, dict[Path, list[Path | None]]()
    with ExitStack() as tidy, ExitStack() as undo:
        try:
            for file, change in changes.items():
                tidy.callback(_remove_empty, file.parent, top)
                place = file.resolve()
                place.parent.mkdir(parents=True, exist_ok=True)
                # What is in it may be secret: nobody else comes into this folder.
                beside = tidy.enter_context(
                    TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.")
                )
                ready[file] = [
                    _written(Path(beside, str(n)), text, place)
                    for n, text in enumerate(change)
                ]
            for file, (before, after) in ready.items():
                place = file.resolve()
                _put(after, place)
                undo.callback(_put, before, place)
            undo.pop_all()
        except OSError as error:
            reason = (
                f"Cannot write {file}: {error.strerror or error}. Nothing was changed."
            )
            raise errors.Invalid(reason=reason) from None


def _written(file: Path, text: str | None, place: Path) -> Path | None:
    """Return a file with a text that is safe on the disk, with the mode of the one whose place it may take."""
    if text is None:
        return None
    with file.open("wb") as opened:
        opened.write(text.encode())
        opened.flush()
        os.fsync(opened.fileno())
    if place.exists():
        file.chmod(place.stat().st_mode & 0o7777)
    return file


def _put(file: Path | None, place: Path) -> None:
    if file is None:
        place.unlink(missing_ok=True)
    else:
        file.replace(place)


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):  # not empty, or not ours to remove
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
