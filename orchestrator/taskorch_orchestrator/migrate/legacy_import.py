"""`orchestrate import`: takes over a folder of the predecessor, ids kept. A second time it changes nothing."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from hashlib import sha256
from pathlib import Path
from typing import ParamSpec

from taskorch.config import files
from taskorch.config.settings import Settings
from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import NewItem, State
from taskorch.domain.mirror_record import MirrorRecord, Origin
from taskorch.queue.queue import Queue

from taskorch_orchestrator.migrate.legacy_folder import LegacyFolder, LegacyNote
from taskorch_orchestrator.mirror import handoff_folder
from taskorch_orchestrator.mirror.file_models import (
    DEFAULT_DELIVERABLES,
    LegacyItem,
    LegacyPackage,
    LegacyProject,
    moment_of,
)
from taskorch_orchestrator.mirror.handoff_folder import HandoffFolder
from taskorch_orchestrator.mirror.item_sync import ItemSync, PassContext
from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.mirror.sync_state import forgetful

P = ParamSpec("P")
UNTITLED = "(untitled)"


class ImportResult(Frozen):
    """What an import brought, and what it could not bring."""

    projects: int = 0
    items: int = 0
    reports: int = 0
    notes: int = 0
    #: What the old database was kept as, where the sync job is going to write to it.
    set_aside: str = ""
    troubles: Mapping[str, str] = {}


def import_folder(
    place: Path, settings: Settings, queue: Queue, queue_of: Callable[[str], Queue]
) -> ImportResult:
    """Import the predecessor's folder at `place` into the root of the settings.

    `queue_of` gives the queue as an orchestrating agent of that name has it. Where the folder is the root's own, its
    database is set aside first. Raises errors.Usage for a folder that is none, errors.RootNotWritable.
    """
    old = LegacyFolder(place)
    session = Mirror(queue, settings.root).session()
    set_aside = old.set_aside() if old.is_at(settings.folder) else ""
    try:
        with handoff_folder.opened(settings.folder) as opened:
            brought = LegacyImport(queue, queue_of, old, opened, session).run()
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    return replace(brought, set_aside=set_aside)


class LegacyImport:
    """The import of one folder."""

    def __init__(
        self,
        queue: Queue,
        queue_of: Callable[[str], Queue],
        old: LegacyFolder,
        folder: HandoffFolder,
        session: str,
    ) -> None:
        """`queue_of` makes the queue for another orchestrator, and raises errors.Invalid for what is no name.

        `folder` is this root's own, `session` the one under which its file-based workers hold their claims.
        """
        self._queue = queue
        self._queue_of = queue_of
        self._folder = folder
        self._old = old
        self._session = session
        self._brought = Counter[str]()
        self._troubles = old.troubles

    def run(self) -> ImportResult:
        """Bring everything that Redis does not have yet."""
        packages, projects, items = (
            self._old.packages,
            self._old.projects(),
            self._old.items(),
        )
        for project in projects:
            self._try(project.project_id, self._project, project)
        for item in self._in_order(items):
            self._try(item.item_id, self._item, item, packages.get(item.item_id))
        for note in self._old.notes():
            self._try(f"{note.item}, a note of {note.agent}", self._note, note)
        for project in projects:
            if project.status == "completed":
                self._try(project.project_id, self._close, project.project_id)
        return replace(ImportResult(troubles=self._troubles), **self._brought)

    def _try(
        self, name: str, act: Callable[P, None], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """Do one thing; what Redis does not take is told at the end, and the rest goes on."""
        try:
            act(*args, **kwargs)
        except (
            errors.NotFound,
            errors.Invalid,
            errors.Conflict,
            errors.NotYours,
        ) as error:
            self._troubles[name] = str(error)

    def _in_order(self, items: Sequence[LegacyItem]) -> list[LegacyItem]:
        """Return the items, each after those it depends on; dependencies in a circle do not count."""
        known = {item.item_id: item for item in items}
        graph = {
            item.item_id: [id_ for id_ in item.dependencies or () if id_ in known]
            for item in items
        }
        while True:
            try:
                return [known[id_] for id_ in TopologicalSorter(graph).static_order()]
            except CycleError as error:
                circle = error.args[1]
                self._troubles[circle[0]] = (
                    f"it depends on itself by way of {', '.join(circle)}"
                )
                for id_ in circle:
                    graph[id_] = []
                    known[id_] = known[id_].model_copy(update={"dependencies": []})

    def _project(self, old: LegacyProject) -> None:
        try:
            self._queue.views.progress(old.project_id, limit=1)
        except errors.NoProject:
            title, description = _title(old.title, old.description)
            created_at = moment_of(old.created_at or "")
            queue = self._queue_for(old.orchestrator_id or "")
            queue.project(
                title, description=description, id=old.project_id, created_at=created_at
            )
            self._brought["projects"] += 1

    def _queue_for(self, orchestrator: str) -> Queue:
        """Return the queue for an orchestrator of the predecessor; the importer's own for what is no name."""
        try:
            return self._queue_of(orchestrator)
        except errors.Invalid:
            return self._queue

    def _item(self, old: LegacyItem, package: LegacyPackage | None) -> None:
        record = self._record(old.item_id)
        if record is None:
            self._queue.create(old.project_id, self._new(old, package))
            self._brought["items"] += 1
            record = self._record(old.item_id)
        if record is not None:
            self._reports(record)
            self._finish(old)

    def _new(self, old: LegacyItem, package: LegacyPackage | None) -> NewItem:
        title, description = _title(old.title, old.description)
        missing = [id_ for id_ in old.dependencies or () if self._record(id_) is None]
        if missing:
            self._troubles[old.item_id] = (
                f"it depended on {', '.join(missing)}, which is not there"
            )
        expected = (package and package.expected_deliverables) or ()
        return NewItem(
            id=old.item_id,
            title=title,
            description=description,
            requirements=tuple(old.requirements or ()),
            depends_on=tuple(
                id_ for id_ in old.dependencies or () if id_ not in missing
            ),
            agent=old.assigned_to or "",
            context={
                name: _text(value)
                for name, value in (
                    (package and package.provided_context) or {}
                ).items()
            },
            resources=_texts((package and package.provided_resources) or ()),
            deliverables_expected=()
            if expected == DEFAULT_DELIVERABLES
            else _texts(expected),
            created_at=moment_of(old.created_at or ""),
        )

    def _record(self, item: str) -> MirrorRecord | None:
        return next(
            iter(self._queue.views.records([item], session=self._session)), None
        )

    def _reports(self, record: MirrorRecord) -> None:
        """Bring an item's reports, as the sync job would."""
        with forgetful() as state:
            means = PassContext(
                queue=self._queue,
                folder=self._folder,
                state=state,
                session=self._session,
                bells={},
            )
            mirror = ItemSync(means, record)
            mirror.take_over(self._old.reports(record.item.id, record.item.agent))
            self._brought["reports"] += mirror.imported
            self._troubles |= state.troubles()

    def _finish(self, old: LegacyItem) -> None:
        """Let an item end that ended without a report of it."""
        record = self._record(old.item_id)
        written_at = old.completed_at or ""
        origin = Origin(
            request=_digits("end", old.item_id),
            written_at=written_at,
            at=moment_of(written_at),
        )
        if record is None or any(
            report.request == origin.request for report in record.reports
        ):
            return
        item, agent = (
            record.item,
            self._queue.agent(
                record.item.agent or "nobody", session=self._session, origin=origin
            ),
        )
        ended = item.state in (State.COMPLETED, State.CANCELLED, State.FAILED)
        if old.status == "completed" and not ended and not item.agent:
            self._troubles[item.id] = (
                "it was completed, but nobody had it: it is pending"
            )
        elif old.status == "completed" and not ended:
            summary, deliverables = _delivered(old.deliverables)
            agent.complete(record.lease, summary, deliverables=deliverables)
        elif (
            old.status == "cancelled"
            and not ended
            and not any(each.kind == "cancel" for each in record.reports)
        ):
            self._queue.cancel(item.id)

    def _note(self, note: LegacyNote) -> None:
        limits.name(note.agent, "an agent")
        origin = Origin(
            request=_digits("note", note.item, note.agent, note.written_at, note.text),
            written_at=note.written_at,
            at=moment_of(note.written_at),
        )
        agent = self._queue.agent(note.agent, session=self._session, origin=origin)
        there = {(each.written_at, each.text) for each in agent.notes(note.item)}
        if (note.written_at, note.text) not in there:
            agent.note(note.item, note.text)
            self._brought["notes"] += 1

    def _close(self, project: str) -> None:
        if self._queue.views.progress(project, limit=1).project.status != "completed":
            self._queue.complete_project(project)


def _title(title: str, description: str | None) -> tuple[str, str]:
    """Return a title and a description that Redis takes: what is too long for a title stands in the description."""
    title, description = title.strip() or UNTITLED, description or ""
    if len(title) <= limits.TITLE_CHARACTERS:
        return title, description
    return title[
        : limits.TITLE_CHARACTERS - 1
    ] + "…", f"{title}\n\n{description}".strip()


def _delivered(found: object) -> tuple[str, dict[str, str]]:
    """Return what the old database has as deliverables as a summary and deliverables: a plain text is a summary."""
    if isinstance(found, dict):
        return "", {str(name): _text(value) for name, value in found.items()}
    if isinstance(found, list):
        return "", {str(number): text for number, text in enumerate(_texts(found), 1)}
    return "" if found is None else _text(found), {}


def _texts(values: Iterable[object]) -> tuple[str, ...]:
    """Return values as texts, but for the blank ones."""
    return tuple(text for text in map(_text, values) if text.strip())


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _digits(*parts: str) -> str:
    return sha256(json.dumps(parts).encode(), usedforsecurity=False).hexdigest()[:16]
