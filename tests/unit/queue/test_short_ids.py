"""Ids by their first digits: what they name, and what a lookup costs Redis."""

from typing import cast

import pytest
from support.builders import Bench
from taskorch.domain import errors, short_id
from taskorch.domain.item import NewItem
from taskorch.domain.short_id import ShortId
from taskorch.queue.scripts import random_digits

MANY = 5_000


def short(given: str, *kinds: str) -> ShortId:
    parsed = short_id.parse(given, kinds or short_id.KINDS)
    assert isinstance(parsed, ShortId)
    return parsed


def item_with_id(bench: Bench, id_: str, title: str = "An item") -> str:
    return bench.queue.create(bench.project(), NewItem(title=title, id=id_))


def test_first_digits_name_an_item(bench: Bench) -> None:
    item = item_with_id(bench, "item_7fed0001")
    item_with_id(bench, "item_7fee0002")

    for given in ("7fed", "item_7fed", "7fed00"):
        assert bench.queue.views.find(short(given, "item")) == item
        assert bench.agent().find(short(given, "item")) == item


def test_first_digits_name_a_project(bench: Bench) -> None:
    project = bench.queue.project("A project", id="proj_7fed0001")
    item = bench.item(project)

    assert bench.queue.views.find(short("7fed", "proj")) == project
    assert bench.queue.views.find(short("proj_7fed")) == project
    assert bench.queue.views.find(short(item[:10])) == item


def test_ambiguous_id_names_its_candidates(bench: Bench) -> None:
    first = item_with_id(bench, "item_7fed0001", "Design the schema")
    second = item_with_id(bench, "item_7fed0002", "Write the API")

    with pytest.raises(errors.AmbiguousId) as refused:
        bench.queue.views.find(short("7fed"))

    assert sorted(refused.value.rows()) == [
        f"{first} Design the schema",
        f"{second} Write the API",
    ]
    assert refused.value.exit_code == 3


def test_many_candidates_are_cut(bench: Bench) -> None:
    for number in range(9):
        item_with_id(bench, f"item_7fed000{number}")

    with pytest.raises(errors.AmbiguousId) as refused:
        bench.queue.views.find(short("7fed"))

    assert len(refused.value.rows()) == short_id.SHOWN + 1
    assert refused.value.rows()[-1] == "… and more"


def test_item_and_project_with_same_digits_are_ambiguous(
    bench: Bench,
) -> None:
    project = bench.queue.project("A project", id="proj_7fed0001")
    item = bench.queue.create(project, NewItem(title="x", id="item_7fed0001"))

    for given in ("7fed", "7fed0001"):
        with pytest.raises(errors.AmbiguousId):
            bench.queue.views.find(short(given))
        assert bench.queue.views.find(short(given[:7], "item")) == item
        assert bench.queue.views.find(short(given[:7], "proj")) == project


def test_shorter_id_of_import_is_whole(bench: Bench) -> None:
    imported = item_with_id(bench, "item_7fed")
    item_with_id(bench, "item_7fed0001")

    assert bench.queue.views.find(short("item_7fed")) == imported


def test_longer_id_of_import_is_found(bench: Bench) -> None:
    imported = item_with_id(bench, "item_7fed00010002")

    assert bench.queue.views.find(short("7fed0", "item")) == imported


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ("item_7fed", errors.NoItem),
        ("7fed", errors.NoItem),
        ("proj_7fed", errors.NoProject),
    ],
)
def test_unknown_digits_are_not_found(
    bench: Bench, given: str, error: type[errors.NotFound]
) -> None:
    bench.item()

    with pytest.raises(error, match=given):
        bench.queue.views.find(short(given))


@pytest.mark.parametrize(
    "given",
    [
        "item_7fed0001",
        "proj_7fed0001",
        "item_7fed00010002",
        "7fe",
        "item_7fe",
        "7FED",
        "item_7fed*",
        "7fed ",
        "done",
        "item1",
        "new_item",
        "",
    ],
)
def test_other_texts_are_left_alone(given: str) -> None:
    assert short_id.parse(given) == given


def test_eight_digits_are_whole_where_one_kind_fits() -> None:
    assert short_id.parse("7fed0001", ["item"]) == "item_7fed0001"
    assert isinstance(short_id.parse("7fed0001"), ShortId)


@pytest.mark.one_lane
def test_lookup_continues_after_its_bound(bench: Bench) -> None:
    project = bench.project()
    new = [
        NewItem(title="x", id=f"item_0{random_digits()}{number:04x}")
        for number in range(MANY)
    ]
    bench.create_many(project, new)
    last = item_with_id(bench, "item_7fed0001")
    first_project = bench.queue.create(
        project, NewItem(title="x", id="item_7fee0001")
    )
    for _ in range(3):
        bench.create_many(
            bench.project(), [NewItem(title="x") for _ in range(2_000)]
        )

    assert bench.queue.views.find(short("7fed00")) == last
    assert bench.queue.views.find(short("7fee00")) == first_project


@pytest.mark.one_lane
def test_call_of_find_looks_at_bounded_number(bench: Bench) -> None:
    bench.create_many(
        bench.project(), [NewItem(title="x") for _ in range(MANY)]
    )
    bench.create_many(
        bench.project(), [NewItem(title="x") for _ in range(MANY)]
    )

    reply = bench.queue._scripts.run_script(
        "find", "item", "ffffffff", "", 6, ""
    )

    cursor, found = cast("tuple[str, list[object]]", reply)
    assert (bool(cursor), found) == (True, [])


def test_agent_finds_items_of_its_pools(bench: Bench) -> None:
    item = bench.pool_item()
    wanted = short(item[:10], "item")

    mine = bench.agent("bob", pools=["backend"]).candidates(wanted, limit=5)

    assert [each.id for each in mine] == [item]
    assert bench.agent("bob").candidates(wanted, limit=5) == ()
