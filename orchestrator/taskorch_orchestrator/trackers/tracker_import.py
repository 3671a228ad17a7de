"""The import of another tracker's file: its open items, in batches that can be resumed.

Each item has a key. After an interruption, the same command creates what is missing.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import NewItem, State
from taskorch.queue.plan import Plan, item_arguments
from taskorch.queue.queue import Queue

from taskorch_orchestrator.trackers import formats
from taskorch_orchestrator.trackers.formats import Format
from taskorch_orchestrator.trackers.found import (
    FoundFile,
    FoundItem,
    FoundProject,
    FoundState,
)
from taskorch_orchestrator.trackers.links import waits_of

#: Maximum number of open items of a file.
MOST_ITEMS = 10_000
#: Dependencies that an item is created with; the others are added by `depend`.
CREATED_WITH = limits.BATCH_DEPENDENCIES
#: A batch with more bytes of text ends; each item may have 1 MiB.
BATCH_BYTES = 200 * 1024


class ImportedProject(Frozen):
    """A project that an import has created or completed."""

    #: "" in a dry run.
    id: str
    title: str
    #: The number of new items, and of those that existed already.
    created: int
    existing: int


class ImportedFile(Frozen):
    """The result of an import."""

    format: Format
    projects: tuple[ImportedProject, ...]
    #: The number of items that were left out because they are done or cancelled.
    done: int
    cancelled: int
    #: What has no place in an item -> the number of items.
    left_out: dict[str, int]
    remarks: tuple[str, ...]


class Destination(Frozen):
    """Where the items go."""

    #: The title of a new project, unless the file has a name for it.
    title: str
    #: Whether the title replaces the name that the file has.
    is_titled: bool = False
    #: The id of an existing project instead, or "".
    project: str = ""


def import_file(
    file: BinaryIO,
    queue: Queue,
    destination: Destination,
    *,
    wanted: Format | None = None,
    dry_run: bool = False,
) -> ImportedFile:
    """Create the open items of a file. Raises errors.Invalid before it writes anything.

    Items that an earlier import of the file has created stay as they are.
    """
    kind, found = formats.read(file, destination.title, wanted)
    if destination.is_titled and len(found.projects) == 1:
        found.projects[0].title = destination.title
    graphs = [waits_of(project, found) for project in found.projects]
    open_items = sum(map(len, graphs))
    if open_items > MOST_ITEMS:
        raise errors.Invalid(
            reason=f"The file has {open_items} open items; at most {MOST_ITEMS} are "
            "imported. Nothing was written."
        )
    runs = [
        (_ProjectImport(queue, kind, project, destination), graph)
        for project, graph in zip(found.projects, graphs, strict=True)
        if graph
    ]
    for run, graph in runs:
        run.check(graph)
    imported = [
        run.dry(graph) if dry_run else run.create(graph) for run, graph in runs
    ]
    states = Counter(
        item.state for each in found.projects for item in each.items.values()
    )
    return _result(kind, found, states, imported)


def _result(
    kind: Format,
    found: FoundFile,
    states: Counter[FoundState],
    imported: Sequence[ImportedProject],
) -> ImportedFile:
    return ImportedFile(
        format=kind,
        projects=tuple(imported),
        done=states[FoundState.DONE],
        cancelled=states[FoundState.CANCELLED],
        left_out=dict(found.left_out.most_common()),
        remarks=tuple(found.remarks),
    )


class _ProjectImport:
    """Creates the items of one project, batch by batch."""

    def __init__(
        self,
        queue: Queue,
        kind: Format,
        found: FoundProject,
        destination: Destination,
    ) -> None:
        self._queue = queue
        self._found = found
        self._project = destination.project
        self._title = limits.title(found.title)
        self._key = f"import {kind} {self._title}"
        #: Key of a created item -> its id.
        self._ids: dict[str, str] = {}
        self._new = 0

    def check(self, graph: dict[str, list[str]]) -> None:
        """Raise errors.Invalid for an item that the queue would refuse."""
        for key in graph:
            item_arguments(_new_item(self._found.items[key], ()), 0)

    def dry(self, graph: dict[str, list[str]]) -> ImportedProject:
        """Return what would be created, at most."""
        return ImportedProject(
            id=self._project,
            title=self._title,
            created=len(graph),
            existing=0,
        )

    def create(self, graph: dict[str, list[str]]) -> ImportedProject:
        """Create the items of a graph in its order."""
        for batch in self._batches(graph):
            self._apply(batch, graph)
        return ImportedProject(
            id=self._project,
            title=self._title,
            created=self._new,
            existing=len(graph) - self._new,
        )

    def _batches(self, graph: dict[str, list[str]]) -> Iterator[list[str]]:
        """Yield keys of items that one step creates."""
        batch: list[str] = []
        size = links = 0
        for key, waits in graph.items():
            item = self._found.items[key]
            more = min(len(waits), CREATED_WITH)
            is_full = len(batch) == limits.BATCH_ITEMS
            is_linked = links + more > limits.BATCH_DEPENDENCIES
            if batch and (is_full or is_linked or size > BATCH_BYTES):
                yield batch
                batch, size, links = [], 0, 0
            batch.append(key)
            size += _size(item)
            links += more
        yield batch

    def _apply(self, batch: list[str], graph: dict[str, list[str]]) -> None:
        places = {key: place for place, key in enumerate(batch)}
        items = []
        for key in batch:
            waits = [
                places[each] if each in places else self._ids[each]
                for each in graph[key][:CREATED_WITH]
            ]
            items.append(_new_item(self._found.items[key], waits))
        if self._project:
            plan = Plan(items=tuple(items), project=self._project)
        else:
            plan = Plan(items=tuple(items), title=self._title, key=self._key)
        applied = self._queue.apply(plan)
        self._project = applied.project
        for key, made in zip(batch, applied.items, strict=True):
            self._ids[key] = made.id
            self._new += made.created
            if made.state in (State.PENDING, State.WAITING):
                self._depend(key, graph[key][CREATED_WITH:])

    def _depend(self, key: str, rest: list[str]) -> None:
        """Add the dependencies that an item could not be created with."""
        step = limits.BATCH_DEPENDENCIES
        for first in range(0, len(rest), step):
            ids = [self._ids[each] for each in rest[first : first + step]]
            self._queue.depend(self._ids[key], ids)


def _size(item: FoundItem) -> int:
    return len(item.description) + sum(map(len, item.criteria))


def _new_item(item: FoundItem, waits: Sequence[str | int]) -> NewItem:
    return NewItem(
        key=item.key,
        title=item.title,
        description=item.description,
        criteria=item.criteria,
        labels=item.labels or None,
        priority=item.priority,
        context=item.context,
        resources=item.resources,
        depends_on=tuple(waits),
    )
