"""One report as it is in a file, and how it is recognised in Redis."""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import isnan

from taskorch.domain.frozen import Frozen
from taskorch.domain.mirror_record import Origin

from taskorch_orchestrator.mirror.file_times import moment_of
from taskorch_orchestrator.mirror.torn_json import Json

#: Verbs that are not steps of an item: an update that repeats a blocker or a
#: completion, and an entry that is not a report. Keys, which Redis stores, have them.
REPEAT, INVALID = "echo", "odd"
#: The seconds of a time and their fraction, which are the same in each time zone.
_SECONDS = slice(-9, None)


class FileEntry(Frozen):
    """One report in a file."""

    item: str
    #: A verb of a holder, REPEAT or INVALID.
    verb: str
    agent: str
    written_at: str
    text: str
    percent: float | None = None
    #: The impact of a discovery, the needs of a blocker, or why the entry is INVALID.
    detail: str = ""
    deliverables: Mapping[str, str] = {}
    #: The entry as it is in the file.
    document: Json
    #: The request that made the report, if it comes from Redis.
    request: str = ""

    @cached_property
    def key(self) -> str:
        """16 hex digits derived from the content, different for each entry."""
        is_update = self.verb in ("progress", REPEAT)
        parts = [
            self.verb,
            self.item,
            self.written_at,
            self.text,
            self.percent if is_update else self.agent,
            self.document if self.verb == INVALID else None,
        ]
        return sha256(json.dumps(parts).encode()).hexdigest()[:16]

    @property
    def likeness(self) -> tuple[object, ...]:
        """A value that is equal for an entry of Redis and the same entry in a file."""
        if self.verb == REPEAT:
            return (self.verb, self.text)
        seconds = self.written_at[_SECONDS]
        return (self.verb, self.text, self.percent, seconds)

    @property
    def whole_percent(self) -> int | None:
        """The percentage as Redis accepts it, from 0 to 100."""
        if self.percent is None or isnan(self.percent):
            return None
        return round(min(max(self.percent, 0), 100))

    @property
    def order(self) -> tuple[int, str, str, str]:
        """The sort key of the entry in its file."""
        return (
            moment_of(self.written_at),
            self.written_at,
            self.text,
            self.key,
        )

    @property
    def origin(self) -> Origin:
        """The mark of the report that is made from this entry."""
        return Origin(
            request=self.key,
            written_at=self.written_at,
            at=moment_of(self.written_at),
        )


def new_entries(
    filed: Iterable[FileEntry],
    known: Iterable[FileEntry],
    requests: Iterable[str],
) -> Iterator[FileEntry]:
    """Yield the entries of a file that Redis does not have.

    An entry is known if its key is among `requests`, or if it is like one of `known`.
    """
    imported = set(requests)
    unmatched = Counter(entry.likeness for entry in known)
    for entry in filed:
        if entry.key in imported:
            continue
        if unmatched[entry.likeness] > 0:
            unmatched[entry.likeness] -= 1
        else:
            yield entry


def union(
    filed: Sequence[FileEntry], known: Sequence[FileEntry]
) -> list[FileEntry]:
    """Return all entries of a file and those of Redis that it lacks, by time."""
    entries = {entry.key: entry for entry in filed}
    others = [entry for entry in known if entry.request not in entries]
    for entry in new_entries(others, filed, ()):
        entries[entry.key] = entry
    return sorted(entries.values(), key=lambda entry: entry.order)
