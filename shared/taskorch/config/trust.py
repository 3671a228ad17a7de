"""Which config files of checkouts the user trusts: a record of path and hash in the user's own folder.

A checkout is somebody else's text: its config.toml may name a Redis and a password file. The model is direnv's `allow`.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256

from taskorch.config import user_folder
from taskorch.domain.frozen import Frozen

FOLDER = "trust"


class TrustRecord(Frozen):
    """A file that was trusted, and the hash of what it said then."""

    file: str
    sha256: str


def is_trusted(environment: Mapping[str, str], file: str, content: bytes) -> bool:
    """Return whether the user has trusted a file with exactly this content. Raises errors.UserFolderUnusable."""
    return _read(environment, _name(file)) == _record(file, content)


def trust(environment: Mapping[str, str], file: str, content: bytes) -> None:
    """Trust a file until its content changes. Raises errors.UserFolderUnusable."""
    record = _record(file, content)
    text = json.dumps({"file": record.file, "sha256": record.sha256})
    user_folder.write(environment, _name(file), os.fsencode(text))


def forget(environment: Mapping[str, str], file: str) -> bool:
    """Trust a file no longer; return whether it was trusted. Raises errors.UserFolderUnusable."""
    return user_folder.remove(environment, _name(file))


def records(environment: Mapping[str, str]) -> tuple[TrustRecord, ...]:
    """Return all files that are trusted, sorted by path. Raises errors.UserFolderUnusable."""
    names = user_folder.names(environment, FOLDER)
    found = [
        _read(environment, f"{FOLDER}/{name}")
        for name in names
        if not name.endswith(".tmp")
    ]
    return tuple(sorted(filter(None, found), key=lambda record: record.file))


def matches(record: TrustRecord, content: bytes) -> bool:
    """Return whether a file still says what it said when it was trusted."""
    return record == _record(record.file, content)


def _name(file: str) -> str:
    return f"{FOLDER}/{sha256(os.fsencode(file)).hexdigest()[:32]}"


def _record(file: str, content: bytes) -> TrustRecord:
    return TrustRecord(file=file, sha256=sha256(content).hexdigest())


def _read(environment: Mapping[str, str], name: str) -> TrustRecord | None:
    content = user_folder.read(environment, name)
    if content is None:
        return None
    try:
        kept = json.loads(os.fsdecode(content))
        return TrustRecord(file=str(kept["file"]), sha256=str(kept["sha256"]))
    except (ValueError, KeyError, TypeError):  # not written by us
        return None
