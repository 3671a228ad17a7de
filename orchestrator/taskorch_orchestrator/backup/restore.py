"""`orchestrate import` of an export: check the whole file, then write it in batches."""

import gzip
import json
import os
import sys
import zlib
from codecs import BOM_UTF8
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

from pydantic import ValidationError
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch.domain.usage import NUMBERS
from taskorch.queue.backup import COUNT, FORMAT, Backup, usual_score

from taskorch_orchestrator.backup.schema import (
    LINE,
    AgentLine,
    BudgetLine,
    DiscoveryLine,
    Header,
    ItemLine,
    KeyLine,
    Line,
    NoteLine,
    PlanLine,
    ProjectLine,
    ReaderLine,
    ReportLine,
    ScheduleLine,
    Trailer,
    UsageLine,
)

#: Far above the size of an item within the limits.
LINE_BYTES = 64 * 1024 * 1024
#: Redis writes a batch of this size within a few milliseconds.
BATCH_LINES, BATCH_BYTES = 30, 64 * 1024
SHOWN_CHARACTERS = 200
#: The first bytes of a file that is compressed by gzip.
GZIP = b"\x1f\x8b"
#: What of a pipe is looked at, and then copied at a time.
HEAD_BYTES, CHUNK_BYTES = 4096, 1024 * 1024
#: What is copied of a pipe that does not begin like an export: enough to refuse it. There
#: is room for what gzip can add to a file.
OTHER_BYTES = LINE_BYTES + CHUNK_BYTES
#: What the copy of a longer pipe leaves free on its disk.
RESERVE_BYTES = 256 * 1024 * 1024
#: States that depend on whether a dependency is open.
PLACED = (State.WAITING, State.QUEUED, State.DELAYED)


def restore(file: Path, backup: Backup) -> Mapping[str, int]:
    """Write an export into an empty namespace; return the number of lines of each kind.

    `file` may be "-" for standard input, and may be compressed by gzip. Raises
    errors.Invalid with the number of the wrong line if the file is not a complete
    export; then nothing is written.
    """
    with twice_readable(file) as opened:
        return restore_opened(opened, backup)


def restore_opened(opened: BinaryIO, backup: Backup) -> Mapping[str, int]:
    """Write an export that `twice_readable` has opened, as `restore` does."""
    content = ExportContent.of(opened)
    opened.seek(0)
    run = backup.begin(content.digest)
    for lines in _batches(_lines_to_write(opened, content.completed)):
        backup.write(content.digest, run, lines)
    backup.end(
        content.digest,
        run,
        sequence=content.sequence,
        created_at=content.created_at,
        schema=content.schema,
    )
    return content.counts


@contextmanager
def twice_readable(file: Path) -> Iterator[BinaryIO]:
    """Open a file, expanded if gzip compressed it.

    A pipe is copied to a temporary file, because it must be read twice. It may be
    endless: at most OTHER_BYTES of one are copied that does not begin like an export, and
    of an export what leaves RESERVE_BYTES free. Raises errors.Invalid.
    """
    is_stdin = str(file) == "-"
    is_pipe = is_stdin or not file.is_file()
    try:
        with (
            _copy_of_pipe(file) if is_pipe else file.open("rb") as opened,
            expanded(opened) as lines,
        ):
            yield lines
    except (OSError, EOFError, zlib.error) as error:
        name = "Standard input" if is_stdin else file
        failure = "cannot be read"
        if is_pipe:
            failure += ", or copied to a temporary file (TMPDIR)"
        reason = f"{name} {failure}: {getattr(error, 'strerror', '') or error}"
        raise errors.Invalid(reason=reason) from None


@contextmanager
def expanded(file: BinaryIO) -> Iterator[BinaryIO]:
    """Yield the lines of an open file, expanded if it is compressed by gzip.

    Reading them raises OSError, EOFError or zlib.error for a damaged file.
    """
    is_compressed = file.read(len(GZIP)) == GZIP
    file.seek(0)
    if is_compressed:
        with gzip.open(file) as lines:
            yield cast(BinaryIO, lines)
    else:
        yield file


@contextmanager
def _copy_of_pipe(file: Path) -> Iterator[BinaryIO]:
    is_stdin = str(file) == "-"
    if is_stdin and sys.stdin is None:
        raise errors.Usage(reason="There is no standard input.")
    with TemporaryFile() as temporary:
        copy = cast(BinaryIO, temporary)
        with (
            nullcontext(sys.stdin.buffer)
            if is_stdin
            else file.open("rb") as pipe
        ):
            head = pipe.read(HEAD_BYTES)
            copy.write(head)
            _copy_part(pipe, copy, OTHER_BYTES - len(head))
            if _begins_like_export(head):
                _copy_rest(pipe, copy)
        copy.seek(0)
        yield copy


def _begins_like_export(head: bytes) -> bool:
    """Return whether the first bytes, expanded, are those of a header."""
    if head.startswith(GZIP):
        expander = zlib.decompressobj(zlib.MAX_WBITS | 16)
        head = expander.decompress(head, HEAD_BYTES)
    first = head.removeprefix(BOM_UTF8).lstrip().partition(b"\n")[0]
    return first.startswith(b"{") and FORMAT.encode() in first


def _copy_part(pipe: BinaryIO, copy: BinaryIO, left: int) -> None:
    """Copy at most this number of bytes."""
    while left > 0 and (chunk := pipe.read(min(left, CHUNK_BYTES))):
        copy.write(chunk)
        left -= len(chunk)


def _copy_rest(pipe: BinaryIO, copy: BinaryIO) -> None:
    """Copy the rest. Raises errors.Invalid if the disk would become full."""
    while chunk := pipe.read(CHUNK_BYTES):
        copy.write(chunk)
        disk = os.fstatvfs(copy.fileno())
        if disk.f_bavail * disk.f_frsize < RESERVE_BYTES:
            raise errors.Invalid(
                reason=f"The copy of the input has {copy.tell()} bytes, and less than "
                f"{RESERVE_BYTES} bytes (256 MiB) are left on its disk. Nothing was "
                "written. Import a file instead, or set TMPDIR to a larger disk."
            )


class ExportContent:
    """The content of an export, checked line by line; it keeps only ids and counts."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        #: The ids of completed items.
        self.completed: set[str] = set()
        self.sequence = self.created_at = 0
        self.digest = self.schema = ""
        self._header: Header | None = None
        self._trailer: Trailer | None = None
        self._projects: set[str] = set()
        #: The ids of all items.
        self.items: set[str] = set()
        self._agents: set[str] = set()
        self._schedules: set[str] = set()
        #: Ids that may follow later in the file -> the first line that refers to them.
        self._referenced_items: dict[str, int] = {}
        self._referenced_agents: dict[str, int] = {}
        #: The current project and item, and the sequence number of the last item.
        self._project = self._item = ""
        self._last_sequence = 0
        #: The last entry of each stream of the current project and item.
        self._entries: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(cls, file: BinaryIO) -> "ExportContent":
        """Check a whole file. Raises errors.Invalid with the number of a wrong line."""
        content, digest, number = cls(), sha256(), 0
        for number, raw in enumerate(
            iter(lambda: file.readline(LINE_BYTES), b""), 1
        ):
            digest.update(raw)
            if not raw.strip():
                continue
            try:
                content._add(_parse(raw.removeprefix(BOM_UTF8)), number)
            except ValidationError as error:
                raise _wrong_line(number, _reason(error)) from None
            except (errors.Invalid, errors.NotFound) as error:
                raise _wrong_line(number, str(error)) from None
        content.digest = digest.hexdigest()
        content._check_whole_file(number)
        return content

    def _add(self, line: Line, number: int) -> None:
        self._check_order(line)
        if not isinstance(line, Header | Trailer):
            self.counts[line.kind] += 1
        match line:
            case Header():
                self._header, self.created_at = line, line.created_at
                self.schema = line.schema_
            case ProjectLine():
                self._add_project(line)
            case ItemLine():
                self._add_item(line, number)
            case KeyLine() | DiscoveryLine() | ReaderLine():
                self._add_to_project(line, number)
            case ReportLine() | NoteLine():
                self._add_to_item(line)
            case AgentLine() | ScheduleLine():
                self._add_name(line)
            case PlanLine() | UsageLine() | BudgetLine():
                self._check_reference(line)
            case Trailer():
                self._add_trailer(line)

    def _check_order(self, line: Line) -> None:
        is_first = self._header is None
        if isinstance(line, Header) != is_first:
            reason = "The header must be the first line, and no other."
            raise errors.Invalid(reason=reason)
        if self._trailer:
            raise errors.Invalid(reason="There are lines after the trailer.")

    def _add_project(self, line: ProjectLine) -> None:
        _require_new(line.id, self._projects)
        self._projects.add(line.id)
        self._project, self._item = line.id, ""
        self._last_sequence = 0
        self._entries.clear()

    def _add_item(self, line: ItemLine, number: int) -> None:
        _require_parent(line.fields.project, self._project)
        _require_new(line.id, self.items)
        if line.sequence <= self._last_sequence:
            reason = "Its sequence number is not higher than the previous one."
            raise errors.Invalid(reason=reason)
        self.items.add(line.id)
        self._item = line.id
        self._last_sequence = line.sequence
        self._entries = {"discovery": self._entries.get("discovery", (0, 0))}
        self.sequence = max(self.sequence, line.sequence, int(line.fields.seq))
        for dependency in line.fields.depends_on or ():
            self._referenced_items.setdefault(dependency, number)
        if line.fields.agent:
            self._referenced_agents.setdefault(line.fields.agent, number)
        if line.fields.state is State.COMPLETED:
            self.completed.add(line.id)

    def _add_to_project(
        self, line: KeyLine | DiscoveryLine | ReaderLine, number: int
    ) -> None:
        _require_parent(line.project, self._project)
        if isinstance(line, KeyLine):
            self._referenced_items.setdefault(line.item, number)
        elif isinstance(line, DiscoveryLine):
            self._add_entry(line.kind, line.entry)

    def _add_to_item(self, line: ReportLine | NoteLine) -> None:
        _require_parent(line.item, self._item)
        stream: str = line.kind
        if isinstance(line, NoteLine):
            stream = f"note of {line.agent}"
        self._add_entry(stream, line.entry)

    def _add_entry(self, stream: str, cursor: str) -> None:
        entry = tuple(int(part) for part in cursor.split("-"))
        if entry <= self._entries.get(stream, (0, 0)):
            raise errors.Invalid(
                reason="Its entry is not newer than the previous one."
            )
        self._entries[stream] = entry

    def _add_name(self, line: AgentLine | ScheduleLine) -> None:
        is_agent = isinstance(line, AgentLine)
        known = self._agents if is_agent else self._schedules
        _require_new(line.name, known)
        known.add(line.name)

    def _check_reference(
        self, line: PlanLine | UsageLine | BudgetLine
    ) -> None:
        """Check that the project or the agent of a line is in the file."""
        if isinstance(line, PlanLine):
            kind, name = "project", line.project
        else:
            kind, _, name = line.owner.partition(":")
        known = {"project": self._projects, "agent": self._agents}.get(kind)
        if known is not None and name not in known:
            raise errors.Invalid(reason=f"{name} is not in the file.")

    def _add_trailer(self, line: Trailer) -> None:
        if line.sequence < self.sequence:
            reason = "Its sequence number is lower than that of an item."
            raise errors.Invalid(reason=reason)
        if line.counts != self.counts:
            raise errors.Invalid(
                reason="Its counts are not those of the lines."
            )
        self._trailer = line
        self.sequence = line.sequence

    def _check_whole_file(self, lines: int) -> None:
        """Check for the trailer, and that all references are resolved."""
        if self._trailer is None:
            reason = "The trailer is missing: the file is incomplete."
            raise _wrong_line(lines + 1, reason)
        for kind, referenced, known in (
            ("item", self._referenced_items, self.items),
            ("agent", self._referenced_agents, self._agents),
        ):
            for name, number in referenced.items():
                if name not in known:
                    reason = f"It refers to the {kind} {name}, which is not in the file."
                    raise _wrong_line(number, reason)


def _parse(raw: bytes) -> Line:
    if raw.endswith(b"\n"):
        return LINE.validate_json(raw)
    if len(raw) == LINE_BYTES:
        raise errors.Invalid(reason=f"It is longer than {LINE_BYTES} bytes.")
    raise errors.Invalid(reason="It is incomplete.")


def _require_new(name: str, known: Collection[str]) -> None:
    if name in known:
        raise errors.Invalid(reason=f"{name} is in the file twice.")


def _require_parent(parent: str, current: str) -> None:
    if parent != current:
        raise errors.Invalid(
            reason=f"It belongs to {parent}, not to {current}."
        )


def _batches(lines: Iterator[str]) -> Iterator[list[str]]:
    """Yield the lines in batches; the last one may be empty."""
    batch: list[str] = []
    size = 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == BATCH_LINES or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    yield batch


def _lines_to_write(
    file: BinaryIO, completed: Collection[str]
) -> Iterator[str]:
    """Yield the lines of a checked file, then the sums that follow from its items."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    used: dict[str, Counter[str]] = {}
    for raw in file:
        if not raw.strip():
            continue
        line = json.loads(raw)
        if line["kind"] in ("header", "trailer"):
            continue
        if line["kind"] == "item":
            _update_dependencies(line, completed)
            _count(line["fields"], counts)
            _add_usage(line["fields"], used)
        yield json.dumps(line, ensure_ascii=False)
    for (kind, name), states in counts.items():
        if name:
            fields = {state: str(number) for state, number in states.items()}
            line = {"kind": "counts", "of": kind, "id": name, "fields": fields}
            yield json.dumps(line)
    yield from _totals(used)


def _count(
    fields: Mapping[str, str], counts: dict[tuple[str, str], Counter[str]]
) -> None:
    """Count an item in its state, for its project and its agent or pool."""
    state = COUNT + fields["state"]
    owner = ("agent", fields["agent"])
    if not fields["agent"]:
        owner = ("pool", fields.get("pool", ""))
    for counted in (("project", fields["project"]), owner):
        counts.setdefault(counted, Counter())[state] += 1


def _add_usage(
    fields: Mapping[str, str], used: dict[str, Counter[str]]
) -> None:
    """Add what an item has used to the sum of its project."""
    for name in NUMBERS:
        if number := int(fields.get(name, "0")):
            used.setdefault(fields["project"], Counter())[name] += number


def _totals(used: Mapping[str, Counter[str]]) -> Iterator[str]:
    """Yield a line with the total of each project that has used anything."""
    for project, sums in used.items():
        total = " ".join(str(sums[name]) for name in NUMBERS)
        line = {
            "kind": "usage",
            "owner": f"project:{project}",
            "fields": {"total": total},
        }
        yield json.dumps(line)


def _update_dependencies(
    line: dict[str, Any], completed: Collection[str]
) -> None:
    """Set the open dependencies of an item, and the state that follows from them.

    Items are exported one after the other, so a dependency may have been completed or
    requeued after the item was exported.
    """
    fields = line["fields"]
    dependencies = json.loads(fields.get("depends_on", "[]"))
    line["open"] = [item for item in dependencies if item not in completed]
    must_wait = bool(line["open"])
    if (
        fields["state"] not in PLACED
        or (fields["state"] == State.WAITING) == must_wait
    ):
        return
    if must_wait:
        fields["state"] = State.WAITING
    elif int(fields.get("not_before", "0")):
        fields["state"] = State.DELAYED
    else:
        fields["state"] = State.QUEUED
    event_ms, _, _ = fields["event"].partition("-")
    line["score"] = usual_score(fields, int(event_ms))


def _reason(error: ValidationError) -> str:
    """Return the first error in a line, and its place."""
    first, *_ = error.errors(
        include_url=False,
        include_input=False,
        include_context=False,
    )
    if first["type"].startswith("union_tag"):
        return "It is not a line of an export."
    place = ".".join(str(part) for part in first["loc"][1:])
    message = first["msg"].removeprefix("Value error, ")
    return f"{place}: {message}" if place else message


def _wrong_line(number: int, reason: str) -> errors.Invalid:
    shown = reason[:SHOWN_CHARACTERS].rstrip(".")
    return errors.Invalid(
        reason=f"line {number}: {shown}. Nothing was written."
    )
