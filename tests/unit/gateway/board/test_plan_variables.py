"""The variables of a plan in a form: their fields, and the values that a person types."""

import pytest
from taskorch.domain import errors
from taskorch_gateway.board import plan_variables
from taskorch_gateway.board.form_fields import OPENED, FormField, digests
from taskorch_gateway.board.forms import Form
from taskorch_orchestrator.plan import plan_file

PLAN = """project: Release ${version}
variables:
  version:
    description: The version to release
  branch: main
items:
  - {name: tag, title: "Tag ${version} on ${branch}"}
"""
HOSTILE = '"><script>x</script>'


def fields_of(text: str, form: Form) -> tuple[FormField, ...]:
    return plan_variables.fields_of(
        plan_file.variables_of(text.encode()), form
    )


def typed_into(text: str, **values: str) -> Form:
    """Return the form that a check of a plan shows, with some values typed."""
    fields = [each.field for each in fields_of(text, Form([]))]
    shown = {each.name: each.value for each in fields}
    typed = {f"set.{name}": value for name, value in values.items()}
    return Form([(OPENED, digests(fields)), *{**shown, **typed}.items()])


def errors_of(text: str, form: Form) -> dict[str, str]:
    """Return what stands beside the fields of a plan that is refused."""
    fields = fields_of(text, form)
    with pytest.raises(errors.BadPlan) as refusal:
        plan_file.read(
            "This", text.encode(), plan_variables.values_of(fields, form)
        )
    found = plan_variables.with_mistakes(fields, refusal.value)
    return {
        each.field.label: each.error.message for each in found if each.error
    }


def test_each_variable_has_a_field() -> None:
    version, branch = fields_of(PLAN, Form([]))

    assert (version.field.name, version.typed) == ("set.version", "")
    assert version.field.is_required
    assert version.hint == "The version to release"
    assert (branch.field.label, branch.typed) == ("branch", "main")
    assert not branch.field.is_required


def test_default_of_several_lines_is_a_text() -> None:
    plan = PLAN.replace("branch: main", 'branch: "one\\ntwo"')

    (_, branch) = fields_of(plan, Form([]))

    assert (branch.field.kind, branch.typed) == ("text", "one\ntwo")


def test_only_typed_values_are_set() -> None:
    form = typed_into(PLAN, version=" 1.2 ")

    values = plan_variables.values_of(fields_of(PLAN, form), form)

    assert values == {"version": "1.2"}


def test_untouched_field_follows_the_plan() -> None:
    form = typed_into(PLAN, version="1.2")
    changed = PLAN.replace("branch: main", "branch: next")

    _, branch = fields_of(changed, form)

    assert branch.typed == "next"


def test_emptied_default_is_an_empty_value() -> None:
    form = typed_into(PLAN, version="1.2", branch="")

    values = plan_variables.values_of(fields_of(PLAN, form), form)

    assert values == {"version": "1.2", "branch": ""}


def test_missing_value_stands_beside_its_field() -> None:
    found = errors_of(PLAN, typed_into(PLAN, branch="next"))

    assert found == {"version": plan_variables.MISSING}


def test_unknown_value_stands_beside_its_field() -> None:
    form = typed_into(PLAN, version="1.2", branch=HOSTILE)
    without = PLAN.replace("  branch: main\n", "").replace("${branch}", "it")

    found = errors_of(without, form)

    assert found == {"branch": plan_variables.UNKNOWN}
    fields = fields_of(without, form)
    assert [each.typed for each in fields] == ["1.2", HOSTILE]


def test_value_for_a_plan_without_variables_is_unknown() -> None:
    form = typed_into(PLAN, version="1.2")
    plain = "project: P\nitems:\n  - {name: a, title: A}\n"

    assert errors_of(plain, form) == {"version": plan_variables.UNKNOWN}


def test_too_long_value_stands_beside_its_field() -> None:
    found = errors_of(PLAN, typed_into(PLAN, version="x" * 70_000))

    assert "65536" in found["version"]


def test_unreadable_plan_keeps_what_was_typed() -> None:
    form = typed_into(PLAN, version="1.2")

    (version,) = fields_of("variables: [", form)

    assert (version.typed, version.error) == ("1.2", None)


def test_mistakes_of_values_are_not_listed_again() -> None:
    with pytest.raises(errors.BadPlan) as refusal:
        plan_file.read("This", PLAN.encode(), {"other": "x"})

    beside = [
        plan_variables.is_beside(each) for each in refusal.value.mistakes
    ]

    assert beside == [True, True]
