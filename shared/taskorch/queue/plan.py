"""A plan: items that are created in one step, all or none; how the script `create` is given them, and what it says."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import cast

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import DEFAULT_LEASE_MS, DEFAULT_MAX_ATTEMPTS, NewItem, State
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import random_digits

#: States in which nobody works on an item again by itself, though it was not delivered.
DEAD = (State.FAILED, State.CANCELLED)


class Plan(Frozen):
    """New items, each after those of them that it depends on."""

    items: tuple[NewItem, ...]
    #: The id of the project that they belong to; None for a new one, with what follows.
    project: str | None = None
    title: str = ""
    description: str = ""
    #: A plan with the same key adds to the project of the first one.
    key: str = ""
    #: What its reader noticed, and its author should know.
    remarks: tuple[str, ...] = ()


class CreatedItem(Frozen):
    """What became of a new item."""

    #: Its key.
    name: str
    id: str
    state: State | None
    agent: str
    #: False for one that was there already.
    created: bool
    #: The first of its dependencies that is failed or cancelled, or "", and which of both.
    dead_dependency: str
    dead_state: str
    #: Where a new item has a time, and no delay: the time, in ms since the epoch.
    not_before_at: int = 0

    @property
    def hint(self) -> str:
        """Return why the item will not be worked on, or ""."""
        if not self.created and self.state in DEAD:
            again = f"To have it done: orchestrate requeue {self.id}. To create another item, use another key."
            return f"{self.id} has this key already and is {self.state}: nothing was created. {again}"
        dead = self.dead_dependency
        return (
            dead
            and f"{dead} is {self.dead_state}: the new item cannot start unless it is requeued."
        )


class AppliedPlan(Frozen):
    """What became of a plan, in the order of its items."""

    project: str
    #: False for a project that was there already.
    created: bool
    items: tuple[CreatedItem, ...]


def arguments(plan: Plan, *, dry_run: bool) -> list[Argument]:
    """Return a plan as the arguments of the script; raises errors.Invalid for a bound."""
    items = list(_items(plan.items))
    return [
        random_digits() if plan.project is None else limits.project_id(plan.project),
        limits.title(plan.title) if plan.project is None else "",
        limits.text(plan.description, "description"),
        limits.text(plan.key, "key"),
        "1" if dry_run else "",
        *items,
    ]


def applied(plan: Plan, view: Reply) -> AppliedPlan:
    """Read `{project, '' or 'repeat', {{item, state, agent, '' or 'repeat', dead dependency, its state} …}}`."""
    project, remark, rows = cast("tuple[str, str, list[list[str]]]", view)
    created = zip(plan.items, rows, strict=True)
    return AppliedPlan(
        project=project,
        created=not remark,
        items=tuple(_created(new, *row) for new, row in created),
    )


def _created(new: NewItem, *row: str) -> CreatedItem:
    id_, state, agent, remark, dead, dead_state = row
    return CreatedItem(
        name=new.key,
        id=id_,
        state=State(state) if state else None,
        agent=agent,
        created=not remark,
        dead_dependency=dead,
        dead_state=dead_state,
        not_before_at=0 if remark else new.not_before_at,
    )


def _items(items: Sequence[NewItem]) -> Iterator[Argument]:
    limits.number(len(items), "number of items", 1, limits.BATCH_ITEMS)
    limits.number(
        sum(len(new.depends_on) for new in items),
        "number of all dependencies",
        0,
        limits.BATCH_DEPENDENCIES,
    )
    size = 0
    for place, new in enumerate(items):
        words = _words(new, place)
        size += sum(map(len, map(str, words)))
        if size > limits.BATCH_CHARACTERS:
            raise errors.Invalid(
                reason=f"The items have more than {limits.BATCH_CHARACTERS} characters together."
            )
        yield from words
    _refuse_twins([new.key for new in items if new.key], "key")
    _refuse_twins([new.id for new in items if new.id], "id")


def _words(new: NewItem, place: int) -> list[Argument]:
    """Return an item as the script takes it."""
    fields = [
        word for field in _fields(new).items() if field[1] != "" for word in field
    ]
    return [
        limits.item_id(new.id) if new.id else random_digits(),
        limits.text(new.key, "key"),
        limits.name(new.agent, "an agent") if new.agent else "",
        limits.number(new.priority, "priority", 0, 4),
        limits.number(new.not_before_at, "time", 0, limits.LARGEST),
        limits.number(new.delay_ms, "delay in ms", 0, limits.LONGEST_MS),
        _dependencies(new, place),
        len(fields),
        *fields,
    ]


def _dependencies(new: NewItem, place: int) -> str:
    if not new.depends_on:
        return ""
    dependencies = list(dict.fromkeys(new.depends_on))
    if len(dependencies) > limits.DEPENDENCIES:
        raise errors.Invalid(
            reason=f"An item has {len(dependencies)} dependencies; {limits.DEPENDENCIES} are allowed."
        )
    for dependency in dependencies:
        if isinstance(dependency, str):
            limits.item_id(dependency)
        elif not 0 <= dependency < place:
            raise errors.Invalid(
                reason=f"Item {place} depends on item {dependency}, which does not come before it."
            )
    return json.dumps(dependencies)


def _fields(new: NewItem) -> dict[str, Argument]:
    """Return the item's own fields; an empty one is "" and takes no memory, as one that says what goes without it."""
    return {
        "title": limits.title(new.title),
        "description": limits.text(new.description, "description"),
        "requirements": limits.values(new.requirements, "requirement")
        if new.requirements
        else "",
        "context": limits.pairs(new.context, "context values") if new.context else "",
        "resources": limits.values(new.resources, "resource") if new.resources else "",
        "deliverables_expected": (
            limits.values(new.deliverables_expected, "deliverable")
            if new.deliverables_expected
            else ""
        ),
        "criteria": limits.values(new.criteria, "criterion") if new.criteria else "",
        "lease_ms": _unusual(
            limits.number(new.lease_ms, "lease in ms", 1, limits.LONGEST_MS),
            DEFAULT_LEASE_MS,
        ),
        "max_attempts": _unusual(
            limits.number(new.max_attempts, "number of attempts", 1, 1000),
            DEFAULT_MAX_ATTEMPTS,
        ),
        "created_at": limits.number(new.created_at, "time", 0, limits.LARGEST) or "",
    }


def _unusual(number: int, usual: int) -> Argument:
    return "" if number == usual else number


def _refuse_twins(names: Sequence[str], what: str) -> None:
    if len(set(names)) < len(names):
        twin = next(name for name, times in Counter(names).items() if times > 1)
        raise errors.Invalid(
            reason=f"Two of the items have the {what} {limits.shortened(twin)!r}."
        )
