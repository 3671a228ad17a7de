"""What can be edited of an item: its fields as people type them, and back.

A form has the digest of each field as it was when the form was opened. So an edit changes
what a person has changed, and nothing else; and it is refused if somebody else has
changed the same field since.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from taskorch.domain import errors, limits
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Item, State
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_orchestrator import actions

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board import item_checks
from taskorch_gateway.board.form_fields import (
    Field,
    digest,
    digests_of,
    of_field,
)
from taskorch_gateway.board.forms import Form, listed
from taskorch_gateway.board.item_ids import whole_ids
from taskorch_gateway.client_queue import queue_of

#: The longest part of a value that an error shows.
SHOWN_CHARACTERS = 200
#: While an agent holds an item, only these fields can change, and after its completion
#: only `OF_COMPLETED`.
OF_HELD = ("priority", "labels", "context")
OF_REVIEW = (*OF_HELD, item_checks.REVIEWER)
OF_COMPLETED = ("labels",)
HELD = (State.IN_PROGRESS, State.BLOCKED)

Changes = Mapping[str, object]


class ChangedSince(errors.Conflict):
    """What a form is about has changed since the form was opened."""

    message = "{what}"
    next_step = "To go on anyway, send the form again."


class Editable(Frozen):
    """What a form does with a field of an item."""

    label: str
    kind: str
    #: Returns the value as it is typed.
    shown: Callable[[Item], str]
    #: Returns the arguments of `edit` that make it what was typed. The last argument
    #: has the names of all fields that change.
    changes: Callable[[Item, Form, Collection[str]], Changes]
    #: Whether what `shown` returns can be typed, such as no blanks around a value.
    is_typed: Callable[[Item], bool]


class ChangeItem(ToolArguments):
    """Edit an item, all or nothing. Its result is an EditedItem."""

    name = "edit"
    edit: verbs.Edit
    #: Ids of items to wait for, too, whole or short.
    add: tuple[str, ...] = ()

    def perform(self, call: ToolCall) -> ToolResult:
        """Edit the item."""
        added = whole_ids(call, self.add)
        change = replace(self.edit.change(), add_dependencies=added)
        edited = actions.edit(
            queue_of(call), verbs.NO_HANDOFFS, self.edit.items, change
        )
        return ToolResult(edited.data)


def fields_of(item: Item) -> Sequence[Field]:
    """Return the fields of an item, as an edit form shows them."""
    return tuple(
        Field(
            name=name,
            label=each.label,
            kind=each.kind,
            value=each.shown(item),
            closed=_closed(item, name),
        )
        for name, each in EDITABLE.items()
    )


def change_of(item: Item, form: Form) -> ChangeItem | None:
    """Return what a form changes of an item, None for nothing.

    Raises ChangedSince if somebody else has changed the same fields, unless the form is
    confirmed, and errors.Usage for what is not valid.
    """
    opened = digests_of(form)
    wanted, conflicts = [], []
    for field in fields_of(item):
        now = digest(field.value)
        before = opened.get(field.name, now)
        typed = digest(form.text(field.name))
        # what is not touched, or is already as it was typed, needs no change
        if not form.has(field.name) or typed in (before, now):
            continue
        wanted.append(field.name)
        if before != now:
            conflicts.append(field)
    if conflicts and not form.is_confirmed:
        raise ChangedSince(what=_conflict(conflicts))
    return _change(item, form, wanted) if wanted else None


def facts_of(form: Form) -> dict[str, str]:
    """Return the typed facts, NAME=VALUE in each line. Raises errors.Usage."""
    facts = {}
    for line in form.values("context"):
        name, equals, value = line.partition("=")
        if not (name.strip() and equals):
            shown = limits.shortened(line)
            raise errors.Usage(
                reason=f"A fact is NAME=VALUE, which {shown!r} is not.",
                field="context",
            )
        facts[name.strip()] = value.strip()
    return facts


def words_of(form: Form, name: str) -> tuple[str, ...]:
    """Return the words of a field, between blanks or commas, each once."""
    return tuple(dict.fromkeys(form.text(name).replace(",", " ").split()))


def _change(item: Item, form: Form, wanted: Sequence[str]) -> ChangeItem:
    """Return the verb that changes some fields."""
    values: dict[str, Any] = {}
    for name in wanted:
        with of_field(name):
            values.update(EDITABLE[name].changes(item, form, wanted))
    added = values.pop("add", ())
    return ChangeItem(edit=verbs.Edit(items=(item.id,), **values), add=added)


def _closed(item: Item, name: str) -> str:
    """Return why a field cannot be changed by the form, or ""."""
    if not EDITABLE[name].is_typed(item):
        return "A value has characters that cannot be typed here. To change it: orchestrate edit"
    if item.state is State.COMPLETED and name not in OF_COMPLETED:
        return "The item is completed."
    if item.state is State.REVIEW and name not in OF_REVIEW:
        return "The item waits for its reviewer."
    if item.state in HELD and name not in OF_HELD:
        return "An agent holds the item."
    return ""


def _conflict(fields: Sequence[Field]) -> str:
    shown = []
    for each in fields:
        value = each.value[:SHOWN_CHARACTERS]
        now = f"“{value}”" if value else "empty"
        shown.append(f"{each.label} is now {now}")
    return f"Changed since this form was opened: {'; '.join(shown)}."


def _always(_: Item) -> bool:
    return True


def _line(
    label: str, name: str, shown: Callable[[Item], str], kind: str = "line"
) -> Editable:
    return Editable(
        label=label,
        kind=kind,
        shown=shown,
        changes=lambda _, form, __: {name: form.text(name)},
        is_typed=_always,
    )


def _number(
    label: str, name: str, shown: Callable[[Item], int], kind: str = "line"
) -> Editable:
    return Editable(
        label=label,
        kind=kind,
        shown=lambda item: str(shown(item)),
        changes=lambda _, form, __: {name: form.number(name)},
        is_typed=_always,
    )


def _list(
    label: str,
    name: str,
    values: Callable[[Item], tuple[str, ...]],
    changes: Callable[[Item, Form, Collection[str]], Changes] | None = None,
) -> Editable:
    def shown(item: Item) -> str:
        return listed(values(item))

    def is_typed(item: Item) -> bool:
        return Form([(name, shown(item))]).values(name) == values(item)

    return Editable(
        label=label,
        kind="list",
        shown=shown,
        changes=changes or (lambda _, form, __: {name: form.values(name)}),
        is_typed=is_typed,
    )


def _context(item: Item) -> str:
    return listed(f"{name}={value}" for name, value in item.context.items())


def _context_is_typed(item: Item) -> bool:
    try:
        return facts_of(Form([("context", _context(item))])) == item.context
    except errors.Usage:
        return False


def _context_changes(item: Item, form: Form, _: Collection[str]) -> Changes:
    typed = facts_of(form)
    changed = {
        name: value
        for name, value in typed.items()
        if item.context.get(name) != value
    }
    removed = tuple(name for name in item.context if name not in typed)
    return {"context": changed, "remove_context": removed}


def _label_changes(item: Item, form: Form, _: Collection[str]) -> Changes:
    typed = words_of(form, "labels")
    return {
        "label": tuple(each for each in typed if each not in item.labels),
        "unlabel": tuple(each for each in item.labels if each not in typed),
    }


def _dependency_changes(item: Item, form: Form, _: Collection[str]) -> Changes:
    """Return the ids to add, and those to remove."""
    typed = words_of(form, "depends_on")
    added = tuple(each for each in typed if each not in item.depends_on)
    removed = tuple(each for each in item.depends_on if each not in typed)
    changes: dict[str, object] = {"add": added} if added else {}
    return {**changes, "undepend": removed} if removed else changes


#: Name of a field in the form -> what it is. The names are those of the API.
EDITABLE: Mapping[str, Editable] = {
    "title": _line("Title", "title", lambda item: item.title),
    "description": _line(
        "Description",
        "description",
        lambda item: item.description,
        "text",
    ),
    "requirements": _list(
        "Requirements", "requirements", lambda item: item.requirements
    ),
    item_checks.CRITERIA: _list(
        "Acceptance criteria",
        item_checks.CRITERIA,
        lambda item: item.criteria,
        item_checks.changes,
    ),
    item_checks.COMMANDS: _list(
        "Commands that must succeed",
        item_checks.COMMANDS,
        item_checks.commands_of,
        item_checks.changes,
    ),
    item_checks.TIMEOUT: Editable(
        label="Time limit of each command",
        kind="line",
        shown=item_checks.timeout_of,
        changes=item_checks.changes,
        is_typed=lambda item: "," not in item_checks.timeout_of(item),
    ),
    item_checks.FILES: _list(
        "Files that must exist",
        item_checks.FILES,
        item_checks.files_of,
        item_checks.changes,
    ),
    item_checks.DELIVERABLES: _list(
        "Deliverables that must be delivered",
        item_checks.DELIVERABLES,
        item_checks.deliverables_of,
        item_checks.changes,
    ),
    item_checks.REVIEWER: Editable(
        label="Reviewer",
        kind="line",
        shown=lambda item: item.reviewer,
        changes=item_checks.changes,
        is_typed=_always,
    ),
    "deliverables": _list(
        "Expected deliverables",
        "deliverables",
        lambda item: item.deliverables_expected,
    ),
    "resources": _list(
        "Files and links", "resources", lambda item: item.resources
    ),
    "context": Editable(
        label="Facts",
        kind="list",
        shown=_context,
        changes=_context_changes,
        is_typed=_context_is_typed,
    ),
    "priority": _number(
        "Priority", "priority", lambda item: item.priority, "priority"
    ),
    "labels": Editable(
        label="Labels",
        kind="words",
        shown=lambda item: " ".join(item.labels),
        changes=_label_changes,
        is_typed=_always,
    ),
    "depends_on": Editable(
        label="Depends on",
        kind="words",
        shown=lambda item: " ".join(item.depends_on),
        changes=_dependency_changes,
        is_typed=_always,
    ),
    "max_attempts": _number(
        "Attempts", "max_attempts", lambda item: item.max_attempts
    ),
    "lease": _line("Lease", "lease", lambda _: ""),
}
