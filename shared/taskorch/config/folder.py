"""The folder `.task-orchestrator` of a root: git does not see it, and parts of it are their owner's alone."""

import os
import stat
from errno import EINVAL, ELOOP

from taskorch.config import root_folder
from taskorch.domain.errors import RootNotWritable

NAME = root_folder.NAME
#: The config file may be everybody's; tokens, sockets and data are nobody's business.
IGNORED = "*\n!config.toml\n"

PathLike = str | os.PathLike[str]


#: What others than the owner and the group may never do in a folder of a root, whatever the umask.
OTHERS_WRITE = 0o002


def make(folder: PathLike) -> None:
    """Make the folder of a root if it does not exist; the root itself must: FileNotFoundError without it.

    Raises errors.SharedRoot where the root would be made by accident. Raises OSError, too, for a symbolic link to a
    folder in it: a checkout may have brought it, and what is written and cleaned up below it would be elsewhere.
    """
    if os.path.isdir(folder):
        _forbid(folder, OTHERS_WRITE)
        _need_no_links(folder)
    else:
        root_folder.refuse_accident(os.environ, os.path.dirname(folder))
        _make_one(folder)
        ignored = os.open(
            os.path.join(folder, ".gitignore"),
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC,
            0o644,
        )
        with open(ignored, "w", encoding="utf-8") as file:
            file.write(IGNORED)


def _need_no_links(folder: PathLike) -> None:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink() and entry.is_dir():
                raise OSError(ELOOP, "it is a symbolic link", entry.path)


def refusal(root: PathLike, error: OSError) -> RootNotWritable:
    """Return our error for one of the operating system's, naming the path that is in the way."""
    reason = error.strerror or str(error)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = f"{error.filename} is not a folder"
    elif error.errno == ELOOP:
        reason = f"{error.filename} is a symbolic link"
    elif error.errno == EINVAL:
        reason = f"{error.filename} is not a regular file"
    return RootNotWritable(root=os.fspath(root), reason=reason)


def make_private(folder: PathLike) -> None:
    """Make a folder that nobody else can enter, and the one that it is in, if that is not there.

    Raises PermissionError where another user's folder, or a symbolic link, is in the way.
    """
    _make_one(os.path.dirname(folder))
    _make_one(folder, 0o700)
    if os.path.islink(folder) or os.stat(folder).st_uid != os.getuid():
        raise PermissionError(0, f"{folder} is a link, or belongs to another user")
    os.chmod(folder, 0o700)


def opened(file: PathLike, flags: int) -> int:
    """Open a file in a private folder, made for its owner alone, and return its descriptor.

    Raises OSError, too, for a symbolic link, a pipe or a device in its place: a checkout may have brought it.
    """
    descriptor = os.open(
        file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600
    )
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(EINVAL, "it is not a file", os.fspath(file))
    return descriptor


def keep_others_out(folder: int) -> int:
    """Take the rights of others off an open folder, and return the mode for new files in it."""
    _forbid(folder, 0o077 & ~_of_group(os.fstat(folder)))
    return file_mode(folder)


def file_mode(folder: PathLike | int) -> int:
    """Return the mode for a file that others may not read.

    The group may do with it what it may do in the folder, if that has the set-group-ID bit: so its owner says that a
    group shares it.
    """
    return 0o600 | _of_group(os.stat(folder)) & 0o060


def _of_group(status: os.stat_result) -> int:
    return status.st_mode & 0o070 if status.st_mode & stat.S_ISGID else 0


def _forbid(folder: PathLike | int, rights: int) -> None:
    status = os.stat(folder)
    if status.st_mode & rights and os.getuid() in (status.st_uid, 0):
        os.chmod(folder, stat.S_IMODE(status.st_mode) & ~rights)


def _make_one(folder: PathLike, mode: int = 0o755) -> None:
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
