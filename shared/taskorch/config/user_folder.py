"""The user's own folder, outside every checkout: config.toml, trust, server records."""

import os
import stat
from collections.abc import Mapping

from taskorch.config import files
from taskorch.domain import errors

NAME = "task-orchestrator"
LONGEST_BYTES = 64 * 1024
#: Only the owner may change the content of the folder.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def path(environment: Mapping[str, str]) -> str:
    """Return the path of the folder, below XDG_CONFIG_HOME or ~/.config."""
    config_home = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(config_home):  # XDG says to ignore a relative path
        config_home = os.path.join(home(environment), ".config")
    return os.path.join(config_home, NAME)


def home(environment: Mapping[str, str]) -> str:
    """Return the user's home: HOME, else from the password database."""
    named = environment.get("HOME", "")
    if os.path.isabs(named):
        return named
    from pwd import getpwuid

    try:
        return getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container may run as a uid that has no entry
        return "/"


def read(environment: Mapping[str, str], name: str) -> bytes | None:
    """Return the content of a file; None if it is missing or the home is inaccessible.

    `name` is relative and may have one subfolder, as in "trust/1a2b". Raises
    errors.UserFolderUnusable for a file or folder that is unreadable, belongs to
    another user, or is writable by others, and for a file that is too long.
    """
    folder = path(environment)
    file = os.path.join(folder, name)
    try:
        for parent in _parents(folder, name):
            _require_own(parent, os.stat(parent))
        # do not wait for a pipe
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
        with open(os.open(file, flags), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(file, "it is not a file")
            _require_own(file, status)
            content = opened.read(LONGEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        if (
            error.filename == folder
        ):  # the home of another user, as in a container
            return None
        raise _unusable(error.filename, error) from None
    except OSError as error:
        raise _unusable(file, error) from None
    if len(content) > LONGEST_BYTES:
        raise _unusable(file, f"it is longer than {LONGEST_BYTES} bytes")
    return content


def write(environment: Mapping[str, str], name: str, content: bytes) -> None:
    """Write a private file atomically, and make its folders.

    Raises errors.UserFolderUnusable.
    """
    folder = path(environment)
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        for parent in _parents(folder, name):
            try:
                os.mkdir(parent, 0o700)
            except FileExistsError:
                _require_own(parent, os.stat(parent))
        files.write_atomically(os.path.join(folder, name), content)
    except OSError as error:
        raise _unusable(error.filename or folder, error) from None


def remove(environment: Mapping[str, str], name: str) -> bool:
    """Remove a file; return whether it existed. Raises errors.UserFolderUnusable."""
    file = os.path.join(path(environment), name)
    try:
        os.unlink(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(file, error) from None
    return True


def names(environment: Mapping[str, str], subfolder: str) -> tuple[str, ...]:
    """Return the sorted names of the files in a subfolder; () if it is unreadable."""
    try:
        return tuple(
            sorted(os.listdir(os.path.join(path(environment), subfolder)))
        )
    except OSError:
        return ()


def _parents(folder: str, name: str) -> tuple[str, ...]:
    """Return the user folder and, if the file is in one, its subfolder."""
    subfolder = os.path.dirname(name)
    return (
        (folder, os.path.join(folder, subfolder)) if subfolder else (folder,)
    )


def _require_own(place: str, status: os.stat_result) -> None:
    if status.st_uid not in (os.getuid(), 0):
        raise _unusable(place, "it belongs to another user")
    if status.st_mode & OTHERS_WRITE:
        raise _unusable(place, "other users can write to it")


def _unusable(place: str, reason: str | OSError) -> errors.UserFolderUnusable:
    if isinstance(reason, OSError):
        reason = reason.strerror or str(reason)
    return errors.UserFolderUnusable(path=place, reason=reason)
