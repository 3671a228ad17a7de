"""The acceptance checks of an item in a form: as they are typed, and what they change."""

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.acceptance import (
    Check,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)
from taskorch.domain.item import Item, ItemEdit, State
from taskorch_gateway.board.form_fields import OPENED, digests
from taskorch_gateway.board.forms import Form
from taskorch_gateway.board.item_checks import (
    COMMANDS,
    CRITERIA,
    DELIVERABLES,
    FILES,
    REVIEWER,
    TIMEOUT,
    review_of,
    rules_of,
)
from taskorch_gateway.board.item_edit import change_of, fields_of

MAKE = RunCheck(run=("make", "test"))
SLOW = RunCheck(run=("make", "e2e"), timeout_ms=1_800_000)
DOCS = FileCheck(file="docs/api.md")
SCHEMA = DeliverableCheck(deliverable="schema")
#: A field, what is wrong in it, and what the error says.
MISTAKES = [
    (COMMANDS, "true", "cannot fail"),
    (COMMANDS, "make test\necho done", "'echo done' cannot fail"),
    (COMMANDS, "make 'test", "cannot be split"),
    (TIMEOUT, "soon", "is not a duration"),
    (TIMEOUT, "7d", "timeout of a check"),
    (FILES, "/etc/passwd", "relative path"),
    (FILES, "a/../../b", "relative path"),
    (DELIVERABLES, "x" * 2000, "longer than"),
    (REVIEWER, "no name", "name"),
]
#: What is right in all fields that are read together.
CHANGED = {
    CRITERIA: "It works",
    COMMANDS: "make lint",
    TIMEOUT: "30m",
    FILES: "docs/api.md",
    DELIVERABLES: "schema",
    REVIEWER: "lead",
}


def item_of(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def item_with(bench: Bench, *checks: Check, **fields: object) -> Item:
    return item_of(bench, bench.item(checks=checks, **fields))  # type: ignore[arg-type]


def form_of(item: Item, **typed: str) -> Form:
    """Return the form of an item as a browser sends it, with some fields typed."""
    fields = fields_of(item)
    sent = {each.name: each.value for each in fields if not each.closed}
    return Form([(OPENED, digests(fields)), *{**sent, **typed}.items()])


def edited(bench: Bench, item: Item, form: Form) -> Item:
    """Return an item after the edit that a form describes."""
    change = change_of(item, form)
    assert change
    performed(bench, change)
    return item_of(bench, item.id)


def test_checks_are_shown_by_kind(bench: Bench) -> None:
    item = item_with(bench, MAKE, DOCS, SCHEMA, reviewer="lead")

    shown = {each.name: each.value for each in fields_of(item)}

    assert shown[COMMANDS] == "make test"
    assert shown[TIMEOUT] == "10m"
    assert shown[FILES] == "docs/api.md"
    assert shown[DELIVERABLES] == "schema"
    assert shown[REVIEWER] == "lead"


def test_checks_are_added_and_removed(bench: Bench) -> None:
    item = item_with(bench, MAKE, DOCS)
    form = form_of(
        item,
        check="make test\r\nsh -c 'make lint'",
        check_file="",
        check_deliverable="schema",
        review="lead",
    )

    after = edited(bench, item, form)

    lint = RunCheck(run=("sh", "-c", "make lint"))
    assert after.checks == (MAKE, lint, SCHEMA)
    assert after.reviewer == "lead"


def test_all_checks_and_the_review_are_removed(bench: Bench) -> None:
    item = item_with(bench, MAKE, SCHEMA, reviewer="lead", criteria=("Good",))
    form = form_of(item, check="", check_deliverable="", review="", accept="")

    after = edited(bench, item, form)

    assert (after.checks, after.reviewer, after.criteria) == ((), "", ())


def test_criteria_alone_leave_the_checks(bench: Bench) -> None:
    item = item_with(bench, MAKE, reviewer="lead", criteria=("Good",))

    after = edited(bench, item, form_of(item, accept="Better"))

    assert (after.checks, after.reviewer) == ((MAKE,), "lead")
    assert after.criteria == ("Better",)


def test_command_that_stays_keeps_its_time_limit(bench: Bench) -> None:
    item = item_with(bench, SLOW)

    after = edited(bench, item, form_of(item, check="make e2e\r\nmake test"))

    assert after.checks == (
        SLOW,
        RunCheck(run=("make", "test"), timeout_ms=1_800_000),
    )


def test_different_time_limits_are_not_typed(bench: Bench) -> None:
    item = item_with(bench, MAKE, SLOW)
    limit = next(each for each in fields_of(item) if each.name == TIMEOUT)

    after = edited(bench, item, form_of(item, check_file="a.md"))

    assert limit.value == "10m, 30m"
    assert limit.closed
    assert after.checks == (MAKE, SLOW, FileCheck(file="a.md"))


def test_typed_time_limit_is_that_of_all_commands(bench: Bench) -> None:
    item = item_with(bench, MAKE, RunCheck(run=("make", "lint")))

    after = edited(bench, item, form_of(item, check_timeout="90s"))

    limits_ms = [
        each.timeout_ms for each in after.checks if isinstance(each, RunCheck)
    ]
    assert limits_ms == [90_000, 90_000]


def test_edit_keeps_checks_that_others_added(bench: Bench) -> None:
    item = item_with(bench, MAKE)
    form = form_of(item, check_deliverable="schema")
    bench.queue.edit([item.id], ItemEdit(checks=(MAKE, DOCS)))

    after = edited(bench, item_of(bench, item.id), form)

    assert after.checks == (MAKE, DOCS, SCHEMA)


@pytest.mark.parametrize("others", [{}, CHANGED])
@pytest.mark.parametrize(("field", "typed", "message"), MISTAKES)
def test_wrong_check_names_its_field(
    bench: Bench, field: str, typed: str, message: str, others: dict[str, str]
) -> None:
    item = item_with(bench, MAKE)
    form = form_of(item, **{**others, field: typed})

    with pytest.raises((errors.Invalid, errors.Usage), match=message) as edit:
        change_of(item, form)

    assert edit.value.details["field"] == field


def test_new_item_takes_the_same_fields() -> None:
    form = Form(
        [
            (COMMANDS, "make test"),
            (TIMEOUT, "30m"),
            (FILES, "docs/api.md"),
            (DELIVERABLES, "schema"),
            (REVIEWER, "lead"),
        ]
    )

    assert [*rules_of(form), *review_of(form)] == [
        {"run": ["make", "test"], "timeout_ms": 1_800_000},
        {"file": "docs/api.md"},
        {"deliverable": "schema"},
        {"review": "lead"},
    ]


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        (State.PENDING, {COMMANDS, TIMEOUT, FILES, DELIVERABLES, REVIEWER}),
        (State.IN_PROGRESS, set()),
        (State.REVIEW, {REVIEWER}),
        (State.COMPLETED, set()),
    ],
)
def test_checks_change_until_an_agent_begins(
    bench: Bench, state: State, is_open: set[str]
) -> None:
    item = item_of(bench, bench.lease_in(state).item)
    ours = {COMMANDS, TIMEOUT, FILES, DELIVERABLES, REVIEWER}

    found = {each.name for each in fields_of(item) if not each.closed}

    assert found & ours == is_open
