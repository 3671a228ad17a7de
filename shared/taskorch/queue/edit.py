"""Edits of items: the arguments of the script `edit`."""

from collections.abc import Sequence

from taskorch.domain import errors, limits
from taskorch.domain.acceptance import Check
from taskorch.domain.item import ItemEdit
from taskorch.queue.port import Argument


def arguments(items: Sequence[str], edit: ItemEdit) -> list[Argument]:
    """Return the same edit of 1 to 16 items as arguments. Raises errors.Invalid."""
    limits.sequence(items, "items")
    limits.batch_steps(len(items))
    _need_one_item_for_dependencies(items, edit)
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


def _need_one_item_for_dependencies(
    items: Sequence[str], edit: ItemEdit
) -> None:
    """Raise errors.Invalid for new dependencies of several items, or for too many."""
    if edit.add_dependencies and len(items) > 1:
        raise errors.Invalid(
            reason="Only an edit of one item adds dependencies."
        )
    count = len(limits.sequence(edit.add_dependencies, "add_dependencies"))
    most = limits.BATCH_DEPENDENCIES
    limits.number(count, "number of new dependencies", 0, most)


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
        "checks": None if edit.checks is None else _checks(edit.checks),
        "reviewer": limits.agent_name(edit.reviewer)
        if edit.reviewer
        else edit.reviewer,
    }


def _checks(checks: Sequence[Check]) -> str:
    # few edits change checks, and short commands begin sooner without their rules
    from taskorch.domain.acceptance_rules import stored

    return stored(checks)


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
        "depends_on+": _ids(edit.add_dependencies, "add_dependencies"),
        "depends_on-": _ids(edit.remove_dependencies, "remove_dependencies"),
    }


def _ids(items: Sequence[str], argument: str) -> str | None:
    ids = [limits.item_id(each) for each in limits.sequence(items, argument)]
    return limits.values(ids, "dependency", argument) if ids else None
