"""The pages with the form of a new item, and with the form that edits one."""

from collections.abc import Mapping, Sequence
from typing import cast

from starlette.responses import Response
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import replace
from taskorch.domain.item import (
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    EditedItem,
    Item,
    Project,
)
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch_orchestrator.actions import PublishedItem

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board import item_checks, refusals
from taskorch_gateway.board.assignee import assignee_of
from taskorch_gateway.board.form_fields import (
    Field,
    FormField,
    digests,
    is_untouched,
    with_error,
)
from taskorch_gateway.board.forms import ActionQuestion, ActionReceipt, Form
from taskorch_gateway.board.item import ReadState
from taskorch_gateway.board.item_edit import (
    EDITABLE,
    ChangedSince,
    change_of,
    facts_of,
    fields_of,
    words_of,
)
from taskorch_gateway.board.item_ids import whole_ids
from taskorch_gateway.board.visit import Action, BoardPage, Visit, need_acting
from taskorch_gateway.client_queue import queue_of

EACH = "One per line; indent its further lines by 4 spaces"
#: What stands below a field of these forms.
HINTS: Mapping[str, str] = {
    "requirements": f"{EACH}.",
    item_checks.CRITERIA: f"In words. {EACH}.",
    item_checks.COMMANDS: "Such as make test. They run before the item can be completed, without a "
    f"shell. {EACH}.",
    item_checks.TIMEOUT: "Such as 30m.",
    item_checks.FILES: f"Paths in the folder of the work, such as src/app.py. {EACH}.",
    item_checks.DELIVERABLES: f"Their names. {EACH}.",
    item_checks.REVIEWER: "Who accepts the item after its completion. Empty for no review.",
    "deliverables": f"{EACH}.",
    "resources": f"{EACH}.",
    "context": f"NAME=VALUE, {EACH[0].lower()}{EACH[1:]}.",
    "labels": "Words, separated by spaces.",
    "depends_on": "Ids of items, separated by spaces. The first 4 digits are enough.",
    "lease": "Such as 30m or 4h, from the next claim on. Empty for no change.",
    "not_before": "A delay, such as 30m, or a time, such as 2026-03-12T12:00:00Z.",
    "assign": "The name of an agent, or pool: and the name of a pool. Empty for none yet.",
}
#: Those of a new item that differ.
HINTS_OF_NEW: Mapping[str, str] = {
    **HINTS,
    item_checks.TIMEOUT: "Such as 30m. Empty for 10m.",
    "lease": "Such as 30m. Empty for 4h.",
}
#: The fields of a new item that an edit does not have.
OF_NEW = (
    Field(name="assign", label="Agent or pool", kind="line", value=""),
    Field(name="not_before", label="Earliest start", kind="line", value=""),
)
#: What a new item begins with.
DEFAULTS: Mapping[str, str] = {
    "priority": str(DEFAULT_PRIORITY),
    "max_attempts": str(DEFAULT_MAX_ATTEMPTS),
}


class ReadItemForm(ToolArguments):
    """Read a project without its items."""

    name = "board_project_state"
    read_only = True
    project: str

    def perform(self, call: ToolCall) -> ToolResult:
        """Read the project. Raises errors.NoProject."""
        standing = queue_of(call).waits().standing(self.project)
        return ToolResult(standing.project)


class CreateItem(ToolArguments):
    """Create an item whose dependencies may be named by short ids."""

    name = "create"
    new: verbs.Create

    def perform(self, call: ToolCall) -> ToolResult:
        """Create the item."""
        depends_on = whole_ids(call, self.new.depends_on)
        return replace(self.new, depends_on=depends_on).perform(call)


async def show_edit(visit: Visit) -> Response:
    """Return the page with the form that edits an item. Raises errors.NotAllowed."""
    need_acting(visit.access)
    found = await _item(visit)
    return _edit_page(visit, found, _filled(fields_of(found)))


async def edit(visit: Visit, form: Form) -> ActionReceipt | ActionQuestion:
    """Change what a person has changed of an item.

    The script, which keeps the form, asks about fields that somebody else has changed.
    """
    found = await _item(visit)
    path = f"/items/{found.id}"
    try:
        change = change_of(found, form)
    except ChangedSince as changed:
        if not visit.is_script:
            raise
        title = f"Save {found.title} anyway?"
        return ActionQuestion(title=title, why=str(changed), yes="Save anyway")
    if change is None:
        return ActionReceipt(text="Nothing has changed.", next_path=path)
    done = cast("EditedItem", await visit.ask(change))
    fields = ", ".join(each.field for each in done.changes)
    text = f"Changed: {fields}." if fields else "Nothing has changed."
    return ActionReceipt(text=text, next_path=path)


async def edit_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Return the form with what was typed, and the other fields as they are now."""
    found = await _item(visit)
    fields = _filled(fields_of(found), form)
    return _edit_page(visit, found, fields, error)


async def show_new(visit: Visit) -> Response:
    """Return the page with the form of a new item. Raises errors.NotAllowed."""
    need_acting(visit.access)
    project = await _project(visit)
    return _new_page(
        visit, project, _filled(_fields_of_new(), hints=HINTS_OF_NEW)
    )


async def create(visit: Visit, form: Form) -> ActionReceipt:
    """Create an item in a project."""
    wanted = assignee_of(form.text("assign"))
    new = verbs.Create(
        project=visit.word("id"),
        title=form.text("title"),
        description=form.text("description"),
        requirements=form.values("requirements"),
        depends_on=words_of(form, "depends_on"),
        priority=form.number("priority"),
        lease=form.text("lease"),
        max_attempts=form.number("max_attempts"),
        not_before=form.text("not_before"),
        context=facts_of(form),
        resources=form.values("resources"),
        deliverables=form.values("deliverables"),
        accept=(
            *form.values(item_checks.CRITERIA),
            *item_checks.rules_of(form),
            *item_checks.review_of(form),
        ),
        labels=words_of(form, "labels"),
        assign=wanted.agent,
        pool=wanted.pool,
    )
    created = cast("PublishedItem", await visit.ask(CreateItem(new=new)))
    return ActionReceipt(
        text=f"Created {new.title}.", next_path=f"/items/{created.id}"
    )


async def new_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Return the form of a new item with what was typed."""
    project = await _project(visit)
    fields = _filled(_fields_of_new(), form, HINTS_OF_NEW)
    return _new_page(visit, project, fields, error)


def _edit_page(
    visit: Visit,
    found: Item,
    fields: Sequence[FormField],
    error: TaskOrchestratorError | None = None,
) -> Response:
    fields, other_error = with_error(fields, error)
    return visit.page(
        "item/edit.html",
        status=refusals.status_of(error) if error else 200,
        item=found,
        # what cannot be changed now is out of the way
        fields=sorted(
            (each for each in fields if each.typed or not each.field.closed),
            key=lambda each: bool(each.field.closed),
        ),
        opened=digests(fields_of(found)),
        error=other_error,
    )


def _new_page(
    visit: Visit,
    project: Project,
    fields: Sequence[FormField],
    error: TaskOrchestratorError | None = None,
) -> Response:
    fields, other_error = with_error(fields, error)
    return visit.page(
        "item/new.html",
        status=refusals.status_of(error) if error else 200,
        project=project,
        fields=fields,
        error=other_error,
    )


def _fields_of_new() -> Sequence[Field]:
    of_edit = (
        Field(
            name=name,
            label=each.label,
            kind=each.kind,
            value=DEFAULTS.get(name, ""),
        )
        for name, each in EDITABLE.items()
    )
    return (*of_edit, *OF_NEW)


def _filled(
    fields: Sequence[Field],
    form: Form | None = None,
    hints: Mapping[str, str] = HINTS,
) -> Sequence[FormField]:
    """Return fields with what was typed; the others with what they are."""
    return [
        FormField(
            field=field,
            typed=_typed(field, form),
            hint=hints.get(field.name, ""),
        )
        for field in fields
    ]


def _typed(field: Field, form: Form | None) -> str:
    if form is None or not form.has(field.name):
        return field.value
    if is_untouched(field.name, form):
        return field.value
    return form.text(field.name)


async def _item(visit: Visit) -> Item:
    """Return the item that a path names. Raises errors.NoItem."""
    return cast("Item", await visit.ask(ReadState(item=visit.word("id"))))


async def _project(visit: Visit) -> Project:
    """Return the project that a path names. Raises errors.NoProject."""
    read = ReadItemForm(project=visit.word("id"))
    return cast("Project", await visit.ask(read))


_TEXTS = {name: each.label for name, each in EDITABLE.items()}
PAGES = (
    BoardPage(path="/items/{id}/edit", show=show_edit, entry="items"),
    BoardPage(path="/projects/{id}/new-item", show=show_new, entry="projects"),
)
ACTIONS = (
    Action(
        path="/items/{id}/edit",
        act=edit,
        word="Save",
        texts=_TEXTS,
        again=edit_again,
    ),
    Action(
        path="/projects/{id}/new-item",
        act=create,
        word="Create the item",
        texts={**_TEXTS, **{each.name: each.label for each in OF_NEW}},
        again=new_again,
    ),
)
