"""The file of a snapshot of the board."""

import sys
from collections.abc import Mapping
from pathlib import Path

from taskorch.cli.output import discard_stdout
from taskorch.config import files
from taskorch.domain import errors


def write(page: str, file: Path) -> Mapping[str, object]:
    """Write a page to a private file, which is replaced when the page is complete.

    Return its path and its size. Raises errors.Invalid if it cannot be written.
    """
    content = page.encode()
    try:
        place = file.resolve()
        if place.exists() and not place.is_file():  # a pipe, a device
            place.write_bytes(content)
        else:
            files.write_atomically(place, content)
    except (OSError, RuntimeError) as error:  # a link that leads to itself
        raise _unwritable(error) from None
    return {"file": str(file), "bytes": len(content)}


def to_stdout(page: str) -> None:
    """Write a page to stdout. Raises errors.Invalid if it cannot be written."""
    try:
        sys.stdout.buffer.write(page.encode())
        sys.stdout.buffer.flush()
    except (
        BrokenPipeError
    ):  # the reader has ended, as `head` does: not an error
        discard_stdout()
    except OSError as error:
        discard_stdout()
        raise _unwritable(error) from None


def _unwritable(error: OSError | RuntimeError) -> errors.Invalid:
    reason = getattr(error, "strerror", None) or str(error)
    return errors.Invalid(reason=f"The snapshot cannot be written: {reason}")
