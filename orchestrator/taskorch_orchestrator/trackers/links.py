"""What each item of a file waits for, and an order in which they can be created.

An item waits for what it names, and for what its parents name. A parent waits for its
parts. A link that would close a circle is left out if it only follows from a parent.
"""

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter

from taskorch.domain import limits

from taskorch_orchestrator.trackers.found import (
    FoundFile,
    FoundItem,
    FoundProject,
    FoundState,
    wrong,
)

#: Names of a circular dependency in its message.
CYCLE_SHOWN = 6


def waits_of(project: FoundProject, file: FoundFile) -> dict[str, list[str]]:
    """Return what each open item waits for, in an order in which they can be created.

    Work that is done or cancelled is waited for by none. Raises errors.Invalid for a
    circular dependency.
    """
    graph = {
        item.key: list(_named(item, project.items, file))
        for item in project.items.values()
        if item.state is FoundState.OPEN
    }
    _need_order(graph)
    for one, other in _of_parents(graph, project.items):
        if other in graph[one] or other == one:
            continue
        if _reaches(graph, other, one):
            file.left_out["links that would close a circle"] += 1
        else:
            graph[one].append(other)
    for key, waits in graph.items():
        if len(waits) > limits.DEPENDENCIES:
            file.left_out["links beyond the first 1000 of an item"] += 1
            graph[key] = waits[: limits.DEPENDENCIES]
    return {key: graph[key] for key in _in_order(graph)}


def _named(
    item: FoundItem, items: Mapping[str, FoundItem], file: FoundFile
) -> Iterator[str]:
    """Yield the open items that an item names, each once."""
    for key in dict.fromkeys(item.depends_on):
        if key not in items:
            file.left_out["links to what is not in the file"] += 1
        elif key == item.key:
            file.left_out["links that would close a circle"] += 1
        elif items[key].state is FoundState.OPEN:
            yield key


def _of_parents(
    graph: Mapping[str, list[str]], items: Mapping[str, FoundItem]
) -> Iterable[tuple[str, str]]:
    """Return the links that follow from parents: who waits, and for what."""
    found = []
    for key in graph:
        parent, seen = items[key].parent, {key}
        if parent in graph and parent != key:
            found.append((parent, key))
        while parent in graph and parent not in seen:
            found += [(key, each) for each in graph[parent]]
            seen.add(parent)
            parent = items[parent].parent
    return found


def _reaches(graph: Mapping[str, list[str]], start: str, goal: str) -> bool:
    """Return whether an item waits for another one, directly or not."""
    seen, open_ = {start}, [start]
    while open_:
        key = open_.pop()
        if key == goal:
            return True
        new = [each for each in graph[key] if each not in seen]
        seen.update(new)
        open_ += new
    return False


def _need_order(graph: Mapping[str, list[str]]) -> None:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        names = [limits.shortened(each) for each in error.args[1][::-1]]
        if len(names) > CYCLE_SHOWN:
            names = [*names[: CYCLE_SHOWN - 1], "…", names[-1]]
        chain = " needs ".join(names)
        raise wrong(
            "The file", f"has a circular dependency: {chain}"
        ) from None


def _in_order(graph: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield the items: what an item waits for first, else in the order of the file."""
    done: set[str] = set()
    for key in graph:
        path = [key]
        while path:
            waits = [each for each in graph[path[-1]] if each not in done]
            if waits:
                path.append(waits[0])
            elif (last := path.pop()) not in done:
                done.add(last)
                yield last
