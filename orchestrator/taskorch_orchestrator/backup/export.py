"""`orchestrate export`: the whole namespace as JSON lines, streamed to a file or to stdout."""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError
from taskorch.cli import json_output
from taskorch.cli.output import discard_stdout, on_terminal
from taskorch.domain import errors
from taskorch.queue.archive import Line
from taskorch.queue.scripts import Damage

from taskorch_orchestrator.backup.schema import LINE

#: What stands in the place of a damaged field that cannot be missing; None stands for the id of its line.
INSTEAD: Mapping[str, Mapping[str, str | None]] = {
    "project": {
        "title": None,
        "description": "",
        "status": "active",
        "orchestrator": "unknown",
        "created_at": "0",
    },
    "item": {"title": None, "created_at": "0", "event": "0-0"},
}


def to_stdout(lines: Iterable[Line], *, to_terminal: bool) -> None:
    """Write the lines to stdout; to a terminal only if that is wanted (else errors.Usage)."""
    if on_terminal() and not to_terminal:
        raise errors.Usage(
            reason="The export would go to the screen. Name a FILE, or - to have it there all the same."
        )
    try:
        _write(lines, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        raise errors.Invalid(
            reason=f"The export cannot be written: {error.strerror or error}"
        ) from None


def to_file(lines: Iterable[Line], file: Path) -> Mapping[str, int]:
    """Write the lines to a file that only its owner can read, in the place of what was there once it is complete.

    Raises errors.Invalid where that cannot be written.
    """
    try:
        place = file.resolve()
        if place.exists() and not place.is_file():  # a pipe, a device
            with place.open("wb") as opened:
                return _write(lines, opened)
        return _replace(place, lambda opened: _write(lines, opened))
    except OSError as error:
        raise errors.Invalid(
            reason=f"{file} cannot be written: {error.strerror or error}"
        ) from None


def _replace(
    place: Path, write: Callable[[BinaryIO], Mapping[str, int]]
) -> Mapping[str, int]:
    """Write a file beside the place, and move it there."""
    beside = place.with_name(f".{place.name[:200]}.{os.getpid()}.tmp")
    try:
        with os.fdopen(
            os.open(beside, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb"
        ) as opened:
            counts = write(opened)
            opened.flush()
            os.fsync(opened.fileno())
        beside.replace(place)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
    return counts


def sound(lines: Iterable[Line], damage: Damage) -> Iterator[Line]:
    """Yield lines of an export that an import takes.

    A field that is damaged is left out, and so is a line that cannot do without it; both are put into `damage`.
    """
    sieve = _Sieve(damage)
    for line in lines:
        match line["kind"]:
            case "header":
                yield line
            case "trailer":
                yield from sieve.missing_agents()
                yield sieve.trailer(line)
            case _:
                if taken := sieve.taken(line):
                    yield taken


class _Sieve:
    """Looks at the lines one by one, and keeps what later ones need."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._counts: Counter[str] = Counter()
        self._agents: set[str] = set()
        self._named: dict[str, None] = {}
        self._item = ""
        #: The place of the last item in its project, and the newest sequence number.
        self._newest = self._sequence = 0

    def taken(self, line: Line) -> Line | None:
        """Return a line as an import takes it; None where it takes none."""
        kind = str(line["kind"])
        if kind in ("report", "note") and line["item"] != self._item:
            return None
        if kind == "item":
            line = {
                **line,
                "sequence": max(cast("int", line["sequence"]), self._newest + 1),
            }
        mended, wrong = _mended(line)
        if wrong:
            self._damage[
                kind, str(line.get("id") or line.get("entry") or line.get("name"))
            ] = wrong
        if mended:
            self._counts[kind] += 1
            self._keep(kind, mended)
        elif kind == "item":
            self._item = ""
        return mended

    def missing_agents(self) -> Iterator[Line]:
        """Yield lines for agents that items name and that are not among the agents."""
        for name in self._named:
            if name not in self._agents:
                self._counts["agent"] += 1
                yield {"kind": "agent", "name": name, "seen": 0, "fields": {}}

    def trailer(self, line: Line) -> Line:
        """Return the last line, with the counts of those that were taken."""
        sequence = max(cast("int", line["sequence"]), self._sequence)
        return {
            **line,
            "sequence": sequence,
            "counts": dict(sorted(self._counts.items())),
        }

    def _keep(self, kind: str, line: Line) -> None:
        if kind == "project":
            self._newest = 0
        if kind == "agent":
            self._agents.add(str(line["name"]))
        if kind == "item":
            fields = cast("dict[str, str]", line["fields"])
            self._item, self._newest = str(line["id"]), cast("int", line["sequence"])
            self._sequence = max(self._sequence, self._newest, int(fields["seq"]))
            if fields["agent"]:
                self._named[fields["agent"]] = None


def _mended(line: Line) -> tuple[Line | None, str]:
    """Return a line without its damaged fields, and which those are; None where it cannot do without them."""
    wrong = _wrong(line)
    if not wrong:
        return line, ""
    fields = dict(cast("dict[str, str]", line.get("fields", {})))
    for name in wrong:
        fields.pop(name, None)
    instead = {
        name: value
        for name, value in INSTEAD.get(str(line["kind"]), {}).items()
        if name in wrong
    }
    mended: Line = {
        **line,
        "fields": {
            **fields,
            **{
                name: str(line["id"]) if value is None else value
                for name, value in instead.items()
            },
        },
    }
    if "depends_on" in wrong:
        mended["open"] = []
    reason = f"its {', '.join(wrong)} cannot be right"
    return (None if _wrong(mended) else mended), reason


def _wrong(line: Line) -> list[str]:
    """Return the names of the fields of a line that an import does not take; "line" for what is wrong besides."""
    try:
        LINE.validate_json(json.dumps(line))
    except ValidationError as error:
        places = [
            each["loc"]
            for each in error.errors(
                include_url=False, include_input=False, include_context=False
            )
        ]
        return list(dict.fromkeys(map(_field, places)))
    return []


def _field(place: tuple[int | str, ...]) -> str:
    _, part, *rest = (*place, "", "")
    return str(rest[0]) if part == "fields" and rest[0] else "line"


def _write(lines: Iterable[Line], opened: BinaryIO) -> Mapping[str, int]:
    line: Line = {}
    for line in lines:
        opened.write(json_output.dump(line).encode() + b"\n")
    return cast("Mapping[str, int]", line["counts"])
