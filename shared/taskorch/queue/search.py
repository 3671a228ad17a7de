"""Searches for items: the arguments of the script `list`, and the order of results."""

import json
from collections.abc import Iterable

from taskorch.domain import limits
from taskorch.domain.item import Item, ItemFilter, Order
from taskorch.queue.port import Argument

#: Maximum number of calls of one search.
MOST_CALLS = 2000
#: Maximum number of values of one kind in a filter, and of its texts.
MOST_VALUES, MOST_TEXTS = 100, 10


def arguments(wanted: ItemFilter) -> list[Argument]:
    """Return a filter as arguments, those before the cursor. Raises errors.Invalid."""
    for values in (wanted.agents, wanted.pools, wanted.labels):
        limits.number(len(values), "number of values", 0, MOST_VALUES)
    agents = [limits.name(name, "an agent") for name in wanted.agents]
    priorities = [
        limits.number(each, "priority", 0, 4) for each in wanted.priorities
    ]
    since_at = limits.number(wanted.since_at, "time", 0, limits.LARGEST)
    ago = limits.number(wanted.since_ago_ms, "age in ms", 0, limits.LONGEST_MS)
    until_ago = limits.number(
        wanted.until_ago_ms, "age in ms", 0, limits.LONGEST_MS
    )
    limits.number(len(wanted.texts), "number of texts", 0, MOST_TEXTS)
    texts = [limits.title(text, "text to search for") for text in wanted.texts]
    return [
        limits.project_id(wanted.project) if wanted.project else "",
        json.dumps(wanted.states),
        json.dumps(agents),
        json.dumps(priorities),
        json.dumps([limits.label(label) for label in wanted.labels]),
        json.dumps(texts),
        -ago or since_at,
        -until_ago,
        wanted.order or "",
        json.dumps([limits.pool_name(name) for name in wanted.pools]),
    ]


def first(items: Iterable[Item], order: Order, limit: int) -> list[Item]:
    """Return the first items in an order; equal ones stay in theirs."""
    match order:
        case Order.CREATED:
            ordered = sorted(items, key=lambda item: -item.created_at)
        case Order.CHANGED:
            ordered = sorted(items, key=lambda item: -item.changed_at)
        case Order.PRIORITY:
            ordered = sorted(items, key=lambda item: item.priority)
    return ordered[:limit]
