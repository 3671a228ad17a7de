"""The files of a queue that is gone.

A Redis that was emptied or replaced leaves handoffs of items that no longer exist.
"""

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from time import gmtime, strftime

from taskorch.cli.text import counted
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror import file_names, sqlite_copy
from taskorch_orchestrator.mirror.changes import PROJECTS
from taskorch_orchestrator.mirror.file_names import (
    ITEM_ID,
    MIRRORED_FILE,
    PENDING_FILE,
)
from taskorch_orchestrator.mirror.handoff_folder import folder_opened
from taskorch_orchestrator.mirror.pass_context import PassContext

BATCH = 50


def set_files_aside(context: PassContext, home: Path, created: str) -> str:
    """Move the files of a gone queue away, so that no agent works on its items.

    `created` is the time in ms when the namespace was created. It differs if the queue
    is a new one with the same name. `home` is the folder .task-orchestrator. Files of
    items that the new queue has stay, as after an import. Return a sentence for the
    log; "" if no file was moved.
    """
    fact = f"created:{context.queue.namespace}"
    previous = context.state.fact(fact)
    if previous == created:
        return ""
    folder, moved = home / _folder_name(int(previous or 0)), 0
    if previous:
        moved = _move(context, home, folder)
    context.state.set_fact(fact, created)
    if not moved:
        return ""
    files = counted(
        moved,
        "file of the previous queue was",
        "files of the previous queue were",
    )
    return f"The queue is new: {files} moved to {folder}"


def _folder_name(created: int) -> str:
    return f"handoffs-{strftime('%Y%m%dT%H%M%SZ', gmtime(created / 1000))}"


def _move(context: PassContext, home: Path, folder: Path) -> int:
    """Move files whose owners the queue does not have; return their number."""
    handoffs = context.folder
    # File -> the ids of its items, or of its project.
    owners: dict[str, set[str]] = {}
    for name, _ in handoffs.names():
        if MIRRORED_FILE.fullmatch(name):
            owners[name] = {file_names.owner(name)}
        elif PENDING_FILE.fullmatch(name):
            owners[name] = set(handoffs.lines(name))
    existing = _existing(context.queue, owners.values())
    gone = {name for name, ids in owners.items() if not ids & existing}
    if not gone:
        return 0
    folder.mkdir(mode=0o700, exist_ok=True)
    with folder_opened(folder) as target:
        for name in gone:
            with suppress(FileNotFoundError):
                handoffs.move(name, target)
    for name in owners.keys() - gone:
        for id_ in owners[name] - existing:
            handoffs.drop_line(name, id_)
    with suppress(FileNotFoundError):
        (home / sqlite_copy.NAME).rename(folder / sqlite_copy.NAME)
    return len(gone)


def _existing(queue: Queue, owners: Iterable[set[str]]) -> set[str]:
    """Return all projects of the queue, and those of the items that it has."""
    existing = {project.id for project in queue.views.projects(limit=PROJECTS)}
    ids = set[str]().union(*owners)
    items = [id_ for id_ in ids if ITEM_ID.fullmatch(id_)]
    for start in range(0, len(items), BATCH):
        batch = items[start : start + BATCH]
        for record in queue.views.records(batch):
            existing.add(record.item.id)
    return existing
