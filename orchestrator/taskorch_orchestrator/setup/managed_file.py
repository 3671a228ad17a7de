"""Files of other programs that contain a part of ours, and how they are replaced."""

import os
import stat
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from errno import EACCES
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

from taskorch.config import files
from taskorch.domain import errors


class UnsupportedFile(Exception):
    """A file that cannot contain our part; the message continues its name."""


class Part(Protocol):
    """Our part of a file. The methods raise UnsupportedFile for unreadable text."""

    def has(self, text: str) -> bool:
        """Return whether the part is complete. Additions of others do not matter."""

    def added(self, text: str | None) -> str:
        """Return the text with the part; None stands for a missing file."""

    def removed(self, text: str) -> str | None:
        """Return the text as it was before the part was added; None for no file."""


class Absent:
    """A part that a file must not have, or must not have any more."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def has(self, text: str) -> bool:
        """Return whether nothing of the part is in the text."""
        return self._part.removed(text) == text

    def added(self, text: str | None) -> str:
        """Return the text without the part, "" for a missing file."""
        return without_part(self._part, text) or ""

    def removed(self, text: str) -> str | None:
        """Return the text without the part; None for no file."""
        return self._part.removed(text)


class Change(NamedTuple):
    """The old and new text of a file; None where there is no file."""

    before: str | None
    after: str | None


def with_part(part: Part, text: str | None) -> str:
    """Return the text with the part.

    Raises UnsupportedFile if the part could not be removed again without a trace.
    """
    if text is not None and part.has(text):
        return text
    after = part.added(text)
    if not part.has(after):
        raise UnsupportedFile("cannot be changed")
    if without_part(part, text) == text:  # it had nothing of ours
        restored = part.removed(after)
        is_new = text is None or is_blank(text)
        if restored != text and not (restored is None and is_new):
            raise UnsupportedFile(
                "cannot be changed so that the change can be undone"
            )
    return after


def is_blank(text: str) -> bool:
    """Return whether a file is empty, as one that a program has just created."""
    return not text.strip("\ufeff \t\r\n")


def without_part(part: Part, text: str | None) -> str | None:
    """Return the text without the part; None for a missing file."""
    return None if text is None else part.removed(text)


def read(file: Path) -> str | None:
    """Return the text of a file, None if it is missing.

    Raises errors.Invalid for a file that is unreadable or not text.
    """
    # O_NONBLOCK: do not wait for a pipe.
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        with os.fdopen(os.open(file, flags), "rb") as opened:
            if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
                raise errors.Invalid(
                    reason=f"Cannot read {file}: it is not a file."
                )
            return opened.read().decode()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise errors.Invalid(reason=f"Cannot read {file}: {error}") from None


def replace_all(changes: Mapping[Path, Change], top: Path) -> None:
    """Change all files or none, and remove folders below `top` that become empty.

    Each file is replaced atomically. It keeps its mode, and a symbolic link stays one.
    Raises errors.Invalid with the name of the file that cannot be written.
    """
    file = top
    ready = dict[Path, tuple[Path | None, Path | None]]()
    with ExitStack() as cleanup, ExitStack() as undo:
        try:
            for file, change in changes.items():
                cleanup.callback(_remove_empty, file.parent, top)
                target = file.resolve()
                _refuse_read_only(target)
                target.parent.mkdir(parents=True, exist_ok=True)
                # The content may be secret: other users cannot enter this folder.
                folder = cleanup.enter_context(
                    TemporaryDirectory(
                        dir=target.parent, prefix=f".{target.name}."
                    )
                )
                ready[file] = (
                    _prepare(Path(folder, "before"), change.before, target),
                    _prepare(Path(folder, "after"), change.after, target),
                )
            _refuse_outdated(changes)
            for file, (before, after) in ready.items():
                target = file.resolve()
                _move(after, target)
                undo.callback(_move, before, target)
            undo.pop_all()
        except OSError as error:
            reason = f"Cannot write {file}: {error.strerror or error}."
            raise errors.Invalid(
                reason=f"{reason} Nothing was changed."
            ) from None


def _refuse_read_only(file: Path) -> None:
    """Raise PermissionError for a file that its owner has protected.

    A new file could take its place even so.
    """
    if file.exists() and not file.stat().st_mode & stat.S_IWUSR:
        raise PermissionError(EACCES, "it is read-only")


def _refuse_outdated(changes: Mapping[Path, Change]) -> None:
    """Raise errors.Invalid if a file has changed since it was read."""
    for file, change in changes.items():
        try:
            is_outdated = read(file) != change.before
        except errors.Invalid:
            continue  # it cannot be replaced either, which is its own error
        if is_outdated:
            raise errors.Invalid(
                reason=f"{file} has just been changed by another program. Nothing was changed. Try again."
            )


def _prepare(temporary: Path, text: str | None, target: Path) -> Path | None:
    """Write a text to a synced file that has the mode of the target."""
    if text is None:
        return None
    mode = 0o666  # the umask applies
    with files.synced_file(temporary, mode=mode) as opened:
        opened.write(text.encode())
    if target.exists():
        temporary.chmod(target.stat().st_mode & 0o7777)
    return temporary


def _move(file: Path | None, target: Path) -> None:
    if file is None:
        target.unlink(missing_ok=True)
    else:
        file.replace(target)


def _remove_empty(folder: Path, top: Path) -> None:
    with suppress(OSError):  # not empty, or not ours to remove
        while folder != top and folder.is_relative_to(top):
            folder.rmdir()
            folder = folder.parent
