"""One pass of the sync job over the files of a root: what has changed is marked, and then settled in batches.

What is marked stays so until it is settled, so that a pass may end at any moment and the next one goes on.
"""

import json
import re
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable
from contextlib import suppress
from time import monotonic

import yaml
from taskorch.domain import errors
from taskorch.domain.events import FROM_THE_START, Event
from taskorch.domain.item import Item, Project
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import report_files
from taskorch_orchestrator.mirror.file_models import local_time
from taskorch_orchestrator.mirror.item_sync import (
    KEPT,
    UNKNOWN_COPY,
    ItemSync,
    PassContext,
    ReplacedFile,
    RetrySoon,
    bell,
)
from taskorch_orchestrator.mirror.report_files import KINDS
from taskorch_orchestrator.mirror.sqlite_copy import NAME, SqliteCopy

BATCH = 50
PAGE = 1000
PROJECTS = 5000
#: Who owns the troubles of files that are not ours.
FOREIGN = "foreign"
#: The fact that `orchestration.db` lacks something.
BEHIND = "db_behind"
OUR_ID = re.compile(r"item_[0-9a-z]{1,32}")
MIRRORED_FILE = re.compile(
    r"((?:item|proj)_[0-9a-z]{1,32})_(handoff|progress|discoveries|completion|context)\.(?:json|yaml)"
)


class SyncPass:
    """The work of one pass, in a folder that is this process's alone for as long as it lasts."""

    def __init__(self, means: PassContext, db: SqliteCopy) -> None:
        self._means = means
        self._queue, self._folder, self._state = means.queue, means.folder, means.state
        self._db = db
        self._replaced: dict[str, list[ReplacedFile]] = defaultdict(list)
        #: The items that events told of, by project.
        self._seen: dict[str, set[str]] = defaultdict(set)
        self._after = ""
        #: Items whose agents could not be told of them.
        self._unheard: set[str] = set()
        #: The items of the batch that cannot be read, and why.
        self._damage: dict[str, str] = {}
        self.written = 0
        self.imported = 0
        #: Whether something must be looked at again soon.
        self.again = False
        #: Whether it had to end before all was done.
        self.stopped = False
        self.scan_s = 0.0

    def look(self, *, full: bool, scan: bool) -> None:
        """Mark what has changed since the last pass: by events, by the files that are not as they were, or all."""
        if not self._state.fact("begun"):
            self._begin()
        full = full or self._folder.is_new or self._db_is_to_be_filled()
        if not self._mark_events() or full:
            self._mark_everything()
        if scan or full:
            began = monotonic()
            self._mark_files()
            self.scan_s = monotonic() - began
        self._mark_replaced()
        self._state.mark(owner(name) for name in self._state.torn())

    def batch(self) -> bool:
        """Settle some of what is marked; False when nothing is left that was not looked at."""
        ids = self._state.changed(self._after, BATCH)
        if not ids:
            return False
        self._after = ids[-1]
        items = [id_ for id_ in ids if _is_item(id_)]
        read = self._queue.views.records(items, session=self._means.session)
        records = {record.item.id: record for record in read}
        self._damage = {
            id_: why
            for (kind, id_), why in self._queue.damage.items()
            if kind == "item"
        }
        self._queue.damage.clear()
        with self._state.saved():
            projects = {
                id_: project
                for id_ in ids
                if not _is_item(id_) and (project := self._project(id_))
            }
            settled = {
                id_: self._settled(id_, records.get(id_))
                for id_ in ids
                if _is_item(id_)
            }
            done = [record for record in settled.values() if record]
            projects |= {record.project.id: record.project for record in done}
            self._ring()
            self._write_db(projects.values(), [record.item for record in done])
            looked_at = [
                id_
                for id_ in ids
                if id_ not in settled or settled[id_] or id_ not in records
            ]
            self._state.settle(id_ for id_ in looked_at if id_ not in self._unheard)
        return True

    def _begin(self) -> None:
        """Take over what an earlier memory has left: whose bell was rung, as the packages say."""
        with self._state.saved():
            for name, _ in self._folder.names():
                if name.endswith("_handoff.json") and (
                    match := MIRRORED_FILE.fullmatch(name)
                ):
                    with suppress(
                        OSError, ValueError, KeyError, TypeError, RecursionError
                    ):
                        package = json.loads(
                            getattr(self._folder.read(name), "data", b"")
                        )
                        self._state.ring(
                            match[1],
                            int(package["x_sync"]["sequence"]),
                            str(package["assigned_to"]),
                        )
            self._state.learn("begun", "1")

    def _db_is_to_be_filled(self) -> bool:
        """Return whether `orchestration.db` is missing, or lacks what could not be written, and can be written now."""
        if self._db.is_there() and not self._state.fact(BEHIND):
            return False
        try:
            self._db.write((), ())
        except (OSError, sqlite3.Error):
            self._state.learn(BEHIND, "1")  # there may be an empty file by now
            return False
        self._state.learn(BEHIND, "")
        return True

    def _mark_events(self) -> bool:
        """Mark what has events after the cursor; False when some may be lost."""
        cursor = self._state.fact("cursor") or FROM_THE_START
        while True:
            events = self._queue.views.events(since=cursor, limit=PAGE)
            if not events.known and cursor != events.newest:
                return False
            if events.cursor == cursor:
                return True
            cursor = events.cursor
            with self._state.saved():
                self._state.mark(
                    {event.item or event.project for event in events.entries}
                )
                self._state.learn("cursor", cursor)
                self._forget_purged(events.entries)
            if cursor == events.newest:
                return True

    def _forget_purged(self, events: Iterable[Event]) -> None:
        """Take away the packages of items that were over, and then purged, since the last pass; other files stay."""
        for event in events:
            if event.item:
                self._seen[event.project].add(event.item)
            elif event.verb == "purge" and not event.state:
                items = self._seen.pop(event.project, set())
                self._state.settle(items)
                for name in (files_of(item)[0] for item in items):
                    if self._folder.remove(name):
                        self._state.lost(name)
                        self.written += 1

    def _mark_everything(self) -> None:
        newest, cursor = self._queue.views.events(limit=1).newest, ""
        with self._state.saved():
            self._state.mark(
                project.id for project in self._queue.views.projects(limit=PROJECTS)
            )
        while True:
            page = self._queue.views.list(cursor=cursor, limit=PAGE)
            with self._state.saved():
                self._state.mark(
                    {id_ for item in page.items for id_ in (item.id, item.project)}
                )
            cursor = page.cursor
            if not cursor:
                self._state.learn("cursor", newest)
                break
        with (
            self._state.saved()
        ):  # a batch reads them again, and says what is wrong with them
            self._state.mark(
                id_
                for kind, id_ in self._queue.damage
                if kind == "item" and OUR_ID.fullmatch(id_)
            )

    def _mark_files(self) -> None:
        """Mark what has files that are not as they were, or are gone."""
        before, there = self._state.signatures(), set()
        with self._state.saved():
            self._state.no_troubles(FOREIGN)
            self._state.no_troubles(KEPT)
            for name, signature in self._folder.names():
                there.add(name)
                if MIRRORED_FILE.fullmatch(name):
                    if before.get(name) != signature:
                        self._state.mark([owner(name)])
                elif name.endswith("_handoff.json"):
                    self._state.trouble(
                        FOREIGN,
                        name,
                        "It is not ours. File-based workers read it as an assignment.",
                    )
            self._note_copies({name for name in there if name.endswith(".kept")})
            self._state.mark(each for each in self._state.troubled() if _is_item(each))
            for name in [
                *(before.keys() - there),
                *(name for name in self._state.torn() if MIRRORED_FILE.fullmatch(name)),
            ]:
                if name not in there:
                    self._state.lost(name)
                    self._state.whole(name)
                    self._state.mark([owner(name)])

    def _note_copies(self, there: Collection[str]) -> None:
        """Name the copies that were kept of files, until somebody removes them."""
        known = self._state.copies()
        for name in there:
            self._state.trouble(KEPT, name, known.get(name, UNKNOWN_COPY))
        for name in known.keys() - there:
            self._state.removed_copy(name)

    def _mark_replaced(self) -> None:
        """Mark what was written to after it had been replaced, and forget what nobody writes to any more."""
        for kept, name, changed, is_old in self._folder.replaced():
            match = MIRRORED_FILE.fullmatch(name)
            if changed and match:
                self._replaced[match[1]].append(ReplacedFile(kept=kept, kind=match[2]))
                self._state.mark([match[1]])
            elif is_old:
                self._folder.forget_replaced(kept)
            self.again = True

    def _project(self, id_: str) -> Project | None:
        """Write what `handoffs/` has of a project; None where Redis has no such project."""
        try:
            project = self._queue.views.progress(id_, limit=1).project
        except errors.NoProject:
            return None
        except errors.Damaged as wrong:
            self._state.trouble(id_, id_, str(wrong))
            return None
        name, data = f"{id_}_context.yaml", _context(project)
        file = self._folder.read(name)
        if file and file.data == data:
            self._state.saw(name, file.signature)
        else:
            self._state.saw(name, self._folder.write(name, data))
            self.written += 1
        return project

    def _settled(self, id_: str, record: MirrorRecord | None) -> MirrorRecord | None:
        """Reconcile an item; return it when its files are as they should be."""
        if record is None:
            self._state.no_troubles(id_)
            if why := self._damage.get(id_):
                self._state.trouble(
                    id_, id_, str(errors.Damaged(kind="item", id=id_, reason=why))
                )
            elif any(self._folder.signature(name) for name in files_of(id_)):
                self._state.trouble(
                    id_, id_, "Redis has no such item: its files are left as they are."
                )
            for each in self._replaced.get(id_, ()):
                self._folder.forget_replaced(each.kept)
            return None
        mirror = ItemSync(self._means, record)
        try:
            record = mirror.reconcile(self._replaced.get(id_, ()))
        except RetrySoon:
            self.again = True
            return None
        except OSError as error:
            self._state.trouble(
                id_,
                id_,
                f"{error.filename or 'One of its files'}: {error.strerror or error}",
            )
            return None
        finally:
            self.written += mirror.written
            self.imported += mirror.imported
        return record

    def _ring(self) -> None:
        """Tell agents of items whose packages are new; what cannot be told is tried again."""
        for agent, items in self._means.bells.items():
            name = bell(agent)
            self._state.no_troubles(name)
            try:
                self._folder.add_lines(name, [item for item, _ in items])
            except OSError as error:
                self._state.trouble(name, name, error.strerror or str(error))
                self._unheard |= {item for item, _ in items}
            else:
                for item, sequence in items:
                    self._state.ring(item, sequence, agent)
        self._means.bells.clear()

    def _write_db(self, projects: Iterable[Project], items: Iterable[Item]) -> None:
        """Write them into `orchestration.db`; where that cannot be done now, it is filled anew later."""
        self._state.no_troubles(NAME)
        try:
            self._db.write(projects, items)
        except (OSError, sqlite3.Error) as error:
            self._state.trouble(
                NAME, NAME, getattr(error, "strerror", None) or str(error)
            )
            self._state.learn(BEHIND, "1")


def _context(project: Project) -> bytes:
    """Return a project as `{project}_context.yaml` has it."""
    content = {
        "coordination_points": [],
        "created": local_time(project.created_at),
        "description": project.description,
        "global_requirements": [],
        "orchestrator": project.orchestrator,
        "project_id": project.id,
        "shared_resources": [],
        "title": project.title,
    }
    return yaml.safe_dump(content, sort_keys=True).encode()


def files_of(item: str) -> list[str]:
    """Return the names of an item's files."""
    return [f"{item}_handoff.json", *(report_files.name(item, kind) for kind in KINDS)]


def owner(name: str) -> str:
    """Return the item or project that a file is of."""
    return "_".join(name.split("_")[:2])


def _is_item(id_: str) -> bool:
    return id_.startswith("item_")
