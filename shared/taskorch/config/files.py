"""Files and folders that other users cannot read: open, lock and replace them."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import EINVAL, ELOOP
from typing import BinaryIO

from taskorch.domain.errors import RootNotWritable

PathLike = str | os.PathLike[str]
#: A file name may have at most 255 bytes; the rest is for what `replacement` adds.
LONGEST_PREFIX = 200


def write_atomically(
    file: PathLike, content: bytes, *, temporary: PathLike | None = None
) -> None:
    """Replace a file: readers see the old or the new content, even after a crash.

    The arguments and errors are those of `replacement`.
    """
    with replacement(file, temporary=temporary) as opened:
        opened.write(content)


@contextmanager
def replacement(
    file: PathLike, *, temporary: PathLike | None = None
) -> Iterator[BinaryIO]:
    """Yield a new file, mode 0600, that replaces `file` at the end of the block.

    The content is synced to disk first. If the block raises an error, `file` stays as
    it is. `temporary` is the path to write to until then, in the folder of `file`: a
    file there is overwritten in place, so its disk space serves as a reservation.
    Raises OSError.
    """
    if temporary is None:
        folder, name = os.path.split(os.fspath(file))
        hidden = f".{name[:LONGEST_PREFIX]}.{os.getpid()}.tmp"
        path, may_exist = os.path.join(folder, hidden), False
    else:
        path, may_exist = os.fspath(temporary), True
    with synced_file(path, may_exist=may_exist) as opened:
        yield opened
    try:
        os.replace(path, file)
    except OSError:
        with suppress(OSError):
            os.unlink(path)
        raise


@contextmanager
def synced_file(
    file: PathLike,
    *,
    mode: int = 0o600,
    dir_fd: int | None = None,
    may_exist: bool = False,
) -> Iterator[BinaryIO]:
    """Yield a file to write, which is synced to disk at the end of the block.

    `file` is a temporary name: after any error, nothing is left there, not even what a
    killed process had left. `dir_fd` is the open folder where a relative path starts.
    Raises OSError: FileExistsError for an existing file unless `may_exist`, and always
    for a symbolic link.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    if not may_exist:
        flags |= os.O_EXCL
    try:
        descriptor = os.open(file, flags, mode, dir_fd=dir_fd)
        old_size = os.fstat(descriptor).st_size
        with os.fdopen(descriptor, "wb") as opened:
            yield opened
            if opened.tell() < old_size:
                opened.truncate()
            opened.flush()
            os.fsync(descriptor)
    except BaseException:
        with suppress(OSError):
            os.unlink(file, dir_fd=dir_fd)
        raise


def take_lock(
    descriptor: int, *, shared: bool = False, wait: bool = False
) -> bool:
    """Lock an open file for this process; return whether it has the lock.

    Closing the file releases the lock. Any number of processes can have a `shared` lock
    while none has an exclusive one. With `wait`, block until the lock is free.
    """
    # short commands lock no file
    from fcntl import (
        LOCK_EX,
        LOCK_NB,
        LOCK_SH,
        flock,
    )

    operation = LOCK_SH if shared else LOCK_EX
    try:
        flock(descriptor, operation if wait else operation | LOCK_NB)
    except BlockingIOError:
        return False
    return True


def free_lock(descriptor: int) -> None:
    """Unlock an open file that stays open."""
    from fcntl import LOCK_UN, flock

    flock(descriptor, LOCK_UN)


def open_private(
    file: PathLike, flags: int, *, dir_fd: int | None = None
) -> int:
    """Open a file and return its descriptor; a new file gets mode 0600.

    `dir_fd` is the open folder where a relative path starts. Raises OSError, also for a
    symbolic link, a pipe or a device: a checkout may have brought it.
    """
    flags |= os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(file, flags, 0o600, dir_fd=dir_fd)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(EINVAL, "it is not a file", os.fspath(file))
    return descriptor


def make_private_folder(folder: PathLike) -> None:
    """Make a folder that other users cannot enter, and its parent if that is missing.

    Raises PermissionError for an existing folder of another user and for a symbolic
    link.
    """
    _make_folder(os.path.dirname(folder))
    _make_folder(folder, 0o700)
    if os.path.islink(folder) or os.stat(folder).st_uid != os.getuid():
        raise PermissionError(
            0, f"{folder} is a link, or belongs to another user"
        )
    os.chmod(folder, 0o700)


def _make_folder(folder: PathLike, mode: int = 0o755) -> None:
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise


def keep_others_out(folder: int) -> int:
    """Remove the rights of others on an open folder; return the mode of new files."""
    remove_rights(folder, 0o077 & ~_group_rights(os.fstat(folder)))
    return file_mode(folder)


def file_mode(folder: PathLike | int) -> int:
    """Return the mode of a new file that others may not read.

    If the folder has the set-group-ID bit, a group shares it: the group gets the rights
    on the file that it has on the folder.
    """
    return 0o600 | _group_rights(os.stat(folder)) & 0o060


def folder_mode(folder: int) -> int:
    """Return the mode of a new folder inside an open one, for the same users."""
    rights = _group_rights(os.fstat(folder))
    return 0o700 | (rights | stat.S_ISGID if rights else 0)


def _group_rights(status: os.stat_result) -> int:
    return status.st_mode & 0o070 if status.st_mode & stat.S_ISGID else 0


def sync_folder(folder: PathLike) -> None:
    """Sync a folder to disk, so that a file that was renamed in it survives a crash."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_rights(folder: PathLike | int, rights: int) -> None:
    """Remove mode bits from a folder if they are set and the user may change it."""
    status = os.stat(folder)
    if status.st_mode & rights and os.getuid() in (status.st_uid, 0):
        os.chmod(folder, stat.S_IMODE(status.st_mode) & ~rights)


def root_not_writable(root: PathLike, error: OSError) -> RootNotWritable:
    """Return our error for one of the operating system; it names the path at fault."""
    reason = error.strerror or str(error)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = f"{error.filename} is not a folder"
    elif error.errno == ELOOP:
        reason = f"{error.filename} is a symbolic link"
    elif error.errno == EINVAL:
        reason = f"{error.filename} is not a regular file"
    return RootNotWritable(root=os.fspath(root), reason=reason)
