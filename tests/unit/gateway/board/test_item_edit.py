"""An edit from the board changes what the person has changed, and nothing else."""

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import Item, ItemEdit, State
from taskorch_gateway.board.form_fields import (
    OPENED,
    digests,
    is_untouched,
)
from taskorch_gateway.board.forms import Form
from taskorch_gateway.board.item_edit import (
    EDITABLE,
    ChangedSince,
    ChangeItem,
    change_of,
    fields_of,
)

HOSTILE = "</textarea><script>x</script>\r\nand\rmore"


def item_of(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def form_of(item: Item, **typed: str) -> Form:
    """Return the form of an item as a browser sends it, with some fields typed."""
    fields = fields_of(item)
    sent = {
        each.name: each.value.replace("\r\n", "\n").replace("\n", "\r\n")
        for each in fields
        if not each.closed
    }
    return Form([(OPENED, digests(fields)), *{**sent, **typed}.items()])


def changed(item: Item, form: Form) -> ChangeItem:
    change = change_of(item, form)
    assert change
    return change


def test_untouched_form_changes_nothing(bench: Bench) -> None:
    item = item_of(
        bench,
        bench.item(
            title="Login form",
            description=HOSTILE,
            requirements=("one", "two"),
            criteria=("It works",),
            context={"url": "http://here/?a=b", "empty": ""},
            labels=("ui", "urgent"),
            depends_on=(bench.item(),),
        ),
    )

    assert change_of(item, form_of(item)) is None


def test_only_touched_fields_are_changed(bench: Bench) -> None:
    item = item_of(bench, bench.item(requirements=("one",), labels=("ui",)))
    form = form_of(
        item,
        title="Another title",
        requirements="one\r\n\r\n two ",
        priority="0",
        labels="ui, new",
        context="where=here",
        depends_on="item_1a2b",
    )

    change = changed(item, form)

    assert change.edit.title == "Another title"
    assert change.edit.requirements == ("one", "two")
    assert change.edit.priority == 0
    assert change.edit.label == ("new",)
    assert change.edit.unlabel == ()
    assert change.edit.context == {"where": "here"}
    assert change.edit.description is None
    assert change.edit.max_attempts is None
    assert change.add == ("item_1a2b",)


def test_emptied_fields_are_emptied(bench: Bench) -> None:
    other = bench.item()
    item = item_of(
        bench,
        bench.item(
            description="It",
            resources=("a.md",),
            context={"a": "b"},
            labels=("ui",),
            depends_on=(other,),
        ),
    )
    form = form_of(
        item,
        description="",
        resources="",
        context="",
        labels="",
        depends_on="",
    )

    edit = changed(item, form).edit

    assert edit.description == ""
    assert edit.resources == ()
    assert edit.remove_context == ("a",)
    assert edit.unlabel == ("ui",)
    assert edit.undepend == (other,)


def test_edit_keeps_what_others_changed(bench: Bench) -> None:
    id_ = bench.item(title="Login form", description="Old")
    form = form_of(item_of(bench, id_), title="Sign-in form")
    bench.queue.edit([id_], ItemEdit(description="New", priority=0))

    change = changed(item_of(bench, id_), form)

    assert change.edit.title == "Sign-in form"
    assert change.edit.description is None
    assert change.edit.priority is None


def test_field_changed_by_both_is_refused(bench: Bench) -> None:
    id_ = bench.item(title="Login form")
    form = form_of(item_of(bench, id_), title="Sign-in form")
    bench.queue.edit([id_], ItemEdit(title="Their form"))

    with pytest.raises(ChangedSince, match="Title is now “Their form”"):
        change_of(item_of(bench, id_), form)


def test_form_sent_twice_is_no_conflict(bench: Bench) -> None:
    id_ = bench.item(title="Login form")
    form = form_of(item_of(bench, id_), title="Sign-in form")
    bench.queue.edit([id_], ItemEdit(title="Sign-in form"))

    assert change_of(item_of(bench, id_), form) is None


def test_values_of_several_lines_are_typed(bench: Bench) -> None:
    item = item_of(
        bench,
        bench.item(
            requirements=("two\n\n  lines", "one"), context={"a": "b\nc"}
        ),
    )
    shown = next(e.value for e in fields_of(item) if e.name == "requirements")
    form = form_of(item, requirements=f"{shown}\r\n    of two")

    change = changed(item, form)

    assert change.edit.requirements == ("two\n\n  lines", "one\nof two")
    assert change.edit.context == {}


def test_values_that_cannot_be_typed_are_closed(bench: Bench) -> None:
    item = item_of(
        bench, bench.item(requirements=(" a ",), context={"a": "b\n"})
    )

    closed = {each.name for each in fields_of(item) if each.closed}

    assert closed == {"requirements", "context"}


def test_edit_with_dependencies_is_all_or_nothing(bench: Bench) -> None:
    first = bench.item()
    item = item_of(bench, bench.item(title="Login form", depends_on=(first,)))
    form = form_of(item_of(bench, first), title="Another", depends_on=item.id)
    change = changed(item_of(bench, first), form)

    with pytest.raises(errors.Cycle):
        performed(bench, change)

    after = item_of(bench, first)
    assert (after.title, after.depends_on) == ("An item", ())


def test_edit_with_dependencies_is_one_step(bench: Bench) -> None:
    first, second = bench.item(), bench.item()
    item = item_of(bench, bench.item(depends_on=(first,)))
    short = second.removeprefix("item_")
    form = form_of(item, title="Another", depends_on=short)

    performed(bench, changed(item, form))

    after = item_of(bench, item.id)
    assert (after.title, after.depends_on) == ("Another", (second,))
    assert after.state is State.WAITING
    edits = [
        each.report.kind
        for each in bench.queue.views.timeline(item.id).timeline
    ]
    assert edits.count("edit") == 1


@pytest.mark.parametrize(
    ("state", "is_open"),
    [
        (State.QUEUED, set(EDITABLE)),
        (State.IN_PROGRESS, {"priority", "labels", "context"}),
        (State.FAILED, set(EDITABLE)),
        (State.COMPLETED, {"labels"}),
    ],
)
def test_state_closes_fields(
    bench: Bench, state: State, is_open: set[str]
) -> None:
    item = item_of(bench, bench.lease_in(state).item)

    assert {e.name for e in fields_of(item) if not e.closed} == is_open


def test_bad_values_are_refused(bench: Bench) -> None:
    item = item_of(bench, bench.item())

    for typed in ({"context": "no equals"}, {"priority": "high"}):
        with pytest.raises(errors.Usage):
            change_of(item, form_of(item, **typed))


def test_untouched_field_is_told_apart(bench: Bench) -> None:
    item = item_of(bench, bench.item(title="Login form"))
    form = form_of(item, title="Other")

    assert not is_untouched("title", form)
    assert is_untouched("description", form)
