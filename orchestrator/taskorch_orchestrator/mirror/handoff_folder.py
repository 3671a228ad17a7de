"""The folder `handoffs/` of a root: every file is replaced whole, and no symbolic link is followed.

File-based workers write here without a lock, with plain open and write. So a file that is replaced is kept for a
moment: what a worker still writes into the old one is found there.

.task-orchestrator/handoffs/         what file-based workers see
.task-orchestrator/sync/replaced/    what was replaced, as <name>~<signature>
"""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from taskorch.config import files, root_folder
from taskorch.domain.frozen import Frozen

#: A worker that has opened a file for writing is done with it by then.
KEPT_S = 2.0
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOSYS)
LARGEST_BYTES = 256 * 1024 * 1024


class File(Frozen):
    """A file as it was read."""

    data: bytes
    #: Another one after each change.
    signature: str


class NoRoom(Exception):
    """No file can be written into the folder; the cause says why."""


class HandoffFolder:
    """The folder, opened for one pass."""

    def __init__(self, descriptor: int, replaced: int, *, is_new: bool) -> None:
        """Use two open folders: `handoffs/`, which others may not read, and the one for what was replaced."""
        self._mode = files.keep_others_out(descriptor)
        self._folder = descriptor
        self._replaced = replaced
        #: It was not there: all that had stood in it is gone.
        self.is_new = is_new

    def signature(self, name: str) -> str | None:
        """Return what tells the state of a file; None where there is none."""
        try:
            return _signature(os.stat(name, dir_fd=self._folder, follow_symlinks=False))
        except FileNotFoundError:
            return None

    def read(self, name: str) -> File | None:
        """Return a file, None where there is none; raises OSError for a link, a folder, or what is too large."""
        return _read(name, self._folder)

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the signature of each file; what a pass left that did not come to its end is removed."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.startswith(".item_") and entry.name.endswith(".tmp"):
                        self.remove(entry.name)
                    else:
                        yield entry.name, _signature(entry.stat(follow_symlinks=False))

    def write(self, name: str, data: bytes) -> str:
        """Write a file whole that is only ours; return its signature."""
        temporary, signature = self._temporary(name, data)
        self._rename(temporary, name)
        return signature

    def replace(self, name: str, data: bytes, seen: File | None) -> str | None:
        """Write a file whole that others write too, in place of the one that was `seen`; return its signature.

        None when that has changed meanwhile. The old one is kept for those that still write into it.
        """
        temporary, signature = self._temporary(name, data)
        unchanged = self.signature(name) == (seen.signature if seen else None)
        if unchanged and seen:
            self._link(name, f"{name}~{seen.signature}", self._replaced)
            self._rename(temporary, name)
            return signature
        # Unlike a rename, a link never takes the place of a file that has just been made.
        made = unchanged and self._link(temporary, name, self._folder)
        self.remove(temporary)
        return signature if made else None

    def retire(self, name: str, seen: File) -> None:
        """Take a file away that others write too; it is kept for those that still write into it."""
        self._link(name, f"{name}~{seen.signature}", self._replaced)
        self.remove(name)

    def remove(self, name: str) -> bool:
        """Remove a file; False where there is none."""
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return True

    def move(self, name: str, into: int) -> None:
        """Move a file into another open folder on the same disk."""
        os.rename(name, name, src_dir_fd=self._folder, dst_dir_fd=into)

    def keep_aside(self, name: str, file: File) -> str:
        """Keep a copy of a file beside it, under a name that no worker looks for; return that name."""
        aside = f".{name}.{file.signature}.kept"
        self._rename(self._temporary(name, file.data)[0], aside)
        return aside

    def add_lines(self, name: str, lines: Iterable[str]) -> None:
        """Append lines to a file, but for those that are there; the file is made where it is missing."""
        there = set(self.lines(name))
        added = "".join(f"{line}\n" for line in lines if line not in there)
        if not added:
            return
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        with os.fdopen(
            os.open(name, flags, self._mode, dir_fd=self._folder), "ab"
        ) as file:
            file.write(added.encode())

    def drop_line(self, name: str, line: str) -> bool:
        """Take a line out of a file; False where it is not. A file without lines goes; one that is gone stays so."""
        lines = self.lines(name)
        if line not in lines:
            return False
        left = [each for each in lines if each != line]
        if not left:
            return self.remove(name)
        temporary, _ = self._temporary(
            name, "".join(f"{each}\n" for each in left).encode()
        )
        if self.signature(name):
            self._rename(temporary, name)
        else:
            self.remove(temporary)
        return True

    def replaced(self) -> Iterator[tuple[str, str, bool, bool]]:
        """Yield what was replaced: name, name in `handoffs/`, whether it was written to since, whether it is old."""
        for kept in os.listdir(self._replaced):  # noqa: PTH208  a descriptor has no iterdir
            name, _, signature = kept.partition("~")
            with suppress(FileNotFoundError):
                status = os.stat(kept, dir_fd=self._replaced, follow_symlinks=False)
                yield (
                    kept,
                    name,
                    _signature(status) != signature,
                    time.time() - status.st_ctime > KEPT_S,
                )

    def read_replaced(self, kept: str) -> File | None:
        """Return a file that was replaced."""
        return _read(kept, self._replaced)

    def forget_replaced(self, kept: str) -> None:
        """Remove a file that was replaced."""
        with suppress(FileNotFoundError):
            os.unlink(kept, dir_fd=self._replaced)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file; none where there is no file."""
        file = self.read(name)
        return file.data.decode(errors="replace").splitlines() if file else []

    def _temporary(self, name: str, data: bytes) -> tuple[str, str]:
        """Write a file that no worker looks for, on the disk before it gets its name; return its name and signature."""
        temporary = f".item_{name}.{os.getpid()}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            descriptor = os.open(temporary, flags, self._mode, dir_fd=self._folder)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(descriptor)
                return temporary, _signature(os.fstat(descriptor))
        except OSError as error:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=self._folder)
            raise NoRoom from error

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _link(self, old: str, new: str, inside: int) -> bool:
        """Give a file another name; False where that is taken. A file system without links does with less."""
        try:
            os.link(
                old,
                new,
                src_dir_fd=self._folder,
                dst_dir_fd=inside,
                follow_symlinks=False,
            )
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in NO_LINKS:
                raise
            if inside == self._folder:
                self._rename(old, new)
        return True


@contextmanager
def opened(home: Path) -> Iterator[HandoffFolder]:
    """Open `handoffs/` below `home`, the folder .task-orchestrator; it is made where it is missing."""
    root_folder.create(home)
    files.make_private_folder(home / "sync")
    is_new = _make(home / "handoffs")
    _make(home / "sync" / "replaced")
    with (
        folder_opened(home / "handoffs") as handoffs,
        folder_opened(home / "sync" / "replaced") as replaced,
    ):
        yield HandoffFolder(handoffs, replaced, is_new=is_new)


def _make(path: Path) -> bool:
    try:
        path.mkdir(0o700)
    except FileExistsError:
        return False
    return True


@contextmanager
def folder_opened(path: Path) -> Iterator[int]:
    """Open a folder that is no symbolic link; its descriptor is closed at the end."""
    descriptor = os.open(
        path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    )
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _read(name: str, inside: int) -> File | None:
    try:
        descriptor = os.open(
            name,
            os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC,
            dir_fd=inside,
        )
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise OSError(
            errno.ELOOP, "it is a symbolic link, which is not followed", name
        ) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a file", name)
        if status.st_size > LARGEST_BYTES:
            raise OSError(errno.EFBIG, f"it has more than {LARGEST_BYTES} bytes", name)
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return File(data=file.read(), signature=_signature(status))
    finally:
        os.close(descriptor)


def _signature(status: os.stat_result) -> str:
    return f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}"
