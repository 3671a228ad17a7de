"""Appends to the JSON files that file-based workers write, too.

A JSON document ends with brackets, so its last bytes are overwritten. The kernel keeps
other processes out for that moment: under a write lease no other process has the file
open, and one that opens it waits. A file that cannot be leased, such as one that a worker
has open or one on a network disk, has to be replaced.

.task-orchestrator/sync/append       an append that has begun, until it is done
"""

import fcntl
import json
import os
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from taskorch.config import files
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.mirror import signature

JOURNAL = "append"


class Addition(Frozen):
    """The bytes that an append puts in the place of a file's closing brackets."""

    #: The closing brackets, with which it ends, too.
    closing: bytes
    data: bytes


def append(
    folder: int, journal_folder: int, name: str, seen: str, added: Addition
) -> str | None:
    """Append to a file with the signature `seen`; return its new signature.

    `folder` and `journal_folder` are descriptors. Return None, without a change, if the
    file is another one by now, or cannot be leased. Raises OSError if it cannot be
    written; the file then is as it was.
    """
    with _leased(name, folder) as file:
        if file is None or signature.of(os.fstat(file)) != seen:
            return None
        end = os.fstat(file).st_size - len(added.closing)
        if end < 0 or os.pread(file, len(added.closing), end) != added.closing:
            return None
        _write_journal(journal_folder, name, file, end, added)
        try:
            _write(file, added.data, end)
            os.fsync(file)
        except OSError:
            os.ftruncate(file, end)
            _write(file, added.closing, end)
            os.unlink(JOURNAL, dir_fd=journal_folder)
            raise
        os.unlink(JOURNAL, dir_fd=journal_folder)
        return signature.of(os.fstat(file))


def finish(folder: int, journal_folder: int) -> None:
    """Finish the append during which a process was killed.

    A file that a worker has written since is left as it is.
    """
    try:
        journal = files.open_private(
            JOURNAL, os.O_RDONLY, dir_fd=journal_folder
        )
    except FileNotFoundError:
        return
    with os.fdopen(journal, "rb") as opened:
        head, data = opened.readline(), opened.read()
    with suppress(ValueError, KeyError, TypeError, OSError):
        begun = json.loads(head)
        if begun["digest"] == _digest(data):
            added = Addition(closing=begun["closing"].encode(), data=data)
            _finish(folder, begun["name"], begun["inode"], begun["end"], added)
    os.unlink(JOURNAL, dir_fd=journal_folder)


def _finish(
    folder: int, name: str, inode: int, end: int, added: Addition
) -> None:
    with _leased(name, folder) as file:
        if file is None or os.fstat(file).st_ino != inode:
            return
        if _is_part(os.pread(file, len(added.data) + 1, end), added):
            _write(file, added.data, end)
            os.fsync(file)


def _is_part(tail: bytes, added: Addition) -> bool:
    """Return whether a file ends as an interrupted append leaves it."""
    data, closing = added.data, added.closing
    is_long_enough = len(tail) >= len(closing)
    return (is_long_enough and data.startswith(tail)) or any(
        tail == data[:written] + closing[written:]
        for written in range(len(closing))
    )


@contextmanager
def _leased(name: str, folder: int) -> Iterator[int | None]:
    """Open a file that no other process has open, and let others wait to open it.

    Yield its descriptor, or None if that is not possible.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        file = os.open(name, flags, dir_fd=folder)
    except OSError:
        yield None
        return
    try:
        yield file if _take_lease(file) else None
    finally:
        os.close(file)


def _take_lease(file: int) -> bool:
    if not hasattr(fcntl, "F_SETLEASE"):
        return False
    if not stat.S_ISREG(os.fstat(file).st_mode):
        return False
    try:
        # The kernel signals that another process waits; SIGIO, its default, ends a process.
        fcntl.fcntl(file, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    except OSError:
        return False
    return True


def _write_journal(
    folder: int, name: str, file: int, end: int, added: Addition
) -> None:
    head = {
        "name": name,
        "inode": os.fstat(file).st_ino,
        "end": end,
        "closing": added.closing.decode(),
        "digest": _digest(added.data),
    }
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    journal = files.open_private(JOURNAL, flags, dir_fd=folder)
    try:
        _write(journal, json.dumps(head).encode() + b"\n" + added.data, 0)
    finally:
        os.close(journal)


def _write(file: int, data: bytes, at: int) -> None:
    left = memoryview(data)
    while left:
        written = os.pwrite(file, left, at)
        left, at = left[written:], at + written


def _digest(data: bytes) -> str:
    from hashlib import sha256  # slow to load: `create` does without it

    return sha256(data).hexdigest()
