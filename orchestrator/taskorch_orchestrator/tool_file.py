"""A file of another tool that we have a part in: how our part gets in and out, and how the file is written."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from taskorch import errors


class Unfit(Exception):
    """A file that cannot take our part; the reason goes on after the file's name."""


class Part(Protocol):
    """Our part of a file. Each method raises Unfit for a text that it cannot read."""

    def has(self, text: str) -> bool:
        """Return whether the part is there as it should be."""

    def added(self, text: str | None) -> str:
        """Return a text that has no such part with it; a new text where there is no file."""

    def removed(self, text: str) -> str | None:
        """Return a text without the part, byte for byte as it was before; None where there was no file."""


def with_part(part: Part, text: str | None) -> str:
    """Return a text with the part as it should be; raises Unfit where it could not be taken out again."""
    if text is not None and part.has(text):
        return text
    before = None if text is None else part.removed(text)
    after = part.added(before)
    if not part.has(after) or part.removed(after) != before:
        raise Unfit("is of a form that the change could not be taken back from")
    return after


def without_part(part: Part, text: str | None) -> str | None:
    """Return a text without the part; None where there is, or was, no file."""
    return None if text is None else part.removed(text)


def read(file: Path) -> str | None:
    """Return what stands in a file, None where there is none; raises errors.Invalid for what is no text."""
    try:
        return file.read_bytes().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(reason=f"Cannot read {file}: {error}") from None


def write(file: Path, text: str | None, top: Path) -> None:
    """Replace a file in one go, with the mode that it had; a symbolic link stays one.

    Without a text the file goes, and the folders below `top` that are empty then. Raises OSError.
    """
    place = file.resolve()
    if text is None:
        place.unlink(missing_ok=True)
        _remove_empty(file.parent, top)
        return
    place.parent.mkdir(parents=True, exist_ok=True)
    beside = place.with_name(f".{place.name}.{os.getpid()}.tmp")
    try:
        mode = place.stat().st_mode & 0o7777 if place.exists() else None
        # What is in it may be secret: nobody else reads it while it is written.
        descriptor = os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666 if mode is None else 0o600)
        with os.fdopen(descriptor, "wb") as opened:
            opened.write(text.encode())
            opened.flush()
            os.fsync(descriptor)
        if mode is not None:
            beside.chmod(mode)
        beside.replace(place)
    finally:
        beside.unlink(missing_ok=True)


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):  # not empty, or not ours to remove
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
