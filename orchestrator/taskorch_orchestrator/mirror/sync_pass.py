"""One pass of the sync job: find what has changed, then sync it in batches."""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from time import monotonic

import yaml
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Project
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import file_names, handoff_file, sqlite_copy
from taskorch_orchestrator.mirror.changes import Changes
from taskorch_orchestrator.mirror.file_times import local_time
from taskorch_orchestrator.mirror.handoff_file import Notice
from taskorch_orchestrator.mirror.handoff_folder import ReplacedFile
from taskorch_orchestrator.mirror.item_append import ItemAppend, NotAppended
from taskorch_orchestrator.mirror.item_sync import ItemSync, RetrySoon
from taskorch_orchestrator.mirror.pass_context import PassContext
from taskorch_orchestrator.mirror.purged_files import MISSING, PurgedFiles
from taskorch_orchestrator.mirror.sqlite_copy import SqliteCopy
from taskorch_orchestrator.mirror.sync_state import SyncedItem

BATCH = 50
#: The fact that `orchestration.db` lacks rows that could not be written.
INCOMPLETE_COPY = "db_behind"
#: The fact after which id a stopped pass left the rest to the next one.
STOPPED_AFTER = "stopped_after"


class SyncPass:
    """One pass over the files of a root, in which no other mirror writes."""

    def __init__(self, context: PassContext, copy: SqliteCopy) -> None:
        self._context = context
        self._queue = context.queue
        self._folder = context.folder
        self._state = context.state
        self._copy = copy
        self._changes = Changes(context)
        self._purged = PurgedFiles(context, copy)
        #: Item -> its files that were written into after they were replaced.
        self._replaced: Mapping[str, Sequence[ReplacedFile]] = {}
        #: The last id that was looked at.
        self._after = ""
        self._notices: dict[str, list[Notice]] = defaultdict(list)
        self.written = 0
        self.imported = 0
        #: Whether something must be looked at again soon.
        self.again = False
        #: Whether the pass stopped before everything was looked at.
        self.stopped = False
        #: How long it took to look through the files.
        self.scan_s = 0.0

    def sync(
        self, *, full: bool, scan: bool, may_go_on: Callable[[], bool]
    ) -> None:
        """Make the pass. `full` looks at everything; `scan` looks for changed files.

        `may_go_on` is called after each batch. Everything that is left when it returns
        False is for the next pass.
        """
        self.mark_changes(full=full, scan=scan)
        # if more changes than one pass can sync, those with low ids must not always be
        # first
        self._after = self._state.fact(STOPPED_AFTER)
        is_first_half = bool(self._after)
        while not self.stopped:
            if self.sync_batch():
                self.stopped = not may_go_on()
            elif is_first_half:
                self._after, is_first_half = "", False
            else:
                break
        self._state.set_fact(
            STOPPED_AFTER, self._after if self.stopped else ""
        )
        self.written += self._purged.removed

    def mark_changes(self, *, full: bool, scan: bool) -> None:
        """Mark what has changed in Redis and in the files since the last pass."""
        changes = self._changes
        self._folder.finish_append()
        changes.restore_notified(is_known_root=self._copy.exists())
        full |= changes.lack_items()
        if not full:
            full = self._folder.is_new or self._copy_needs_all_rows()
        has_all_events = changes.mark_events()
        if full or not has_all_events:
            changes.mark_everything()
        if full or scan:
            began = monotonic()
            changes.mark_files()
            self.scan_s = monotonic() - began
        self._replaced, self.again = changes.mark_replaced()
        changes.mark_torn()

    def sync_batch(self) -> bool:
        """Sync some of what is marked; return False if all of it was looked at."""
        ids = self._state.marked(self._after, BATCH)
        if not ids:
            return False
        self._after = ids[-1]
        item_ids = [id_ for id_ in ids if file_names.is_item(id_)]
        project_ids = [id_ for id_ in ids if not file_names.is_item(id_)]
        synced = {id_: self._state.synced(id_) for id_ in item_ids}
        records, damage = self._read_items(synced)
        with self._state.transaction():
            projects = self._write_contexts(project_ids)
            in_sync = self._sync_items(records, synced)
            missing = [id_ for id_ in item_ids if id_ not in records]
            found = {project.id for project in projects}
            not_removed = self._purged.remove(
                [id_ for id_ in missing if id_ not in damage],
                [id_ for id_ in project_ids if id_ not in found],
            )
            for id_ in missing:
                if id_ not in not_removed:
                    self._report_missing(id_, damage.get(id_))
            not_notified = self._notify_agents()
            self._fill_copy(projects, in_sync)
            not_synced = records.keys() - {each.item.id for each in in_sync}
            self._state.unmark(
                set(ids) - not_synced - not_notified - not_removed
            )
        return True

    def _copy_needs_all_rows(self) -> bool:
        """Return whether `orchestration.db` lacks rows and can be written now."""
        if self._copy.exists() and not self._state.fact(INCOMPLETE_COPY):
            return False
        try:
            self._copy.write((), ())
        except (OSError, sqlite3.Error):
            # An empty file may exist by now.
            self._state.set_fact(INCOMPLETE_COPY, "1")
            return False
        self._state.set_fact(INCOMPLETE_COPY, "")
        return True

    def _read_items(
        self, synced: Mapping[str, SyncedItem | None]
    ) -> tuple[dict[str, MirrorRecord], dict[str, str]]:
        """Return what is new of the items that Redis has, and why others are damaged."""
        after = {
            id_: known.cursor if known else None
            for id_, known in synced.items()
        }
        session = self._context.session
        records = self._queue.views.new_records(after, session=session)
        damage = {}
        for (kind, id_), reason in self._queue.damage.items():
            if kind == "item":
                damage[id_] = reason
        self._queue.damage.clear()
        return {record.item.id: record for record in records}, damage

    def _write_contexts(self, ids: Iterable[str]) -> list[Project]:
        """Write the context files of projects; return the projects that Redis has."""
        projects = []
        for id_ in ids:
            try:
                project = self._queue.views.progress(id_, limit=1).project
            except errors.NoProject:
                continue
            except errors.Damaged as error:
                self._state.add_trouble(id_, id_, str(error))
                continue
            self._write_context(project)
            self._state.forget_purge(project.id)
            projects.append(project)
        return projects

    def _write_context(self, project: Project) -> None:
        name = file_names.context(project.id)
        data = _context(project)
        file = self._folder.read(name)
        if file and file.data == data:
            signature = file.signature
        else:
            signature = self._folder.write(name, data)
            self.written += 1
        self._state.save_file(name, signature)

    def _sync_items(
        self,
        records: Mapping[str, MirrorRecord],
        synced: Mapping[str, SyncedItem | None],
    ) -> list[MirrorRecord]:
        """Sync the files of items; return the items whose files are in sync."""
        in_sync = []
        for id_, record in records.items():
            try:
                done = self._sync_item(record, synced[id_])
                in_sync.append(replace(done, reports=(), discoveries=()))
            except RetrySoon:
                self.again = True
            except OSError as error:
                file = error.filename or "One of its files"
                reason = error.strerror or error
                self._state.add_trouble(id_, id_, f"{file}: {reason}")
        return in_sync

    def _sync_item(
        self, record: MirrorRecord, synced: SyncedItem | None
    ) -> MirrorRecord:
        """Sync the files of an item; return the item as they have it.

        `record` has what is new since the pass that left `synced`.
        """
        self._state.clear_troubles(record.item.id)
        if record.item.id not in self._replaced:
            item_append = ItemAppend(self._context, record, synced)
            try:
                item_append.append()
            except NotAppended:
                pass
            else:
                return item_append.record
            finally:
                self.written += item_append.written
                self._add_notice(item_append.notice)
        is_whole = synced is None and not record.more
        return self._sync_whole(
            record if is_whole else self._whole(record.item.id)
        )

    def _whole(self, item: str) -> MirrorRecord:
        """Return the whole record of an item. Raises RetrySoon if it is gone by now."""
        session = self._context.session
        for record in self._queue.views.records([item], session=session):
            return record
        raise RetrySoon

    def _sync_whole(self, record: MirrorRecord) -> MirrorRecord:
        item_sync = ItemSync(self._context, record)
        try:
            return item_sync.sync(self._replaced.get(record.item.id, ()))
        finally:
            self.written += item_sync.written
            self.imported += item_sync.imported
            self._add_notice(item_sync.notice)

    def _add_notice(self, notice: Notice | None) -> None:
        if notice:
            self._notices[notice.agent].append(notice)

    def _report_missing(self, id_: str, damage: str | None) -> None:
        """Report an item that is missing in Redis or damaged; leave its files alone."""
        state, folder = self._state, self._folder
        state.clear_troubles(id_)
        state.forget_synced(id_)
        names = file_names.of_item(id_)
        has_files = any(folder.signature(name) for name in names)
        if damage:
            error = errors.Damaged(kind="item", id=id_, reason=damage)
            state.add_trouble(id_, id_, str(error))
        elif has_files:
            state.add_trouble(id_, id_, MISSING)
        for replaced in self._replaced.get(id_, ()):
            self._folder.remove_replaced(replaced)

    def _notify_agents(self) -> set[str]:
        """Notify agents of new handoffs; return the items for which that failed."""
        failed: set[str] = set()
        for agent, notices in self._notices.items():
            failed |= handoff_file.notify(self._context, agent, notices)
        self._notices.clear()
        return failed

    def _fill_copy(
        self, projects: Iterable[Project], records: Sequence[MirrorRecord]
    ) -> None:
        """Write to `orchestration.db`; if that fails, a later pass writes all rows."""
        name = sqlite_copy.NAME
        by_id = {project.id: project for project in projects}
        for record in records:
            by_id[record.project.id] = record.project
        items = [record.item for record in records]
        self._state.clear_troubles(name)
        try:
            self._copy.write(by_id.values(), items)
        except (OSError, sqlite3.Error) as error:
            reason = getattr(error, "strerror", None) or str(error)
            self._state.add_trouble(name, name, reason)
            self._state.set_fact(INCOMPLETE_COPY, "1")


def _context(project: Project) -> bytes:
    """Return the content of `{project}_context.yaml`."""
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
