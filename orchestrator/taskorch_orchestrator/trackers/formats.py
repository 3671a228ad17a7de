"""The format of a file, which its content says, and the reader for it."""

import json
from enum import StrEnum
from typing import BinaryIO

from taskorch.domain import errors
from taskorch.queue.backup import FORMAT

from taskorch_orchestrator.trackers import beads, github, task_master
from taskorch_orchestrator.trackers.found import FoundFile

#: Maximum size of a file.
FILE_BYTES = 64 * 1024 * 1024
#: The first line of an export is shorter.
HEAD_BYTES = 4096


class Format(StrEnum):
    """A kind of file that `orchestrate import` reads."""

    EXPORT = "export"
    TASK_MASTER = "task-master"
    BEADS = "beads"
    GITHUB = "github"


def is_export(file: BinaryIO) -> bool:
    """Return whether an open file begins like an export; it is rewound."""
    head = file.read(HEAD_BYTES)
    file.seek(0)
    first = head.lstrip(b"\xef\xbb\xbf \t\r\n").partition(b"\n")[0]
    return first.startswith(b"{") and FORMAT.encode() in first


def read(
    file: BinaryIO, name: str, wanted: Format | None
) -> tuple[Format, FoundFile]:
    """Return the format of an open file, and its content. `name` is its project's.

    Raises errors.Invalid for a file that is cut, too large or of no such format.
    """
    data = file.read(FILE_BYTES + 1)
    if len(data) > FILE_BYTES:
        raise errors.Invalid(
            reason=f"The file is longer than {FILE_BYTES} bytes (64 MiB). Nothing was "
            "written."
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _unreadable(f"line {line} is not UTF-8 text") from None
    if not text.strip():
        raise _unreadable("it is empty")
    try:
        value = json.loads(text)
    except ValueError as error:
        if isinstance(error, json.JSONDecodeError) and wanted in (
            None,
            Format.BEADS,
        ):
            return _read_lines(text, name, error)
        raise _unreadable(f"it is not JSON: {error}") from None
    except RecursionError:
        raise _unreadable("its values are nested too deeply") from None
    return _read_value(value, name, wanted)


def _read_value(
    value: object, name: str, wanted: Format | None
) -> tuple[Format, FoundFile]:
    """Read a file that is one JSON value."""
    found = None
    if task_master.is_content(value):
        found = Format.TASK_MASTER
    elif github.is_content(value):
        found = Format.GITHUB
    elif beads.is_content(value):
        found = Format.BEADS
    if found is None or wanted not in (None, found):
        raise _foreign(wanted)
    if found is Format.TASK_MASTER:
        return found, task_master.read(value, name)
    if found is Format.GITHUB:
        return found, github.read(value, name)
    return found, beads.read([value], name)


def _read_lines(
    text: str, name: str, whole: json.JSONDecodeError
) -> tuple[Format, FoundFile]:
    """Read a file with a JSON value on each line. `whole` is why it is not one value."""
    values: list[object] = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            values.append(json.loads(line))
        except (ValueError, RecursionError):
            if not values:  # not even the first line is JSON
                raise _unreadable(f"it is not JSON: {whole}") from None
            raise _unreadable(
                f"line {number} is not JSON: is the file cut?"
            ) from None
        if not beads.is_content(values[0]):
            raise _foreign(None)
    return Format.BEADS, beads.read(values, name)


def _unreadable(reason: str) -> errors.Invalid:
    return errors.Invalid(
        reason=f"The file cannot be imported: {reason}. Nothing was written."
    )


def _foreign(wanted: Format | None) -> errors.Invalid:
    if wanted:
        return _unreadable(f"its content is not of the format {wanted}")
    return _unreadable(
        "it is neither an export, nor the tasks.json of claude-task-master, nor the "
        "issues.jsonl of beads, nor a list that gh issue list --json prints"
    )
