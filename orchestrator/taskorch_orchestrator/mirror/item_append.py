"""The sync of an item whose files only the mirror has written: it appends what is new.

A pass leaves the last report and the last discovery that it wrote, the end of each file,
and a digest of the handoff package. So the next pass reads only what is new in Redis.
"""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256

from taskorch.domain.frozen import replace
from taskorch.domain.item import Report
from taskorch.domain.mirror_record import MirrorRecord, RecordCursor

from taskorch_orchestrator.mirror import (
    file_names,
    handoff_file,
    handoff_package,
    redis_entries,
    report_files,
)
from taskorch_orchestrator.mirror.file_entry import FileEntry
from taskorch_orchestrator.mirror.file_names import (
    COMPLETION,
    DISCOVERIES,
    KINDS,
    PROGRESS,
)
from taskorch_orchestrator.mirror.file_times import moment_of
from taskorch_orchestrator.mirror.handoff_file import Notice, is_published
from taskorch_orchestrator.mirror.handoff_package import (
    MESSAGES,
    OF_THE_MOMENT,
)
from taskorch_orchestrator.mirror.pass_context import PassContext
from taskorch_orchestrator.mirror.sync_state import FileEnd, SyncedItem


class NotAppended(Exception):
    """The files must be read and written as a whole."""


class ItemAppend:
    """One pass over the files of one item that only the mirror has written."""

    def __init__(
        self,
        context: PassContext,
        record: MirrorRecord,
        synced: SyncedItem | None,
    ) -> None:
        """Append to the files that `synced` describes; None is an item without files.

        `record` has what is new since then.
        """
        synced = synced or _without_files(record)
        self._context = context
        self._folder, self._state = context.folder, context.state
        self._id = record.item.id
        self._synced = synced
        self._ends = dict(synced.files)
        #: Whether there are new messages, or any.
        self._is_message_new, self._has_messages = False, synced.has_messages
        #: The item, with the newest page of what is new.
        self.record = record
        #: The number of files that were written.
        self.written = 0
        #: The notice to the item's agent that is due when its handoff is written.
        self.notice: Notice | None = None

    def append(self) -> None:
        """Write what is new in Redis. Raises NotAppended if that is not possible."""
        self._check_files()
        self._append_page()
        if self.record.more:
            views, after = self._context.queue.views, self.record.cursor
            for page in views.record_pages(self._id, after=after):
                self.record = page
                self._append_page()
        if self.record.more:
            raise NotAppended
        package = self._write_handoff()
        self.notice = handoff_file.update_notice(self._context, self.record)
        self._state.save_synced(
            self._id,
            synced(
                self.record,
                package,
                self._ends,
                has_messages=self._has_messages,
            ),
        )

    def _check_files(self) -> None:
        """Check that all files are as the mirror left them."""
        for kind in KINDS:
            signature = self._folder.signature(
                file_names.report(self._id, kind)
            )
            end = self._ends.get(kind)
            if signature != (end.signature if end else None):
                raise NotAppended

    def _append_page(self) -> None:
        record = self.record
        if record.item.agent != self._synced.agent:
            raise NotAppended
        for report in record.reports:
            self._is_message_new |= report.kind in MESSAGES
        self._has_messages |= self._is_message_new
        entries = {
            kind: sorted(new, key=lambda entry: entry.order)
            for kind, new in redis_entries.entries(record).items()
        }
        # Nothing is written of a page that does not fit.
        for kind in (PROGRESS, DISCOVERIES):
            self._check_order(kind, entries[kind])
        new_completion = self._new_completion(entries[COMPLETION])
        for kind in (PROGRESS, DISCOVERIES):
            self._add(kind, entries[kind])
        self._add(COMPLETION, new_completion)

    def _check_order(self, kind: str, entries: Sequence[FileEntry]) -> None:
        """Check that entries belong at the end of their file, in their order."""
        end = self._ends.get(kind)
        last = (end.at, end.written_at) if end else (-1, "")
        for entry in entries:
            place = (moment_of(entry.written_at), entry.written_at)
            if place <= last or (end and not end.written_at):
                raise NotAppended
            last = place

    def _new_completion(
        self, entries: Sequence[FileEntry]
    ) -> Sequence[FileEntry]:
        """Return the completion to write; none if its file has it."""
        item = self.record.item
        if COMPLETION not in self._ends:
            if entries and self.record.more:
                raise NotAppended
            return entries
        if not entries or item.completed_at != self._synced.completed_at:
            raise NotAppended
        return []

    def _add(self, kind: str, entries: Sequence[FileEntry]) -> None:
        if not entries:
            return
        name, end = file_names.report(self._id, kind), self._ends.get(kind)
        if end:
            addition = report_files.addition(kind, entries)
            signature = self._folder.append(name, end.signature, addition)
        else:
            parts = report_files.parts(kind, self.record, {}, entries)
            signature = self._folder.replace(name, parts, None)
        if signature is None:
            raise NotAppended
        self.written += 1
        self._ends[kind] = file_end(kind, signature, entries)
        self._state.save_file(name, signature)
        self._state.add_keys(name, [entry.key for entry in entries])

    def _write_handoff(self) -> str:
        """Write the handoff if it has changed; return the digest of its package."""
        record, name = self.record, file_names.handoff(self._id)
        package = digest(record)
        is_same = package == self._synced.package and not self._is_message_new
        saved = self._state.signatures([name]).get(name)
        if (
            package
            and is_same
            and saved
            and saved == self._folder.signature(name)
        ):
            return package
        if package and self._has_messages:
            record = self._with_messages()
        if handoff_file.publish(self._context, record):
            self.written += 1
        return package

    def _with_messages(self) -> MirrorRecord:
        """Return the item with all of its messages, and no other reports."""
        messages: list[Report] = []
        for page in self._context.queue.views.record_pages(self._id):
            messages += [
                report for report in page.reports if report.kind in MESSAGES
            ]
        return replace(self.record, reports=tuple(messages))


def _without_files(record: MirrorRecord) -> SyncedItem:
    return SyncedItem(
        cursor=RecordCursor(),
        agent=record.item.agent,
        completed_at=0,
        package="",
        files={},
        has_messages=False,
    )


def file_end(
    kind: str, signature: str, entries: Sequence[FileEntry]
) -> FileEnd:
    """Return the end of a file with entries, in their order."""
    if kind == COMPLETION or not entries:
        return FileEnd(signature=signature)
    written_at = entries[-1].written_at
    return FileEnd(
        signature=signature, at=moment_of(written_at), written_at=written_at
    )


def synced(
    record: MirrorRecord,
    package: str,
    files: Mapping[str, FileEnd],
    *,
    has_messages: bool,
) -> SyncedItem:
    """Return what the files of an item have."""
    item = record.item
    return SyncedItem(
        cursor=record.cursor,
        agent=item.agent,
        completed_at=item.completed_at or 0,
        package=package,
        files=files,
        has_messages=has_messages,
    )


def digest(record: MirrorRecord) -> str:
    """Return a text that changes with the handoff package of an item; "" without one.

    It leaves out what is of the moment, and the messages, which are in its reports.
    """
    if not is_published(record.item):
        return ""
    package = handoff_package.of(replace(record, reports=()))
    for name in OF_THE_MOMENT:
        del package["x_sync"][name]
    text = json.dumps(package)
    return sha256(text.encode(), usedforsecurity=False).hexdigest()
