"""The folder `.task-orchestrator` of a root: git does not see it, and parts of it are their owner's alone."""

import os
from pathlib import Path

from taskorch.errors import RootNotWritable

NAME = ".task-orchestrator"
#: The config file may be everybody's; tokens, sockets and data are nobody's business.
IGNORED = "*\n!config.toml\n"


def make(folder: Path) -> None:
    """Make the folder of a root, if it is not there; the root itself is its owner's: FileNotFoundError without it."""
    if not folder.is_dir():
        folder.mkdir(exist_ok=True)
        (folder / ".gitignore").write_text(IGNORED, encoding="utf-8")


def refusal(root: Path, error: OSError) -> RootNotWritable:
    """Return our error for one of the operating system's, naming the path that is in the way."""
    in_the_way = isinstance(error, (FileExistsError, NotADirectoryError))
    reason = f"{error.filename} is not a folder" if in_the_way else error.strerror or str(error)
    return RootNotWritable(root=str(root), reason=reason)


def make_private(folder: Path) -> None:
    """Make a folder that nobody else can enter, and the one that it is in, if that is not there.

    Raises PermissionError where somebody else's is in the way.
    """
    folder.parent.mkdir(exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise PermissionError(0, f"{folder} belongs to somebody else")
    folder.chmod(0o700)
