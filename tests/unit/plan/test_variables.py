"""Variables of plan files: strict, filled after the file was parsed, with line numbers."""

import tracemalloc

import pytest
from taskorch.domain import errors, limits
from taskorch.queue.plan import Plan
from taskorch_orchestrator.plan import plan_file

RECIPE = """project: Release ${version}
variables:
  version:
    description: The version to release
  branch: main
items:
  - name: tag-${version}
    title: Tag ${version} on ${branch}
    context: {branch: "${branch}"}
  - name: notes
    title: Write the notes
    depends_on: ["tag-${version}"]
"""


def read(text: str, **values: str) -> Plan:
    return plan_file.read("plan.yaml", text.encode(), values)


def refused(text: str, **values: str) -> list[str]:
    """Return the mistakes reported for a plan that is refused."""
    with pytest.raises(errors.BadPlan) as refusal:
        read(text, **values)
    return list(refusal.value.rows())


def declaring(declaration: str, text: str = "${a}") -> str:
    """Return a plan with variables, declared from line 2, used in the last line."""
    return (
        f"project: P\nvariables:\n{declaration}items:\n"
        f"  - name: one\n    title: {text}\n"
    )


def test_values_and_defaults_fill_every_text() -> None:
    plan = read(RECIPE, version="1.2")

    tag, notes = plan.items
    assert plan.title == "Release 1.2"
    assert (tag.key, tag.title) == ("tag-1.2", "Tag 1.2 on main")
    assert tag.context == {"branch": "main"}
    assert notes.depends_on == (0,)


def test_given_value_replaces_default() -> None:
    plan = read(RECIPE, version="1.2", branch="next")

    assert plan.items[0].title == "Tag 1.2 on next"


def test_value_never_becomes_yaml() -> None:
    value = '"]\n  - name: evil\n    title: x # {a: b} ${branch} &x *x !!x'

    plan = read(RECIPE, version="1", branch=value)

    assert len(plan.items) == 2
    assert plan.items[0].context == {"branch": value}


def test_filled_plan_is_kept_without_variables() -> None:
    plan = read(RECIPE, version="1.2")

    assert isinstance(plan.filled, dict)
    assert list(plan.filled) == ["project", "items"]
    assert plan.filled["project"] == "Release 1.2"


def test_plan_without_variables_is_taken_literally() -> None:
    plan = read("project: P\nitems:\n  - name: a\n    title: Print ${HOME}\n")

    assert plan.items[0].title == "Print ${HOME}"
    assert plan.filled is None


def test_escape_keeps_placeholder_as_text() -> None:
    plan = read(
        declaring("  a: x\n", text="$${a} is ${a}, not $$ or $a or $$${a}")
    )

    assert plan.items[0].title == "${a} is x, not $$ or $a or $${a}"


@pytest.mark.parametrize(
    ("text", "values", "mistake"),
    [
        (
            declaring("  a: {}\n"),
            {},
            (
                "line 3: variables.a: This variable has no value and no default. "
                "Use --set a=VALUE"
            ),
        ),
        (
            declaring("  a: x\n  b: y\n"),
            {},
            (
                "line 4: variables.b: No text uses this variable. Write ${b} in one, "
                "or remove it."
            ),
        ),
        (
            declaring("  a: x\n", text="${a} ${c}"),
            {},
            (
                "line 6: items[0].title: ${c} is not a variable of this plan. It "
                "declares a. For the text itself, write $${c}"
            ),
        ),
        (
            declaring("  a: x\n", text="'${a} ${a b}'"),
            {},
            (
                "line 6: items[0].title: '${a b}' does not start with a variable, such "
                "as ${name}. For the text '${', write $${"
            ),
        ),
        (
            declaring("  a: x\n"),
            {"z": "1"},
            "line 2: variables: The plan declares no variable 'z'. It declares a.",
        ),
        (
            "project: P\nitems:\n  - {name: a, title: A}\n",
            {"z": "1"},
            "line 1: The plan declares no variables, so none can be set.",
        ),
        (
            declaring("  a-b: x\n"),
            {},
            (
                "line 3: variables.a-b: A name has 1 to 64 letters, digits and '_', and "
                "starts with a letter."
            ),
        ),
        (
            declaring("  a: {default: x, type: int}\n"),
            {},
            (
                "line 3: variables.a: Unknown field 'type'. Fields are default, "
                "description."
            ),
        ),
        (
            declaring("  a: {default: [x]}\n"),
            {},
            "line 3: variables.a: The default must be text.",
        ),
        (
            declaring("  a: [x]\n"),
            {},
            (
                "line 3: variables.a: Expected a default, or a mapping with default and "
                "description."
            ),
        ),
        (
            declaring("  - a\n"),
            {},
            "line 2: variables: Expected a mapping of names to defaults.",
        ),
        (
            declaring("  a: x\n"),
            {"a": "\0"},
            "line 3: variables.a: There is a NUL character in the value. Remove it.",
        ),
    ],
)
def test_wrong_variable_is_named_with_place(
    text: str, values: dict[str, str], mistake: str
) -> None:
    assert refused(text, **values) == [mistake]


def test_too_many_variables_are_refused() -> None:
    names = "".join(f"  v{number}: x\n" for number in range(101))

    assert refused(declaring(names)) == [
        "line 2: variables: There are 101 variables; at most 100 are allowed."
    ]


def test_filled_plan_cannot_outgrow_memory() -> None:
    many = "${a}" * 1_000_000
    value = "x" * limits.TEXT_BYTES

    assert refused(declaring("  a: {}\n", text=many), a=value) == [
        (
            "line 6: items[0].title: The filled plan is longer than 16777216 bytes "
            "(16 MiB)."
        )
    ]


def test_filled_text_has_limits_of_its_field() -> None:
    assert refused(declaring("  a: {}\n"), a="x" * 501) == [
        (
            "line 6: items[0].title: The title has 501 characters; at most 500 are "
            "allowed."
        )
    ]


def test_declared_variables_are_known_without_values() -> None:
    found = plan_file.variables_of(RECIPE.encode())

    assert found
    assert [(each.name, each.default) for each in found] == [
        ("version", None),
        ("branch", "main"),
    ]
    assert found[0].description == "The version to release"


@pytest.mark.parametrize("text", ["", "[", "a: b: c", "variables: &a 1"])
def test_unreadable_plan_has_no_known_variables(text: str) -> None:
    assert plan_file.variables_of(text.encode()) is None


@pytest.mark.parametrize(
    "text", ["- 1", "{}", "variables: 1", "variables: {1a: x, b: [x]}"]
)
def test_wrong_variables_are_left_out(text: str) -> None:
    found = plan_file.variables_of(text.encode())

    assert found is not None
    assert {each.name for each in found} <= {"b"}


@pytest.mark.parametrize("wrong", ["${", "${b}", "${ "])
def test_very_many_wrong_variables_take_little_memory(wrong: str) -> None:
    text = wrong * 200_000
    tracemalloc.start(1)

    mistakes = refused(declaring("  a: x\n", text=f"${{a}}{text}"))

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(mistakes) == 21
    assert peak < 20 * len(text)


def test_very_many_unknown_values_take_little_memory() -> None:
    values = {f"v{number}": "x" for number in range(100_000)}
    tracemalloc.start(1)

    mistakes = refused(declaring("  a: x\n"), **values)

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert mistakes[-1] == "… and 80 more"
    assert peak < 50 * 1024 * 1024
