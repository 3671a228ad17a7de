"""The logs of attempts, below a root: what the commands of `worker run` printed.

.task-orchestrator/logs/<item>/<attempt>.log      the output of an attempt
.task-orchestrator/logs/<item>/<attempt>-2.log    of its second run, after a release

A log begins with a line of ours, its heading. If a log grows too long, its beginning
and its end are kept, with a line between them that has the number of bytes left out.
The writer has the log locked, so its end is known even if the writer was killed.
"""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from errno import EACCES
from time import time

from taskorch.config import files
from taskorch.domain import limits
from taskorch.domain.clock import rfc3339_seconds
from taskorch.domain.frozen import Frozen

FOLDER = "logs"
#: The end of the name of a log that is being shortened.
TEMPORARY = ".tmp"
#: The size of a log: at most `LOG_BYTES`. When it would be more, the first `HEAD_BYTES`
#: and the last `TAIL_BYTES` are kept.
LOG_BYTES = 4 * 1024 * 1024
HEAD_BYTES = 256 * 1024
TAIL_BYTES = 2 * 1024 * 1024
#: What the logs of a root are pruned to: the age, the number and the total size.
KEPT_S = 30 * 86_400
KEPT_LOGS = 1000
KEPT_BYTES = 256 * 1024 * 1024
#: The longest heading, and the longest line that says what was left out.
HEADING_BYTES = 512
LEFT_OUT_BYTES = 80

#: Patterns, as text: `re` compiles one when it is first used.
_NAME = r"([1-9][0-9]{0,8})(?:-([2-9]|[1-9][0-9]{1,8}))?"
_HEADING = rb"# attempt \d+ of \w+, claim (\d+), by (\S+) on (.*), (\S+)\n"
_LEFT_OUT = rb"\n\[(\d+) bytes left out\]\n"
_FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class LogName(Frozen):
    """The attempt that a log belongs to, and its run: 1, or more after a release."""

    attempt: int
    run: int = 1

    def __str__(self) -> str:
        return (
            f"{self.attempt}-{self.run}" if self.run > 1 else str(self.attempt)
        )

    @property
    def file(self) -> str:
        """Return the name of the file."""
        return f"{self}.log"


class Heading(Frozen):
    """The first line of a log: whose claim it belongs to."""

    #: 0 for a log without a heading.
    token: int = 0
    agent: str = ""
    host: str = ""
    #: By the clock of that machine.
    began_at: str = ""
    size: int = 0


class AttemptLog(Frozen):
    """A log that exists."""

    item: str
    name: LogName
    heading: Heading
    path: str
    modified_ns: int


def parsed_name(text: str) -> LogName | None:
    """Return the name of a log, such as "1" or "1-2"; None if a text is not one."""
    match = re.fullmatch(_NAME, text)
    if not match:
        return None
    return LogName(attempt=int(match[1]), run=int(match[2] or 1))


def path_of(home: files.PathLike, item: str, name: LogName) -> str:
    """Return the path of a log. `home` is the folder `.task-orchestrator`."""
    return os.path.join(home, FOLDER, item, name.file)


def heading_line(item: str, attempt: int, heading: Heading) -> bytes:
    """Return the first line of a log."""
    line = (
        f"# attempt {attempt} of {item}, claim {heading.token}, by {heading.agent}"
        f" on {heading.host}, {heading.began_at}"
    )
    return line.encode(errors="replace")[: HEADING_BYTES - 1] + b"\n"


def left_out_line(number: int) -> bytes:
    """Return the line between the beginning and the end of a log that was cut."""
    return f"\n[{number} bytes left out]\n".encode()


def now() -> str:
    """Return the time of this machine, for a heading."""
    return rfc3339_seconds(round(time() * 1000))


def new_log(folder: int, attempt: int) -> tuple[LogName, int]:
    """Create the log of an attempt; return its name and its open, locked file.

    `folder` is the open folder of the item's logs. Raises OSError.
    """
    names = [name for name in _names(folder) if name.attempt == attempt]
    run = max((name.run for name in names), default=0) + 1
    while True:
        name = LogName(attempt=attempt, run=run)
        with suppress(FileExistsError):
            return name, new_file(folder, name.file)
        run += 1


def new_file(folder: int, name: str) -> int:
    """Create a private file in an open folder; return it open and locked.

    Raises OSError: FileExistsError for anything that has this name, a link, too.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_EXCL
    file = os.open(
        name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder
    )
    os.fchmod(file, 0o600)
    files.take_lock(file, wait=True)
    return file


@contextmanager
def made_folder(home: files.PathLike, item: str) -> Iterator[int]:
    """Yield the open folder of an item's logs, made if it is missing: 0700.

    Follows no link. Raises OSError, also for a folder of another user.
    """
    opened = [os.open(home, _FOLDER_FLAGS)]
    try:
        for name in (FOLDER, item):
            opened.append(_made(name, opened[-1]))
        yield opened[-1]
    finally:
        for folder in opened:
            os.close(folder)


def find(home: files.PathLike, item: str) -> Sequence[AttemptLog]:
    """Return the logs of an item, the newest claim first; () if there are none.

    Raises OSError for logs that cannot be read.
    """
    limits.item_id(item)
    try:
        with _opened(home, FOLDER, item) as folder:
            found = [
                _read_log(home, item, name, folder) for name in _names(folder)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    found.sort(key=lambda log: (log.heading.token, log.modified_ns))
    return tuple(reversed(found))


@contextmanager
def opened(home: files.PathLike, log: AttemptLog) -> Iterator[int]:
    """Yield a log, open for reading. Follows no link. Raises OSError."""
    with _opened(home, FOLDER, log.item) as folder:
        file = files.open_private(log.name.file, os.O_RDONLY, dir_fd=folder)
    try:
        yield file
    finally:
        os.close(file)


def left_out(file: int) -> tuple[int, int]:
    """Return the number of bytes that an open log lacks, and the length of that line."""
    line = os.pread(file, LEFT_OUT_BYTES, HEAD_BYTES)
    match = re.match(_LEFT_OUT, line)
    return (int(match[1]), len(match[0])) if match else (0, 0)


def is_being_written(file: int) -> bool:
    """Return whether the writer of an open log may still write to it."""
    if not files.take_lock(file, shared=True):
        return True
    files.free_lock(file)
    return False


def prune(home: files.PathLike) -> None:
    """Delete the oldest logs beyond the bounds, but none that is being written.

    Files that are not logs stay. Raises OSError.
    """
    try:
        with _opened(home, FOLDER) as logs:
            items = [
                name for name in os.listdir(logs) if limits.is_item_id(name)
            ]
            found = [entry for item in items for entry in _sizes(logs, item)]
            _delete(logs, _beyond_bounds(found))
            for item in items:
                with suppress(OSError):  # it is not empty
                    os.rmdir(item, dir_fd=logs)
    except FileNotFoundError:
        return


def _made(name: str, parent: int) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, 0o700, dir_fd=parent)
        os.chmod(name, 0o700, dir_fd=parent)
    folder = os.open(name, _FOLDER_FLAGS, dir_fd=parent)
    try:
        _require_own(folder, name)
        files.remove_rights(folder, 0o077)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _require_own(folder: int, name: str) -> None:
    if os.fstat(folder).st_uid != os.getuid():
        raise PermissionError(EACCES, "it belongs to another user", name)


@contextmanager
def _opened(
    *parts: files.PathLike, dir_fd: int | None = None
) -> Iterator[int]:
    """Yield an open folder, each part in the one before. Follows no link."""
    opened: list[int] = []
    try:
        for part in parts:
            parent = opened[-1] if opened else dir_fd
            opened.append(os.open(part, _FOLDER_FLAGS, dir_fd=parent))
        yield opened[-1]
    finally:
        for folder in opened:
            os.close(folder)


def _names(folder: int) -> list[LogName]:
    names = (
        parsed_name(file.removesuffix(".log"))
        for file in os.listdir(folder)
        if file.endswith(".log")
    )
    return [name for name in names if name]


def _is_ours(file: str) -> bool:
    """Return whether a file is a log, or what a run that was killed has left of one."""
    log = file
    if file.startswith(".") and file.endswith(TEMPORARY):
        log = file[1:].removesuffix(TEMPORARY)
    return log.endswith(".log") and bool(parsed_name(log.removesuffix(".log")))


def _read_log(
    home: files.PathLike, item: str, name: LogName, folder: int
) -> AttemptLog:
    file = files.open_private(name.file, os.O_RDONLY, dir_fd=folder)
    try:
        match = re.match(_HEADING, os.pread(file, HEADING_BYTES, 0))
        modified_ns = os.fstat(file).st_mtime_ns
    finally:
        os.close(file)
    heading = Heading()
    if match:
        token, agent, host, began_at = (
            part.decode(errors="replace") for part in match.groups()
        )
        heading = Heading(
            token=int(token),
            agent=agent,
            host=host,
            began_at=began_at,
            size=len(match[0]),
        )
    return AttemptLog(
        item=item,
        name=name,
        heading=heading,
        path=path_of(home, item, name),
        modified_ns=modified_ns,
    )


class _Entry(Frozen):
    """A log that may be deleted: when it was last written, and its size."""

    item: str
    name: str
    modified_s: float
    size: int


def _sizes(logs: int, item: str) -> list[_Entry]:
    found = []
    try:
        with _opened(item, dir_fd=logs) as folder:
            for name in filter(_is_ours, os.listdir(folder)):
                with suppress(FileNotFoundError):
                    status = os.stat(
                        name, dir_fd=folder, follow_symlinks=False
                    )
                    entry = _Entry(
                        item=item,
                        name=name,
                        modified_s=status.st_mtime,
                        size=status.st_size,
                    )
                    found.append(entry)
    except OSError:  # it has been deleted, or it is not a folder of ours
        return []
    return found


def _beyond_bounds(found: list[_Entry]) -> Iterator[_Entry]:
    oldest_s = time() - KEPT_S
    size = 0
    found.sort(key=lambda entry: entry.modified_s, reverse=True)
    for number, entry in enumerate(found, start=1):
        size += entry.size
        is_old = entry.modified_s < oldest_s
        if is_old or number > KEPT_LOGS or size > KEPT_BYTES:
            yield entry


def _delete(logs: int, entries: Iterator[_Entry]) -> None:
    for entry in entries:
        # another run may have deleted it, or replaced it by a link
        with suppress(OSError), _opened(entry.item, dir_fd=logs) as folder:
            file = files.open_private(entry.name, os.O_RDONLY, dir_fd=folder)
            try:
                if not is_being_written(file):
                    os.unlink(entry.name, dir_fd=folder)
            finally:
                os.close(file)
