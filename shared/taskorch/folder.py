"""The folder `.task-orchestrator` of a root: git does not see it, and parts of it are their owner's alone."""

import os
import stat
from errno import EINVAL, ELOOP

from taskorch.errors import RootNotWritable

NAME = ".task-orchestrator"
#: The config file may be everybody's; tokens, sockets and data are nobody's business.
IGNORED = "*\n!config.toml\n"

PathLike = str | os.PathLike[str]


def make(folder: PathLike) -> None:
    """Make the folder of a root, if it is not there; the root itself is its owner's: FileNotFoundError without it."""
    if not os.path.isdir(folder):
        _make_one(folder)
        with open(os.path.join(folder, ".gitignore"), "w", encoding="utf-8") as file:
            file.write(IGNORED)


def refusal(root: PathLike, error: OSError) -> RootNotWritable:
    """Return our error for one of the operating system's, naming the path that is in the way."""
    reason = error.strerror or str(error)
    if isinstance(error, (FileExistsError, NotADirectoryError)):
        reason = f"{error.filename} is not a folder"
    elif error.errno in (ELOOP, EINVAL):
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
    descriptor = os.open(file, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(EINVAL, "it is not a file", os.fspath(file))
    return descriptor


def _make_one(folder: PathLike, mode: int = 0o777) -> None:
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
