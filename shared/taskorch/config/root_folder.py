"""Where the root is: the folder whose `.task-orchestrator` holds a queue's files.

TASKORCH_ROOT, else within the git checkout, else the nearest parent that has one, else the current folder.
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
#: A `.git` file is a line with a path.
GIT_FILE_CHARACTERS = 8192
#: Anyone may read the config file. Tokens, sockets and data stay out of the repository.
GITIGNORE = "*\n!config.toml\n"


class Checkout(Frozen):
    """A git checkout: the main one of a repository, or a linked worktree."""

    top: str
    #: The top level of the main checkout; `top` itself unless this is a linked worktree.
    main: str
    #: The folder that git keeps for a linked worktree; "" for any other checkout.
    git: str = ""


def find(environment: Mapping[str, str], folder: str) -> tuple[str, str]:
    """Return the root for a folder, and where it comes from. No process is started; nothing is created."""
    named = environment.get(VARIABLE)
    if named:
        return os.path.realpath(
            os.path.join(folder, named)
        ), VARIABLE  # one server, however it is spelt
    here = checkout(environment, folder)
    for place in upwards(folder):
        if os.path.isdir(os.path.join(place, NAME)) and _may_be_root(
            environment, place
        ):
            return place, f"the nearest {NAME}/"
        if here and place == here.top:
            return here.main, "the git checkout"
    return folder, "the current folder"


def checkout(environment: Mapping[str, str], folder: str) -> Checkout | None:
    """Return the git checkout that a folder is in. A `.git` without a HEAD is not one; a shared folder is not one."""
    for top in upwards(folder):
        git = _git_folder(top)
        if (
            git
            and os.path.lexists(os.path.join(git, "HEAD"))
            and _may_be_root(environment, top)
        ):
            is_folder = git == os.path.join(top, ".git")
            return (None if is_folder else _linked(environment, top, git)) or Checkout(
                top=top, main=top
            )
    return None


def is_shared(environment: Mapping[str, str], place: str) -> bool:
    """Return whether a folder is above unrelated work: the home, /, the temporary folder, any that all users share."""
    named = ("/", user_folder.home(environment), environment.get("TMPDIR", ""))
    try:
        mode = os.stat(place).st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISVTX and mode & stat.S_IWOTH) or os.path.realpath(
        place
    ) in map(_real, named)


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
    refuse_accident(os.environ, os.path.dirname(folder))
    files.make_folder(folder)
    ignored = os.path.join(folder, ".gitignore")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with open(os.open(ignored, flags, 0o644), "w", encoding="utf-8") as file:
        file.write(GITIGNORE)


def choose(environment: Mapping[str, str], place: str) -> None:
    """Record that a shared folder is a root on purpose. Raises errors.UserFolderUnusable."""
    user_folder.write(environment, _record(place), os.fsencode(_real(place)))


def refuse_accident(environment: Mapping[str, str], place: str) -> None:
    """Refuse to make a shared folder a root (errors.SharedRoot), unless it was chosen or TASKORCH_ROOT names it."""
    named = environment.get(VARIABLE)
    if not (named and _real(named) == _real(place)) and not _may_be_root(
        environment, place
    ):
        raise errors.SharedRoot(root=place)


def refuse_foreign(folder: str) -> None:
    """Refuse a `.task-orchestrator` that another user may have filled, or a link to one (errors.ForeignFolder)."""
    try:
        status = os.lstat(folder)
    except OSError:  # it is missing, or the next step says what is wrong
        return
    if stat.S_ISLNK(status.st_mode):
        raise errors.ForeignFolder(folder=folder, reason="is a symbolic link")
    if status.st_uid not in (os.getuid(), 0):
        raise errors.ForeignFolder(
            folder=folder, reason=f"belongs to another user (uid {status.st_uid})"
        )


def upwards(folder: str) -> Iterator[str]:
    """Return a folder and all that it is in, the nearest first."""
    yield folder
    if folder != os.path.dirname(folder):
        yield from upwards(os.path.dirname(folder))


def _may_be_root(environment: Mapping[str, str], place: str) -> bool:
    if not is_shared(environment, place):
        return True
    return user_folder.read(environment, _record(place)) == os.fsencode(_real(place))


def _record(place: str) -> str:
    from hashlib import sha256  # only for a shared folder

    return f"roots/{sha256(os.fsencode(_real(place))).hexdigest()[:32]}"


def _real(place: str) -> str:
    return os.path.realpath(place) if place else ""


def _git_folder(top: str) -> str:
    """Return the folder that the `.git` of a checkout is, or names; "" without one."""
    git = os.path.join(top, ".git")
    if os.path.isdir(git):
        return git
    named = _content(git)
    return (
        _joined(top, named.removeprefix("gitdir:").strip())
        if named.startswith("gitdir:")
        else ""
    )


def _linked(environment: Mapping[str, str], top: str, git: str) -> Checkout | None:
    """Return a linked worktree, if its main checkout lists it and belongs to the same user.

    A `.git` file may have come in an archive: what it names is believed only when it is named in return.
    """
    shared = _joined(git, _content(os.path.join(git, "commondir")).strip())
    listed = _joined(git, _content(os.path.join(git, "gitdir")).strip())
    if (
        not shared
        or not listed
        or os.path.dirname(git) != os.path.join(shared, "worktrees")
    ):
        return None
    try:
        if not os.path.samefile(listed, os.path.join(top, ".git")) or not _same_owner(
            top, shared
        ):
            return None
    except OSError:
        return None
    main = os.path.dirname(shared)
    if (
        os.path.basename(shared) != ".git"
    ):  # a bare repository: beside it, if there is a queue
        main = main if os.path.isdir(os.path.join(main, NAME)) else top
    return Checkout(
        top=top, main=main if _may_be_root(environment, main) else top, git=git
    )


def _same_owner(top: str, shared: str) -> bool:
    """Return whether the main checkout is the user's, root's, or that of the owner of the worktree."""
    owners = (os.getuid(), 0, os.stat(top).st_uid)
    return all(
        os.stat(place).st_uid in owners for place in (shared, os.path.dirname(shared))
    )


def _joined(folder: str, path: str) -> str:
    try:
        return os.path.realpath(os.path.join(folder, path)) if path else ""
    except ValueError:  # it has a NUL
        return ""


def _content(file: str) -> str:
    """Return the beginning of a small text file; "" if it cannot be read."""
    try:
        if not os.path.isfile(file):  # not to wait for a pipe
            return ""
        with open(file, encoding="utf-8") as opened:
            return opened.read(GIT_FILE_CHARACTERS)
    except (OSError, ValueError):
        return ""
