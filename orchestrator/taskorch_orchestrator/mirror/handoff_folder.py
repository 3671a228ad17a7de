"""The folder `handoffs/` of a root. No symbolic link in it is followed.

Files are replaced, or appended to while no worker has them open. File-based workers write
here without a lock, with plain open and write. So a replaced file is kept for a moment,
because a worker may still write into it.

.task-orchestrator/handoffs/         the files that file-based workers see
.task-orchestrator/handoffs/done/    the handoffs of completed items
.task-orchestrator/sync/lock         held by the process that writes here
.task-orchestrator/sync/append       see `file_append`
.task-orchestrator/sync/replaced/    replaced files, as <name>~<signature>
"""

import errno
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from taskorch.config import files, root_folder
from taskorch.config.files import PathLike
from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.mirror import signature as signatures

if TYPE_CHECKING:
    from taskorch_orchestrator.mirror.file_append import Addition

#: File-based workers do not look into folders.
DONE = "done"
#: A worker that has opened a file finishes writing within this time.
KEPT_S = 2.0
#: How often a process looks again whether the lock is free.
LOCK_PAUSE_S = 0.02
MAX_BYTES = 256 * 1024 * 1024
_NO_HARD_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EXDEV, errno.ENOSYS)


class File(Frozen):
    """A file as it was read."""

    data: bytes
    #: Changes whenever the file is written.
    signature: str

    def has(self, parts: Iterable[bytes]) -> bool:
        """Return whether these parts are the whole content."""
        end = 0
        for part in parts:
            if not self.data.startswith(part, end):
                return False
            end += len(part)
        return end == len(self.data)


class ReplacedFile(Frozen):
    """A file that was replaced, and that a worker may still write into."""

    #: Its name in `sync/replaced/`.
    kept_name: str
    #: Its name in `handoffs/`.
    name: str
    #: Whether a worker has written into it since.
    is_changed: bool
    #: Whether no worker writes into it any more.
    is_old: bool


class FolderNotWritable(Exception):
    """The folder cannot take a new file, for example because the disk is full."""

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


class HandoffFolder:
    """The folder, opened for one pass."""

    def __init__(
        self, folder: int, sync: int, replaced: int, *, is_new: bool
    ) -> None:
        """Use the descriptors of `handoffs/`, `sync/` and `sync/replaced/`.

        Other users lose their rights on `handoffs/`.
        """
        self._mode = files.keep_others_out(folder)
        self._folder = folder
        self._sync = sync
        self._replaced = replaced
        #: The folder did not exist: all files that were in it are gone.
        self.is_new = is_new

    def signature(self, name: str) -> str | None:
        """Return a text that changes when the file is written; None without a file."""
        try:
            return signatures.of(
                os.stat(name, dir_fd=self._folder, follow_symlinks=False)
            )
        except FileNotFoundError:
            return None

    def read(self, name: str) -> File | None:
        """Return a file, or None if it does not exist.

        Raises OSError for a symbolic link, a folder, and a file above MAX_BYTES.
        """
        return _read(name, self._folder)

    def lines(self, name: str) -> list[str]:
        """Return the lines of a file; an empty list if it does not exist."""
        file = self.read(name)
        return file.data.decode(errors="replace").splitlines() if file else []

    def names(self) -> Iterator[tuple[str, str]]:
        """Yield the name and the signature of each file.

        Temporary files of a pass that was killed are removed.
        """
        with os.scandir(self._folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    if entry.name.startswith(".item_") and entry.name.endswith(
                        ".tmp"
                    ):
                        self.remove(entry.name)
                    else:
                        yield (
                            entry.name,
                            signatures.of(entry.stat(follow_symlinks=False)),
                        )

    def write(self, name: str, data: bytes) -> str:
        """Write a file that only the mirror writes; return its signature."""
        temporary, signature = self._write_temporary(name, [data])
        self._rename(temporary, name)
        return signature

    def replace(
        self, name: str, parts: Iterable[bytes], seen: File | None
    ) -> str | None:
        """Write a file that workers write too, part by part; return its signature.

        Write nothing and return None if the file is no longer the one that was `seen`.
        The old file is kept for workers that still write into it.
        """
        temporary, signature = self._write_temporary(name, parts)
        if self.signature(name) != (seen.signature if seen else None):
            self.remove(temporary)
            return None
        if seen:
            self._keep_replaced(name, seen)
            self._rename(temporary, name)
            return signature
        # Unlike a rename, a link never replaces a file that was just made.
        made = self._link(temporary, name, self._folder)
        self.remove(temporary)
        return signature if made else None

    def append(self, name: str, seen: str, added: "Addition") -> str | None:
        """Append to a file with the signature `seen`; return its new signature.

        Return None, without a change, if the file is another one by now, or if a worker
        has it open: then it has to be replaced.
        """
        from taskorch_orchestrator.mirror import file_append

        try:
            return file_append.append(
                self._folder, self._sync, name, seen, added
            )
        except OSError as error:
            raise FolderNotWritable(error) from error

    def finish_append(self) -> None:
        """Finish the append during which a pass was killed."""
        from taskorch_orchestrator.mirror import file_append

        file_append.finish(self._folder, self._sync)

    def retire(self, name: str, seen: File) -> None:
        """Remove a file that workers write too.

        It is kept for workers that still write into it.
        """
        self._keep_replaced(name, seen)
        self.remove(name)

    def remove(self, name: str) -> bool:
        """Remove a file; return False if it does not exist."""
        try:
            os.unlink(name, dir_fd=self._folder)
        except FileNotFoundError:
            return False
        return True

    def move_to_done(self, name: str) -> bool:
        """Move a file into `done/`; return False if it does not exist."""
        if self.signature(name) is None:
            return False
        self._make_done()
        with folder_opened(DONE, dir_fd=self._folder) as done:
            self.move(name, done)
        return True

    def read_done(self, name: str) -> File | None:
        """Return a file of `done/`, or None if it does not exist. Errors as of `read`."""
        with (
            suppress(FileNotFoundError),
            folder_opened(DONE, dir_fd=self._folder) as done,
        ):
            return _read(name, done)
        return None

    def remove_done(self, name: str) -> None:
        """Remove a file from `done/`, if it is there."""
        with (
            suppress(FileNotFoundError),
            folder_opened(DONE, dir_fd=self._folder) as done,
        ):
            os.unlink(name, dir_fd=done)

    def move(self, name: str, target: int) -> None:
        """Move a file into another open folder on the same disk."""
        os.rename(name, name, src_dir_fd=self._folder, dst_dir_fd=target)

    def keep_copy(self, name: str, file: File) -> str:
        """Keep a copy of a file beside it; return its name.

        Workers do not look for files with such a name.
        """
        copy = f".{name}.{file.signature}.kept"
        temporary, _ = self._write_temporary(name, [file.data])
        self._rename(temporary, copy)
        return copy

    def add_lines(self, name: str, lines: Iterable[str]) -> None:
        """Append the lines that a file does not have yet; make the file if needed."""
        existing = set(self.lines(name))
        added = [line for line in lines if line not in existing]
        if not added:
            return
        flags = (
            os.O_WRONLY
            | os.O_APPEND
            | os.O_CREAT
            | os.O_NOFOLLOW
            | os.O_CLOEXEC
        )
        descriptor = os.open(name, flags, self._mode, dir_fd=self._folder)
        with os.fdopen(descriptor, "ab") as file:
            file.write(_joined(added))

    def drop_line(self, name: str, line: str) -> bool:
        """Remove a line from a file; return False if the file does not have it.

        A file without lines is removed. A file that a worker removes stays removed.
        """
        lines = self.lines(name)
        if line not in lines:
            return False
        rest = [each for each in lines if each != line]
        if not rest:
            return self.remove(name)
        temporary, _ = self._write_temporary(name, [_joined(rest)])
        if self.signature(name):
            self._rename(temporary, name)
        else:
            self.remove(temporary)
        return True

    def replaced_files(self) -> Iterator[ReplacedFile]:
        """Yield the replaced files that are kept."""
        for kept_name in os.listdir(self._replaced):
            name, _, signature = kept_name.partition("~")
            with suppress(FileNotFoundError):
                status = os.stat(
                    kept_name, dir_fd=self._replaced, follow_symlinks=False
                )
                yield ReplacedFile(
                    kept_name=kept_name,
                    name=name,
                    is_changed=signatures.of(status) != signature,
                    is_old=time.time() - status.st_ctime > KEPT_S,
                )

    def read_replaced(self, replaced: ReplacedFile) -> File | None:
        """Return a replaced file."""
        return _read(replaced.kept_name, self._replaced)

    def remove_replaced(self, replaced: ReplacedFile) -> None:
        """Remove a replaced file."""
        with suppress(FileNotFoundError):
            os.unlink(replaced.kept_name, dir_fd=self._replaced)

    def _write_temporary(
        self, name: str, parts: Iterable[bytes]
    ) -> tuple[str, str]:
        """Write a file under a temporary name; return that and its signature.

        Workers do not look for files with such a name.
        """
        temporary = f".item_{name}.{os.getpid()}.tmp"
        try:
            # A pass that was killed may have left it as a link to the file itself.
            self.remove(temporary)
            with files.synced_file(
                temporary, mode=self._mode, dir_fd=self._folder
            ) as file:
                file.writelines(parts)
            return temporary, signatures.of(
                os.stat(temporary, dir_fd=self._folder)
            )
        except OSError as error:
            raise FolderNotWritable(error) from error

    def _make_done(self) -> None:
        """Make `done/`, for the same users as `handoffs/`."""
        with suppress(FileExistsError):
            os.mkdir(DONE, dir_fd=self._folder)
            mode = files.folder_mode(self._folder)
            os.chmod(DONE, mode, dir_fd=self._folder)

    def _rename(self, old: str, new: str) -> None:
        os.rename(old, new, src_dir_fd=self._folder, dst_dir_fd=self._folder)

    def _keep_replaced(self, name: str, seen: File) -> None:
        self._link(name, f"{name}~{seen.signature}", self._replaced)

    def _link(self, old: str, new: str, target: int) -> bool:
        """Link a file into the folder `target`; return False if the name is taken.

        A file system without hard links keeps no replaced files.
        """
        try:
            os.link(
                old,
                new,
                src_dir_fd=self._folder,
                dst_dir_fd=target,
                follow_symlinks=False,
            )
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            if target == self._folder:
                self._rename(old, new)
        return True


@contextmanager
def opened(home: PathLike) -> Iterator[HandoffFolder]:
    """Open `handoffs/` in `home`, the folder .task-orchestrator; make missing ones."""
    handoffs = os.path.join(home, "handoffs")
    sync = os.path.join(home, "sync")
    replaced = os.path.join(sync, "replaced")
    root_folder.create(home)
    files.make_private_folder(sync)
    is_new = _make_folder(handoffs)
    _make_folder(replaced)
    with (
        folder_opened(handoffs) as handoffs_descriptor,
        folder_opened(sync) as sync_descriptor,
        folder_opened(replaced) as replaced_descriptor,
    ):
        yield HandoffFolder(
            handoffs_descriptor,
            sync_descriptor,
            replaced_descriptor,
            is_new=is_new,
        )


@contextmanager
def locked(home: PathLike, *, wait_s: float | None) -> Iterator[bool]:
    """Lock out the other processes of this machine that write in `home`.

    Yield False if one of them has the lock for longer than `wait_s` seconds; None waits
    until it is free.
    """
    sync = os.path.join(home, "sync")
    root_folder.create(home)
    files.make_private_folder(sync)
    lock = files.open_private(
        os.path.join(sync, "lock"), os.O_WRONLY | os.O_CREAT
    )
    try:
        ends = time.monotonic() + (wait_s or 0)
        has_lock = files.take_lock(lock, wait=wait_s is None)
        while not has_lock and time.monotonic() < ends:
            time.sleep(LOCK_PAUSE_S)
            has_lock = files.take_lock(lock)
        yield has_lock
    finally:
        os.close(lock)


@contextmanager
def folder_opened(
    path: PathLike, *, dir_fd: int | None = None
) -> Iterator[int]:
    """Yield the descriptor of a folder. Raises OSError for a symbolic link."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, dir_fd=dir_fd)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _make_folder(path: PathLike) -> bool:
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return False
    return True


def _read(name: str, folder: int) -> File | None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        reason = "it is a symbolic link, which is not followed"
        raise OSError(errno.ELOOP, reason, name) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file", name)
        if status.st_size > MAX_BYTES:
            raise OSError(
                errno.EFBIG, f"it is larger than {MAX_BYTES} bytes", name
            )
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            return File(data=file.read(), signature=signatures.of(status))
    finally:
        os.close(descriptor)


def _joined(lines: Iterable[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
