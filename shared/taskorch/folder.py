"""The folder `.task-orchestrator` of a root: git does not see it, and parts of it are their owner's alone."""

import os

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
    in_the_way = isinstance(error, (FileExistsError, NotADirectoryError))
    reason = f"{error.filename} is not a folder" if in_the_way else error.strerror or str(error)
    return RootNotWritable(root=os.fspath(root), reason=reason)


def make_private(folder: PathLike) -> None:
    """Make a folder that nobody else can enter, and the one that it is in, if that is not there.

    Raises PermissionError where somebody else's is in the way.
    """
    _make_one(os.path.dirname(folder))
    _make_one(folder, 0o700)
    if os.path.islink(folder) or os.stat(folder).st_uid != os.getuid():
        raise PermissionError(0, f"{folder} belongs to somebody else")
    os.chmod(folder, 0o700)


def _make_one(folder: PathLike, mode: int = 0o777) -> None:
    try:
        os.mkdir(folder, mode)
    except FileExistsError:
        if not os.path.isdir(folder):
            raise
