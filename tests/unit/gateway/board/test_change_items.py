"""Bulk actions of the board: what is done, what is left alone, and what acts once."""

from collections.abc import Sequence
from typing import cast

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import State
from taskorch_gateway.board import bulk
from taskorch_gateway.board.bulk_changes import (
    CHANGES,
    BulkOutcome,
    BulkStep,
    ChangeItems,
)
from taskorch_gateway.board.forms import Form


def changed(
    bench: Bench,
    name: str,
    seen: Sequence[tuple[str, State]],
    key: str = "k",
    **typed: str,
) -> list[BulkOutcome]:
    change, form = CHANGES[name], Form(list(typed.items()))
    steps = tuple(
        BulkStep(item=item, state=state, verb=change.verb(item, form))
        for item, state in seen
    )
    verb = ChangeItems(
        steps=steps, is_done=lambda item: change.is_done(item, form), key=key
    )
    return cast("list[BulkOutcome]", performed(bench, verb))


def test_items_are_changed_one_after_the_other(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(3)]

    outcomes = changed(
        bench, "cancel", [(item, State.QUEUED) for item in items]
    )

    assert [each.refusal for each in outcomes] == ["", "", ""]
    assert {bench.state(item) for item in items} == {State.CANCELLED}


def test_item_that_has_changed_is_left_alone(bench: Bench) -> None:
    item, other = bench.item(), bench.item(title="Other")
    bench.claimed(item)

    outcomes = changed(
        bench, "cancel", [(item, State.QUEUED), (other, State.QUEUED)]
    )

    assert [each.refusal for each in outcomes] == ["It is in progress.", ""]
    assert [each.had_changed for each in outcomes] == [True, False]
    assert bench.state(item) is State.IN_PROGRESS


def test_item_that_is_gone_is_named(bench: Bench) -> None:
    bench.project()

    (outcome,) = changed(bench, "cancel", [("item_00000000", State.QUEUED)])

    assert outcome.had_changed
    assert "item_00000000" in outcome.refusal


def test_refused_item_has_the_reason(bench: Bench) -> None:
    item = bench.item(labels=tuple(f"l{n}" for n in range(20)))

    (outcome,) = changed(
        bench, "label", [(item, State.QUEUED)], label="one-more"
    )

    assert not outcome.had_changed
    assert "20" in outcome.refusal


@pytest.mark.parametrize(
    ("name", "typed", "before"),
    [
        ("cancel", {"text": "not needed"}, State.QUEUED),
        ("assign", {"agent": "bob"}, State.PENDING),
        ("priority", {"priority": "0"}, State.QUEUED),
        ("label", {"label": "a, b", "unlabel": "c"}, State.QUEUED),
    ],
)
def test_repeat_acts_once_and_says_done(
    bench: Bench, name: str, typed: dict[str, str], before: State
) -> None:
    agent = "" if before is State.PENDING else "ada"
    items = [bench.item(agent=agent) for _ in range(2)]
    first = changed(bench, name, [(items[0], before)], **typed)
    events = bench.queue.views.events().entries

    again = changed(bench, name, [(each, before) for each in items], **typed)

    assert [each.refusal for each in (*first, *again)] == [""] * 3
    after = bench.queue.views.events().entries[len(events) :]
    assert {event.item for event in after} == {items[1]}


def test_requeue_repeats_safely(bench: Bench) -> None:
    items = [bench.item(max_attempts=1) for _ in range(2)]
    for item in items:
        bench.agent().fail(bench.claimed(item), "no", retry=False)
    seen = [(item, State.FAILED) for item in items]

    changed(bench, "requeue", seen[:1])
    outcomes = changed(bench, "requeue", seen)

    assert [each.refusal for each in outcomes] == ["", ""]
    assert {bench.state(item) for item in items} == {State.QUEUED}


@pytest.mark.parametrize(
    ("name", "typed"),
    [
        ("assign", {}),
        ("assign", {"agent": "../x"}),
        ("priority", {}),
        ("priority", {"priority": "5"}),
        ("priority", {"priority": "high"}),
        ("label", {}),
        ("label", {"label": "a!"}),
    ],
)
def test_missing_or_wrong_value_is_refused(
    name: str, typed: dict[str, str]
) -> None:
    with pytest.raises((errors.Usage, errors.Invalid)):
        CHANGES[name].verb("item_00000000", Form(list(typed.items())))


@pytest.mark.parametrize(
    "field",
    [
        "",
        "item_00000000",
        "item_00000000:lost",
        "x:queued",
        " ".join(["item_00000000:queued"] * 1001),
    ],
)
def test_damaged_list_of_items_is_refused(field: str) -> None:
    with pytest.raises((errors.Usage, errors.NoItem)):
        bulk.confirmed(field)


def test_items_are_assigned_to_a_pool_once(bench: Bench) -> None:
    item, other = bench.item(), bench.pool_item("backend")
    seen = [(item, State.QUEUED), (other, State.QUEUED)]

    outcomes = [
        outcome
        for _ in range(2)
        for outcome in changed(bench, "assign", seen, agent="pool:python")
    ]

    assert [each.refusal for each in outcomes] == [""] * 4
    shown = [bench.queue.views.show(each).item for each in (item, other)]
    assert [(each.agent, each.pool) for each in shown] == [("", "python")] * 2
