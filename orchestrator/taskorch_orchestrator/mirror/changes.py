"""The search for changes: marks the items and projects that a pass must look at.

A mark stays until the files are in sync, so a pass may stop at any moment and the next
one continues.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress

from taskorch.domain.events import FROM_THE_START, Event

from taskorch_orchestrator.mirror import file_names
from taskorch_orchestrator.mirror.file_names import ITEM_ID, MIRRORED_FILE
from taskorch_orchestrator.mirror.handoff_folder import ReplacedFile
from taskorch_orchestrator.mirror.item_sync import COPIES, UNKNOWN_COPY
from taskorch_orchestrator.mirror.pass_context import PassContext

PAGE = 1000
PROJECTS = 5000
#: The owner of the troubles about files that are not ours.
FOREIGN = "foreign"


class Changes:
    """The search of one pass."""

    def __init__(self, context: PassContext) -> None:
        self._queue, self._folder, self._state = (
            context.queue,
            context.folder,
            context.state,
        )
        #: Project -> its items that have events.
        self._items: dict[str, set[str]] = defaultdict(set)
        #: The number of files that were removed.
        self.removed = 0

    def restore_notified(self) -> None:
        """Read from the handoffs which agents were notified, if the memory is new."""
        if self._state.fact("begun"):
            return
        with self._state.transaction():
            for name, _ in self._folder.names():
                if name.endswith("_handoff.json") and MIRRORED_FILE.fullmatch(name):
                    self._restore_notified(name)
            self._state.set_fact("begun", "1")

    def mark_events(self) -> bool:
        """Mark what has events after the saved cursor; return False if events may be lost."""
        cursor = self._state.fact("cursor") or FROM_THE_START
        while True:
            events = self._queue.views.events(since=cursor, limit=PAGE)
            if not events.known and cursor != events.newest:
                return False
            if events.cursor == cursor:
                return True
            cursor = events.cursor
            with self._state.transaction():
                self._state.mark(
                    {event.item or event.project for event in events.entries}
                )
                self._state.set_fact("cursor", cursor)
                self._remove_purged(events.entries)
            if cursor == events.newest:
                return True

    def mark_everything(self) -> None:
        """Mark all projects and items, those that cannot be read too: a batch says what is wrong with them."""
        newest = self._queue.views.events(limit=1).newest
        projects = self._queue.views.projects(limit=PROJECTS)
        with self._state.transaction():
            self._state.mark(project.id for project in projects)
        cursor = ""
        while True:
            page = self._queue.views.list(cursor=cursor, limit=PAGE)
            with self._state.transaction():
                self._state.mark(item.id for item in page.items)
                self._state.mark(item.project for item in page.items)
            cursor = page.cursor
            if not cursor:
                break
        self._state.set_fact("cursor", newest)
        damaged = [id_ for kind, id_ in self._queue.damage if kind == "item"]
        with self._state.transaction():
            self._state.mark(id_ for id_ in damaged if ITEM_ID.fullmatch(id_))

    def mark_files(self) -> None:
        """Mark what has files that were changed or removed since they were last seen."""
        saved = self._state.signatures()
        with self._state.transaction():
            names = dict(self._folder.names())
            self._state.mark(
                file_names.owner(name)
                for name, signature in names.items()
                if MIRRORED_FILE.fullmatch(name) and saved.get(name) != signature
            )
            self._report_foreign(names)
            self._report_copies({name for name in names if name.endswith(".kept")})
            in_trouble = self._state.owners_of_troubles()
            self._state.mark(owner for owner in in_trouble if file_names.is_item(owner))
            torn = filter(MIRRORED_FILE.fullmatch, self._state.torn_files())
            for name in {*saved, *torn} - names.keys():
                self._state.forget_file(name)
                self._state.clear_torn(name)
                self._state.mark([file_names.owner(name)])

    def mark_replaced(self) -> tuple[Mapping[str, Sequence[ReplacedFile]], bool]:
        """Mark the items that workers have reported on in files that had been replaced.

        Return these files by item, and whether any replaced file is still kept. Files
        that no worker writes into any more are removed.
        """
        changed: dict[str, list[ReplacedFile]] = defaultdict(list)
        kept = False
        for replaced in self._folder.replaced_files():
            kept = True
            if replaced.is_changed and MIRRORED_FILE.fullmatch(replaced.name):
                changed[file_names.owner(replaced.name)].append(replaced)
            elif replaced.is_old:
                self._folder.remove_replaced(replaced)
        self._state.mark(changed)
        return changed, kept

    def mark_torn(self) -> None:
        """Mark the items with torn files."""
        self._state.mark(file_names.owner(name) for name in self._state.torn_files())

    def _restore_notified(self, name: str) -> None:
        with suppress(OSError, ValueError, KeyError, TypeError, RecursionError):
            file = self._folder.read(name)
            package = json.loads(file.data if file else b"")
            sequence = int(package["x_sync"]["sequence"])
            agent = str(package["assigned_to"])
            self._state.set_notified(file_names.owner(name), sequence, agent)

    def _remove_purged(self, events: Iterable[Event]) -> None:
        """Remove the handoffs of items that ended and were purged since the last pass.

        Other files of these items stay.
        """
        for event in events:
            if event.item:
                self._items[event.project].add(event.item)
            elif event.verb == "purge" and not event.state:
                items = self._items.pop(event.project, set())
                self._state.unmark(items)
                for name in map(file_names.handoff, items):
                    if self._folder.remove(name):
                        self._state.forget_file(name)
                        self.removed += 1

    def _report_foreign(self, names: Iterable[str]) -> None:
        """Report handoffs that are not of an item of ours."""
        self._state.clear_troubles(FOREIGN)
        message = (
            "This file is not from Task Orchestrator. "
            "File-based workers read it as an assignment."
        )
        for name in names:
            is_handoff = name.endswith("_handoff.json")
            if is_handoff and not MIRRORED_FILE.fullmatch(name):
                self._state.add_trouble(FOREIGN, name, message)

    def _report_copies(self, names: Collection[str]) -> None:
        """Report the copies that were kept of files, until the user removes them."""
        self._state.clear_troubles(COPIES)
        known = self._state.copies()
        for name in names:
            self._state.add_trouble(COPIES, name, known.get(name, UNKNOWN_COPY))
        for name in known.keys() - names:
            self._state.forget_copy(name)
