"""The files and rows of purged projects: the mirror removes those that it wrote.

A file that a worker or a person has changed since the last pass stays, and so does one
with reports that Redis did not take. Of a file to which somebody has added a text that
Redis never had, a copy is kept.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence

from taskorch_orchestrator.mirror import (
    file_names,
    handoff_package,
    sqlite_copy,
)
from taskorch_orchestrator.mirror.file_names import KINDS
from taskorch_orchestrator.mirror.handoff_folder import File
from taskorch_orchestrator.mirror.item_sync import COPIES
from taskorch_orchestrator.mirror.pass_context import PassContext
from taskorch_orchestrator.mirror.sqlite_copy import SqliteCopy

#: The owner of the troubles with a removal, in `sync/state.db`.
PURGED = "purged"
#: What an item that Redis does not have is reported with, until a purge explains it.
MISSING = "Redis has no such item. Its files are left as they are."
#: Why a copy of a removed file was kept.
ADDITIONS = (
    "The project of {name} was purged. Somebody had added a text to the file that Redis "
    "never had, so this is a copy of it: remove it when you have seen it."
)


class PurgedFiles:
    """The removal of the files and rows of purged projects from a root."""

    def __init__(self, context: PassContext, copy: SqliteCopy) -> None:
        self._folder, self._state = context.folder, context.state
        self._copy = copy
        self._state.clear_troubles(PURGED)
        #: The number of files that were removed.
        self.removed = 0

    def remove(
        self, items: Sequence[str], projects: Sequence[str]
    ) -> set[str]:
        """Remove the files and rows of items and projects that were purged.

        `items` and `projects` are ids that Redis does not have. A project is removed
        after its last item. Return the ids that the next pass must try again.
        """
        state = self._state
        items, projects = state.purged(items), state.purged(projects)
        if not items and not projects:
            return set()
        try:
            self._copy.remove(projects, items)
        except (OSError, sqlite3.Error) as error:
            self._report(sqlite_copy.NAME, error)
            return {*items, *projects}
        left = {*self._failed(items, self._remove_item)}
        ready = [each for each in projects if not state.has_items(each)]
        left |= {*self._failed(ready, self._remove_project)}
        return left | (set(projects) - set(ready))

    def _failed(
        self, ids: Sequence[str], remove: Callable[[str], None]
    ) -> Iterator[str]:
        """Remove the files of each id, and yield the ids for which that failed."""
        for id_ in ids:
            try:
                remove(id_)
            except OSError as error:
                self._report(id_, error)
                yield id_

    def _remove_item(self, item: str) -> None:
        self._remove_handoff(file_names.handoff(item))
        _, agent = self._state.notified(item)
        if agent:
            self._folder.drop_line(file_names.pending(agent), item)
        if not self._state.has_troubles(item, besides=MISSING):
            for kind in KINDS:
                self._remove_unchanged(file_names.report(item, kind))
        self._state.forget_purged_item(item)

    def _remove_project(self, project: str) -> None:
        self._remove_unchanged(file_names.context(project))
        self._state.forget_purge(project)

    def _remove_handoff(self, name: str) -> None:
        """Remove a handoff, also one that a command wrote since the last pass."""
        file = self._folder.read(name)
        if file and handoff_package.is_ours(file.data):
            self._keep_changed(name, file)
            self._remove(name)
        done = self._folder.read_done(name)
        if done and handoff_package.is_ours(done.data):
            self._keep_changed(name, done)
            self._folder.remove_done(name)
            self.removed += 1

    def _keep_changed(self, name: str, handoff: File) -> None:
        if not handoff_package.is_unchanged(handoff.data):
            self._keep(name, handoff)

    def _remove_unchanged(self, name: str) -> None:
        """Remove a file that is as the last pass left it: Redis had all of it."""
        saved = self._state.signatures([name]).get(name)
        if not saved or self._folder.signature(name) != saved:
            return
        if self._state.has_additions(name) and (
            file := self._folder.read(name)
        ):
            self._keep(name, file)
        self._remove(name)

    def _keep(self, name: str, file: File) -> None:
        """Keep a copy of a file with a text that Redis never had."""
        copy = self._folder.keep_copy(name, file)
        self._state.save_copy(copy, ADDITIONS.format(name=name))
        self._state.add_trouble(COPIES, copy, ADDITIONS.format(name=name))

    def _remove(self, name: str) -> None:
        self._folder.remove(name)
        self._state.forget_file(name)
        self.removed += 1

    def _report(self, name: str, error: OSError | sqlite3.Error) -> None:
        reason = getattr(error, "strerror", None) or str(error)
        message = f"The files of a purged project cannot be removed: {reason}"
        self._state.add_trouble(PURGED, name, message)
