"""The folder that the bundled server works in, below `.task-orchestrator/data/`, and how its own data is known.

data/<id>/appendonlydir/                what the server appends to
data/server.lock, server.log, …         files of the commands, which it does not read

An append-only file holds commands, REPLICAOF among them, and a checkout may bring one. So the server works in a folder
whose name is random, and of which the user has a record outside of the checkout: nothing else in data/ is ever loaded.
A checkout cannot know the name, so neither a clone nor a later pull can put anything into that folder.
"""

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from taskorch.config import files, user_folder
from taskorch.domain import errors
from taskorch.transport import address

RECORDS = "servers"
#: What the commands themselves keep in data/.
OURS = frozenset(
    {"server.lock", "server.log", "server.stopped", "service.lock", "service.log"}
)
APPENDED = "appendonlydir"
_ID = re.compile(r"[0-9a-f]{32}")


def working_folder(data: Path, environment: Mapping[str, str]) -> Path:
    """Return the folder of the server, which is made if there is no data yet.

    Raises errors.UnknownData for data that this user has no record of, errors.UserFolderUnusable, OSError.
    """
    known = [place for place in _places(data) if _is_known(place.name, environment)]
    if known:
        place = max(known, key=_last_change)
        _record(
            place, environment
        )  # anew: it may have been kept in /tmp, or the folder have been moved
        return place
    if exists(data):
        raise errors.UnknownData(
            folder=str(data), records=f"{user_folder.path(environment)}/{RECORDS}"
        )
    return _made(data, environment)


def exists(data: Path) -> bool:
    """Return whether there is any data, known or not."""
    try:
        return any(entry.name not in OURS for entry in data.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return False


def accept(data: Path, environment: Mapping[str, str]) -> None:
    """Take data that a person knows for the data of this server, under a new name.

    Nothing happens where there is no such data, or where the server has data that is known. Raises errors.Invalid for
    symbolic links in it, errors.UserFolderUnusable, OSError.
    """
    if any(_is_known(place.name, environment) for place in _places(data)):
        return
    found = [place / APPENDED for place in _places(data)] + [data / APPENDED]
    found = [place for place in found if place.is_dir()]
    if not found:
        return
    chosen = max(found, key=_last_change)
    if linked := next(
        (path for path in (chosen, *chosen.rglob("*")) if path.is_symlink()), None
    ):
        raise errors.Invalid(
            reason=f"{linked} is a symbolic link: data of a server has none."
        )
    chosen.rename(_made(data, environment) / APPENDED)


def _places(data: Path) -> Iterator[Path]:
    for entry in data.iterdir():
        if _ID.fullmatch(entry.name) and entry.is_dir() and not entry.is_symlink():
            yield entry


def _last_change(place: Path) -> float:
    return place.stat().st_mtime


def _made(data: Path, environment: Mapping[str, str]) -> Path:
    """Make a folder under a new name; the record comes first, so that a crash leaves no folder without one."""
    place = data / os.urandom(16).hex()
    _record(place, environment)
    place.mkdir(mode=0o700)
    return place


def _record(place: Path, environment: Mapping[str, str]) -> None:
    """Record the folder in the user's configuration folder, or in their private folder in /tmp if that is read-only.

    Then the data must be accepted again after /tmp has been emptied, unless it was recorded for good in the meantime.
    """
    name, content = f"{RECORDS}/{place.name}", os.fsencode(f"{place}\n")
    try:
        user_folder.write(environment, name, content)
    except errors.UserFolderUnusable:
        files.make_private_folder(address.temporary_folder())
        user_folder.write(_in_temporary_folder(), name, content)


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
    try:
        owner = os.lstat(address.temporary_folder()).st_uid
    except FileNotFoundError:
        return False
    return (
        owner == os.getuid()
        and user_folder.read(_in_temporary_folder(), record) is not None
    )


def _in_temporary_folder() -> Mapping[str, str]:
    return {"XDG_CONFIG_HOME": address.temporary_folder()}
