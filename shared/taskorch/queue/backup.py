"""The whole namespace as lines: read for an export, written by an import."""

import json
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain
from typing import cast

from taskorch.domain import errors, limits
from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.clock import rfc3339
from taskorch.domain.events import FROM_THE_START
from taskorch.domain.item import State
from taskorch.queue.fields import Fields
from taskorch.queue.port import Argument, Reply
from taskorch.queue.replies import with_defaults
from taskorch.queue.scripts import Scripts

#: An object that becomes a line of JSON.
Line = dict[str, object]
#: An entry of a stream: its id and its fields as a flat list.
Entry = tuple[str, list[str]]

FORMAT, VERSION = "task-orchestrator-export", 1
#: The schema version of the keys in Redis; `scripts/prelude/` has the same.
SCHEMA = "2"
PAGE = 200
#: The prefix of the counts of a project or an agent. They are not exported, because
#: they follow from the items.
COUNT = "n_"
#: The access token by which an item was created: it belongs to this namespace.
CREATED_WITH = "access_token"


class Backup:
    """The whole namespace of a queue."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._run_script = scripts.run_script
        self._damage = scripts.damage

    def lines(self) -> Iterator[Line]:
        """Yield the namespace line by line, from the header to the trailer.

        Each item is read in one step. A project or item that cannot be read is left out
        and added to the `damage` of the queue; items created during the export are left
        out. Memory holds one page, and the ids of projects, names of agents and keys of
        plans. Raises errors.ExportOutdated if a project is purged in the meantime, because
        the lines would not fit together.
        """
        newest, now, created, purges = self._counters()
        counts: Counter[str] = Counter()
        yield self._header(now, created)
        for line in self._content(newest, int(now)):
            counts[str(line["kind"])] += 1
            yield line
        sequence, _, _, purges_since = self._counters()
        if purges_since != purges:
            raise errors.ExportOutdated
        yield _trailer(sequence, counts)

    def project_lines(self, project: str) -> Iterator[Line]:
        """Yield a completed project line by line, from the header to the trailer.

        The lines can be imported alone: dependencies on items of other projects are left
        out. Damage is handled as by `lines`.
        """
        newest, now, created, _ = self._counters()
        counts: Counter[str] = Counter()
        yield self._header(now, created)
        for line in self._one_project(project, newest, int(now), alone=True):
            counts[str(line["kind"])] += 1
            yield line
        yield _trailer(newest, counts)

    def begin(self, export: str) -> str:
        """Reserve the empty namespace for the import of an export.

        `export` is the digest of its file. Return the id of this run, the only one that
        may write from now on. Raises errors.NotEmpty, or errors.BadSchema if the import
        of another export is running or was interrupted.
        """
        reply = self._run_script(
            "restore",
            "begin",
            export,
            "",
        )
        return cast("list[str]", reply)[0]

    def write(self, export: str, run: str, lines: Sequence[str]) -> None:
        """Write the next lines of the export."""
        self._run_script(
            "restore",
            "lines",
            export,
            run,
            *lines,
        )

    def end(
        self,
        export: str,
        run: str,
        *,
        sequence: int,
        created_at: int,
        schema: str,
    ) -> None:
        """Open the namespace, and wake the agents that wait for work.

        `sequence` is the highest sequence number of the items. If `schema`, that of the
        export, is an earlier one, the next call upgrades the namespace. If this is
        interrupted after the first call, agents that were not woken look again within a
        minute.
        """
        words: tuple[Argument, ...] = ("end", export, run)
        words += (sequence, created_at, schema)
        cursor = ""
        scripts = self._scripts
        while cursor != "0":
            reply = scripts.run_script("restore", *words)
            _, cursor = cast("list[str]", reply)
            words = ("wake", export, run, cursor)
            scripts = scripts.for_the_rest()

    def _counters(self) -> tuple[str, str, str, str]:
        """Return the highest sequence number, the time, and facts of the namespace.

        They are its creation time and the number of purges.
        """
        return cast(
            "tuple[str, str, str, str]", self._run_script("export", "counters")
        )

    def _projects(self) -> list[str]:
        """Return the ids of the projects in the order of their creation."""
        found: dict[str, None] = {}
        skip = "0"
        while skip:
            reply = self._run_script("export", "projects", skip)
            skip, page = cast("tuple[str, list[str]]", reply)
            found |= dict.fromkeys(page)
        return list(found)

    def _scanned(self, part: str) -> list[list[str]]:
        """Return the pages of a part that is read by a cursor."""
        pages: list[list[str]] = []
        cursor = ""
        while cursor != "0":
            reply = self._run_script("export", part, cursor or "0")
            cursor, page = cast("tuple[str, list[str]]", reply)
            pages.append(page)
        return pages

    def _content(self, newest: str, now: int) -> Iterator[Line]:
        """Yield the lines between the header and the trailer."""
        known: set[str] = set()
        for project in self._projects():
            if not limits.is_project_id(project):
                self._damage["project", project] = "its id cannot be right"
                continue
            known.add(project)
            yield from self._one_project(project, newest, now)
        agents = sorted(set(chain(*self._scanned("names"))))
        yield from self._agents(agents)
        used = self._run_script("export", "usage", NAMESPACE)
        yield from _usage_lines(NAMESPACE, cast("list[str]", used))
        yield from self._budgets(known, set(agents))
        plans = list(chain(*self._scanned("plans")))
        for key, project in _fields(plans).items():
            if project in known:
                yield {"kind": "plan", "key": key, "project": project}
        yield from self._schedules()

    def _header(self, now: str, created: str) -> Line:
        return {
            "kind": "header",
            "format": FORMAT,
            "version": VERSION,
            "schema": SCHEMA,
            "namespace": self._scripts.namespace,
            "exported_at": rfc3339(int(now)),
            "created_at": _number(created),
        }

    def _one_project(
        self, project: str, newest: str, now: int, *, alone: bool = False
    ) -> Iterator[Line]:
        """Yield the lines of a project; `alone` leaves out what needs other projects."""
        plan = ""
        for line in self._project(project, newest):
            if line["kind"] == "project":
                plan = cast("Fields", line["fields"]).get("plan", "")
            yield line
        yield from self._items(project, newest, now, alone=alone)
        yield from self._discoveries(project)
        yield from self._readers(project)
        if alone and plan:
            yield {"kind": "plan", "key": plan, "project": project}

    def _project(self, project: str, newest: str) -> Iterator[Line]:
        cursor = ""
        while cursor != "0":
            reply = self._run_script(
                "export",
                "project",
                project,
                cursor or "0",
                newest,
            )
            next_cursor, fields, keys, used = cast(
                "tuple[str, list[str], list[str], list[str]]", reply
            )
            if not cursor:
                stored = _without_counts(fields)
                yield {"kind": "project", "id": project, "fields": stored}
                yield from _usage_lines(f"project:{project}", used)
            for key, item in _fields(keys).items():
                yield {
                    "kind": "key",
                    "project": project,
                    "key": key,
                    "item": item,
                }
            cursor = next_cursor

    def _items(
        self, project: str, newest: str, now: int, *, alone: bool
    ) -> Iterator[Line]:
        after = "0"
        while after:
            reply = self._run_script(
                "export",
                "items",
                project,
                after,
                newest,
                "1" if alone else "",
            )
            after, items, damaged = cast(
                "tuple[str, list[list[Reply]], list[str]]", reply
            )
            for id_, field in _fields(damaged).items():
                self._damage["item", id_] = f"its {field} cannot be right"
            for item in items:
                yield from self._item_lines(item, now)

    def _item_lines(self, view: list[Reply], now: int) -> Iterator[Line]:
        """Yield the lines of an item, its reports and its notes.

        The view ends with `{report …}, last report or '', {{agent, {note …}, last note or
        ''} …}`.
        """
        *of_item, reports, last_report, notes = view
        yield item_line(of_item, now)
        item = str(view[0])
        for entry, fields in self._whole(
            "progress", item, reports, last_report
        ):
            yield {
                "kind": "report",
                "item": item,
                "entry": entry,
                "fields": _fields(fields),
            }
        for agent, entries, last in sorted(
            cast("list[tuple[str, Reply, str]]", notes)
        ):
            owner = f"{agent}:{item}"
            for entry, fields in self._whole("notes", owner, entries, last):
                yield {
                    "kind": "note",
                    "item": item,
                    "agent": agent,
                    "entry": entry,
                    "fields": _fields(fields),
                }

    def _whole(
        self, kind: str, owner: str, entries: Reply, last: Reply
    ) -> Iterator[Entry]:
        """Yield entries of a stream, and the rest of them up to the `last` one."""
        page = cast("list[Entry]", entries)
        yield from page
        after, more = page[-1][0] if page else FROM_THE_START, last
        while more:
            reply = self._run_script(
                "export", "entries", kind, owner, after, str(last)
            )
            page, more = cast("tuple[list[Entry], str]", reply)
            yield from page
            after = page[-1][0] if page else after

    def _discoveries(self, project: str) -> Iterator[Line]:
        cursor, more = FROM_THE_START, "1"
        while more:
            reply = self._run_script(
                "export",
                "discoveries",
                project,
                cursor,
            )
            entries, more = cast("tuple[list[Entry], str]", reply)
            for entry, fields in entries:
                yield {
                    "kind": "discovery",
                    "project": project,
                    "entry": entry,
                    "fields": _fields(fields),
                }
            cursor = entries[-1][0] if entries else cursor

    def _readers(self, project: str) -> Iterator[Line]:
        """Yield who has read the discoveries of a project, and up to which one."""
        cursor = ""
        while cursor != "0":
            reply = self._run_script(
                "export", "readers", project, cursor or "0"
            )
            cursor, read = cast("tuple[str, list[str]]", reply)
            for reader, last in _fields(read).items():
                yield {
                    "kind": "reader",
                    "project": project,
                    "reader": reader,
                    "cursor": last,
                }

    def _budgets(
        self, projects: Collection[str], agents: Collection[str]
    ) -> Iterator[Line]:
        for field, value in _fields(
            list(chain(*self._scanned("budgets")))
        ).items():
            owner, _, period = field.rpartition(":")
            kind, _, name = owner.partition(":")
            known = {"project": projects, "agent": agents}.get(kind, ())
            micros, _, tokens = value.partition(" ")
            if owner == NAMESPACE or name in known:
                yield {
                    "kind": "budget",
                    "owner": owner,
                    "period": period,
                    "limit_micros": micros,
                    "limit_tokens": tokens,
                }

    def _agents(self, names: Sequence[str]) -> Iterator[Line]:
        for start in range(0, len(names), PAGE):
            page = names[start : start + PAGE]
            reply = self._run_script("export", "agents", *page)
            for name, seen, fields, used in cast(
                "list[tuple[str, str, list[str], list[str]]]", reply
            ):
                yield {
                    "kind": "agent",
                    "name": name,
                    "seen": _number(seen),
                    "fields": _without_counts(fields),
                }
                yield from _usage_lines(f"agent:{name}", used)

    def _schedules(self) -> Iterator[Line]:
        names = cast("list[str]", self._run_script("export", "schedules"))
        for name in names:
            reply = self._run_script("export", "schedule", name)
            due_at, fields = cast("tuple[str, list[str]]", reply)
            if not due_at:  # it was removed since then
                continue
            if not fields:
                self._damage["schedule", name] = "its fields are missing"
                continue
            yield {
                "kind": "schedule",
                "name": name,
                "due_at": _number(due_at),
                "fields": _fields(fields),
            }


def _usage_lines(owner: str, used: Sequence[str]) -> Iterator[Line]:
    """Yield the line of what an owner has used, if it has used anything."""
    if used:
        yield {"kind": "usage", "owner": owner, "fields": _fields(used)}


def _trailer(sequence: str, counts: Mapping[str, int]) -> Line:
    return {
        "kind": "trailer",
        "sequence": _number(sequence),
        "counts": dict(sorted(counts.items())),
    }


def item_line(view: list[Reply], now: int) -> Line:
    """Return the line of an item.

    If its entry in an index is lost, the line has the usual score instead. Its view is
    `{id, sequence, score, ms held since, fields, open dependencies, dependencies to
    leave out}`.
    """
    item, sequence, score, held_since = cast("list[str]", view[:4])
    flat, open_, left_out = cast("list[list[str]]", view[4:])
    fields = _fields(flat)
    fields.pop(CREATED_WITH, None)
    depends_on = _ids(fields.get("depends_on", "[]"))
    if left_out:
        depends_on = [each for each in depends_on if each not in left_out]
        fields["depends_on"] = json.dumps(depends_on)
    line: Line = {
        "kind": "item",
        "id": item,
        "sequence": _number(sequence),
        "open": sorted(set(open_) & set(depends_on)),
    }
    state = State(fields["state"])
    if state not in (State.COMPLETED, State.CANCELLED):
        line["score"] = _number(score) if score else usual_score(fields, now)
    if state in (State.IN_PROGRESS, State.BLOCKED) and "live_token" in fields:
        since = with_defaults(fields).get("holder_since", "0")
        line["held"] = _number(held_since or since)
    line["fields"] = fields
    return line


def usual_score(fields: Fields, now: int) -> int:
    """Return the score of an item that enters the index of its state now."""
    fields = with_defaults(fields)
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
    """Return the names and values in a flat list, sorted by name."""
    words = iter(flat)
    return dict(sorted(zip(words, words, strict=True)))


def _without_counts(flat: Sequence[str]) -> Fields:
    fields = _fields(flat).items()
    return {
        name: value for name, value in fields if not name.startswith(COUNT)
    }


def _ids(text: str) -> list[str]:
    """Return the ids in a JSON list; none if it is damaged."""
    try:
        ids = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(ids, list):
        return []
    return [each for each in ids if isinstance(each, str)]


def _number(text: str) -> int:
    """Return a number that an import accepts; 0 for any other text."""
    try:
        return max(0, min(int(float(text)), limits.LARGEST))
    except (ValueError, OverflowError):
        return 0
