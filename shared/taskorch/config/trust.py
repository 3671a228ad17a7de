"""The config files of checkouts that the user trusts, by path and hash.

A config.toml that a checkout brought may name a Redis and a password file. Records are
in the user's own folder. The model is direnv's `allow`.
"""

import json
import os
from collections.abc import Mapping
from hashlib import sha256

from taskorch.config import user_folder
from taskorch.domain.frozen import Frozen

FOLDER = "trust"


class TrustRecord(Frozen):
    """A trusted file, and the hash of its content at that time."""

    file: str
    sha256: str


def is_trusted(
    environment: Mapping[str, str], file: str, content: bytes
) -> bool:
    """Return whether the user trusts exactly this content of a file.

    Raises errors.UserFolderUnusable.
    """
    return _read(environment, _record_name(file)) == _record(file, content)


def trust(environment: Mapping[str, str], file: str, content: bytes) -> None:
    """Trust a file until its content changes. Raises errors.UserFolderUnusable."""
    record = _record(file, content)
    text = json.dumps({"file": record.file, "sha256": record.sha256})
    user_folder.write(environment, _record_name(file), os.fsencode(text))


def forget(environment: Mapping[str, str], file: str) -> bool:
    """Stop trusting a file; return whether it was trusted.

    Raises errors.UserFolderUnusable.
    """
    return user_folder.remove(environment, _record_name(file))


def records(environment: Mapping[str, str]) -> tuple[TrustRecord, ...]:
    """Return all trusted files, sorted by path. Raises errors.UserFolderUnusable."""
    found = []
    for name in user_folder.names(environment, FOLDER):
        if name.endswith(".tmp"):  # left by a process that was killed
            continue
        record = _read(environment, f"{FOLDER}/{name}")
        if record:
            found.append(record)
    return tuple(sorted(found, key=lambda record: record.file))


def matches(record: TrustRecord, content: bytes) -> bool:
    """Return whether a file still has the content that was trusted."""
    return record == _record(record.file, content)


def _record_name(file: str) -> str:
    digest = sha256(os.fsencode(file)).hexdigest()
    return f"{FOLDER}/{digest[:32]}"


def _record(file: str, content: bytes) -> TrustRecord:
    return TrustRecord(file=file, sha256=sha256(content).hexdigest())


def _read(environment: Mapping[str, str], name: str) -> TrustRecord | None:
    content = user_folder.read(environment, name)
    if content is None:
        return None
    try:
        fields = json.loads(os.fsdecode(content))
        return TrustRecord(
            file=str(fields["file"]), sha256=str(fields["sha256"])
        )
    except (ValueError, KeyError, TypeError):  # not written by us
        return None
