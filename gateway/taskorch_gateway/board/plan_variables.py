"""The variables of a plan in a form: a field for each, which begins with its default.

The first check of a plan shows the fields. A value that a person has not touched is the
default, also if the plan has another default by now.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult

from taskorch_gateway.board.form_fields import Field, FormField, is_untouched
from taskorch_gateway.board.forms import Form
from taskorch_gateway.board.refusals import ShownError

if TYPE_CHECKING:
    from taskorch_orchestrator.plan.variables import Variable

#: What the names of the fields begin with.
SET = "set."
#: What stands in every plan that has variables.
WORD = "variables"
MISSING = "This variable has no default. Type its value."
UNKNOWN = (
    "The plan declares no variable of this name. Empty the field, or declare "
    "the variable."
)


class ReadVariables(ToolArguments):
    """Read the variables of a plan: a tuple of them, or None if it cannot be read."""

    name = "board_plan_variables"
    read_only = True
    text: str

    def perform(self, _: ToolCall) -> ToolResult:
        """Read what the plan declares."""
        # with pydantic it takes 10 MB, and few gateways read a plan
        from taskorch_orchestrator.plan import plan_file

        return ToolResult(plan_file.variables_of(self.text.encode()))


def fields_of(
    variables: "Sequence[Variable] | None", form: Form
) -> tuple[FormField, ...]:
    """Return a field for each variable, and for each value that a person has typed.

    `variables` is None for a plan that cannot be read: what was typed stays.
    """
    fields = [_declared(each, form) for each in variables or ()]
    names = {each.field.name for each in fields}
    wrong = _said(UNKNOWN) if variables is not None else None
    return (*fields, *_undeclared(form, names, wrong))


def values_of(fields: Sequence[FormField], form: Form) -> dict[str, str]:
    """Return the values that a person has typed, by the names of the variables.

    An empty value counts, unless its variable needs one.
    """
    return {
        each.field.label: each.typed
        for each in fields
        if _is_touched(each.field.name, form)
        and (each.typed or not each.field.is_required)
    }


def with_mistakes(
    fields: Sequence[FormField], error: errors.BadPlan
) -> tuple[FormField, ...]:
    """Return fields with what is wrong with their values."""
    return tuple(
        replace(each, error=each.error or _mistake(each, error))
        for each in fields
    )


def is_beside(mistake: Mapping[str, object]) -> bool:
    """Return whether a mistake of a plan is one that a field shows."""
    # what has read the plan has imported it
    from taskorch_orchestrator.plan import variables

    return str(mistake["message"]).startswith(
        (variables.NO_VALUE, variables.NOT_DECLARED)
    )


def _declared(variable: "Variable", form: Form) -> FormField:
    name = f"{SET}{variable.name}"
    default = variable.default or ""
    field = Field(
        name=name,
        label=variable.name,
        kind="text" if "\n" in default else "line",
        value=default,
        is_required=variable.default is None,
    )
    typed = form.text(name) if _is_touched(name, form) else default
    return FormField(field=field, typed=typed, hint=variable.description)


def _undeclared(
    form: Form, names: set[str], wrong: ShownError | None
) -> Iterator[FormField]:
    """Yield the fields with a value of which the plan declares no variable."""
    for name in dict.fromkeys(name for name, _ in form.fields):
        if not name.startswith(SET) or name in names:
            continue
        typed = form.text(name)
        if typed and _is_touched(name, form):
            label = name.removeprefix(SET)
            field = Field(name=name, label=label, kind="line", value="")
            yield FormField(field=field, typed=typed, error=wrong)


def _is_touched(name: str, form: Form) -> bool:
    return form.has(name) and not is_untouched(name, form)


def _mistake(field: FormField, error: errors.BadPlan) -> ShownError | None:
    if field.field.is_required and not field.typed:
        return _said(MISSING)
    path = f"{WORD}.{field.field.label}"
    found = [each for each in error.mistakes if each["path"] == path]
    return (
        _said(" ".join(str(each["message"]) for each in found))
        if found
        else None
    )


def _said(message: str) -> ShownError:
    return ShownError(message=message, hint="", rows=(), is_temporary=False)
