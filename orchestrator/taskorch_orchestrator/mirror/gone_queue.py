"""Files of a queue that is gone: a Redis that was emptied or replaced leaves packages of items that no longer exist."""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import gmtime, strftime

from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror.handoff_folder import folder_opened
from taskorch_orchestrator.mirror.item_sync import PassContext
from taskorch_orchestrator.mirror.sqlite_copy import NAME
from taskorch_orchestrator.mirror.sync_pass import MIRRORED_FILE, PROJECTS, owner

BATCH = 50
ITEM = re.compile(r"item_[0-9a-z]{1,32}")
BELL = re.compile(r"pending_.+\.txt")


def set_aside(means: PassContext, home: Path, created: str) -> str:
    """Move files of another queue out of `handoffs/`, so that no file-based agent takes work that does not exist.

    `created` tells the namespace from one of the same name before it; `home` is the folder .task-orchestrator. Files of
    items that the new queue knows stay, as after an import. Return what was done in a sentence, "" for nothing.
    """
    fact = f"created:{means.queue.namespace}"
    before = means.state.fact(fact)
    if before == created:
        return ""
    moved, folder = (
        0,
        home
        / f"handoffs-{strftime('%Y%m%dT%H%M%SZ', gmtime(int(before or 0) / 1000))}",
    )
    if before:
        moved = _move(means, home, folder)
    means.state.learn(fact, created)
    return (
        f"The queue is a new one: {moved} files of the one before it were moved to {folder}"
        if moved
        else ""
    )


def _move(means: PassContext, home: Path, folder: Path) -> int:
    names = [name for name, _ in means.folder.names()]
    ids = {owner(name) for name in names if MIRRORED_FILE.fullmatch(name)}
    rung = {name: means.folder.lines(name) for name in names if BELL.fullmatch(name)}
    known = _known(means.queue, ids | {id_ for lines in rung.values() for id_ in lines})
    gone = [
        name
        for name in names
        if MIRRORED_FILE.fullmatch(name) and owner(name) not in known
    ]
    gone += [name for name, lines in rung.items() if not known.intersection(lines)]
    if not gone:
        return 0
    folder.mkdir(mode=0o700, exist_ok=True)
    with folder_opened(folder) as into:
        for name in gone:
            with suppress(FileNotFoundError):
                means.folder.move(name, into)
    for name, lines in rung.items():
        for id_ in set(lines) - known if name not in gone else ():
            means.folder.drop_line(name, id_)
    with suppress(FileNotFoundError):
        (home / NAME).rename(folder / NAME)
    return len(gone)


def _known(queue: Queue, ids: Iterable[str]) -> set[str]:
    """Return those of the ids that the queue has."""
    projects = {project.id for project in queue.views.projects(limit=PROJECTS)}
    items = [id_ for id_ in ids if ITEM.fullmatch(id_)]
    return projects | {
        record.item.id
        for batch in _batches(items)
        for record in queue.views.records(batch)
    }


def _batches(ids: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(ids)
    while batch := list(islice(rest, BATCH)):
        yield batch
