"""The reports of file-based workers on one item, on their way to Redis."""

from collections.abc import Collection, Iterable, Sequence
from time import time

from taskorch.domain import errors, limits
from taskorch.domain.item import Lease, Receipt, State
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror import redis_entries
from taskorch_orchestrator.mirror.file_entry import (
    INVALID,
    REPEAT,
    FileEntry,
    new_entries,
)
from taskorch_orchestrator.mirror.report_files import BLOCKED

#: States of an item that its agent has completed.
DELIVERED = (State.REVIEW, State.COMPLETED)
#: Time to wait for the rest of a torn file, or for the report that an update repeats.
WAIT_S = 10.0
#: What a completion becomes if it lacks evidence, which no file carries.
UNPROVED = "It is reported as complete: {summary}"
NEEDS_PROOF = (
    "{refusal} Check it, and answer; or complete it by commands: worker get {item} "
    "--takeover, and then worker complete {item}"
)
SUMMARY_CHARACTERS = 2000
#: Redis keeps this many reports of an item, as scripts/prelude/ states.
REPORTS_KEPT = 1000


class ReportImport:
    """The import of one item's reports."""

    def __init__(
        self, queue: Queue, session: str, record: MirrorRecord
    ) -> None:
        """Import reports of workers that hold their leases under `session`."""
        self._queue = queue
        self._session = session
        #: The item, including what was imported.
        self.record = record
        #: The entries that Redis has for each report file.
        self.known = redis_entries.entries(record)
        #: The number of reports that were imported.
        self.count = 0
        #: Keys of entries that a later pass must import, and of those that Redis
        #: refused.
        self.held_back: set[str] = set()
        self.refused: set[str] = set()
        #: Name of a report -> why it was not imported.
        self.troubles: dict[str, str] = {}

    def add(
        self,
        entries: Sequence[FileEntry],
        *,
        imported_before: Collection[str] = (),
        all_readable: bool = True,
    ) -> None:
        """Import the entries that Redis does not have.

        `imported_before` has the keys of entries that earlier passes imported. A
        completion is held back unless `all_readable`: a torn file may have reports that
        were made before it.
        """
        for entry in entries:
            if entry.verb == INVALID:
                self._not_imported(entry, entry.detail)
        known: list[FileEntry] = []
        for group in self.known.values():
            known += group
        originals = [*entries, *known]
        item = self.record.item.id
        lease = Lease(item=item)
        imported_before = imported_before or self._older_than_history(entries)
        for entry in self._new(entries, known, imported_before):
            if self._is_known_repeat(entry, originals):
                continue
            if self._must_wait(entry, all_readable=all_readable):
                self.held_back.add(entry.key)
            else:
                lease = self._report(entry, lease)
        if self.count:
            (self.record,) = self._queue.views.records(
                [item], session=self._session
            )
            self.known = redis_entries.entries(self.record)

    def _new(
        self,
        entries: Iterable[FileEntry],
        known: Iterable[FileEntry],
        imported_before: Collection[str],
    ) -> list[FileEntry]:
        """Return the reports that Redis does not have, by time, a completion last."""
        imported = set(imported_before)
        imported |= {report.request for report in self.record.reports}
        imported |= {found.request for found in self.record.discoveries}
        by_key = {}
        for entry in entries:
            if entry.verb != INVALID:
                by_key[entry.key] = entry
        found = list(new_entries(by_key.values(), known, imported))
        found.sort(key=lambda entry: entry.order)
        found.sort(key=lambda entry: entry.verb == "complete")
        return found

    def _older_than_history(self, entries: Iterable[FileEntry]) -> set[str]:
        """Return the keys of entries that are older than a trimmed history."""
        reports = self.record.reports
        if len(reports) < REPORTS_KEPT:
            return set()
        oldest = reports[0].at
        return {entry.key for entry in entries if entry.origin.at <= oldest}

    def _is_known_repeat(
        self, entry: FileEntry, originals: Iterable[FileEntry]
    ) -> bool:
        """Return whether an entry only repeats a known blocker or completion."""
        if entry.verb != REPEAT:
            return False
        if entry.text.startswith(BLOCKED):
            blockers = [
                each.text for each in originals if each.verb == "blocker"
            ]
            return entry.text.removeprefix(BLOCKED) in blockers
        verbs = {each.verb for each in originals}
        verbs |= {report.kind for report in self.record.reports}
        return "complete" in verbs

    def _must_wait(self, entry: FileEntry, *, all_readable: bool) -> bool:
        if entry.verb == "complete":
            return not all_readable
        if entry.verb == REPEAT:
            age_s = time() - entry.origin.at / 1000
            return abs(age_s) < WAIT_S
        return False

    def _report(self, entry: FileEntry, lease: Lease) -> Lease:
        """Report an entry to Redis; return the lease that the next report continues.

        A report of an agent that does not hold the item is only added to its history.
        """
        item = self.record.item
        try:
            agent = self._agent(entry)
            if entry.verb == "complete" and item.state in DELIVERED:
                agent.stray(item.id, entry.text)
            else:
                lease = self._step(agent, entry, lease)
        except (errors.NotYours, errors.Conflict, errors.WrongState):
            percent = entry.whole_percent
            self._agent(entry).stray(item.id, entry.text, percent=percent)
        except (errors.Invalid, errors.NotFound) as error:
            self.refused.add(entry.key)
            self._not_imported(entry, str(error))
            return lease
        self.count += 1
        return lease

    def _step(
        self, agent: AgentQueue, entry: FileEntry, lease: Lease
    ) -> Lease:
        """Take the step that an entry reports. The first one claims the item."""
        if not lease.token and self.record.item.agent == entry.agent:
            lease = self.record.lease
        text, detail = entry.text, entry.detail
        if entry.verb == REPEAT and text.startswith(BLOCKED):
            return agent.blocker(lease, text.removeprefix(BLOCKED)).lease
        match entry.verb:
            case "discover":
                return agent.discover(lease, text, impact=detail).lease
            case "blocker":
                return agent.blocker(lease, text, needs=detail).lease
            case "complete":
                return _complete(agent, entry, lease).lease
        return agent.progress(lease, text, percent=entry.whole_percent).lease

    def _agent(self, entry: FileEntry) -> AgentQueue:
        return self._queue.agent_queue(
            entry.agent, session=self._session, origin=entry.origin
        )

    def _not_imported(self, entry: FileEntry, why: str) -> None:
        when = "without a time"
        if entry.written_at:
            when = f"of {entry.written_at}"
        name = f"{self.record.item.id}, report {entry.key}"
        self.troubles[name] = f"The report {when} was not imported: {why}"


def _complete(agent: AgentQueue, entry: FileEntry, lease: Lease) -> Receipt:
    """Complete an item; if its acceptance checks are not proved, ask about it."""
    try:
        return agent.complete(
            lease, entry.text, deliverables=entry.deliverables
        )
    except (errors.Unchecked, errors.ChecksFailed) as refusal:
        summary = limits.shortened(entry.text, SUMMARY_CHARACTERS)
        question = UNPROVED.format(summary=summary)
        reason = " ".join((str(refusal), *refusal.rows()))
        needs = NEEDS_PROOF.format(refusal=reason, item=lease.item)
        return agent.blocker(lease, question, needs=needs)
