"""The password of Redis: in its address, in a variable, or in a private file."""

from collections.abc import Iterable, Mapping

from taskorch.config import secret_file
from taskorch.config.secret_file import SecretFile

VARIABLE = "TASKORCH_REDIS_PASSWORD"
FILE_VARIABLE = "TASKORCH_REDIS_PASSWORD_FILE"


def find(
    url: str, environment: Mapping[str, str], files: Iterable[SecretFile]
) -> tuple[str, str]:
    """Return the password for an address, or "", and its source.

    An address may have its own. The variable takes precedence over the files. Only the
    first file is read. Raises errors.Usage for a file that is unreadable, readable by
    others, or outside of the folder that it must be in.
    """
    if has_password(url):
        return "", "the address"
    return secret_file.find(environment, VARIABLE, files)


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
