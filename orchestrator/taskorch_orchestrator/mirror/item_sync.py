"""The sync of one item: reports go from the files to Redis, then from Redis to the files."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from time import time

from taskorch.domain.frozen import Frozen
from taskorch.domain.mirror_record import MirrorRecord

from taskorch_orchestrator.mirror import (
    file_names,
    handoff_file,
    item_append,
    report_files,
)
from taskorch_orchestrator.mirror.file_entry import FileEntry, union
from taskorch_orchestrator.mirror.file_names import (
    COMPLETION,
    KINDS,
    PROGRESS,
)
from taskorch_orchestrator.mirror.handoff_file import Notice
from taskorch_orchestrator.mirror.handoff_folder import File, ReplacedFile
from taskorch_orchestrator.mirror.handoff_package import MESSAGES
from taskorch_orchestrator.mirror.pass_context import PassContext
from taskorch_orchestrator.mirror.report_files import ReportFile, TornError
from taskorch_orchestrator.mirror.report_import import WAIT_S, ReportImport
from taskorch_orchestrator.mirror.sync_state import FileEnd
from taskorch_orchestrator.mirror.torn_json import Json

#: The owner of the troubles about copies of files.
COPIES = "kept"
_REMOVE = "This is a copy of the whole file: remove it when you have seen it."
#: The message for a copy from before the memory of the sync job was lost.
UNKNOWN_COPY = f"A report file was not valid, or was replaced. {_REMOVE}"


class RetrySoon(Exception):
    """A worker is writing at this moment: another pass must look at the item soon."""


class LateReports(Frozen):
    """The entries of a file that was replaced while a worker wrote into it."""

    file: ReplacedFile
    kind: str
    entries: tuple[FileEntry, ...]


class ItemSync:
    """One pass over the files of one item."""

    def __init__(self, context: PassContext, record: MirrorRecord) -> None:
        """Sync the files with a whole record."""
        self._context = context
        self._folder, self._state = context.folder, context.state
        self._id = record.item.id
        self._import = ReportImport(context.queue, context.session, record)
        #: Kind -> the end of the file that is written.
        self._ends: dict[str, FileEnd] = {}
        #: Whether the next pass can append to the files.
        self._can_append = True
        #: The number of files that were written.
        self.written = 0
        #: The notice to the item's agent that is due when its handoff is written.
        self.notice: Notice | None = None

    @property
    def imported(self) -> int:
        """The number of reports that were imported."""
        return self._import.count

    @property
    def record(self) -> MirrorRecord:
        """The item, including what was imported."""
        return self._import.record

    def sync(self, replaced: Iterable[ReplacedFile]) -> MirrorRecord:
        """Import the reports of the files, then write the files; return the item.

        `replaced` has the files of the item that workers have written into after they
        were replaced. Raises RetrySoon if another pass must look at the item soon, and
        OSError for a file that cannot be read or written.
        """
        self._state.forget_synced(self._id)
        files = self._read_files()
        reports = self._parse_files(files)
        late = [self._late_reports(each) for each in replaced]
        has_torn_file = len(reports) < len(files)

        self._import_reports(reports, late, all_readable=not has_torn_file)
        self._write_handoff()
        for kind, content in reports.items():
            self._write_report_file(kind, content, late, files[kind])
        for each in late:
            self._folder.remove_replaced(each.file)
        if has_torn_file or self._import.held_back:
            raise RetrySoon
        self._save_synced()
        return self.record

    def _save_synced(self) -> None:
        """Save what the files have, if the next pass can append to them."""
        if self._can_append and not self._import.refused:
            package = item_append.digest(self.record)
            kinds = {report.kind for report in self.record.reports}
            synced = item_append.synced(
                self.record,
                package,
                self._ends,
                has_messages=not kinds.isdisjoint(MESSAGES),
            )
            self._state.save_synced(self._id, synced)

    # Files to Redis

    def _saved_keys(self) -> set[str]:
        keys: set[str] = set()
        for kind in KINDS:
            name = file_names.report(self._id, kind)
            keys.update(self._state.keys(name))
        return keys

    def _read_files(self) -> dict[str, File | None]:
        """Return the three files as they were at one moment.

        Otherwise a report could be read without the one before it.
        """
        folder = self._folder
        names = {kind: file_names.report(self._id, kind) for kind in KINDS}
        for _ in range(3):
            files = {kind: folder.read(name) for kind, name in names.items()}
            if not any(files.values()):
                return files
            before = [file and file.signature for file in files.values()]
            after = [folder.signature(name) for name in names.values()]
            if before == after:
                return files
        raise RetrySoon

    def _parse_files(
        self, files: Mapping[str, File | None]
    ) -> dict[str, ReportFile]:
        """Return the content of the files, except those that may be whole soon."""
        reports = {}
        for kind, file in files.items():
            try:
                reports[kind] = (
                    self._parse(kind, file) if file else ReportFile()
                )
            except RetrySoon:
                continue
        return reports

    def _parse(self, kind: str, file: File, name: str = "") -> ReportFile:
        """Return the content of a file; of one that stays torn, the valid part.

        `name` is the present name of a replaced file. Raises RetrySoon for a torn file
        that may soon be whole.
        """
        usual_name = file_names.report(self._id, kind)
        name = name or usual_name
        try:
            content = report_files.read(kind, self._id, file.data)
        except TornError as error:
            torn_for_s = time() - self._state.torn_since(name, file.signature)
            if torn_for_s < WAIT_S:
                raise RetrySoon from None
            content = report_files.read_valid_part(
                kind,
                self._id,
                self.record.item.agent,
                file.data,
                int(time() * 1000),
            )
            imported = report_files.describe_import(content)
            why = f"{usual_name} is not valid ({error}). {imported}"
            self._keep_copy(usual_name, file, why)
        self._state.clear_torn(name)
        return content

    def _late_reports(self, replaced: ReplacedFile) -> LateReports:
        kind = file_names.kind(replaced.name)
        file = self._folder.read_replaced(replaced)
        content = ReportFile()
        if file:
            content = self._parse(kind, file, replaced.kept_name)
        return LateReports(file=replaced, kind=kind, entries=content.entries)

    def _import_reports(
        self,
        reports: Mapping[str, ReportFile],
        late: Iterable[LateReports],
        *,
        all_readable: bool,
    ) -> None:
        entries: list[FileEntry] = []
        for content in reports.values():
            entries += content.entries
        for each in late:
            entries += each.entries
        if not entries:
            return
        self._import.add(
            entries,
            imported_before=self._saved_keys(),
            all_readable=all_readable,
        )
        for name, message in self._import.troubles.items():
            self._state.add_trouble(self._id, name, message)

    # Redis to files

    def _write_handoff(self) -> None:
        if handoff_file.publish(self._context, self.record):
            self.written += 1
        self.notice = handoff_file.update_notice(self._context, self.record)

    def _write_report_file(
        self,
        kind: str,
        content: ReportFile,
        late: Iterable[LateReports],
        file: File | None,
    ) -> None:
        """Write a report file as the union of its entries, late ones, and those of Redis."""
        known = self._import.known[kind]
        if kind == COMPLETION:
            self._write_completion(content, known, file)
            return
        filed = list(content.entries)
        for each in late:
            if each.kind == kind:
                filed += each.entries
        header = self._header(content)
        if kind == PROGRESS and header:
            # Until the head names the item's agent, a report can change it.
            is_own = header.get("agent_id") == self.record.item.agent
            self._can_append &= is_own
        self._put(kind, header, union(filed, known), file)

    def _header(self, content: ReportFile) -> Mapping[str, Json]:
        """Return the head of a progress file.

        It names the first writer, until the item is assigned to another agent.
        """
        agent, header = self.record.item.agent, content.header
        _, notified = self._state.notified(self._id)
        holders = {notified}
        for report in self.record.reports:
            if report.kind != "stray":
                holders.add(report.agent)
        if agent and header.get("agent_id") in holders:
            return {**header, "agent_id": agent}
        return header

    def _write_completion(
        self,
        content: ReportFile,
        known: Sequence[FileEntry],
        file: File | None,
    ) -> None:
        """Write the completion that Redis has.

        Another completion of a worker is replaced, and a copy of it is kept.
        """
        entries = content.entries
        if any(self._is_not_imported(entry) for entry in entries):
            return
        is_known = any(_is_like(entry, known) for entry in entries)
        if is_known:
            self._put(COMPLETION, {}, entries, file)
            return
        if file:
            name = file_names.report(self._id, COMPLETION)
            self._keep_other_completion(name, file, content)
            if not known:
                self._folder.retire(name, file)
                self._state.forget_file(name)
                self.written += 1
        self._put(COMPLETION, {}, known, file)

    def _keep_other_completion(
        self, name: str, file: File, content: ReportFile
    ) -> None:
        """Keep a copy of a completion of a worker that is not the one of Redis.

        If the file was not valid, it has no entries here and a copy was kept before.
        """
        why = (
            f"{name} was replaced: {self._id} has another completion, or none. "
            "The summary of this one is in the history of the item."
        )
        for entry in content.entries:
            if not self._is_by_command(entry):
                self._keep_copy(name, file, why)

    def _is_by_command(self, completion: FileEntry) -> bool:
        """Return whether a command made a completion, before the item was requeued."""
        for report in self.record.reports:
            is_by_command = report.kind == "complete" and not report.written_at
            is_like = (report.agent, report.text) == (
                completion.agent,
                completion.text,
            )
            if is_by_command and is_like:
                return True
        return False

    def _put(
        self,
        kind: str,
        header: Mapping[str, Json],
        entries: Sequence[FileEntry],
        file: File | None,
    ) -> None:
        """Write a report file unless it has this content. A new file needs entries."""
        is_needed = file is not None and kind != COMPLETION
        if not entries and not is_needed:
            return
        name = file_names.report(self._id, kind)

        def parts() -> Iterator[bytes]:
            return report_files.parts(kind, self.record, header, entries)

        if file and file.has(parts()):
            signature: str | None = file.signature
        else:
            signature = self._folder.replace(name, parts(), file)
            self.written += 1
        if signature is None:
            raise RetrySoon
        self._ends[kind] = item_append.file_end(kind, signature, entries)
        self._state.forget_file(name)
        self._state.save_file(name, signature)
        if report_files.has_additions(kind, header, entries):
            self._state.save_additions(name)
        self._state.add_keys(
            name,
            [
                entry.key
                for entry in entries
                if not self._is_not_imported(entry)
            ],
        )

    def _is_not_imported(self, entry: FileEntry) -> bool:
        key = entry.key
        return key in self._import.held_back or key in self._import.refused

    def _keep_copy(self, name: str, file: File, why: str) -> None:
        """Keep a copy of a file, and report it until the user removes it."""
        copy = self._folder.keep_copy(name, file)
        message = f"{why} {_REMOVE}"
        self._state.save_copy(copy, message)
        self._state.add_trouble(COPIES, copy, message)


def _is_like(entry: FileEntry, known: Sequence[FileEntry]) -> bool:
    """Return whether Redis has the entry, or one that says the same."""
    requests = {each.request for each in known}
    likenesses = {each.likeness for each in known}
    return entry.key in requests or entry.likeness in likenesses
