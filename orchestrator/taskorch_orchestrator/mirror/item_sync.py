"""One item's files, in both directions: what file-based workers wrote goes to Redis, what Redis has into the files."""

from collections.abc import Iterable, Mapping, Sequence
from time import time

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Lease, State
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror import report_files
from taskorch_orchestrator.mirror.file_models import HandoffPackage
from taskorch_orchestrator.mirror.handoff_folder import File, HandoffFolder
from taskorch_orchestrator.mirror.report_files import (
    BLOCKED,
    COMPLETION,
    KINDS,
    FileEntry,
    ReportFile,
    TornError,
)
from taskorch_orchestrator.mirror.sync_state import SyncState
from taskorch_orchestrator.mirror.torn_json import Json

#: A torn file, or an update that repeats a report which is not there, is waited for so long.
PATIENCE_S = 10.0
#: Who owns the troubles of copies that were kept of files, and what ends them.
KEPT, TO_REMOVE = (
    "kept",
    "This is a copy of the whole file: remove it when you have seen it.",
)
#: Of a copy that was kept before the memory of the sync job was lost.
UNKNOWN_COPY = f"A report file was not valid, or was replaced. {TO_REMOVE}"
OTHER = "has another completion, or none. The summary of this one is in the history of the item."
#: Redis keeps so many reports of an item, as scripts/prelude/ has it.
REPORTS_KEPT = 1000
#: In these states a file-based worker may see the item: it does not know of dependencies and delays.
PUBLISHED = (State.QUEUED, State.IN_PROGRESS, State.BLOCKED)


class RetrySoon(Exception):
    """Come back soon: somebody is writing at this moment."""


class PassContext(Frozen):
    """What a pass works with."""

    queue: Queue
    folder: HandoffFolder
    state: SyncState
    #: Under which the file-based workers of this root hold their claims.
    session: str
    #: Agent -> the items that its bell is to be rung for once their packages are there, and the assignments' numbers.
    bells: dict[str, list[tuple[str, int]]]


class ReplacedFile(Frozen):
    """A file that was replaced while a worker wrote into it."""

    kept: str
    kind: str


class ItemSync:
    """One pass over the files of one item."""

    def __init__(self, means: PassContext, record: MirrorRecord) -> None:
        self._means = means
        self._record = record
        self._known = report_files.from_redis(record)
        self._id = record.item.id
        #: The agent whose bell was rung before.
        self._previous = ""
        #: The keys of entries that are not for Redis yet, and of those that it does not take.
        self._waiting: set[str] = set()
        self._refused: set[str] = set()
        self.written = 0
        self.imported = 0

    def reconcile(self, replaced: Iterable[ReplacedFile]) -> MirrorRecord:
        """Bring reports of the files to Redis, and write the files as Redis has it; return the item as it is then.

        Raises RetrySoon when some of it must be done again soon, and OSError for a file that cannot be read or written.
        """
        self._means.state.no_troubles(self._id)
        files = self._snapshot()
        contents, torn = self._contents(files)
        late = {each: tuple(self._late(each)) for each in replaced}
        self._bring(
            contents,
            [entry for entries in late.values() for entry in entries],
            complete=not torn,
        )
        self._write_handoff()
        for kind in KINDS:
            if kind in contents:
                found = [
                    entry
                    for each, entries in late.items()
                    if each.kind == kind
                    for entry in entries
                ]
                self._write_reports(kind, contents[kind], found, files[kind])
        for each in late:
            self._means.folder.forget_replaced(each.kept)
        if torn or self._waiting:
            raise RetrySoon
        return self._record

    def take_over(self, contents: Mapping[str, ReportFile]) -> None:
        """Bring the reports of files that are not kept here; nothing is written."""
        self._bring(contents, (), complete=True)

    # In ----------------------------------------------------------------------------------------------------------

    def _snapshot(self) -> dict[str, File | None]:
        """Return the three files as they were at one moment, so that no report is read without the one before it."""
        folder = self._means.folder
        for _ in range(3):
            files = {kind: folder.read(self._name(kind)) for kind in KINDS}
            if not any(files.values()):
                return files
            now = {kind: folder.signature(self._name(kind)) for kind in KINDS}
            if all(
                now[kind] == (file.signature if file else None)
                for kind, file in files.items()
            ):
                return files
        raise RetrySoon

    def _contents(
        self, files: Mapping[str, File | None]
    ) -> tuple[dict[str, ReportFile], bool]:
        """Return what stands in the files that are not torn, and whether one is that may be whole soon."""
        contents, torn = {}, False
        for kind, file in files.items():
            try:
                contents[kind] = self._content(kind, file) if file else ReportFile()
            except RetrySoon:
                torn = True
        return contents, torn

    def _content(self, kind: str, file: File, known_as: str = "") -> ReportFile:
        """Return what stands in a file; `known_as` says what it is called now where it was replaced."""
        name, state = self._name(kind), self._means.state
        try:
            content = report_files.read(kind, self._id, file.data)
        except TornError as error:
            if time() - state.torn_since(known_as or name, file.signature) < PATIENCE_S:
                raise RetrySoon from None
            content = report_files.salvaged(
                kind, self._id, self._record.item.agent, file.data, _now_ms()
            )
            self._keep_copy(
                name,
                file,
                f"{name} is not valid ({error}). {report_files.outcome(content)}",
            )
        state.whole(known_as or name)
        return content

    def _keep_copy(self, name: str, file: File, why: str) -> None:
        """Keep a copy of a file, and say why until somebody removes it."""
        copy = self._means.folder.keep_aside(name, file)
        self._means.state.copied(copy, f"{why} {TO_REMOVE}")
        self._means.state.trouble(KEPT, copy, f"{why} {TO_REMOVE}")

    def _late(self, replaced: ReplacedFile) -> Iterable[FileEntry]:
        """Return what a worker wrote into a file that had been replaced."""
        file = self._means.folder.read_replaced(replaced.kept)
        return self._content(replaced.kind, file, replaced.kept).entries if file else ()

    def _bring(
        self,
        contents: Mapping[str, ReportFile],
        late: Iterable[FileEntry],
        *,
        complete: bool,
    ) -> None:
        """Report to Redis what only the files have; some of it must wait for the rest.

        A completion waits while a file is torn: what was reported before it comes first.
        """
        filed = [
            *(entry for content in contents.values() for entry in content.entries),
            *late,
        ]
        if not filed:
            return
        known = [entry for entries in self._known.values() for entry in entries]
        for odd in (entry for entry in filed if entry.verb == "odd"):
            self._trouble(odd, odd.more)
        lease = Lease(item=self._id)
        for entry in sorted(
            self._news(filed, known),
            key=lambda entry: (entry.verb == "complete", entry.order),
        ):
            if entry.verb == "odd" or (
                entry.verb == "echo" and self._is_repeated(entry, [*filed, *known])
            ):
                continue
            if (entry.verb == "echo" and _is_fresh(entry)) or (
                entry.verb == "complete" and not complete
            ):
                self._waiting.add(entry.key)
            else:
                lease = self._report(entry, lease)
        if self.imported:
            self._record = self._means.queue.views.records(
                [self._id], session=self._means.session
            )[0]
            self._known = report_files.from_redis(self._record)

    def _news(
        self, filed: Iterable[FileEntry], known: Iterable[FileEntry]
    ) -> list[FileEntry]:
        """Return what Redis has not been told, each once."""
        seen = {report.request for report in self._record.reports}
        seen |= {found.request for found in self._record.discoveries}
        remembered = {
            key for kind in KINDS for key in self._means.state.keys(self._name(kind))
        }
        seen |= remembered or self._trimmed(filed)
        return list(
            report_files.unknown(
                {entry.key: entry for entry in filed}.values(), known, seen
            )
        )

    def _trimmed(self, filed: Iterable[FileEntry]) -> set[str]:
        """Return the keys of entries that are older than what Redis still has of a long history."""
        if len(self._record.reports) < REPORTS_KEPT:
            return set()
        return {
            entry.key
            for entry in filed
            if entry.origin.at <= self._record.reports[0].at
        }

    def _is_repeated(self, echo: FileEntry, entries: Iterable[FileEntry]) -> bool:
        """Return whether the report that an update repeats is known, or comes with it."""
        if echo.text.startswith(BLOCKED):
            return any(
                entry.verb == "blocker" and echo.text == BLOCKED + entry.text
                for entry in entries
            )
        delivered = any(report.kind == "complete" for report in self._record.reports)
        return delivered or any(entry.verb == "complete" for entry in entries)

    def _report(self, entry: FileEntry, lease: Lease) -> Lease:
        """Make a report of a file-based worker; one that does not hold the item is only kept in the history."""
        again = entry.verb == "complete" and self._record.item.state is State.COMPLETED
        try:
            if again:
                self._agent(entry).stray(self._id, entry.text)
            else:
                lease = self._step(entry, lease)
        except (errors.NotYours, errors.Conflict, errors.WrongState):
            self._agent(entry).stray(self._id, entry.text, percent=entry.done)
        except (errors.Invalid, errors.NotFound) as error:
            self._refused.add(entry.key)
            self._trouble(entry, str(error))
            return lease
        self.imported += 1
        return lease

    def _step(self, entry: FileEntry, lease: Lease) -> Lease:
        agent, lease = (
            self._agent(entry),
            lease if lease.token else self._lease(entry.agent),
        )
        match entry.verb:
            case "discover":
                return agent.discover(lease, entry.text, impact=entry.more).lease
            case "blocker":
                return agent.blocker(lease, entry.text, needs=entry.more).lease
            case "echo" if entry.text.startswith(BLOCKED):
                return agent.blocker(lease, entry.text.removeprefix(BLOCKED)).lease
            case "complete":
                return agent.complete(
                    lease, entry.text, deliverables=entry.deliverables
                ).lease
        return agent.progress(lease, entry.text, percent=entry.done).lease

    def _agent(self, entry: FileEntry) -> AgentQueue:
        return self._means.queue.agent(
            entry.agent, session=self._means.session, origin=entry.origin
        )

    def _lease(self, agent: str) -> Lease:
        """Return the lease that the file-based workers of this root hold on the item, if it is this agent's."""
        mine = self._record.item.agent == agent
        return self._record.lease if mine else Lease(item=self._id)

    def _trouble(self, entry: FileEntry, why: str) -> None:
        name = f"{self._id}, report {entry.key}"
        self._means.state.trouble(
            self._id, name, f"A report {_dated(entry)} was not taken over: {why}"
        )

    # Out ---------------------------------------------------------------------------------------------------------

    def _write_handoff(self) -> None:
        """Publish the package of an item that is ready, and take it away from everybody else."""
        item, state, folder = self._record.item, self._means.state, self._means.folder
        name, (rung, previous) = f"{self._id}_handoff.json", state.rung(self._id)
        self._previous = previous
        if item.state in PUBLISHED:
            data = (
                HandoffPackage.of(self._record)
                .model_dump_json(indent=2, ensure_ascii=True)
                .encode()
            )
            there = folder.read(name)
            if there and there.data == data:
                state.saw(name, there.signature)
            else:
                state.saw(name, folder.write(name, data))
                self.written += 1
        elif folder.remove(name):
            state.lost(name)
            self.written += 1
        withdrawn = previous and (previous != item.agent or item.state not in PUBLISHED)
        if withdrawn and folder.drop_line(bell(previous), self._id):
            state.ring(self._id, 0, previous)  # nobody has heard it
        if item.state in PUBLISHED and rung != self._record.sequence:
            self._means.bells.setdefault(item.agent, []).append(
                (self._id, self._record.sequence)
            )

    def _write_reports(
        self,
        kind: str,
        content: ReportFile,
        late: Iterable[FileEntry],
        file: File | None,
    ) -> None:
        """Write one of the files as the union of what stands in it, what came late, and what Redis has."""
        known = self._known[kind]
        if kind == COMPLETION:
            self._write_completion(content, known, file)
            return
        entries = report_files.union([*content.entries, *late], known)
        if entries or file:
            self._put(
                kind,
                report_files.written(
                    kind, self._record, self._header(content), entries
                ),
                entries,
                file,
            )

    def _write_completion(
        self, content: ReportFile, known: Sequence[FileEntry], file: File | None
    ) -> None:
        """Write the completion that Redis has, and no other: what a worker wrote instead is kept beside it."""
        name, ours = self._name(COMPLETION), [entry.match for entry in known]
        if any(entry.key in self._waiting | self._refused for entry in content.entries):
            return
        if file and not [
            entry
            for entry in content.entries
            if entry.match in ours or _made(entry, known)
        ]:
            self._keep_other(name, file, content)
            if not known:
                self._means.folder.retire(name, file)
                self._means.state.lost(name)
                self.written += 1
                return
            content = ReportFile()
        entries = [*content.entries, *known][:1]
        if entries:
            self._put(
                COMPLETION,
                report_files.written(COMPLETION, self._record, {}, entries),
                entries,
                file,
            )

    def _keep_other(self, name: str, file: File, content: ReportFile) -> None:
        """Keep a copy of a completion that is not the one that Redis has, where Redis does not have all of it."""
        for (
            entry
        ) in content.entries:  # of a file that was not valid there is a copy already
            if not self._is_of_a_command(entry):
                self._keep_copy(name, file, f"{name} was replaced: {self._id} {OTHER}")

    def _is_of_a_command(self, completion: FileEntry) -> bool:
        """Return whether a command delivered this, before the item was requeued."""
        deliveries = [
            report
            for report in self._record.reports
            if report.kind == "complete" and not report.written_at
        ]
        return any(
            (each.agent, each.text) == (completion.agent, completion.text)
            for each in deliveries
        )

    def _header(self, content: ReportFile) -> Mapping[str, Json]:
        """Return the head of a progress file: it names its first writer, until the item goes to another agent."""
        former = {
            self._previous,
            *(
                report.agent
                for report in self._record.reports
                if report.kind != "stray"
            ),
        }
        if self._record.item.agent and content.header.get("agent_id") in former:
            return {**content.header, "agent_id": self._record.item.agent}
        return content.header

    def _put(
        self, kind: str, data: bytes, entries: Sequence[FileEntry], file: File | None
    ) -> None:
        name = self._name(kind)
        if file and file.data == data:
            signature: str | None = file.signature
        else:
            signature = self._means.folder.replace(name, data, file)
            self.written += 1
        if signature is None:
            raise RetrySoon
        self._means.state.saw(
            name,
            signature,
            [
                entry.key
                for entry in entries
                if entry.key not in self._waiting | self._refused
            ],
        )

    def _name(self, kind: str) -> str:
        return report_files.name(self._id, kind)


def bell(agent: str) -> str:
    """Return the name of the file that tells an agent of new items."""
    return f"pending_{agent}.txt"


def _now_ms() -> int:
    return int(time() * 1000)


def _dated(entry: FileEntry) -> str:
    return f"of {entry.written_at}" if entry.written_at else "without a time"


def _is_fresh(entry: FileEntry) -> bool:
    return abs(_now_ms() - entry.origin.at) < PATIENCE_S * 1000


def _made(entry: FileEntry, known: Iterable[FileEntry]) -> bool:
    return any(entry.key == each.request for each in known)
