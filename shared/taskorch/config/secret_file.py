"""Private files with a secret: the password of Redis, or an access token."""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

LONGEST_BYTES = 4096
#: O_NONBLOCK: do not wait for a pipe.
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER_FLAGS = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


class SecretFile(Frozen):
    """A private file that a setting names."""

    name: str
    #: Where a relative name starts.
    folder: str
    setting: str
    #: What it holds: "password" or "token".
    holds: str
    #: The variable that may name any file.
    variable: str
    #: The name comes with a checkout, so it must be a path below the folder without
    #: symbolic links.
    stays_inside: bool = False


def find(
    environment: Mapping[str, str], name: str, files: Iterable[SecretFile]
) -> tuple[str, str]:
    """Return a secret and its source: the variable `name`, or else the first file.

    Without both, the secret is "". Raises errors.Usage like `read`.
    """
    secret = variable(environment, name)
    if secret:
        return secret, name
    for file in files:
        return read(file), file.setting
    return "", "default"


def variable(environment: Mapping[str, str], name: str) -> str:
    """Return a variable, "" if it is unset or holds its own name, "$NAME".

    Some programs pass on a literal "$NAME" for a variable that is unset.
    """
    value = environment.get(name, "")
    return "" if value == f"${name}" else value


def read(secret_file: SecretFile) -> str:
    """Return the content of a private file, without one line break at its end.

    Raises errors.Usage for a file that is unreadable, readable by others, or outside of
    the folder that it must be in.
    """
    file = os.path.join(
        secret_file.folder, os.path.expanduser(secret_file.name)
    )
    try:
        with os.fdopen(_open(file, secret_file), "rb") as opened:
            status = os.fstat(opened.fileno())
            _require_private(file, status, secret_file.holds)
            content = opened.read(LONGEST_BYTES + 1)
    except OSError as error:
        reason = f"Cannot read the {secret_file.holds} file {file}: {error.strerror}"
        raise errors.Usage(reason=reason) from None
    try:
        secret = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        reason = f"The {secret_file.holds} file {file} is not UTF-8 text."
        raise errors.Usage(reason=reason) from None
    if not secret or len(content) > LONGEST_BYTES:
        limit = f"longer than {LONGEST_BYTES} bytes"
        raise errors.Usage(
            reason=f"The {secret_file.holds} file {file} is empty or {limit}."
        )
    return secret


def _require_private(file: str, status: os.stat_result, holds: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise errors.Usage(reason=f"The {holds} file {file} is not a file.")
    if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o077:
        raise errors.Usage(
            reason=f"Only you may own and read the {holds} file {file}. "
            f"Run: chmod 600 {file} (and chown, if needed)"
        )


def _open(file: str, secret_file: SecretFile) -> int:
    """Open a file; if it must stay inside its folder, refuse links and other paths."""
    if not secret_file.stays_inside:
        return os.open(file, FLAGS)
    name = secret_file.name
    *folders, basename = name.split("/")
    odd_names = {"", ".", ".."}
    if name.startswith("~") or not odd_names.isdisjoint((*folders, basename)):
        raise _outside(secret_file)
    parent = os.open(secret_file.folder, FOLDER_FLAGS)
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
            raise _outside(secret_file) from None
        raise
    finally:
        os.close(parent)


def _is_link(name: str, folder: int) -> bool:
    with suppress(OSError):
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        return stat.S_ISLNK(status.st_mode)
    return False


def _outside(secret_file: SecretFile) -> errors.Usage:
    return errors.Usage(
        reason=f"{secret_file.setting} names the {secret_file.holds} file "
        f"{secret_file.name!r}. It must be a relative path inside "
        f"{secret_file.folder}, without symbolic links. {secret_file.variable} and "
        "your own config.toml may name any file."
    )
