"""The folder of the bundled server below `.task-orchestrator/data/`, and its record.

data/<id>/appendonlydir/                the append-only file of the server
data/server.lock, server.log, …         files of the commands, which it does not read

An append-only file holds commands, including REPLICAOF, and a checkout may contain one.
So the server works in a folder with a random name, which is recorded in the user's
configuration folder, outside of any checkout. No other data is ever loaded. A checkout
cannot know the name, so neither a clone nor a later pull can add files to that folder.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from taskorch.config import files, user_folder
from taskorch.config.root_folder import NAME
from taskorch.domain import errors
from taskorch.transport import address

RECORDS = "servers"
#: What the commands themselves keep in data/.
OWN_FILES = frozenset(
    {
        "server.lock",
        "server.log",
        "server.stopped",
        "service.lock",
        "service.log",
    }
)
APPENDED = "appendonlydir"
_ID = re.compile(r"[0-9a-f]{32}")


def working_folder(data: Path, environment: Mapping[str, str]) -> Path:
    """Return the folder of the server, and make it if there is no data yet.

    Raises errors.UnknownData for data of which this user has no record,
    errors.UserFolderUnusable, and OSError.
    """
    known = [
        place for place in _places(data) if _is_known(place.name, environment)
    ]
    if known:
        place = max(known, key=_last_change)
        # Recorded again: the record may be in /tmp, or the folder may have been moved.
        _record(place, environment)
        return place
    if exists(data):
        raise errors.UnknownData(
            folder=str(data),
            records=f"{user_folder.path(environment)}/{RECORDS}",
        )
    return _make_place(data, environment)


def exists(data: Path) -> bool:
    """Return whether there is any data, known or not."""
    try:
        return any(entry.name not in OWN_FILES for entry in data.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def roots(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return the roots with data that this user's servers wrote; some may be gone.

    Raises errors.UserFolderUnusable.
    """
    found: set[str] = set()
    for known in (environment, *_temporary_environments()):
        for name in user_folder.names(known, RECORDS):
            record = user_folder.read(known, f"{RECORDS}/{name}")
            if root := _root_of(name, record or b""):
                found.add(root)
    return tuple(sorted(found))


def _root_of(name: str, record: bytes) -> str:
    """Return the root in the record of a folder; "" for another file."""
    place = Path(os.fsdecode(record).removesuffix("\n"))
    if not _ID.fullmatch(name) or place.parts[-3:] != (NAME, "data", name):
        return ""
    return str(place.parents[2]) if place.is_absolute() else ""


def accept(data: Path, environment: Mapping[str, str]) -> None:
    """Make unknown data that the user trusts the data of this server.

    It gets a new name. Nothing happens without such data, or if the server has data
    that is known. Raises errors.Invalid for a symbolic link in it,
    errors.UserFolderUnusable, and OSError.
    """
    if any(_is_known(place.name, environment) for place in _places(data)):
        return
    places = [*_places(data), data]
    candidates = [place / APPENDED for place in places]
    found = [folder for folder in candidates if folder.is_dir()]
    if not found:
        return
    chosen = max(found, key=_last_change)
    for path in (chosen, *chosen.rglob("*")):
        if path.is_symlink():
            raise errors.Invalid(
                reason=f"{path} is a symbolic link, which the data of a server never has."
            )
    chosen.rename(_make_place(data, environment) / APPENDED)


def _places(data: Path) -> Iterator[Path]:
    for entry in data.iterdir():
        if (
            _ID.fullmatch(entry.name)
            and entry.is_dir()
            and not entry.is_symlink()
        ):
            yield entry


def _last_change(place: Path) -> float:
    return place.stat().st_mtime


def _make_place(data: Path, environment: Mapping[str, str]) -> Path:
    """Make a folder with a random name, recorded first: a crash leaves no other one."""
    place = data / os.urandom(16).hex()
    _record(place, environment)
    place.mkdir(mode=0o700)
    return place


def _record(place: Path, environment: Mapping[str, str]) -> None:
    """Record a folder in the user's configuration folder.

    If that is read-only, record it in the user's private folder in /tmp. When /tmp was
    emptied, the user must accept the data again.
    """
    name = f"{RECORDS}/{place.name}"
    content = os.fsencode(f"{place}\n")
    try:
        user_folder.write(environment, name, content)
    except errors.UserFolderUnusable:
        files.make_private_folder(address.temporary_folder())
        user_folder.write(_temporary_environment(), name, content)


def _is_known(name: str, environment: Mapping[str, str]) -> bool:
    record = f"{RECORDS}/{name}"
    try:
        if user_folder.read(environment, record) is not None:
            return True
    except errors.UserFolderUnusable:
        if not _is_known_temporarily(record):
            raise
        return True
    return _is_known_temporarily(record)


def _is_known_temporarily(record: str) -> bool:
    return any(
        user_folder.read(known, record) is not None
        for known in _temporary_environments()
    )


def _temporary_environments() -> Iterator[Mapping[str, str]]:
    """Yield the environment of the private folder in /tmp, if it is this user's."""
    with suppress(FileNotFoundError):
        if os.lstat(address.temporary_folder()).st_uid == os.getuid():
            yield _temporary_environment()


def _temporary_environment() -> Mapping[str, str]:
    """Return an environment whose configuration folder is the private one in /tmp."""
    return {"XDG_CONFIG_HOME": address.temporary_folder()}
