"""Deletes completed projects one by one, in parts that take Redis milliseconds."""

from collections.abc import Mapping, Sequence

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Project
from taskorch.queue.queue import Queue


class Purged(Frozen):
    """The projects that were deleted, or would be, and what was deleted with them."""

    projects: Sequence[Project]
    items: int
    #: The number of keys in Redis; 0 if nothing was deleted.
    keys: int = 0
    #: Project -> why it was kept.
    kept: Mapping[str, str] = {}


def find_completed(queue: Queue, ids: Sequence[str]) -> tuple[Project, ...]:
    """Return projects by their ids, without duplicates.

    Raises errors.WrongState if one is not completed.
    """
    found = []
    for id_ in dict.fromkeys(ids):
        project = queue.views.progress(id_, limit=1).project
        if project.status != "completed":
            raise errors.WrongState(
                item=id_, state=project.status, verb="purge"
            )
        found.append(project)
    return tuple(found)


def count_items(projects: Sequence[Project]) -> int:
    """Return the number of items of the projects."""
    return sum(sum(project.counts.values()) for project in projects)


def delete(queue: Queue, projects: Sequence[Project]) -> Purged:
    """Delete projects, and keep those that cannot be deleted any more."""
    deleted: list[Project] = []
    kept: dict[str, str] = {}
    items = keys = 0
    for project in projects:
        try:
            queue.check_purge(project.id)
            left = 1
            while left:
                left, deleted_items, deleted_keys = queue.purge(project.id)
                items += deleted_items
                keys += deleted_keys
        except (
            errors.WrongState,
            errors.Awaited,
            errors.NoProject,
        ) as refusal:
            kept[project.id] = f"{refusal} {refusal.hint()}"
        else:
            deleted.append(project)
    return Purged(projects=deleted, items=items, keys=keys, kept=kept)
