"""The page that creates projects: from a plan, or empty ones.

A plan is the text of a file for `orchestrate apply`. It is checked first, by a dry run
that shows what it would create or where its mistakes are, and then applied.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain.errors import TaskOrchestratorError
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import NewItem, State
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue.plan import AppliedPlan, CreatedItem, Plan
from taskorch_orchestrator import actions
from taskorch_orchestrator.actions import CreatedProject

from taskorch_gateway.api import orchestrator_verbs as verbs
from taskorch_gateway.board import (
    graph,
    plan_variables,
    project_graph,
    refusals,
)
from taskorch_gateway.board.form_fields import FormField, digests
from taskorch_gateway.board.formats import counted, mark
from taskorch_gateway.board.forms import ActionReceipt, Form
from taskorch_gateway.board.project_graph import (
    GraphItem,
    GraphLine,
    ProjectGraph,
)
from taskorch_gateway.board.refusals import ShownError
from taskorch_gateway.board.visit import Action, BoardPage, Visit
from taskorch_gateway.client_queue import queue_of

if TYPE_CHECKING:
    from taskorch_orchestrator.plan.variables import Variable

PATH, ENTRY = "/projects/new", "projects"
#: How messages call the text of a plan.
THE_PLAN = "This"
#: What the buttons of the form do.
CHECK, APPLY = "check", "apply"
#: Lines of the plan around a mistake.
AROUND = 1
EXAMPLE = """\
project: Build authentication system
description: Users sign in with an e-mail address and a password.
items:
  - name: schema
    title: Design database schema
    agent: database_specialist
  - name: api
    title: Implement the API
    agent: backend_developer
    depends_on: [schema]
    accept: [All endpoints have tests]
  - name: docs
    title: Write the documentation
    depends_on: [api]
"""


class Mistaken(Frozen):
    """The mistakes in a line of a plan, with the lines around it."""

    line: int
    messages: tuple[str, ...]
    #: Number, text, and whether it is the wrong one.
    lines: tuple[tuple[int, str, bool], ...]


class PlannedRow(Frozen):
    """An item of a plan, and what happens to it."""

    item: NewItem
    result: CreatedItem
    #: The names or the ids of its dependencies.
    after: tuple[str, ...]


class CheckedPlan(Frozen):
    """What a plan would create, or has created."""

    plan: Plan
    applied: AppliedPlan
    hints: Sequence[str]

    @property
    def rows(self) -> Sequence[PlannedRow]:
        """Its items, in their order."""
        items = self.plan.items
        return [
            PlannedRow(
                item=item, result=result, after=_dependencies(item, items)
            )
            for item, result in zip(items, self.applied.items, strict=True)
        ]

    @property
    def new(self) -> int:
        """The number of items that it creates."""
        return sum(each.created for each in self.applied.items)

    @property
    def changed(self) -> int:
        """The number of items that it changes."""
        return sum(bool(each.changes) for each in self.applied.items)


class CheckPlan(ToolArguments):
    """Check the text of a plan. The result is a CheckedPlan."""

    name = "board_check_plan"
    read_only = True
    text: str
    #: Name of a variable -> its value.
    values: Mapping[str, str]

    def perform(self, call: ToolCall) -> ToolResult:
        """Find the mistakes of the plan, or what it would do."""
        return ToolResult(_applied(call, self.text, self.values, dry_run=True))


class ApplyPlan(ToolArguments):
    """Apply the text of a plan. The result is a CheckedPlan."""

    name = "board_apply_plan"
    text: str
    values: Mapping[str, str]

    def perform(self, call: ToolCall) -> ToolResult:
        """Create and update the items of the plan, all or none."""
        return ToolResult(
            _applied(call, self.text, self.values, dry_run=False)
        )


class PlanForm(Frozen):
    """A plan as it was typed, with the fields of its variables."""

    text: str
    fields: Sequence[FormField] = ()


def _applied(
    call: ToolCall, text: str, values: Mapping[str, str], *, dry_run: bool
) -> CheckedPlan:
    """Apply a plan as `orchestrate apply` does. Raises errors.BadPlan."""
    # with pydantic it takes 10 MB, and few gateways read a plan
    from taskorch_orchestrator.plan import plan_file

    plan = plan_file.read(THE_PLAN, text.encode(), values)
    done = actions.apply(
        queue_of(call), verbs.NO_HANDOFFS, plan, dry_run=dry_run
    )
    return CheckedPlan(plan=plan, applied=done.data, hints=done.hints)


async def show(visit: Visit) -> Response:
    """Show the forms; the query may have the project that a plan adds to."""
    _need_acting(visit)
    text = ""
    if visit.query("example"):
        text = EXAMPLE
    elif project := visit.query("project"):
        text = f"project: {limits.project_id(project)}\nitems:\n  - name: \n    title: \n"
    return _page(visit, PlanForm(text=text))


async def act(visit: Visit, form: Form) -> ActionReceipt | Response:
    """Check a plan, or apply it."""
    typed = await _typed(visit, form)
    values = plan_variables.values_of(typed.fields, form)
    if form.text("do") != APPLY:
        check = CheckPlan(text=typed.text, values=values)
        checked = cast("CheckedPlan", await visit.ask(check))
        return _page(visit, typed, checked=checked)
    apply = ApplyPlan(text=typed.text, values=values)
    done = cast("CheckedPlan", await visit.ask(apply))
    return ActionReceipt(
        text=_receipt(done), next_path=f"/projects/{done.applied.project}"
    )


async def show_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Show the plan and its variables again, with what is wrong in them."""
    return _page(visit, await _typed(visit, form), error=error)


async def open_project(visit: Visit, form: Form) -> ActionReceipt:
    """Create an empty project."""
    verb = verbs.OpenProject(
        title=form.text("title"), description=form.text("description")
    )
    created = cast("CreatedProject", await visit.ask(verb))
    return ActionReceipt(
        text="The project is created. Add its items now.",
        next_path=f"/projects/{created.id}",
    )


async def show_opening_again(
    visit: Visit, form: Form, error: TaskOrchestratorError
) -> Response:
    """Show the form of an empty project again, with the error."""
    visit.entry = ENTRY
    return visit.page(
        "new_project.html",
        status=refusals.status_of(error),
        **_values(PlanForm(text=""), None, None),
        title=form.text("title"),
        description=form.text("description"),
        opening_error=refusals.shown(error),
    )


def mistakes_of(error: errors.BadPlan, text: str) -> list[Mistaken]:
    """Return the mistakes in a plan by lines, with the lines around them.

    Those of values are not among them: they stand beside their fields.
    """
    rows = text.split("\n")
    messages: dict[int, list[str]] = {}
    for each in error.mistakes:
        if plan_variables.is_beside(each):
            continue
        path = f"{each['path']}: " if each["path"] else ""
        of_line = messages.setdefault(int(each["line"]), [])
        of_line.append(f"{path}{each['message']}")
    found = []
    for line, those in messages.items():
        first = max(1, line - AROUND)
        last = min(len(rows), line + AROUND)
        found.append(
            Mistaken(
                line=line,
                messages=tuple(those),
                lines=tuple(
                    (number, rows[number - 1], number == line)
                    for number in range(first, last + 1)
                ),
            )
        )
    return found


def graph_of(checked: CheckedPlan) -> ProjectGraph:
    """Return the graph of a plan, whose items have no ids yet."""
    rows = {row.item.key: row for row in checked.rows}
    layout = graph.layout({name: row.after for name, row in rows.items()})
    boxes = [_box(box, rows[box.id]) for box in layout.boxes]
    return ProjectGraph(
        items=tuple(boxes),
        lines=tuple(
            GraphLine(path=edge.path, is_open=False, is_dead=False)
            for edge in layout.edges
        ),
        width=layout.width,
        height=layout.height,
        total=len(boxes),
        left_out=layout.left_out,
    )


def _box(box: graph.GraphBox, row: PlannedRow) -> GraphItem:
    item, state = row.item, State.PENDING
    owner = project_graph.owner_words(item.agent, item.pool)
    if owner:
        state = State.WAITING if row.after else State.QUEUED
    owner = owner or "no agent"
    after = f"; after {', '.join(row.after)}" if row.after else ""
    return GraphItem(
        id=row.result.id,
        x=box.x,
        y=box.y,
        mark=mark(row.result.state or state),
        title=project_graph.clipped(item.title, project_graph.TITLE_PX),
        sub=project_graph.clipped(owner, project_graph.SUB_PX),
        label=f"{item.title}; {owner}{after}",
    )


def _dependencies(item: NewItem, items: Sequence[NewItem]) -> tuple[str, ...]:
    return tuple(
        items[each].key if isinstance(each, int) else each
        for each in item.depends_on
    )


def _page(
    visit: Visit,
    typed: PlanForm,
    *,
    checked: CheckedPlan | None = None,
    error: TaskOrchestratorError | None = None,
) -> Response:
    visit.entry = ENTRY
    return visit.page(
        "new_project.html",
        status=refusals.status_of(error) if error else 200,
        **_values(typed, checked, error),
        title="",
        description="",
        opening_error=None,
    )


def _values(
    typed: PlanForm,
    checked: CheckedPlan | None,
    error: TaskOrchestratorError | None,
) -> dict[str, object]:
    mistakes: Sequence[Mistaken] = ()
    left_out = 0
    fields = typed.fields
    if isinstance(error, errors.BadPlan):
        mistakes = mistakes_of(error, typed.text)
        left_out = error.left_out if mistakes else 0
        fields = plan_variables.with_mistakes(fields, error)
    return {
        "plan": typed.text,
        "variables": fields,
        "opened": digests([each.field for each in fields]),
        "checked": checked,
        "graph": graph_of(checked) if checked else None,
        "error": _shown(error) if error else None,
        "mistakes": mistakes,
        "left_out": left_out,
    }


def _shown(error: TaskOrchestratorError) -> ShownError | None:
    return None if isinstance(error, errors.BadPlan) else refusals.shown(error)


async def _typed(visit: Visit, form: Form) -> PlanForm:
    """Return what was typed. Only a plan with variables is read for them."""
    text = _text_of(form)
    variables: Sequence[Variable] | None = ()
    if plan_variables.WORD in text:
        read = plan_variables.ReadVariables(text=text)
        variables = cast("Sequence[Variable] | None", await visit.ask(read))
    return PlanForm(
        text=text, fields=plan_variables.fields_of(variables, form)
    )


def _text_of(form: Form) -> str:
    """Return the plan as it was typed, or that of a file.

    A file is for a form without the script: with it, its text is in the field.
    """
    given = dict(form.fields)
    text = given.get("file", "")
    if not text.strip():
        text = given.get("plan", "")
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _receipt(done: CheckedPlan) -> str:
    words = [f"{counted(done.new, 'item')} created"]
    if done.changed:
        words.append(f"{counted(done.changed, 'item')} changed")
    project = "The project is created: " if done.applied.created else ""
    return f"{project}{', '.join(words)}."


def _need_acting(visit: Visit) -> None:
    if not visit.may_act:
        raise errors.NotAllowed(reason="its role is viewer, which only looks.")


PAGES = (BoardPage(path=PATH, show=show, entry=ENTRY),)
ACTIONS = (
    Action(
        path=PATH,
        act=act,
        word="Check the plan",
        texts={"plan": "Plan"},
        again=show_again,
    ),
    Action(
        path="/projects",
        act=open_project,
        word="Create the project",
        texts={"title": "Title", "description": "The request, in full"},
        again=show_opening_again,
    ),
)
