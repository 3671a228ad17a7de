"""`orchestrate export`: write a namespace as JSON lines to a file or stdout."""

import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import ValidationError
from taskorch.cli import json_output
from taskorch.cli.output import discard_stdout, on_terminal
from taskorch.config import files
from taskorch.domain import errors
from taskorch.queue.backup import Line
from taskorch.queue.fields import Damage

from taskorch_orchestrator.backup.schema import LINE

#: Times that an export is begun, if a project is purged each time.
MOST_TRIES = 5
#: Kind of a line -> required field -> its value if damaged; None is the line's id.
DEFAULTS: Mapping[str, Mapping[str, str | None]] = {
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
    """Write the lines to stdout.

    Raises errors.Usage if stdout is a terminal, unless `to_terminal`; errors.Invalid if
    it cannot be written.
    """
    if on_terminal() and not to_terminal:
        raise errors.Usage(
            reason="Standard output is a terminal. Name a FILE: orchestrate export "
            "backup.jsonl. To print the export here: orchestrate export -"
        )
    try:
        write(lines, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        discard_stdout()
        reason = f"The export cannot be written: {error.strerror or error}"
        raise errors.Invalid(reason=reason) from None


def to_file(lines: Iterable[Line], file: Path) -> Mapping[str, int]:
    """Write the lines to a private file; return the number of lines of each kind.

    The file is replaced when the export is complete. Raises errors.Invalid if it cannot
    be written.
    """
    try:
        place = file.resolve()
        if place.exists() and not place.is_file():  # a pipe, a device
            with place.open("wb") as opened:
                return write(lines, opened)
        with files.replacement(place) as opened:
            return write(lines, opened)
    except OSError as error:
        reason = f"{file} cannot be written: {error.strerror or error}"
        raise errors.Invalid(reason=reason) from None


def whole_to_file(
    make_lines: Callable[[], Iterable[Line]], file: Path
) -> Mapping[str, int]:
    """Write the lines as `to_file`; begin again if a project is purged meanwhile.

    Raises errors.ExportOutdated if that happens every time, or if what was written
    cannot be taken back.
    """
    is_replaced = not file.exists() or file.is_file()
    for _ in range(MOST_TRIES - 1 if is_replaced else 0):
        with suppress(errors.ExportOutdated):
            return to_file(make_lines(), file)
    return to_file(make_lines(), file)


def write(lines: Iterable[Line], opened: BinaryIO) -> Mapping[str, int]:
    """Write the lines to an open file; return the number of lines of each kind."""
    line: Line = {}
    for line in lines:
        opened.write(json_output.dump(line).encode() + b"\n")
    return cast("Mapping[str, int]", line["counts"])  # of the trailer


def without_damage(lines: Iterable[Line], damage: Damage) -> Iterator[Line]:
    """Yield the lines of an export so that an import accepts all of them.

    Leaves out damaged fields, and lines that cannot do without them; adds both to
    `damage`.
    """
    damage_filter = _DamageFilter(damage)
    for line in lines:
        match line["kind"]:
            case "header":
                yield line
            case "trailer":
                yield from damage_filter.missing_agents()
                yield damage_filter.trailer(line)
            case _:
                filtered = damage_filter.filtered(line)
                if filtered:
                    yield filtered


class _DamageFilter:
    """Filters line after line, and remembers what later lines depend on."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._counts: Counter[str] = Counter()
        #: Agents that have a line, and those that items refer to.
        self._agents: set[str] = set()
        self._referenced: dict[str, None] = {}
        self._item = ""
        #: The sequence number of the last item of the project, and the highest of all.
        self._last_sequence = self._highest_sequence = 0

    def filtered(self, line: Line) -> Line | None:
        """Return a line without damaged fields, None if it must be left out."""
        kind = str(line["kind"])
        if kind in ("report", "note") and line["item"] != self._item:
            return None
        if kind == "item":
            sequence = max(
                cast("int", line["sequence"]), self._last_sequence + 1
            )
            line = {**line, "sequence": sequence}
        repaired, reason = _repaired(line)
        if reason:
            names = ("id", "entry", "name", "reader")
            id_ = next((line[name] for name in names if name in line), None)
            self._damage[kind, str(id_)] = reason
        if repaired:
            self._counts[kind] += 1
            self._remember(kind, repaired)
        elif kind == "item":
            self._item = ""
        return repaired

    def _remember(self, kind: str, line: Line) -> None:
        if kind == "project":
            self._last_sequence = 0
        if kind == "agent":
            self._agents.add(str(line["name"]))
        if kind == "item":
            fields = cast("dict[str, str]", line["fields"])
            self._item = str(line["id"])
            self._last_sequence = cast("int", line["sequence"])
            self._highest_sequence = max(
                self._highest_sequence, self._last_sequence, int(fields["seq"])
            )
            if fields["agent"]:
                self._referenced[fields["agent"]] = None

    def missing_agents(self) -> Iterator[Line]:
        """Yield lines for agents that items refer to and that have no line."""
        for name in self._referenced:
            if name not in self._agents:
                self._counts["agent"] += 1
                yield {"kind": "agent", "name": name, "seen": 0, "fields": {}}

    def trailer(self, line: Line) -> Line:
        """Return the last line, with the counts of the lines that were kept."""
        sequence = max(cast("int", line["sequence"]), self._highest_sequence)
        counts = dict(sorted(self._counts.items()))
        return {**line, "sequence": sequence, "counts": counts}


def _repaired(line: Line) -> tuple[Line | None, str]:
    """Return a line without its damaged fields, and the reason ("": it is intact).

    The line is None if one of the damaged fields is required.
    """
    damaged = _damaged_fields(line)
    if not damaged:
        return line, ""
    fields = dict(cast("dict[str, str]", line.get("fields", {})))
    for name in damaged:
        fields.pop(name, None)
    for name, default in DEFAULTS.get(str(line["kind"]), {}).items():
        if name in damaged:
            fields[name] = str(line["id"]) if default is None else default
    repaired: Line = {**line, "fields": fields}
    if "depends_on" in damaged:
        repaired["open"] = []
    reason = f"invalid: {', '.join(damaged)}"
    return (None if _damaged_fields(repaired) else repaired), reason


def _damaged_fields(line: Line) -> list[str]:
    """Return the fields of a line that an import refuses; "line" for other errors."""
    try:
        LINE.validate_json(json.dumps(line))
    except ValidationError as error:
        names: dict[str, None] = {}
        for details in error.errors(
            include_url=False,
            include_input=False,
            include_context=False,
        ):
            _, part, name, *_ = (*details["loc"], "", "", "")
            names[str(name) if part == "fields" and name else "line"] = None
        return list(names)
    return []
