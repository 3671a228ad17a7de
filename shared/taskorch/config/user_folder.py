"""The user's own configuration folder, outside every checkout: config.toml, trust records, server stamps."""

import os
import stat
from collections.abc import Mapping

from taskorch.config import files
from taskorch.domain import errors

NAME = "task-orchestrator"
LONGEST_BYTES = 64 * 1024
#: Nobody but the owner may change what the folder says.
OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


def path(environment: Mapping[str, str]) -> str:
    """Return where the folder is, whether or not it exists: below XDG_CONFIG_HOME, else below ~/.config."""
    above = environment.get("XDG_CONFIG_HOME", "")
    if not os.path.isabs(above):  # the XDG specification: a relative path is ignored
        above = os.path.join(home(environment), ".config")
    return os.path.join(above, NAME)


def home(environment: Mapping[str, str]) -> str:
    """Return the user's home: HOME, else as the password database has it."""
    named = environment.get("HOME", "")
    if os.path.isabs(named):
        return named
    from pwd import getpwuid

    try:
        return getpwuid(os.getuid()).pw_dir
    except KeyError:  # a container may run as a uid that has no entry
        return "/"


def read(environment: Mapping[str, str], name: str) -> bytes | None:
    """Return the content of a file of the folder; None if it is missing, or the home cannot be entered.

    `name` is relative and may have one subfolder, as in "trust/1a2b". Raises errors.UserFolderUnusable for a folder or
    a file that belongs to another user, that others can write to, or that cannot be read.
    """
    folder = path(environment)
    try:
        for each in _on_the_way(folder, name):
            _check(each, os.stat(each))
        with open(os.path.join(folder, name), "rb", opener=_without_waiting) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise _unusable(file.name, "it is not a file")
            _check(file.name, status)
            content = file.read(LONGEST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        if error.filename == folder:  # the home of another user, as in a container
            return None
        raise _unusable(error.filename, error) from None
    except OSError as error:
        raise _unusable(os.path.join(folder, name), error) from None
    if len(content) > LONGEST_BYTES:
        raise _unusable(
            os.path.join(folder, name), f"it is longer than {LONGEST_BYTES} bytes"
        )
    return content


def write(environment: Mapping[str, str], name: str, content: bytes) -> None:
    """Replace a file of the folder as a whole; the folder and the file are made for their owner alone.

    Raises errors.UserFolderUnusable.
    """
    folder = path(environment)
    try:
        os.makedirs(os.path.dirname(folder), exist_ok=True)
        for each in _on_the_way(folder, name):
            _make(each)
        files.write_atomically(os.path.join(folder, name), content)
    except OSError as error:
        raise _unusable(error.filename or folder, error) from None


def remove(environment: Mapping[str, str], name: str) -> bool:
    """Remove a file of the folder; return whether it was there. Raises errors.UserFolderUnusable."""
    file = os.path.join(path(environment), name)
    try:
        os.unlink(file)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise _unusable(file, error) from None
    return True


def names(environment: Mapping[str, str], subfolder: str) -> tuple[str, ...]:
    """Return the names of the files in a subfolder, sorted; none if it is missing or cannot be listed."""
    try:
        return tuple(sorted(os.listdir(os.path.join(path(environment), subfolder))))
    except OSError:
        return ()


def _on_the_way(folder: str, name: str) -> tuple[str, ...]:
    """Return the folders that lead to a file: ours, and its subfolder if it has one."""
    subfolder = os.path.dirname(name)
    return (folder, os.path.join(folder, subfolder)) if subfolder else (folder,)


def _make(folder: str) -> None:
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        _check(folder, os.stat(folder))


def _check(place: str, status: os.stat_result) -> None:
    if status.st_uid not in (os.getuid(), 0):
        raise _unusable(place, "it belongs to another user")
    if status.st_mode & OTHERS_WRITE:
        raise _unusable(place, "other users can write to it")


def _unusable(place: str, reason: str | OSError) -> errors.UserFolderUnusable:
    words = reason if isinstance(reason, str) else reason.strerror or str(reason)
    return errors.UserFolderUnusable(path=place, reason=words)


def _without_waiting(file: str, flags: int) -> int:
    return os.open(file, flags | os.O_NONBLOCK | os.O_CLOEXEC)
