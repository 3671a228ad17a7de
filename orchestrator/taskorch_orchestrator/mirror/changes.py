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
#: Events that one call returns.
EVENTS = 400
PROJECTS = 5000
#: The event of an import, which names no project or item.
IMPORT = "restore"
#: The fact that the memory has the project of each item.
KEEPS_ITEMS = "keeps_items"
#: The owner of the troubles about files that are not ours.
FOREIGN = "foreign"


class Changes:
    """The search of one pass."""

    def __init__(self, context: PassContext) -> None:
        self._queue = context.queue
        self._folder = context.folder
        self._state = context.state

    def lack_items(self) -> bool:
        """Return whether the memory is of a version that did not keep all items.

        The caller marks everything then, which adds them.
        """
        is_old = bool(self._state.fact("cursor")) and not self._state.fact(
            KEEPS_ITEMS
        )
        self._state.set_fact(KEEPS_ITEMS, "1")
        return is_old

    def restore_notified(self, *, is_known_root: bool) -> None:
        """Read from the handoffs which agents were notified, if the memory is new.

        In a root that no mirror has synced before, commands wrote the handoffs, and the
        agents were not notified.
        """
        if self._state.fact("begun"):
            return
        with self._state.transaction():
            names = self._folder.names() if is_known_root else ()
            for name, _ in names:
                if name.endswith("_handoff.json") and MIRRORED_FILE.fullmatch(
                    name
                ):
                    self._restore_notified(name)
            self._state.set_fact("begun", "1")

    def mark_events(self) -> bool:
        """Mark what has events after the saved cursor.

        Return False if events may be lost, or do not name all that has changed.
        """
        cursor = self._state.fact("cursor") or FROM_THE_START
        while True:
            events = self._queue.views.events(since=cursor, limit=EVENTS)
            if not events.known and cursor != events.newest:
                return False
            if any(event.verb == IMPORT for event in events.entries):
                return False
            if events.cursor == cursor:
                return True
            cursor = events.cursor
            with self._state.transaction():
                self._mark_owners(events.entries)
                self._state.set_fact("cursor", cursor)
            if cursor == events.newest:
                return True

    def mark_everything(self) -> None:
        """Mark all projects and items, including damaged items.

        Their files are read, because Redis may have lost what the files have. A batch
        reports what is wrong with a damaged item.
        """
        state, views = self._state, self._queue.views
        state.forget_all_synced()
        newest = views.events(limit=1).newest
        projects = views.projects(limit=PROJECTS)
        with state.transaction():
            state.mark(project.id for project in projects)
        cursor = ""
        while True:
            page = views.list(cursor=cursor, limit=PAGE)
            with state.transaction():
                state.mark(item.id for item in page.items)
                state.mark(item.project for item in page.items)
                state.add_items({item.id: item.project for item in page.items})
            cursor = page.cursor
            if not cursor:
                break
        state.set_fact("cursor", newest)
        with state.transaction():
            for kind, id_ in self._queue.damage:
                if kind == "item" and ITEM_ID.fullmatch(id_):
                    state.mark([id_])
            for project in views.purged(state.projects()):
                state.mark_purged(project)

    def mark_files(self) -> None:
        """Mark what has files that were changed or removed since a pass saw them.

        Items in trouble are marked too.
        """
        state = self._state
        saved = state.signatures()
        with state.transaction():
            names = dict(self._folder.names())
            for name, signature in names.items():
                is_changed = saved.get(name) != signature
                if is_changed and MIRRORED_FILE.fullmatch(name):
                    state.mark([file_names.owner(name)])
            self._forget_removed(saved.keys() - names.keys())
            self._forget_removed(set(state.torn_files()) - names.keys())
            self._report_foreign(names)
            self._report_copies(
                {name for name in names if name.endswith(".kept")}
            )
            for owner in state.owners_of_troubles():
                if file_names.is_item(owner):
                    state.mark([owner])

    def mark_replaced(
        self,
    ) -> tuple[Mapping[str, Sequence[ReplacedFile]], bool]:
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
        torn = self._state.torn_files()
        self._state.mark(file_names.owner(name) for name in torn)

    def _mark_owners(self, events: Sequence[Event]) -> None:
        """Mark the items and projects of events, and what was purged."""
        state = self._state
        state.mark({event.item or event.project for event in events})
        state.add_items(
            {event.item: event.project for event in events if event.item}
        )
        for event in events:
            if event.verb == "purge" and not event.state:
                state.mark_purged(event.project)

    def _restore_notified(self, name: str) -> None:
        with suppress(
            OSError, ValueError, KeyError, TypeError, RecursionError
        ):
            file = self._folder.read(name)
            if file is None:
                return
            package = json.loads(file.data)
            agent = str(package["assigned_to"])
            sequence = int(package["x_sync"]["sequence"])
            item = file_names.owner(name)
            self._state.set_notified(item, sequence, agent)

    def _forget_removed(self, names: Iterable[str]) -> None:
        """Mark the owners of files that are no longer in `handoffs/`."""
        for name in names:
            if MIRRORED_FILE.fullmatch(name):
                self._state.forget_file(name)
                self._state.clear_torn(name)
                self._state.mark([file_names.owner(name)])

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
            self._state.add_trouble(
                COPIES, name, known.get(name, UNKNOWN_COPY)
            )
        for name in known.keys() - names:
            self._state.forget_copy(name)
