"""`orchestrate purge`: completed projects are removed one by one, each in parts that take Redis some milliseconds."""

from collections.abc import Mapping, Sequence

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Project
from taskorch.queue.queue import Queue


class Purged(Frozen):
    """What went, or what would go."""

    projects: Sequence[Project]
    items: int
    #: Of Redis; 0 where nothing was removed.
    keys: int = 0
    #: Projects that stay, and why.
    kept: Mapping[str, str] = {}


def named(queue: Queue, ids: Sequence[str]) -> tuple[Project, ...]:
    """Return projects by their ids, each once; raises errors.WrongState where one is not completed."""
    found = tuple(
        queue.views.progress(id_, limit=1).project for id_ in dict.fromkeys(ids)
    )
    for project in found:
        if project.status != "completed":
            raise errors.WrongState(item=project.id, state=project.status, verb="purge")
    return found


def items_of(projects: Sequence[Project]) -> int:
    """Return how many items they have."""
    return sum(sum(project.counts.values()) for project in projects)


def remove(queue: Queue, projects: Sequence[Project]) -> Purged:
    """Remove projects, but for those that cannot go any more."""
    gone: list[Project] = []
    kept: dict[str, str] = {}
    items = keys = 0
    for project in projects:
        left = 1
        try:
            while left:
                left, some_items, some_keys = queue.purge(project.id)
                items, keys = items + some_items, keys + some_keys
            gone.append(project)
        except (errors.WrongState, errors.Awaited, errors.NoProject) as refusal:
            kept[project.id] = f"{refusal} {refusal.hint()}"
    return Purged(projects=gone, items=items, keys=keys, kept=kept)
