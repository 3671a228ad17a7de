"""Edits: what an orchestrator changes of an item after its creation."""

import json
from typing import Any

import pytest
from support.builders import Bench, need_lease
from support.repeats import RecordingConnection
from taskorch.domain import errors
from taskorch.domain.item import (
    HOUR_MS,
    Item,
    ItemEdit,
    Lease,
    NewItem,
    State,
)
from taskorch.queue.plan import AppliedPlan, Plan

UNBEGUN = (State.PENDING, State.WAITING, State.QUEUED, State.DELAYED)
#: An edit that changes something in each editable field.
EVERYTHING = ItemEdit(
    title="New title",
    description="New description",
    requirements=("One", "Two"),
    resources=("a.md",),
    deliverables_expected=("schema",),
    criteria=("All tests pass",),
    priority=0,
    lease_ms=HOUR_MS,
    max_attempts=7,
    context={"db": "postgres"},
    add_labels=("urgent", "area/api"),
)


def item_of(bench: Bench, id_: str) -> Item:
    return bench.queue.views.show(id_).item


def last_event(bench: Bench) -> tuple[str, str, str]:
    event = bench.events()[-1]
    return event["verb"], event["item"], event["state"]


def edits_of(bench: Bench, id_: str) -> list[tuple[str, str]]:
    """Return who edited an item, and what is in the history about it."""
    history = bench.queue.views.show(id_).history
    return [(each.agent, each.text) for each in history if each.kind == "edit"]


@pytest.mark.parametrize("state", UNBEGUN)
def test_edit_changes_every_field_of_an_unbegun_item(
    bench: Bench, state: State
) -> None:
    item = bench.lease_in(state).item

    (edited,) = bench.queue.edit([item], EVERYTHING)

    found = item_of(bench, item)
    assert (edited.id, edited.state, found.state) == (item, state, state)
    assert {
        name: getattr(found, name)
        for name in (
            "title",
            "description",
            "requirements",
            "resources",
            "deliverables_expected",
            "criteria",
            "priority",
            "max_attempts",
            "context",
            "labels",
        )
    } == {
        "title": "New title",
        "description": "New description",
        "requirements": ("One", "Two"),
        "resources": ("a.md",),
        "deliverables_expected": ("schema",),
        "criteria": ("All tests pass",),
        "priority": 0,
        "max_attempts": 7,
        "context": {"db": "postgres"},
        "labels": ("urgent", "area/api"),
    }
    assert last_event(bench) == ("edit", item, state)
    assert bench.inconsistencies() == []


def test_edited_lease_is_that_of_the_next_claim(bench: Bench) -> None:
    item = bench.item()

    bench.queue.edit([item], ItemEdit(lease_ms=HOUR_MS))

    lease = bench.claimed(item)
    assert 0 < lease.expires_at - bench.now_ms() <= HOUR_MS


def test_history_has_each_change_and_its_author(bench: Bench) -> None:
    item = bench.item(
        title="Old", requirements=("Users table", "Sessions"), priority=3
    )

    (edited,) = bench.queue.edit(
        [item],
        ItemEdit(
            title="New",
            requirements=("Users table",),
            priority=0,
            lease_ms=HOUR_MS,
            context={"db": "postgres"},
            add_labels=("urgent",),
        ),
    )

    assert edits_of(bench, item) == [
        (
            "planner",
            (
                "title: Old -> New\n"
                "requirements: Users table; Sessions -> Users table\n"
                "labels: (none) -> urgent\n"
                "context: (none) -> db=postgres\n"
                "priority: 3 -> 0\n"
                "lease: 4h -> 1h"
            ),
        )
    ]
    assert [
        (each.field, each.before, each.after) for each in edited.changes[:2]
    ] == [
        ("title", "Old", "New"),
        ("requirements", "Users table; Sessions", "Users table"),
    ]


def test_edit_without_a_difference_changes_nothing(bench: Bench) -> None:
    item = bench.item()
    bench.queue.edit([item], EVERYTHING)
    before = bench.everything()

    (edited,) = bench.queue.edit([item], EVERYTHING)

    assert edited.changes == ()
    assert bench.everything() == before


def test_edit_clears_texts_lists_labels_and_context(bench: Bench) -> None:
    item = bench.item(
        description="Long",
        requirements=("One",),
        resources=("a.md",),
        context={"db": "x"},
        labels=("a", "b"),
    )

    bench.queue.edit(
        [item],
        ItemEdit(
            description="",
            requirements=(),
            resources=(),
            clears_context=True,
            context={"new": "1"},
            clears_labels=True,
            add_labels=("c",),
        ),
    )

    found = item_of(bench, item)
    assert (found.description, found.requirements, found.resources) == (
        "",
        (),
        (),
    )
    assert (found.context, found.labels) == ({"new": "1"}, ("c",))


def test_labels_and_context_are_removed_by_name(bench: Bench) -> None:
    item = bench.item(labels=("a", "b", "c"), context={"x": "1", "y": "2"})

    bench.queue.edit(
        [item],
        ItemEdit(
            remove_labels=("b", "unknown"),
            add_labels=("d", "a"),
            remove_context=("x",),
        ),
    )

    found = item_of(bench, item)
    assert (found.labels, found.context) == (("a", "c", "d"), {"y": "2"})


def test_last_label_removed_leaves_none(bench: Bench) -> None:
    item = bench.item(labels=("a",), context={"x": "1"})

    bench.queue.edit(
        [item], ItemEdit(remove_labels=("a",), remove_context=("x",))
    )

    found = item_of(bench, item)
    assert (found.labels, found.context) == ((), {})


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
def test_begun_item_takes_priority_labels_and_context(
    bench: Bench, state: State
) -> None:
    item = bench.lease_in(state).item

    bench.queue.edit(
        [item],
        ItemEdit(priority=0, add_labels=("hot",), context={"db": "pg"}),
    )

    found = item_of(bench, item)
    assert (found.state, found.priority, found.labels, found.context) == (
        state,
        0,
        ("hot",),
        {"db": "pg"},
    )
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("state", [State.IN_PROGRESS, State.BLOCKED])
@pytest.mark.parametrize(
    ("edit", "field"),
    [
        (ItemEdit(title="New"), "title"),
        (ItemEdit(description="New"), "description"),
        (ItemEdit(requirements=("New",)), "requirements"),
        (ItemEdit(criteria=("New",)), "acceptance criteria"),
        (ItemEdit(deliverables_expected=("x",)), "expected deliverables"),
        (ItemEdit(resources=("x",)), "resources"),
        (ItemEdit(lease_ms=1), "lease"),
        (ItemEdit(max_attempts=1), "max attempts"),
        (ItemEdit(priority=0, title="New"), "title"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_begun_item_refuses_other_fields(
    bench: Bench, state: State, edit: ItemEdit, field: str
) -> None:
    item = bench.lease_in(state).item
    before = bench.everything()

    with pytest.raises(errors.Begun) as refusal:
        bench.queue.edit([item], edit)

    assert str(refusal.value) == (
        f"{item} is {state}: its {field} cannot change now."
    )
    assert f"orchestrate assign {item} ada --force" in refusal.value.hint()
    assert bench.everything() == before


def test_completed_item_takes_labels_only(bench: Bench) -> None:
    item = bench.lease_in(State.COMPLETED).item

    bench.queue.edit([item], ItemEdit(add_labels=("released",)))
    with pytest.raises(errors.WrongState) as refusal:
        bench.queue.edit([item], ItemEdit(priority=0))

    assert item_of(bench, item).labels == ("released",)
    assert f"orchestrate requeue {item}" in refusal.value.hint()


def test_dead_letter_is_edited_before_its_requeue(bench: Bench) -> None:
    item = bench.lease_in(State.FAILED).item

    bench.queue.edit([item], ItemEdit(title="Solvable", priority=0))
    bench.queue.requeue(item)

    found = item_of(bench, item)
    assert (found.state, found.title) == (State.QUEUED, "Solvable")
    assert bench.inconsistencies() == []


def test_one_refused_item_leaves_all_unchanged(bench: Bench) -> None:
    free, held = bench.item(), bench.claimed().item
    before = bench.everything()

    with pytest.raises(errors.Begun):
        bench.queue.edit([free, held], ItemEdit(title="New"))

    assert bench.everything() == before


def test_several_items_get_the_same_labels(bench: Bench) -> None:
    items = [bench.item(), bench.item(agent=""), bench.claimed().item]

    edited = bench.queue.edit(items, ItemEdit(add_labels=("v2",), priority=0))

    assert [each.id for each in edited] == items
    assert [item_of(bench, item).labels for item in items] == [("v2",)] * 3
    assert bench.inconsistencies() == []


def test_item_named_twice_is_refused(bench: Bench) -> None:
    item = bench.item()

    with pytest.raises(errors.TooMany):
        bench.queue.edit([item, item], ItemEdit(title="New"))


def test_more_urgent_item_is_claimed_first(bench: Bench) -> None:
    first, second = bench.item(), bench.item()

    bench.queue.edit([second], ItemEdit(priority=0))

    assert [bench.claimed_next(), bench.claimed_next()] == [second, first]


def test_holder_learns_of_edits_with_its_next_report(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.edit([lease.item], ItemEdit(priority=0))
    bench.queue.edit([lease.item], ItemEdit(context={"db": "x"}, priority=1))

    told = bench.agent().progress(lease, "half way")
    again = bench.agent().progress(lease, "more")

    assert (told.edited, again.edited) == (("priority", "context"), ())


def test_assigned_context_is_reported_to_the_holder(bench: Bench) -> None:
    lease = bench.claimed()

    bench.queue.assign(lease.item, "ada", context={"db": "x"})

    assert bench.agent().progress(lease, "half way").edited == ("context",)


def test_renewal_may_leave_edits_to_the_next_step(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.edit([lease.item], ItemEdit(priority=0))

    quiet = bench.agent().renew(lease, leaves_news=True)
    renewed = bench.agent().renew(lease)
    again = bench.agent().renew(lease)

    assert (quiet.edited, renewed.edited, again.edited) == (
        (),
        ("priority",),
        (),
    )


def test_get_shows_the_edited_item_to_its_holder(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.edit([lease.item], ItemEdit(context={"db": "x"}))

    claim = bench.agent().get(lease)

    assert claim.package.item.context == {"db": "x"}
    assert bench.agent().progress(lease, "on").edited == ()


def test_next_holder_sees_no_earlier_edits(bench: Bench) -> None:
    lease = bench.claimed()
    bench.queue.edit([lease.item], ItemEdit(priority=0))
    bench.queue.assign(lease.item, "ada", force=True)

    taken = bench.claimed(lease.item)

    assert bench.agent().progress(taken, "on").edited == ()


def test_edit_revokes_the_token_of_an_expired_attempt(bench: Bench) -> None:
    lease = bench.expired_lease(State.QUEUED)

    bench.queue.edit([lease.item], ItemEdit(title="Something else"))

    with pytest.raises(errors.LeaseLost):
        bench.agent().complete(lease, "the old work")
    assert bench.state(lease.item) is State.QUEUED


def test_labels_leave_the_token_of_an_expired_attempt(bench: Bench) -> None:
    lease = bench.expired_lease(State.QUEUED)

    bench.queue.edit([lease.item], ItemEdit(add_labels=("late",)))
    done = bench.agent().complete(lease, "late, but done")

    assert (done.state, done.edited) == (State.COMPLETED, ("labels",))


def test_removed_dependency_queues_the_item(bench: Bench) -> None:
    first, second = bench.item(agent="bob"), bench.item(agent="bob")
    item = bench.item(depends_on=(first, second))

    (one,) = bench.queue.edit([item], ItemEdit(remove_dependencies=(first,)))
    (two,) = bench.queue.edit([item], ItemEdit(remove_dependencies=(second,)))

    assert (one.state, two.state) == (State.WAITING, State.QUEUED)
    assert item_of(bench, item).depends_on == ()
    assert last_event(bench) == ("edit", item, State.QUEUED)
    assert bench.inconsistencies() == []
    assert bench.queue.audit().findings == ()


def test_removed_dependency_wakes_a_waiting_agent(bench: Bench) -> None:
    item = bench.item(depends_on=(bench.item(agent="bob"),))
    dependency = item_of(bench, item).depends_on

    bench.queue.edit([item], ItemEdit(remove_dependencies=dependency))

    assert need_lease(bench.agent().claim(wait_s=60)).item == item


def test_removed_dependency_is_not_opened_by_requeue(bench: Bench) -> None:
    done = bench.completed_item()
    item = bench.item(depends_on=(done,))

    bench.queue.edit([item], ItemEdit(remove_dependencies=(done,)))
    bench.queue.requeue(done)

    assert bench.state(item) is State.QUEUED
    assert bench.queue.audit().findings == ()


def test_removing_a_missing_dependency_changes_nothing(bench: Bench) -> None:
    item, other = bench.item(), bench.item()
    before = bench.everything()

    (edited,) = bench.queue.edit(
        [item], ItemEdit(remove_dependencies=(other, "item_00000000"))
    )

    assert edited.changes == ()
    assert bench.everything() == before


def test_kept_reply_of_an_edit_has_no_texts(bench: Bench) -> None:
    item = bench.item(title="Old")

    bench.queue.edit([item], ItemEdit(title="Secret"))

    kept = json.dumps(bench.kept_replies())
    assert "edit" in kept
    assert "Secret" not in kept
    assert "Old" not in kept


def test_repeated_edit_acts_once_with_same_reply(bench: Bench) -> None:
    item = bench.item(title="Old")
    recorder = RecordingConnection(bench.queue._scripts.connection)
    recorded = bench.with_connection(lambda _: recorder)
    recorded.queue.edit([item], ItemEdit(title="New"))
    before = bench.everything()

    first, repeat = recorder.repeat(0)

    assert first.reply == [[item, "queued", [["title", "Old", "New"]]]]
    assert repeat.reply == first.reply
    assert bench.everything() == before


def test_long_value_is_cut_in_the_history(bench: Bench) -> None:
    same = "ü" * 10_000
    item = bench.item(description=same + "a" + "ä" * 10_000)

    bench.queue.edit([item], ItemEdit(description=same + "b" + "ä" * 10_000))

    ((_, text),) = edits_of(bench, item)
    before, after = (
        f"…{'ü' * 20}{letter}{'ä' * 179}…" for letter in ("a", "b")
    )
    assert text == f"description: {before} -> {after}"


def test_largest_edit_fits_into_a_report(bench: Bench) -> None:
    first, second = "\1" * 25_000, "\2" * 25_000
    values: dict[str, Any] = {
        "title": "\1" * 500,
        "description": first,
        "requirements": (first,),
        "resources": (first,),
        "deliverables_expected": (first,),
        "criteria": (first,),
        "context": {"a": "\1" * 40_000},
    }
    item = bench.item(**values)

    bench.queue.edit(
        [item],
        ItemEdit(
            title="\2" * 500,
            description=second,
            requirements=(second,),
            resources=(second,),
            deliverables_expected=(second,),
            criteria=(second,),
            context={"a": "\2" * 40_000},
            priority=0,
            lease_ms=1,
            max_attempts=1000,
            add_labels=tuple(f"{n}{'x' * 47}" for n in range(20)),
        ),
    )

    (newest,) = bench.queue.views.show(item).history
    rows = [[each.field, each.before, each.after] for each in newest.changes]
    assert len(rows) == 11
    assert len(json.dumps(rows)) < 64 * 1024


@pytest.mark.parametrize(
    "edit",
    [
        ItemEdit(title=" "),
        ItemEdit(title="x" * 501),
        ItemEdit(priority=5),
        ItemEdit(max_attempts=0),
        ItemEdit(requirements=("",)),
        ItemEdit(add_labels=("two words",)),
        ItemEdit(add_labels=("x" * 51,)),
        ItemEdit(add_labels=tuple(f"l{n}" for n in range(21))),
        ItemEdit(context={"": "x"}),
    ],
    ids=str,
)
def test_invalid_value_is_refused(bench: Bench, edit: ItemEdit) -> None:
    item = bench.item()
    before = bench.everything()

    with pytest.raises(errors.Invalid):
        bench.queue.edit([item], edit)

    assert bench.everything() == before


def test_labels_are_at_most_twenty_in_all(bench: Bench) -> None:
    item = bench.item(labels=tuple(f"l{n}" for n in range(15)))

    with pytest.raises(errors.TooMany) as refusal:
        bench.queue.edit(
            [item], ItemEdit(add_labels=tuple(f"m{n}" for n in range(6)))
        )

    assert "20" in str(refusal.value)


# A plan that is applied again ---------------------------------------------------------


def planned(name: str, **fields: object) -> NewItem:
    return NewItem(**{"key": name, "title": name, **fields})  # type: ignore[arg-type]


def apply(bench: Bench, *items: NewItem, dry_run: bool = False) -> AppliedPlan:
    plan = Plan(title="P", key="k", items=items)
    return bench.queue.apply(plan, dry_run=dry_run, updates=True)


def shown(applied: AppliedPlan) -> list[list[tuple[str, str, str]]]:
    return [
        [(each.field, each.before, each.after) for each in item.changes]
        for item in applied.items
    ]


def test_changed_plan_updates_an_unbegun_item(bench: Bench) -> None:
    apply(bench, planned("a", requirements=("One",), labels=("x",)))

    again = apply(
        bench,
        planned(
            "a",
            title="A",
            description="More",
            requirements=("Two",),
            priority=0,
            criteria=("Tested",),
            labels=("y",),
        ),
    )

    assert shown(again) == [
        [
            ("title", "a", "A"),
            ("description", "(none)", "More"),
            ("requirements", "One", "Two"),
            ("acceptance criteria", "(none)", "Tested"),
            ("labels", "x", "y"),
            ("priority", "2", "0"),
        ]
    ]
    found = item_of(bench, again.items[0].id)
    assert (found.title, found.requirements, found.labels, found.priority) == (
        "A",
        ("Two",),
        ("y",),
        0,
    )
    assert bench.inconsistencies() == []


def test_unchanged_plan_changes_nothing(bench: Bench) -> None:
    items = (
        planned(
            "a",
            description="D",
            requirements=("x/y",),
            resources=("a/b",),
            context={"x": "a/b"},
            priority=0,
            lease_ms=HOUR_MS,
            max_attempts=9,
            labels=("l",),
            agent="ada",
        ),
        planned("b", depends_on=(0,), agent="ada"),
    )
    first = apply(bench, *items)
    bench.queue.assign(
        first.items[0].id, "ada", context={"y": "2"}, resources=("c/d",)
    )
    bench.queue.edit([first.items[1].id], ItemEdit(add_labels=("mine",)))
    before = bench.everything()

    again = apply(bench, *items)

    assert shown(again) == [[], []]
    assert bench.everything() == before


def test_dropped_fields_of_a_plan_are_removed(bench: Bench) -> None:
    first = apply(
        bench,
        planned("a"),
        planned(
            "b", depends_on=(0,), description="D", agent="ada", priority=1
        ),
    )

    again = apply(bench, planned("a"), planned("b", agent="ada"))

    assert shown(again)[1] == [
        ("description", "D", "(none)"),
        ("priority", "1", "2"),
        ("dependencies", first.items[0].id, "(none)"),
    ]
    assert again.items[1].state is State.QUEUED
    assert bench.state(again.items[1].id) is State.QUEUED
    assert bench.inconsistencies() == []


def test_begun_item_keeps_its_differences(bench: Bench) -> None:
    first = apply(bench, planned("a", agent="ada"), planned("b", agent="ada"))
    lease = bench.claimed(first.items[0].id)

    again = apply(
        bench,
        planned("a", title="Other", priority=0, agent="ada"),
        planned("b", title="B", agent="ada"),
    )

    assert shown(again) == [[("priority", "2", "0")], [("title", "b", "B")]]
    assert [
        [each.field for each in item.differences] for item in again.items
    ] == [["title"], []]
    assert again.items[0].state is State.IN_PROGRESS
    assert item_of(bench, lease.item).title == "a"
    assert bench.agent().progress(lease, "on").edited == ("priority",)


def test_old_item_waits_for_a_new_one(bench: Bench) -> None:
    apply(bench, planned("a", agent="ada"))

    again = apply(
        bench,
        planned("new", agent="bob"),
        planned("a", agent="ada", depends_on=(0,)),
    )

    new, old = again.items
    assert (old.state, bench.state(old.id)) == (State.WAITING, State.WAITING)
    assert item_of(bench, old.id).depends_on == (new.id,)
    assert bench.inconsistencies() == []
    assert bench.queue.audit().findings == ()
    bench.agent("bob").complete(Lease(item=new.id), "done")
    assert bench.state(old.id) is State.QUEUED


def test_dry_run_shows_changes_and_writes_nothing(bench: Bench) -> None:
    apply(bench, planned("a"))
    before = bench.everything()

    dry = apply(
        bench,
        planned("new"),
        planned("a", title="A", depends_on=(0,)),
        dry_run=True,
    )

    assert shown(dry)[1] == [
        ("title", "a", "A"),
        ("dependencies", "(none)", "new"),
    ]
    assert bench.everything() == before


def test_plan_that_closes_a_cycle_changes_nothing(bench: Bench) -> None:
    first = apply(bench, planned("a"))
    outside = bench.item(depends_on=(first.items[0].id,))
    before = bench.everything()

    for dry_run in (True, False):
        with pytest.raises(errors.Cycle) as refusal:
            apply(
                bench,
                planned("new", depends_on=(outside,)),
                planned("a", title="A", depends_on=(0,)),
                dry_run=dry_run,
            )
        item = first.items[0].id
        assert str(refusal.value).startswith(f"{item} cannot depend on new")

    assert bench.everything() == before


def test_plan_may_reverse_a_dependency(bench: Bench) -> None:
    apply(bench, planned("a"), planned("b", depends_on=(0,)))

    again = apply(bench, planned("b"), planned("a", depends_on=(0,)))

    b, a = again.items
    assert item_of(bench, a.id).depends_on == (b.id,)
    assert item_of(bench, b.id).depends_on == ()
    assert bench.queue.audit().findings == ()


def test_create_with_a_known_key_edits_nothing(bench: Bench) -> None:
    project = bench.project()
    first = bench.queue.create(project, planned("a"))

    bench.queue.create(project, planned("a", title="Other"))

    assert item_of(bench, first).title == "a"


def test_edit_adds_dependencies(bench: Bench) -> None:
    first, second = bench.item(), bench.item()
    item = bench.item(depends_on=(first,))
    edit = ItemEdit(add_dependencies=(second,), remove_dependencies=(first,))

    (edited,) = bench.queue.edit([item], edit)

    assert bench.queue.views.show(item).item.depends_on == (second,)
    assert [str(each) for each in edited.changes] == [
        f"dependencies: {first} -> {second}"
    ]


def test_item_waits_for_dependency_that_edit_adds(bench: Bench) -> None:
    first, item = bench.item(agent="bob"), bench.item()

    bench.queue.edit([item], ItemEdit(add_dependencies=(first,)))

    assert bench.state(item) is State.WAITING
    bench.agent("bob").complete(bench.claimed(first, agent="bob"), "done")
    assert bench.state(item) is State.QUEUED


def test_edit_that_closes_a_circle_changes_nothing(bench: Bench) -> None:
    first = bench.item()
    second = bench.item(depends_on=(first,))
    edit = ItemEdit(title="Another", add_dependencies=(second,))

    with pytest.raises(errors.Cycle):
        bench.queue.edit([first], edit)

    assert bench.queue.views.show(first).item.title == "An item"


def test_edit_refuses_unknown_dependency(bench: Bench) -> None:
    item = bench.item()

    with pytest.raises(errors.NoItem):
        bench.queue.edit([item], ItemEdit(add_dependencies=("item_00000000",)))


def test_edit_of_several_items_adds_no_dependencies(bench: Bench) -> None:
    items = [bench.item(), bench.item()]

    with pytest.raises(errors.Invalid, match="one item"):
        bench.queue.edit(items, ItemEdit(add_dependencies=(bench.item(),)))
