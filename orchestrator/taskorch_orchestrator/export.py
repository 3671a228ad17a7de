"""`orchestrate export`: the whole namespace as JSON lines, streamed to a file or to stdout."""

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from taskorch import document, errors
from taskorch.archive import Line
from taskorch.command import discard_output, on_terminal


def to_stdout(lines: Iterable[Line], *, to_terminal: bool) -> None:
    """Write the lines to stdout; to a terminal only if that is wanted (else errors.Usage)."""
    if on_terminal() and not to_terminal:
        raise errors.Usage(reason="The export would go to the screen. Name a FILE, or - to have it there all the same.")
    try:
        _write(lines, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_output()
        raise errors.Invalid(reason=f"The export cannot be written: {error.strerror or error}") from None


def to_file(lines: Iterable[Line], file: Path) -> Mapping[str, int]:
    """Write the lines to a file that only its owner can read, in the place of what was there once it is complete.

    Raises errors.Invalid where that cannot be written.
    """
    try:
        place = file.resolve()
        if place.exists() and not place.is_file():  # a pipe, a device
            with place.open("wb") as opened:
                return _write(lines, opened)
        return _replace(place, lambda opened: _write(lines, opened))
    except OSError as error:
        raise errors.Invalid(reason=f"{file} cannot be written: {error.strerror or error}") from None


def _replace(place: Path, write: Callable[[BinaryIO], Mapping[str, int]]) -> Mapping[str, int]:
    """Write a file beside the place, and move it there."""
    beside = place.with_name(f".{place.name[:200]}.{os.getpid()}.tmp")
    try:
        with os.fdopen(os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as opened:
            counts = write(opened)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(place)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return counts


def _write(lines: Iterable[Line], opened: BinaryIO) -> Mapping[str, int]:
    line: Line = {}
    for line in lines:
        opened.write(document.dump(line).encode() + b"\n")
    return cast("Mapping[str, int]", line["counts"])
