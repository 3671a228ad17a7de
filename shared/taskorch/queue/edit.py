"""Edits of items: the arguments of the script `edit`."""

from collections.abc import Sequence

from taskorch.domain import acceptance_rules, limits
from taskorch.domain.item import ItemEdit
from taskorch.queue.port import Argument


def arguments(items: Sequence[str], edit: ItemEdit) -> list[Argument]:
    """Return the same edit of 1 to 20 items as arguments. Raises errors.Invalid."""
    limits.sequence(items, "items")
    limits.batch_steps(len(items))
    fields = {**_texts(edit), **_numbers(edit), **_parts(edit)}
    changed: list[Argument] = []
    for name, value in fields.items():
        if value is not None:
            changed += (name, value)
    limits.batch_size(changed, times=len(items))
    words: list[Argument] = [""]
    for item in items:
        words += (limits.item_id(item), len(changed), *changed)
    return words


def _texts(edit: ItemEdit) -> dict[str, Argument | None]:
    title, description = edit.title, edit.description
    return {
        "title": None if title is None else limits.title(title),
        "description": None
        if description is None
        else limits.text(description, "description"),
        "requirements": _listed(
            edit.requirements, "requirement", "requirements"
        ),
        "resources": _listed(edit.resources, "resource", "resources"),
        "deliverables_expected": _listed(
            edit.deliverables_expected, "deliverable", "deliverables_expected"
        ),
        "criteria": _listed(edit.criteria, "criterion", "criteria"),
        "checks": None
        if edit.checks is None
        else acceptance_rules.stored(edit.checks),
        "reviewer": limits.agent_name(edit.reviewer)
        if edit.reviewer
        else edit.reviewer,
    }


def _listed(
    texts: Sequence[str] | None, what: str, argument: str
) -> str | None:
    if texts is None:
        return None
    return limits.values(texts, what, argument) if texts else ""


def _numbers(edit: ItemEdit) -> dict[str, Argument | None]:
    bounds = {
        "priority": (edit.priority, "priority", 0, 4),
        "lease_ms": (edit.lease_ms, "lease in ms", 1, limits.LONGEST_MS),
        "max_attempts": (edit.max_attempts, "number of attempts", 1, 1000),
    }
    return {
        name: None
        if value is None
        else limits.number(value, what, least, most)
        for name, (value, what, least, most) in bounds.items()
    }


def _parts(edit: ItemEdit) -> dict[str, Argument | None]:
    """Return what is added to and removed from the context and the lists."""
    context = edit.context
    dependencies = [
        limits.item_id(each)
        for each in limits.sequence(
            edit.remove_dependencies, "remove_dependencies"
        )
    ]
    return {
        "context": "" if edit.clears_context else None,
        "context+": limits.pairs(context, "context values", "context")
        if context
        else None,
        "context-": limits.values(
            edit.remove_context, "context value", "remove_context"
        )
        if edit.remove_context
        else None,
        "labels": "" if edit.clears_labels else None,
        "labels+": limits.labels(edit.add_labels) if edit.add_labels else None,
        "labels-": limits.labels(edit.remove_labels)
        if edit.remove_labels
        else None,
        "depends_on-": limits.values(
            dependencies, "dependency", "remove_dependencies"
        )
        if dependencies
        else None,
    }
