"""Where the password of Redis comes from: its address, a variable, or a file that nobody else can read."""

import os
import stat
from collections.abc import Iterable, Mapping
from contextlib import suppress

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen

VARIABLE = "TASKORCH_REDIS_PASSWORD"
FILE_VARIABLE = "TASKORCH_REDIS_PASSWORD_FILE"
LONGEST_BYTES = 4096
#: Not to wait, even for a pipe that no process writes to.
FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC


class PasswordFile(Frozen):
    """A file that a setting names."""

    name: str
    #: Where a relative name starts.
    folder: str
    setting: str
    #: Whether it must lie below the folder, reached through no symbolic link: who names it may be a stranger.
    stays_inside: bool = False


def find(
    url: str, environment: Mapping[str, str], files: Iterable[PasswordFile]
) -> tuple[str, str]:
    """Return the password for an address that has none of its own, "" without one, and where it came from.

    The variable wins over the files, the first file over the others, of which nothing is asked then. Raises
    errors.Usage for a file that cannot be read, that others can read, or that lies outside of where it must be.
    """
    if not url:
        return "", "default"
    if is_in(url):
        return "", "the address"
    if said := said_in(environment, VARIABLE):
        return said, VARIABLE
    for file in files:
        return _read(file), file.setting
    return "", "default"


def said_in(environment: Mapping[str, str], variable: str) -> str:
    """Return what a variable says, or "": a program that hands it on without a value may say its name, "$NAME"."""
    value = environment.get(variable, "")
    return "" if value == f"${variable}" else value


def is_in(url: str) -> bool:
    """Return whether an address has a password of its own."""
    from urllib.parse import parse_qs, urlsplit

    try:
        parts = urlsplit(url)
    except ValueError:  # it is no address, and will be refused as such
        return False
    user, _, _ = parts.netloc.rpartition("@")
    return bool(user.partition(":")[2]) or bool(parse_qs(parts.query).get("password"))


def _read(named: PasswordFile) -> str:
    """Return what a file holds, without the line break at its end; its owner alone may be able to read it."""
    file = os.path.join(named.folder, os.path.expanduser(named.name))
    try:
        descriptor = (
            _opened_inside(named) if named.stays_inside else os.open(file, FLAGS)
        )
        with os.fdopen(descriptor, "rb") as opened:
            status = os.fstat(opened.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise errors.Usage(reason=f"The password file {file} is not a file.")
            if status.st_uid not in (os.getuid(), 0) or status.st_mode & 0o077:
                raise errors.Usage(
                    reason=f"The password file {file} is not yours alone. Make it so: chmod 600 {file} (and chown)"
                )
            content = opened.read(LONGEST_BYTES + 1)
    except OSError as error:
        raise errors.Usage(
            reason=f"Cannot read the password file {file}: {error.strerror}"
        ) from None
    try:
        password = content.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise errors.Usage(
            reason=f"The password file {file} does not hold UTF-8 text."
        ) from None
    if not password or len(content) > LONGEST_BYTES:
        raise errors.Usage(
            reason=f"The password file {file} is empty, or longer than {LONGEST_BYTES} bytes."
        )
    return password


def _opened_inside(named: PasswordFile) -> int:
    """Open a file step by step from its folder, and follow no symbolic link on the way."""
    *folders, name = named.name.split("/")
    if named.name.startswith("~") or not {"", ".", ".."}.isdisjoint((*folders, name)):
        raise _outside(named)
    place = os.open(named.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            deeper = os.open(
                folder,
                os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC,
                dir_fd=place,
            )
            os.close(place)
            place = deeper
        return os.open(name, FLAGS | os.O_NOFOLLOW, dir_fd=place)
    except OSError as error:
        if _is_link(error.filename, place):
            raise _outside(named) from None
        raise
    finally:
        os.close(place)


def _is_link(name: str, place: int) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=place, follow_symlinks=False).st_mode)
    return False


def _outside(named: PasswordFile) -> errors.Usage:
    return errors.Usage(
        reason=f"{named.setting} names the password file {named.name!r}: there, it must be a relative path inside "
        f"{named.folder}, without symbolic links. {FILE_VARIABLE} and your own config.toml may name any file."
    )
