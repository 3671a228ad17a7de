"""Where the password of Redis comes from: its address, a variable, or a file that nobody else can read."""

import os
import stat
from collections.abc import Mapping, Sequence

from taskorch import errors
from taskorch.folder import PathLike

VARIABLE = "TASKORCH_REDIS_PASSWORD"
FILE_VARIABLE = "TASKORCH_REDIS_PASSWORD_FILE"
LONGEST_BYTES = 4096

#: The name of a file, the folder that a relative name starts from, and which setting has it.
Named = tuple[str | None, PathLike, str]


def find(url: str, environment: Mapping[str, str], files: Sequence[Named]) -> tuple[str, str]:
    """Return the password for an address that has none of its own, "" where there is none, and where it came from.

    The variable wins over the files, the first that is named over the others. Raises errors.Usage for a file that
    cannot be read, or that others can.
    """
    if not url:
        return "", "default"
    if _is_in(url):
        return "", "the address"
    if said := said_in(environment, VARIABLE):
        return said, VARIABLE
    for name, folder, setting in files:
        if name:
            return _read(os.path.join(folder, os.path.expanduser(name))), setting
    return "", "default"


def said_in(environment: Mapping[str, str], variable: str) -> str:
    """Return what a variable says, or "": a program that hands it on without a value may say its name, "$NAME"."""
    value = environment.get(variable, "")
    return "" if value == f"${variable}" else value


def _is_in(url: str) -> bool:
    from urllib.parse import parse_qs, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:  # it is no address, and will be refused as such
        return False
    user, _, _ = parts.netloc.rpartition("@")
    return bool(user.partition(":")[2]) or bool(parse_qs(parts.query).get("password"))


def _read(file: str) -> str:
    """Return what a file holds, without the line break at its end; its owner alone may be able to read it."""
    try:
        # Not to wait, even for a pipe that nobody writes to.
        with os.fdopen(os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise errors.Usage(reason=f"The password file {file} is not a file.")
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o077:
                raise errors.Usage(
                    reason=f"The password file {file} is not yours alone. Make it so: chmod 600 {file} (and chown)"
                )
            content = opened.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise errors.Usage(reason=f"Cannot read the password file {file}: {error.strerror}") from None
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise errors.Usage(reason=f"The password file {file} does not hold UTF-8 text.") from None
    if not password or len(content) > LONGEST_BYTES:
        raise errors.Usage(reason=f"The password file {file} is empty, or longer than {LONGEST_BYTES} bytes.")
    return password
