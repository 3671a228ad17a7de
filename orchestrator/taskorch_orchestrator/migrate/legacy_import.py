"""The import of a folder of the file-based predecessor: `orchestrate import`.

All ids are kept, and a second import changes nothing.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from pathlib import Path

from taskorch.config import files
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import NewItem, State
from taskorch.domain.mirror_record import MirrorRecord, Origin
from taskorch.queue.queue import Queue

from taskorch_orchestrator.migrate.legacy_folder import (
    LegacyFolder,
    LegacyNote,
)
from taskorch_orchestrator.mirror.file_entry import FileEntry
from taskorch_orchestrator.mirror.file_models import (
    LegacyItem,
    LegacyPackage,
    LegacyProject,
)
from taskorch_orchestrator.mirror.file_times import moment_of
from taskorch_orchestrator.mirror.handoff_package import DEFAULT_DELIVERABLES
from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.mirror.report_import import ReportImport

UNTITLED = "(untitled)"
ENDED = (State.COMPLETED, State.CANCELLED, State.FAILED)


class ImportResult(Frozen):
    """The number of things that were imported, and what could not be."""

    projects: int = 0
    items: int = 0
    reports: int = 0
    notes: int = 0
    #: The name of the copy of the old database; "" if none was made.
    set_aside: str = ""
    #: Name of a file, a row or an item -> why it could not be imported.
    troubles: Mapping[str, str] = {}


def import_folder(
    place: Path,
    settings: Settings,
    queue: Queue,
    queue_of: Callable[[str], Queue],
) -> ImportResult:
    """Import the predecessor's folder at `place` into the root of the settings.

    `queue_of` returns the queue of another orchestrator. The database is copied first
    if the folder is the root's own. Raises errors.Usage if there is no such folder, and
    errors.RootNotWritable.
    """
    folder = LegacyFolder(place)
    session = Mirror(queue, settings.root).session()
    try:
        is_own = folder.is_at(settings.folder)
        set_aside = folder.keep_database() if is_own else ""
        result = LegacyImport(queue, queue_of, folder, session).add_all()
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    return replace(result, set_aside=set_aside)


class LegacyImport:
    """The import of one folder."""

    def __init__(
        self,
        queue: Queue,
        queue_of: Callable[[str], Queue],
        folder: LegacyFolder,
        session: str,
    ) -> None:
        """Import `folder` into `queue`.

        `queue_of` returns the queue of another orchestrator, and raises errors.Invalid
        for a name that is not valid. `session` is the one under which the file-based
        workers of this root hold their leases.
        """
        self._queue = queue
        self._queue_of = queue_of
        self._folder = folder
        self._session = session
        self._counts = Counter[str]()
        self._troubles = folder.troubles

    def add_all(self) -> ImportResult:
        """Import everything that Redis does not have yet."""
        projects, items = self._folder.projects(), self._folder.items()
        packages = self._folder.packages
        for project in projects:
            with self._refusal_as_trouble(project.project_id):
                self._add_project(project)
        for item in self._in_order(items):
            package = packages.get(item.item_id)
            with self._refusal_as_trouble(item.item_id):
                self._add_item(item, package)
        for note in self._folder.notes():
            with self._refusal_as_trouble(
                f"{note.item}, a note of {note.agent}"
            ):
                self._add_note(note)
        for project in projects:
            if project.status == "completed":
                with self._refusal_as_trouble(project.project_id):
                    self._complete_project(project.project_id)
        result = ImportResult(troubles=self._troubles)
        return replace(result, **self._counts)

    @contextmanager
    def _refusal_as_trouble(self, name: str) -> Iterator[None]:
        """Record it as a trouble of `name` if Redis refuses something, and continue."""
        try:
            yield
        except (
            errors.NotFound,
            errors.Invalid,
            errors.Conflict,
            errors.NotYours,
        ) as error:
            self._troubles[name] = str(error)

    def _in_order(self, items: Sequence[LegacyItem]) -> list[LegacyItem]:
        """Return the items, each after its dependencies. Circular ones are dropped."""
        by_id = {item.item_id: item for item in items}
        graph: dict[str, list[str]] = {}
        for item in items:
            dependencies = item.dependencies or []
            graph[item.item_id] = [id_ for id_ in dependencies if id_ in by_id]
        while True:
            try:
                return [
                    by_id[id_]
                    for id_ in TopologicalSorter(graph).static_order()
                ]
            except CycleError as error:
                circle = error.args[1]
            self._troubles[circle[0]] = (
                f"it depends on itself: {', '.join(circle)}"
            )
            no_dependencies: dict[str, list[str]] = {"dependencies": []}
            for id_ in circle:
                graph[id_] = []
                by_id[id_] = by_id[id_].model_copy(update=no_dependencies)

    def _add_project(self, old: LegacyProject) -> None:
        if self._has_project(old.project_id):
            return
        title, description = _title(old.title, old.description)
        try:
            queue = self._queue_of(old.orchestrator_id or "")
        except errors.Invalid:
            queue = self._queue
        queue.project(
            title,
            description=description,
            id=old.project_id,
            created_at=moment_of(old.created_at or ""),
        )
        self._counts["projects"] += 1

    def _has_project(self, id_: str) -> bool:
        try:
            self._queue.views.progress(id_, limit=1)
        except errors.NoProject:
            return False
        return True

    def _add_item(
        self, old: LegacyItem, package: LegacyPackage | None
    ) -> None:
        record = self._record(old.item_id)
        if record is None:
            self._queue.create(old.project_id, self._new_item(old, package))
            self._counts["items"] += 1
            record = self._record(old.item_id)
        if record is not None:
            self._add_reports(record)
            self._end_item(old)

    def _new_item(
        self, old: LegacyItem, package: LegacyPackage | None
    ) -> NewItem:
        title, description = _title(old.title, old.description)
        dependencies = old.dependencies or []
        missing = [id_ for id_ in dependencies if self._record(id_) is None]
        if missing:
            self._troubles[old.item_id] = (
                f"it depended on {', '.join(missing)}, which does not exist"
            )
        item = NewItem(
            id=old.item_id,
            title=title,
            description=description,
            requirements=tuple(old.requirements or ()),
            depends_on=tuple(
                id_ for id_ in dependencies if id_ not in missing
            ),
            agent=old.assigned_to or "",
            created_at=moment_of(old.created_at or ""),
        )
        if package is None:
            return item
        context = package.provided_context or {}
        deliverables = package.expected_deliverables or []
        if deliverables == DEFAULT_DELIVERABLES:
            deliverables = []
        return replace(
            item,
            context={name: _text(value) for name, value in context.items()},
            resources=_texts(package.provided_resources or ()),
            deliverables_expected=_texts(deliverables),
        )

    def _record(self, item: str) -> MirrorRecord | None:
        records = self._queue.views.records([item], session=self._session)
        return next(iter(records), None)

    def _add_reports(self, record: MirrorRecord) -> None:
        """Import the reports on an item, as the sync job does."""
        item = record.item
        contents = self._folder.reports(item.id, item.agent)
        entries: list[FileEntry] = []
        for content in contents.values():
            entries += content.entries
        reports = ReportImport(self._queue, self._session, record)
        reports.add(entries)
        self._counts["reports"] += reports.count
        self._troubles |= reports.troubles

    def _end_item(self, old: LegacyItem) -> None:
        """Complete or cancel an item that ended without a report of it."""
        record = self._record(old.item_id)
        if record is None or record.item.state in ENDED:
            return
        item = record.item
        origin = _origin(old.completed_at or "", "end", old.item_id)
        requests = {report.request for report in record.reports}
        if origin.request in requests:
            return
        if old.status == "completed":
            if not item.agent:
                self._troubles[item.id] = (
                    "it was completed but had no agent, so it is pending now"
                )
                return
            summary, deliverables = _delivered(old.deliverables)
            agent = self._queue.agent_queue(
                item.agent, session=self._session, origin=origin
            )
            agent.complete(record.lease, summary, deliverables=deliverables)
        elif old.status == "cancelled":
            kinds = {report.kind for report in record.reports}
            if "cancel" not in kinds:
                self._queue.cancel(item.id)

    def _add_note(self, note: LegacyNote) -> None:
        limits.name(note.agent, "an agent")
        origin = _origin(
            note.written_at,
            "note",
            note.item,
            note.agent,
            note.written_at,
            note.text,
        )
        agent = self._queue.agent_queue(
            note.agent, session=self._session, origin=origin
        )
        for existing in agent.notes(note.item):
            is_same_time = existing.written_at == note.written_at
            if is_same_time and existing.text == note.text:
                return
        agent.note(note.item, note.text)
        self._counts["notes"] += 1

    def _complete_project(self, id_: str) -> None:
        project = self._queue.views.progress(id_, limit=1).project
        if project.status != "completed":
            self._queue.complete_project(id_)


def _title(title: str, description: str | None) -> tuple[str, str]:
    """Return a title that is short enough, and a description that has a long one."""
    title, description = title.strip() or UNTITLED, description or ""
    if len(title) <= limits.TITLE_CHARACTERS:
        return title, description
    length = limits.TITLE_CHARACTERS - 1
    description = f"{title}\n\n{description}".strip()
    return f"{title[:length]}…", description


def _delivered(found: object) -> tuple[str, dict[str, str]]:
    """Return the deliverables of the old database as a summary and named deliverables.

    A plain text becomes the summary; the values of a list get numbers as names.
    """
    if found is None:
        return "", {}
    if isinstance(found, dict):
        named = {str(name): _text(value) for name, value in found.items()}
        return "", named
    if isinstance(found, list):
        texts = _texts(found)
        numbered = {str(number): text for number, text in enumerate(texts, 1)}
        return "", numbered
    return _text(found), {}


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return values as texts, without the blank ones."""
    texts = [_text(value) for value in values]
    return tuple(text for text in texts if text.strip())


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _origin(written_at: str, *parts: str) -> Origin:
    """Return the mark of what is imported: the same parts give the same request."""
    digest = sha256(
        json.dumps(parts).encode(), usedforsecurity=False
    ).hexdigest()
    return Origin(
        request=digest[:16], written_at=written_at, at=moment_of(written_at)
    )
