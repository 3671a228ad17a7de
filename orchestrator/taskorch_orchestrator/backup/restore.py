"""`orchestrate import` of an export: the whole file is checked first, and then written, slice by slice."""

import json
import shutil
import sys
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
from taskorch.queue.archive import COUNT, Archive, usual_score

from taskorch_orchestrator.backup.schema import (
    LINE,
    AgentLine,
    DiscoveryLine,
    Header,
    ItemLine,
    KeyLine,
    Line,
    NoteLine,
    PlanLine,
    ProjectLine,
    ReportLine,
    Trailer,
)

#: Far above what an item within the bounds takes.
LINE_BYTES = 64 * 1024 * 1024
SLICE_LINES, SLICE_BYTES = 100, 64 * 1024
SHOWN_CHARACTERS = 200
#: States of which the dependencies decide.
PLACED = (State.WAITING, State.QUEUED, State.DELAYED)


def restore(file: Path, archive: Archive) -> Mapping[str, int]:
    """Write an export into an empty namespace, and return how many lines of each kind it has; `-` is standard input.

    Raises errors.Invalid, which names the line, for what is no complete export: nothing is written then.
    """
    with _opened(file) as opened:
        content = ExportContent.of(opened)
        opened.seek(0)
        run = archive.begin(content.digest)
        for lines in _slices(_mended(opened, content.completed)):
            archive.write(content.digest, run, lines)
        archive.end(content.digest, run, content.sequence, content.created_at)
    return content.counts


@contextmanager
def _opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to be read twice; what comes through a pipe is kept for that."""
    is_pipe = str(file) == "-" or not file.is_file()
    try:
        with _kept(file) if is_pipe else file.open("rb") as opened:
            yield opened
    except OSError as error:
        name = "Standard input" if str(file) == "-" else file
        failed = (
            "cannot be read, and kept in a temporary file (TMPDIR)"
            if is_pipe
            else "cannot be read"
        )
        raise errors.Invalid(
            reason=f"{name} {failed}: {error.strerror or error}"
        ) from None


def _kept(pipe: Path) -> BinaryIO:
    """Return a file that nobody else sees, with all that comes through a pipe."""
    if str(pipe) == "-" and sys.stdin is None:
        raise errors.Usage(reason="There is no standard input.")
    kept = cast(BinaryIO, TemporaryFile())  # noqa: SIM115  the caller closes it
    with (
        nullcontext(sys.stdin.buffer) if str(pipe) == "-" else pipe.open("rb") as piped
    ):
        shutil.copyfileobj(piped, kept)
    kept.seek(0)
    return kept


class ExportContent:
    """What a file says, looked at line by line; ids are all that is kept of it."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.completed: set[str] = set()
        self.sequence = self.created_at = 0
        self.digest = ""
        self._header: Header | None = None
        self._trailer: Trailer | None = None
        self._projects: set[str] = set()
        self._items: set[str] = set()
        self._agents: set[str] = set()
        #: What lines name that may come later: each with the first line that names it.
        self._named_items: dict[str, int] = {}
        self._named_agents: dict[str, int] = {}
        self._project = self._item = ""
        self._newest = 0
        #: The newest entry of the streams of the current project and the current item.
        self._entries: dict[str, tuple[int, ...]] = {}

    @classmethod
    def of(cls, file: BinaryIO) -> "ExportContent":
        """Check a whole file; raises errors.Invalid with the line that is wrong."""
        content, digest, number = cls(), sha256(), 0
        for number, line in enumerate(iter(lambda: file.readline(LINE_BYTES), b""), 1):
            digest.update(line)
            if not line.strip():
                continue
            try:
                content._take(_parsed(line.removeprefix(BOM_UTF8)), number)
            except ValidationError as error:
                raise _wrong(number, _reason(error)) from None
            except (errors.Invalid, errors.NotFound) as error:
                raise _wrong(number, str(error)) from None
        content.digest = digest.hexdigest()
        content._close(number)
        return content

    def _take(self, line: Line, number: int) -> None:
        _require(
            isinstance(line, Header) == (self._header is None),
            "The header is the first line, and no other.",
        )
        _require(self._trailer is None, "Nothing comes after the trailer.")
        if not isinstance(line, Header | Trailer):
            self.counts[line.kind] += 1
        match line:
            case Header():
                self._header, self.created_at = line, line.created_at
            case ProjectLine():
                self._begin_project(line)
            case ItemLine():
                self._begin_item(line, number)
            case KeyLine() | DiscoveryLine():
                self._of_project(line, number)
            case ReportLine() | NoteLine():
                self._of_item(line)
            case AgentLine():
                _require(line.name not in self._agents, f"{line.name} is there twice.")
                self._agents.add(line.name)
            case PlanLine():
                _require(
                    line.project in self._projects, f"{line.project} is not there."
                )
            case Trailer():
                _require(
                    line.sequence >= self.sequence,
                    "Its sequence number is below that of an item.",
                )
                _require(
                    line.counts == self.counts, "Its counts are not those of the lines."
                )
                self._trailer, self.sequence = line, line.sequence

    def _begin_project(self, line: ProjectLine) -> None:
        _require(line.id not in self._projects, f"{line.id} is there twice.")
        self._projects.add(line.id)
        self._project, self._item, self._newest = line.id, "", 0
        self._entries.clear()

    def _begin_item(self, line: ItemLine, number: int) -> None:
        _require(
            line.fields.project == self._project,
            f"It belongs to {line.fields.project}, not to {self._project}.",
        )
        _require(line.id not in self._items, f"{line.id} is there twice.")
        _require(
            line.sequence > self._newest,
            "Its sequence number is not above the one before.",
        )
        self._items.add(line.id)
        self._item, self._newest = line.id, line.sequence
        self._entries = {"discovery": self._entries.get("discovery", (0, 0))}
        self.sequence = max(self.sequence, line.sequence, int(line.fields.seq))
        for dependency in line.fields.depends_on or ():
            self._named_items.setdefault(dependency, number)
        if line.fields.agent:
            self._named_agents.setdefault(line.fields.agent, number)
        if line.fields.state is State.COMPLETED:
            self.completed.add(line.id)

    def _of_project(self, line: KeyLine | DiscoveryLine, number: int) -> None:
        _require(
            line.project == self._project,
            f"It belongs to {line.project}, not to {self._project}.",
        )
        if isinstance(line, KeyLine):
            self._named_items.setdefault(line.item, number)
        else:
            self._is_next(line.kind, line.entry)

    def _of_item(self, line: ReportLine | NoteLine) -> None:
        _require(
            line.item == self._item, f"It belongs to {line.item}, not to {self._item}."
        )
        self._is_next(
            f"note of {line.agent}" if isinstance(line, NoteLine) else line.kind,
            line.entry,
        )

    def _is_next(self, stream: str, entry: str) -> None:
        newer = tuple(int(part) for part in entry.split("-"))
        _require(
            newer > self._entries.get(stream, (0, 0)),
            "Its entry is not newer than the one before.",
        )
        self._entries[stream] = newer

    def _close(self, lines: int) -> None:
        """Check what only the whole file can tell."""
        if self._trailer is None:
            raise _wrong(lines + 1, "The trailer is missing: the file was cut off.")
        for kind, named, known in (
            ("item", self._named_items, self._items),
            ("agent", self._named_agents, self._agents),
        ):
            for name, number in named.items():
                if name not in known:
                    raise _wrong(
                        number, f"It names the {kind} {name}, which is not there."
                    )


def _parsed(raw: bytes) -> Line:
    if not raw.endswith(b"\n"):
        too_long = len(raw) == LINE_BYTES
        raise errors.Invalid(
            reason=f"It has more than {LINE_BYTES} bytes."
            if too_long
            else "It is cut off."
        )
    return LINE.validate_json(raw)


def _slices(lines: Iterator[str]) -> Iterator[list[str]]:
    """Return the lines in slices that Redis writes in a few milliseconds."""
    some: list[str] = []
    size = 0
    for line in lines:
        some.append(line)
        size += len(line)
        if len(some) == SLICE_LINES or size > SLICE_BYTES:
            yield some
            some, size = [], 0
    yield some


def _mended(file: BinaryIO, completed: Collection[str]) -> Iterator[str]:
    """Return the lines to write, in an order that suits; the counts follow from the items.

    Items were read one after the other: a dependency may have been completed after its dependent was read.
    """
    counts: dict[tuple[str, str], Counter[str]] = {}
    for raw in file:
        if not raw.strip():
            continue
        line = json.loads(raw)
        if line["kind"] in ("header", "trailer"):
            continue
        if line["kind"] == "item":
            _settle(line, completed)
            fields = line["fields"]
            for owner in (("project", fields["project"]), ("agent", fields["agent"])):
                counts.setdefault(owner, Counter())[COUNT + fields["state"]] += 1
        yield json.dumps(line, ensure_ascii=False)
    for (kind, name), counted in counts.items():
        if name:
            fields = {state: str(count) for state, count in counted.items()}
            yield json.dumps(
                {"kind": "counts", "of": kind, "id": name, "fields": fields}
            )


def _settle(line: dict[str, Any], completed: Collection[str]) -> None:
    """Give an item the open dependencies that the file says it has; place it anew where they say so."""
    fields = line["fields"]
    dependencies = json.loads(fields.get("depends_on", "[]"))
    line["open"] = [
        dependency for dependency in dependencies if dependency not in completed
    ]
    if fields["state"] not in PLACED or (fields["state"] == State.WAITING) == bool(
        line["open"]
    ):
        return
    delayed_or_queued = (
        State.DELAYED if int(fields.get("not_before", "0")) else State.QUEUED
    )
    fields["state"] = State.WAITING if line["open"] else delayed_or_queued
    line["score"] = usual_score(fields, int(fields["event"].partition("-")[0]))


def _require(is_so: bool, reason: str) -> None:  # noqa: FBT001
    if not is_so:
        raise errors.Invalid(reason=reason)


def _reason(error: ValidationError) -> str:
    """Return the first thing that is wrong with a line, and where in it."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[
        0
    ]
    if first["type"].startswith("union_tag"):
        return "It is no line of an export."
    where = ".".join(str(part) for part in first["loc"][1:])
    told = first["msg"].removeprefix("Value error, ")
    return f"{where}: {told}" if where else told


def _wrong(number: int, reason: str) -> errors.Invalid:
    return errors.Invalid(
        reason=f"line {number}: {reason[:SHOWN_CHARACTERS].rstrip('.')}. Nothing was written."
    )
