"""Plans: items that are created in one step, all or none.

Here are the arguments and the reply of the script `create`.
"""

import json
from collections.abc import Sequence
from typing import cast

from taskorch.domain import errors, hints, limits
from taskorch.domain.acceptance import Check
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    FieldChange,
    NewItem,
    State,
)
from taskorch.queue import keys, replies
from taskorch.queue.port import Argument, Reply
from taskorch.queue.scripts import random_digits

#: The states of items that are not completed, and that no agent works on again unless
#: they are requeued.
DEAD = (State.FAILED, State.CANCELLED)


class Plan(Frozen):
    """New items; each follows the items that it depends on."""

    items: tuple[NewItem, ...]
    #: The id of their project; None for a new one, which the other fields describe.
    project: str | None = None
    title: str = ""
    description: str = ""
    #: A second plan with the same key adds to the project of the first.
    key: str = ""
    #: Notes for the author of the plan.
    remarks: tuple[str, ...] = ()
    #: The document of the plan after its variables were filled; None without variables.
    filled: object = None


class CreatedItem(Frozen):
    """The result for one item of a plan."""

    _hidden = ("reopens",)
    #: Its key.
    name: str
    id: str
    state: State | None
    agent: str
    pool: str
    #: False if the item existed already.
    created: bool
    #: Its first failed or cancelled dependency and the state of that; "" if none.
    dead_dependency: str
    dead_state: str
    #: The earliest start of a new item in ms since the epoch; 0 if none was given.
    not_before_at: int = 0
    #: What an update has changed, or would change.
    changes: tuple[FieldChange, ...] = ()
    #: The differences from the plan that remain, because of the item's state; and its
    #: agent, which only an assignment changes.
    differences: tuple[FieldChange, ...] = ()
    #: Whether it existed already, in a project that is completed.
    reopens: bool = False

    @property
    def hint(self) -> str:
        """Why no agent will work on the item, or ""."""
        if not self.created and self.state in DEAD:
            requeue = hints.with_reopen(
                f"orchestrate requeue {self.id}", reopens=self.reopens
            )
            return (
                f"{self.id} has this key already and is {self.state}: nothing was "
                f"created. To have it done: {requeue}. To create another item, use "
                "another key."
            )
        if self.dead_dependency:
            return (
                f"{self.dead_dependency} is {self.dead_state}: the new item cannot "
                "start unless it is requeued."
            )
        return ""


class AppliedPlan(Frozen):
    """The result of a plan."""

    _hidden = ("new_agents", "other_agents", "pools_without_agents")
    project: str
    #: False if the project existed already.
    created: bool
    #: In the order of the plan.
    items: tuple[CreatedItem, ...]
    #: The agents of new items that the namespace did not know, each once.
    new_agents: tuple[str, ...] = ()
    #: The agents that were known then, the last callers first; () without a new one.
    other_agents: tuple[str, ...] = ()
    #: The pools of new items from which no agent takes items, each once.
    pools_without_agents: tuple[str, ...] = ()


def arguments(
    plan: Plan, *, dry_run: bool, updates: bool = False
) -> list[Argument]:
    """Return a plan as arguments of the script. Raises errors.Invalid."""
    if not plan.items:
        raise errors.Invalid(reason="The plan has no items.")
    if too_many := limits.batch_items(len(plan.items)):
        raise errors.Invalid(reason=f"The plan has {too_many}")
    for new in plan.items:
        if not isinstance(new, NewItem):
            raise errors.Invalid(
                reason=f"An item to create must be a NewItem, not {new!r}."
            )
    dependencies = sum(len(new.depends_on) for new in plan.items)
    limits.number(
        dependencies,
        "number of all dependencies",
        0,
        limits.BATCH_DEPENDENCIES,
    )
    project, title = random_digits(), ""
    if plan.project is None:
        title = limits.title(plan.title)
    else:
        project = limits.project_id(plan.project)
    words: list[Argument] = [
        project,
        title,
        limits.text(plan.description, "description"),
        limits.text(plan.key, "key"),
        "1" if dry_run else "",
        "1" if updates else "",
    ]
    for place, new in enumerate(plan.items):
        words += item_arguments(new, place)
    limits.batch_size(words)
    _refuse_twins([new.key for new in plan.items if new.key], "key")
    _refuse_twins([new.id for new in plan.items if new.id], "id")
    return words


def applied(plan: Plan, view: Reply) -> AppliedPlan:
    """Read the reply of `create`.

    It is `{project, '' or 'repeat', {created item …}, {new agent …}, {other agent …},
    {pool without agents …}}`. The items are in the order of the plan. A created item is
    `{id, state, agent, '' or 'repeat', dead dependency, its state, {change …}, {remaining
    difference …}, '1' for a repeat in a completed project or '', pool or ''}`.
    """
    project, remark, rows, new_agents, others, pools = cast(
        "tuple[str, str, list[list[str]], list[str], list[str], list[str]]",
        view,
    )
    items = []
    for new, row in zip(plan.items, rows, strict=True):
        id_, state, agent, item_remark, dead, dead_state = row[:6]
        changes, differences = map(replies.changes, row[6:8])
        if item_remark:
            differences += _other_owner(new, agent, row[9])
        created = CreatedItem(
            name=new.key,
            id=id_,
            state=State(state) if state else None,
            agent=agent,
            pool=row[9],
            created=not item_remark,
            dead_dependency=dead,
            dead_state=dead_state,
            not_before_at=0 if item_remark else new.not_before_at,
            changes=changes,
            differences=differences,
            reopens=bool(row[8]),
        )
        items.append(created)
    return AppliedPlan(
        project=project,
        created=not remark,
        items=tuple(items),
        new_agents=tuple(new_agents),
        other_agents=tuple(filter(limits.is_name, others)),
        pools_without_agents=tuple(pools),
    )


def _other_owner(
    new: NewItem, agent: str, pool: str
) -> tuple[FieldChange, ...]:
    """Return how an existing item differs in what only an assignment changes."""
    pairs = (("agent", agent, new.agent), ("pool", pool, new.pool))
    return tuple(
        FieldChange(field=field, before=before or "(none)", after=after)
        for field, before, after in pairs
        if after not in ("", before)
    )


def item_arguments(new: NewItem, place: int) -> list[Argument]:
    """Return an item as arguments of the script; `place` is its index in the plan."""
    fields: list[Argument] = []
    stored = stored_fields(new)
    limits.item_size(stored, new.key or new.title)
    for name, value in stored.items():
        if value != "":
            fields += (name, value)
    return [
        limits.item_id(new.id) if new.id else random_digits(),
        limits.text(new.key, "key"),
        _owner_of(new),
        limits.number(new.priority, "priority", 0, 4),
        limits.number(new.not_before_at, "time", 0, limits.LARGEST),
        limits.number(new.delay_ms, "delay in ms", 0, limits.LONGEST_MS),
        dependencies_of(new, place) if new.depends_on else "",
        len(fields),
        *fields,
    ]


def _owner_of(new: NewItem) -> str:
    """Return the agent or the pool of a new item.

    An imported item keeps the agent that it had. Raises errors.Invalid for both.
    """
    if new.agent and new.pool:
        raise errors.Invalid(
            reason=f"An item is assigned to an agent or to a pool, not to "
            f"{limits.shortened(new.agent)} and the pool "
            f"{limits.shortened(new.pool)}."
        )
    if new.pool:
        return keys.of_pool(limits.pool_name(new.pool))
    if not new.agent:
        return ""
    if new.id:
        return limits.name(new.agent, "an agent")
    return limits.agent_name(new.agent)


def dependencies_of(new: NewItem, place: int) -> str:
    """Return the dependencies as JSON: ids, and indexes of earlier items."""
    given = limits.sequence(new.depends_on, "depends_on")
    dependencies = list(dict.fromkeys(given))
    if len(dependencies) > limits.DEPENDENCIES:
        raise errors.Invalid(
            reason=f"An item has {len(dependencies)} dependencies; at most "
            f"{limits.DEPENDENCIES} are allowed."
        )
    for dependency in dependencies:
        if isinstance(dependency, str):
            limits.item_id(dependency)
        elif type(dependency) is not int or not 0 <= dependency < place:
            raise errors.Invalid(
                reason=f"Item {place} depends on item {dependency}, which is not "
                "before it."
            )
    return json.dumps(dependencies)


def stored_fields(new: NewItem) -> dict[str, Argument]:
    """Return the fields of the item's hash; one with the value "" is not stored."""
    lease_ms = limits.number(new.lease_ms, "lease in ms", 1, limits.LONGEST_MS)
    attempts = limits.number(new.max_attempts, "number of attempts", 1, 1000)
    created_at = limits.number(new.created_at, "time", 0, limits.LARGEST)
    return {
        "title": limits.title(new.title),
        "description": limits.text(new.description, "description"),
        "requirements": _listed(
            new.requirements, "requirement", "requirements"
        ),
        "context": limits.pairs(new.context, "context values", "context")
        if new.context
        else "",
        "resources": _listed(new.resources, "resource", "resources"),
        "deliverables_expected": _listed(
            new.deliverables_expected, "deliverable", "deliverables_expected"
        ),
        "criteria": _listed(new.criteria, "criterion", "criteria"),
        "checks": _checks(new.checks) if new.checks else "",
        "reviewer": limits.agent_name(new.reviewer) if new.reviewer else "",
        "lease_ms": "" if lease_ms == DEFAULT_LEASE_MS else lease_ms,
        "max_attempts": "" if attempts == DEFAULT_MAX_ATTEMPTS else attempts,
        "labels": "" if new.labels is None else limits.labels(new.labels),
        "traceparent": limits.traceparent(new.traceparent)
        if new.traceparent
        else "",
        "created_at": created_at or "",
        "task": new.task,
    }


def _listed(texts: Sequence[str], what: str, argument: str) -> str:
    return limits.values(texts, what, argument) if texts else ""


def _checks(checks: Sequence[Check]) -> str:
    # few items have checks, and short commands begin sooner without their rules
    from taskorch.domain.acceptance_rules import stored

    return stored(checks)


def _refuse_twins(names: Sequence[str], what: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise errors.Invalid(
                reason=f"Two items have the {what} {limits.shortened(name)!r}."
            )
        seen.add(name)
