"""The password of Redis: in its address, in a variable, or in a private file."""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

VARIABLE = "TASKORCH_REDIS_PASSWORD"
FILE_VARIABLE = "TASKORCH_REDIS_PASSWORD_FILE"
LONGEST_BYTES = 4096
#: O_NONBLOCK: do not wait for a pipe.
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class PasswordFile(Frozen):
    """A password file that a setting names."""

    name: str
    #: Where a relative name starts.
    folder: str
    setting: str
    #: The name comes with a checkout, so it must be a path below the folder without
    #: symbolic links.
    stays_inside: bool = False


def find(
    url: str, environment: Mapping[str, str], files: Iterable[PasswordFile]
) -> tuple[str, str]:
    """Return the password for an address, or "", and its source.

    An address may have its own. The variable takes precedence over the files. Only the
    first file is read. Raises errors.Usage for a file that is unreadable, readable by
    others, or outside of the folder that it must be in.
    """
    if has_password(url):
        return "", "the address"
    password = variable(environment, VARIABLE)
    if password:
        return password, VARIABLE
    for file in files:
        return _read(file), file.setting
    return "", "default"


def variable(environment: Mapping[str, str], name: str) -> str:
    """Return a variable, "" if it is unset or holds its own name, "$NAME".

    Some programs pass on a literal "$NAME" for a variable that is unset.
    """
    value = environment.get(name, "")
    return "" if value == f"${name}" else value


def has_password(url: str) -> bool:
    """Return whether an address contains a password."""
    from urllib.parse import parse_qs, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:  # an invalid address, which is refused later
        return False
    user, _, _ = parts.netloc.rpartition("@")
    return bool(user.partition(":")[2]) or bool(
        parse_qs(parts.query).get("password")
    )


def _read(password_file: PasswordFile) -> str:
    """Return the content of a private file, without one line break at its end."""
    file = os.path.join(
        password_file.folder, os.path.expanduser(password_file.name)
    )
    try:
        with os.fdopen(_open(file, password_file), "rb") as opened:
            _require_private(file, os.fstat(opened.fileno()))
            content = opened.read(LONGEST_BYTES + 1)
    except OSError as error:
        reason = f"Cannot read the password file {file}: {error.strerror}"
        raise errors.Usage(reason=reason) from None
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        reason = f"The password file {file} is not UTF-8 text."
        raise errors.Usage(reason=reason) from None
    if not password or len(content) > LONGEST_BYTES:
        limit = f"longer than {LONGEST_BYTES} bytes"
        raise errors.Usage(
            reason=f"The password file {file} is empty or {limit}."
        )
    return password


def _require_private(file: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise errors.Usage(reason=f"The password file {file} is not a file.")
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o077:
        raise errors.Usage(
            reason=f"Only you may own and read the password file {file}. "
            f"Run: chmod 600 {file} (and chown, if needed)"
        )


def _open(file: str, password_file: PasswordFile) -> int:
    """Open a file; if it must stay inside its folder, refuse links and other paths."""
    if not password_file.stays_inside:
        return os.open(file, FLAGS)
    name = password_file.name
    *folders, basename = name.split("/")
    odd_names = {"", ".", ".."}
    if name.startswith("~") or not odd_names.isdisjoint((*folders, basename)):
        raise _outside(password_file)
    parent = os.open(password_file.folder, FOLDER_FLAGS)
    try:
        for folder in folders:
            child = os.open(
                folder, FOLDER_FLAGS | os.O_NOFOLLOW, dir_fd=parent
            )
            os.close(parent)
            parent = child
        return os.open(basename, FLAGS | os.O_NOFOLLOW, dir_fd=parent)
    except OSError as error:
        if _is_link(error.filename, parent):
            raise _outside(password_file) from None
        raise
    finally:
        os.close(parent)


def _is_link(name: str, folder: int) -> bool:
    with suppress(OSError):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return stat.S_ISLNK(status.st_mode)
    return False


def _outside(password_file: PasswordFile) -> errors.Usage:
    return errors.Usage(
        reason=f"{password_file.setting} names the password file "
        f"{password_file.name!r}. It must be a relative path inside "
        f"{password_file.folder}, without symbolic links. {FILE_VARIABLE} and your own "
        "config.toml may name any file."
    )
