"""All of a namespace as lines, and back: what an export reads and what an import writes, slice by slice."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from taskorch.domain import errors, limits
from taskorch.domain.clock import rfc3339
from taskorch.domain.item import State
from taskorch.queue.port import Reply
from taskorch.queue.replies import LEFT_OUT
from taskorch.queue.scripts import Scripts

#: An object that becomes a line of JSON.
Line = dict[str, object]
Fields = dict[str, str]

FORMAT, VERSION = "task-orchestrator-export", 1
#: Of the keys in Redis, as `scripts/prelude/` has it.
SCHEMA = "1"
PAGE = 200
#: What the counts of a project and of an agent begin with; they follow from the items.
COUNT = "n_"


class Archive:
    """The namespace of a queue as a whole."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    def lines(self) -> Iterator[Line]:
        """Read the namespace line by line, the header first and the trailer last; each item is read whole.

        A project or an item that cannot be read is left out, and put into the `damage` of the queue. What is created
        meanwhile is left out. It keeps the ids of projects in memory, the names of agents and the keys of plans, and
        one slice of all else. Raises errors.Invalid where a project is purged meanwhile: what was read
        does not fit together then.
        """
        newest, now, created, purges, projects, _, _ = self._all()
        counts: Counter[str] = Counter()
        yield {
            "kind": "header",
            "format": FORMAT,
            "version": VERSION,
            "schema": SCHEMA,
            "namespace": self._scripts.namespace,
            "exported_at": rfc3339(int(now)),
            "created_at": _number(created),
        }
        for line in self._content(projects, newest, int(now)):
            counts[str(line["kind"])] += 1
            yield line
        sequence, _, _, purges_since, *_ = self._all()
        if purges_since != purges:
            raise errors.Invalid(
                reason="A project was purged while it was exported: export again."
            )
        yield {
            "kind": "trailer",
            "sequence": _number(sequence),
            "counts": dict(sorted(counts.items())),
        }

    def begin(self, export: str) -> str:
        """Close the empty namespace to all but the import of this export, and return the run that may write.

        An earlier run may write no more. Raises errors.NotEmpty; errors.BadSchema while the import of another export
        is under way, or was cut off.
        """
        return cast(
            "list[str]", self._scripts.run_script("restore", "begin", export, "")
        )[0]

    def write(self, export: str, run: str, lines: Sequence[str]) -> None:
        """Write some lines of the export, in their order."""
        self._scripts.run_script("restore", "lines", export, run, *lines)

    def end(self, export: str, run: str, sequence: int, created_at: int) -> None:
        """Open the namespace, with the newest sequence number, and wake who waits for work."""
        self._scripts.run_script("restore", "end", export, run, sequence, created_at)

    def _content(
        self, projects: Sequence[str], newest: str, now: int
    ) -> Iterator[Line]:
        for project in filter(self._is_project, projects):
            yield from self._project(project, newest)
            yield from self._items(project, newest, now)
            yield from self._discoveries(project)
        *_, agents, plans = self._all()
        yield from self._agents(agents)
        known = set(filter(limits.is_project_id, projects))
        for key, project in _fields(plans).items():
            if project in known:
                yield {"kind": "plan", "key": key, "project": project}

    def _is_project(self, id_: str) -> bool:
        if not limits.is_project_id(id_):
            self._scripts.damage["project", id_] = "its id cannot be right"
        return limits.is_project_id(id_)

    def _all(self) -> tuple[str, str, str, str, list[str], list[str], list[str]]:
        return cast(
            "tuple[str, str, str, str, list[str], list[str], list[str]]",
            self._scripts.run_script("export", "all"),
        )

    def _project(self, project: str, newest: str) -> Iterator[Line]:
        cursor = ""
        while cursor != "0":
            reply = self._scripts.run_script(
                "export", "project", project, cursor or "0", newest
            )
            next_cursor, fields, keys = cast("tuple[str, list[str], list[str]]", reply)
            if not cursor:
                yield {"kind": "project", "id": project, "fields": _uncounted(fields)}
            for key, item in _fields(keys).items():
                yield {"kind": "key", "project": project, "key": key, "item": item}
            cursor = next_cursor

    def _items(self, project: str, newest: str, now: int) -> Iterator[Line]:
        after = "0"
        while after:
            reply = self._scripts.run_script("export", "items", project, after, newest)
            after, items, damaged = cast(
                "tuple[str, list[list[Reply]], list[str]]", reply
            )
            for id_, field in _fields(damaged).items():
                self._scripts.damage["item", id_] = f"its {field} cannot be right"
            for item in items:
                yield from _item(item, now)

    def _discoveries(self, project: str) -> Iterator[Line]:
        cursor, entries = "0-0", []
        while cursor:
            entries = cast(
                "list[tuple[str, list[str]]]",
                self._scripts.run_script(
                    "export", "discoveries", project, cursor, PAGE
                ),
            )
            for entry, fields in entries:
                yield {
                    "kind": "discovery",
                    "project": project,
                    "entry": entry,
                    "fields": _fields(fields),
                }
            cursor = entries[-1][0] if len(entries) == PAGE else ""

    def _agents(self, names: Sequence[str]) -> Iterator[Line]:
        for start in range(0, len(names), PAGE):
            page = sorted(names)[start : start + PAGE]
            reply = self._scripts.run_script("export", "agents", *page)
            for name, seen, fields in cast("list[tuple[str, str, list[str]]]", reply):
                yield {
                    "kind": "agent",
                    "name": name,
                    "seen": _number(seen),
                    "fields": _uncounted(fields),
                }


def _item(view: list[Reply], now: int) -> Iterator[Line]:
    """Return the lines of an item: itself, its reports, its notes. What it has lost in an index is made up for."""
    item, sequence, score, held = cast("list[str]", view[:4])
    flat, open_, left_out, reports, notes = cast("list[list[str]]", view[4:])
    fields = _fields(flat)
    if left_out:
        fields["depends_on"] = json.dumps(
            [each for each in _ids(fields["depends_on"]) if each not in left_out]
        )
    named = set(_ids(fields.get("depends_on", "[]"))) - set(left_out)
    line: Line = {
        "kind": "item",
        "id": item,
        "sequence": _number(sequence),
        "open": sorted(set(open_) & named),
    }
    state = State(fields["state"])
    if state not in (State.COMPLETED, State.CANCELLED):
        line["score"] = _number(score) if score else usual_score(fields, now)
    if state in (State.IN_PROGRESS, State.BLOCKED) and "live_token" in fields:
        line["held"] = _number(held or fields["holder_since"])
    yield {**line, "fields": fields}
    for entry, report in cast("list[tuple[str, list[str]]]", reports):
        yield {
            "kind": "report",
            "item": item,
            "entry": entry,
            "fields": _fields(report),
        }
    of_agents = zip(
        notes[::2], cast("list[list[tuple[str, list[str]]]]", notes[1::2]), strict=True
    )
    for agent, entries in sorted(of_agents):
        for entry, note in entries:
            yield {
                "kind": "note",
                "item": item,
                "agent": agent,
                "entry": entry,
                "fields": _fields(note),
            }


def usual_score(fields: Fields, now: int) -> int:
    """Return the score of an item in the index of its state, where it comes there now, or has lost its entry."""
    fields = LEFT_OUT | fields
    match State(fields["state"]):
        case State.PENDING:
            return int(fields["seq"])
        case State.QUEUED:
            return int(fields["priority"]) * 10**13 + int(fields["seq"])
        case State.DELAYED:
            return int(fields["not_before"])
        case State.IN_PROGRESS:
            return now + int(fields["claim_lease_ms"])
    return now


def _fields(flat: Sequence[str]) -> Fields:
    words = iter(flat)
    return dict(sorted(zip(words, words, strict=True)))


def _uncounted(flat: Sequence[str]) -> Fields:
    return {
        name: value
        for name, value in _fields(flat).items()
        if not name.startswith(COUNT)
    }


def _ids(text: str) -> list[str]:
    """Return the ids in a JSON list; none where it is damaged."""
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError):
        return []
    return (
        [each for each in ids if isinstance(each, str)] if isinstance(ids, list) else []
    )


def _number(score: str) -> int:
    try:
        return max(0, min(int(float(score)), limits.LARGEST))
    except (ValueError, OverflowError):
        return 0
