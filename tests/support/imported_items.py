"""The items that an import has created, and what they wait for, by their titles."""

from collections.abc import Mapping

from support.builders import Bench
from taskorch.domain.item import Item


def items(bench: Bench, project: str) -> dict[str, Item]:
    """Return the items of a project by title."""
    found = bench.queue.views.progress(project).items
    return {each.title: bench.queue.views.show(each.id).item for each in found}


def dependencies(found: Mapping[str, Item]) -> dict[str, set[str]]:
    """Return the titles of the dependencies of each item, by its title."""
    titles = {item.id: title for title, item in found.items()}
    return {
        title: {titles[each] for each in item.depends_on}
        for title, item in found.items()
    }
