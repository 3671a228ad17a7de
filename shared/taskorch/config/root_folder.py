"""The root of a queue: the folder whose `.task-orchestrator` holds the queue's files.

It is TASKORCH_ROOT, else the nearest parent inside the git checkout that has the
folder, else the top of the git checkout, else the current folder. In a linked worktree,
a folder with nothing but the committed config file does not count.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from errno import ELOOP

from taskorch.config import files, user_folder
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

NAME = ".task-orchestrator"
VARIABLE = "TASKORCH_ROOT"
CONFIG_NAME = "config.toml"
#: A `.git` file is one line with a path.
GIT_FILE_CHARACTERS = 8192
#: Anyone may read the config file. Tokens, sockets and data stay out of the repository.
GITIGNORE = f"*\n!{CONFIG_NAME}\n"


class Checkout(Frozen):
    """A git checkout: the main one of a repository, or a linked worktree."""

    top: str
    #: The top of the main checkout; of a main checkout, `top` itself.
    main: str
    #: The folder in which git keeps a linked worktree; "" for a main checkout.
    git: str = ""


def find(environment: Mapping[str, str], folder: str) -> tuple[str, str]:
    """Return the root for a folder, and how it was found.

    Creates nothing and starts no process.
    """
    named = environment.get(VARIABLE)
    if named:
        # One root has one path, and so one server.
        return os.path.realpath(os.path.join(folder, named)), VARIABLE
    current = checkout(environment, folder)
    for place in _with_parents(folder):
        has_folder = os.path.isdir(os.path.join(place, NAME))
        if has_folder and current and current.git and place == current.top:
            has_folder = not _is_checked_out(os.path.join(place, NAME))
        if has_folder and _may_be_root(environment, place):
            return place, f"the nearest {NAME}/"
        if current and place == current.top:
            return current.main, "the git checkout"
    return folder, "the current folder"


def _is_checked_out(folder: str) -> bool:
    """Return whether a folder holds only what a commit can bring: the config file.

    Each worktree of the repository has it then, and none is a root for that.
    """
    try:
        return os.listdir(folder) == [CONFIG_NAME]
    except OSError:
        return False


def checkout(environment: Mapping[str, str], folder: str) -> Checkout | None:
    """Return the git checkout that contains a folder, or None.

    Ignores a `.git` without HEAD, and a checkout at a shared folder such as the home.
    """
    for top in _with_parents(folder):
        git = _git_folder(top)
        if not git or not os.path.lexists(os.path.join(git, "HEAD")):
            continue
        if not _may_be_root(environment, top):
            continue
        worktree = None
        if git != os.path.join(top, ".git"):
            worktree = _linked_worktree(environment, top, git)
        return worktree or Checkout(top=top, main=top)
    return None


def create(folder: files.PathLike) -> None:
    """Make the `.task-orchestrator` of a root unless it exists. The root must exist.

    An existing folder becomes read-only for users outside its group. Raises
    errors.SharedRoot for a root that would be shared by accident, and OSError, also if
    the folder contains a symbolic link to a folder: a checkout may have brought it, and
    files would be written and deleted elsewhere.
    """
    if os.path.isdir(folder):
        files.remove_rights(folder, stat.S_IWOTH)
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and entry.is_dir():
                    raise OSError(ELOOP, "it is a symbolic link", entry.path)
        return
    refuse_shared(os.environ, os.path.dirname(folder))
    try:
        os.mkdir(folder, 0o755)
    except FileExistsError:
        if not os.path.isdir(folder):  # else another command has just made it
            raise
    gitignore = os.path.join(folder, ".gitignore")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(gitignore, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(GITIGNORE)


def is_shared(environment: Mapping[str, str], place: str) -> bool:
    """Return whether a folder usually contains unrelated work.

    These are the home, /, the temporary folder, and folders that all users write to.
    """
    try:
        mode = os.stat(place).st_mode
    except OSError:
        return False
    if mode & stat.S_ISVTX and mode & stat.S_IWOTH:
        return True
    shared = (
        "/",
        user_folder.home(environment),
        environment.get("TMPDIR", ""),
    )
    return _real(place) in [_real(each) for each in shared]


def allow_shared(environment: Mapping[str, str], place: str) -> None:
    """Record that a shared folder may be a root. Raises errors.UserFolderUnusable."""
    user_folder.write(
        environment, _record_name(place), os.fsencode(_real(place))
    )


def refuse_shared(environment: Mapping[str, str], place: str) -> None:
    """Raise errors.SharedRoot for a shared folder that would be a root by accident.

    The user allows it by TASKORCH_ROOT or by `allow_shared`.
    """
    named = environment.get(VARIABLE)
    if named and _real(named) == _real(place):
        return
    if not _may_be_root(environment, place):
        raise errors.SharedRoot(root=place)


def refuse_foreign(folder: str) -> None:
    """Raise errors.ForeignFolder for a folder of another user and a symbolic link."""
    try:
        status = os.lstat(folder)
    except OSError:  # it is missing, or the next step reports the error
        return
    if stat.S_ISLNK(status.st_mode):
        raise errors.ForeignFolder(folder=folder, reason="is a symbolic link")
    if status.st_uid not in (os.getuid(), 0):
        reason = f"belongs to another user (uid {status.st_uid})"
        raise errors.ForeignFolder(folder=folder, reason=reason)


def _with_parents(folder: str) -> Iterator[str]:
    """Yield a folder and its parents, up to /."""
    yield folder
    while folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
        yield folder


def _may_be_root(environment: Mapping[str, str], place: str) -> bool:
    if not is_shared(environment, place):
        return True
    record = user_folder.read(environment, _record_name(place))
    return record == os.fsencode(_real(place))


def _record_name(place: str) -> str:
    # slow to import, and only shared folders need it
    from hashlib import (
        sha256,
    )

    digest = sha256(os.fsencode(_real(place))).hexdigest()
    return f"roots/{digest[:32]}"


def _real(place: str) -> str:
    return os.path.realpath(place) if place else ""


def _git_folder(top: str) -> str:
    """Return the folder that `.git` is, or that a `.git` file names; else ""."""
    git = os.path.join(top, ".git")
    if os.path.isdir(git):
        return git
    content = _read(git)
    if not content.startswith("gitdir:"):
        return ""
    return _join(top, content.removeprefix("gitdir:").strip())


def _linked_worktree(
    environment: Mapping[str, str], top: str, git: str
) -> Checkout | None:
    """Return a worktree that its main checkout lists and that has the same owner.

    An archive may contain any `.git` file, so both sides must name each other.
    """
    shared = _join(git, _read(os.path.join(git, "commondir")).strip())
    listed = _join(git, _read(os.path.join(git, "gitdir")).strip())
    if not shared or not listed:
        return None
    if os.path.dirname(git) != os.path.join(shared, "worktrees"):
        return None
    try:
        if not os.path.samefile(listed, os.path.join(top, ".git")):
            return None
        if not _has_trusted_owner(top, shared):
            return None
    except OSError:
        return None
    main = os.path.dirname(shared)
    is_bare = os.path.basename(shared) != ".git"
    # The worktrees of a bare repository may have their queue beside it.
    if is_bare and not os.path.isdir(os.path.join(main, NAME)):
        main = top
    if not _may_be_root(environment, main):
        main = top
    return Checkout(top=top, main=main, git=git)


def _has_trusted_owner(top: str, shared: str) -> bool:
    """Return whether the main checkout belongs to this user, root, or `top`'s owner."""
    owners = (os.getuid(), 0, os.stat(top).st_uid)
    main_owners = (
        os.stat(shared).st_uid,
        os.stat(os.path.dirname(shared)).st_uid,
    )
    return all(owner in owners for owner in main_owners)


def _join(folder: str, path: str) -> str:
    try:
        return os.path.realpath(os.path.join(folder, path)) if path else ""
    except ValueError:  # it contains NUL
        return ""


def _read(file: str) -> str:
    """Return the start of a small text file, "" if it cannot be read."""
    try:
        if not os.path.isfile(file):  # do not wait for a pipe
            return ""
        with open(file, encoding="utf-8") as opened:
            return opened.read(GIT_FILE_CHARACTERS)
    except (OSError, ValueError):
        return ""
