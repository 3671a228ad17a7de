"""Searches for items: filters, an order, and as many calls as that takes."""

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import HOUR_MS, ItemEdit, ItemFilter, Order, State
from taskorch.queue import scripts


def ids(bench: Bench, wanted: ItemFilter, limit: int = 100) -> list[str]:
    found = bench.queue.views.search(wanted, limit=limit)
    return [item.id for item in found.items]


def test_several_states_agents_and_priorities_match_any(bench: Bench) -> None:
    project = bench.project()
    one = bench.item(project, agent="ada", priority=0)
    two = bench.item(project, agent="bob", priority=1)
    three = bench.item(project, agent="", priority=3)

    assert ids(bench, ItemFilter(agents=("ada", "bob"))) == [one, two]
    assert ids(bench, ItemFilter(priorities=(1, 3))) == [two, three]
    assert ids(bench, ItemFilter(priorities=(2,))) == []
    assert ids(bench, ItemFilter(states=(State.PENDING, State.QUEUED))) == [
        one,
        two,
        three,
    ]
    assert ids(
        bench, ItemFilter(states=(State.QUEUED,), agents=("bob", "cy"))
    ) == [two]


def test_default_priority_is_found(bench: Bench) -> None:
    item = bench.item()

    assert ids(bench, ItemFilter(priorities=(2,))) == [item]


def test_several_labels_must_all_be_there(bench: Bench) -> None:
    project = bench.project()
    both = bench.item(project, labels=("api", "v2"))
    bench.item(project, labels=("api",))
    bench.item(project, labels=("api-v2", "v22"))
    bench.item(project)

    assert ids(bench, ItemFilter(labels=("v2", "api"))) == [both]


def test_label_with_slash_is_found_after_edit(bench: Bench) -> None:
    item = bench.item(labels=("area/api",))

    bench.queue.edit([item], ItemEdit(add_labels=("team/ada",)))

    assert ids(bench, ItemFilter(labels=("area/api", "team/ada"))) == [item]


def test_grep_searches_titles_and_descriptions(bench: Bench) -> None:
    project = bench.project()
    title = bench.item(project, title="Fix the LOGIN page")
    text = bench.item(project, description="a\nnew login. (%d+)")
    bench.item(project, title="Other", requirements=("login",))

    assert ids(bench, ItemFilter(texts=("login",))) == [title, text]
    assert ids(bench, ItemFilter(texts=("(%d+)",))) == [text]
    assert ids(bench, ItemFilter(texts=("log.n",))) == []


def test_several_texts_must_all_be_there(bench: Bench) -> None:
    project = bench.project()
    both = bench.item(project, title="Login", description="of the FORM")
    bench.item(project, title="Login")
    bench.item(project, title="Form")

    assert ids(bench, ItemFilter(texts=("form", "login"))) == [both]
    assert ids(bench, ItemFilter(texts=("login\nof",))) == []


def test_until_finds_what_has_not_changed(bench: Bench) -> None:
    old = bench.item()
    bench.item()
    bench.age_item(old, hours=3)

    assert ids(bench, ItemFilter(until_ago_ms=2 * HOUR_MS)) == [old]
    assert ids(bench, ItemFilter(until_ago_ms=4 * HOUR_MS)) == []


def test_search_names_projects_and_counts_visits(bench: Bench) -> None:
    project = bench.queue.project("A title")
    bench.item(project)
    bench.item()

    found = bench.queue.views.search(ItemFilter(project=project))

    assert found.project_titles == {project: "A title"}
    assert found.visited == 1


@pytest.mark.usefixtures("few")
def test_search_ends_after_its_calls(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project) for _ in range(9)]
    wanted = ItemFilter(project=project, texts=("nothing",))

    found = bench.queue.views.search(wanted, most_calls=2)
    rest = bench.queue.views.search(
        ItemFilter(project=project), cursor=found.cursor
    )

    scripts.load.cache_clear()
    assert (found.items, found.visited) == ((), 4)
    assert [item.id for item in rest.items] == items[4:]


def test_since_finds_what_has_changed(bench: Bench) -> None:
    project = bench.project()
    old, new = bench.item(project), bench.item(project)
    bench.wait_for_next_ms()
    at = bench.now_ms()
    bench.claimed(new)

    assert ids(bench, ItemFilter(since_at=at)) == [new]
    assert ids(bench, ItemFilter(since_ago_ms=60_000)) == [old, new]
    assert ids(bench, ItemFilter(since_at=at + 60_000)) == []


@pytest.mark.parametrize("order", [None, *Order])
def test_search_of_one_project_leaves_out_others(
    bench: Bench, order: Order | None
) -> None:
    item = bench.item()
    bench.item()
    project = bench.queue.views.show(item).item.project

    assert ids(bench, ItemFilter(project=project, order=order)) == [item]


def test_order_is_of_all_projects(bench: Bench) -> None:
    first = bench.item(priority=1)
    bench.wait_for_next_ms()
    second = bench.item(priority=0)
    bench.wait_for_next_ms()
    third = bench.item(priority=1)
    bench.wait_for_next_ms()
    bench.claimed(first)

    assert ids(bench, ItemFilter(order=Order.CREATED)) == [
        third,
        second,
        first,
    ]
    assert ids(bench, ItemFilter(order=Order.CHANGED)) == [
        first,
        third,
        second,
    ]
    assert ids(bench, ItemFilter(order=Order.PRIORITY))[0] == second


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a call of `list` visit two items only."""
    read = scripts.source

    def shortened(name: str) -> str:
        numbers = "= 100, 30, 524288, 100"
        assert name != "list" or numbers in read(name)
        return read(name).replace(numbers, "= 2, 2, 524288, 100")

    monkeypatch.setattr(scripts, "source", shortened)
    monkeypatch.setattr(scripts.LuaScript, "function", "")  # by its text
    scripts.load.cache_clear()


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("order", [None, *Order])
def test_search_goes_on_until_the_limit(
    bench: Bench, order: Order | None
) -> None:
    project = bench.project()
    items = [bench.item(project, priority=4 - n // 2) for n in range(9)]
    wanted = ItemFilter(project=project, order=order)

    found = bench.queue.views.search(wanted, limit=3)
    every = bench.queue.views.search(wanted, limit=100)

    scripts.load.cache_clear()
    assert len(found.items) == 3
    assert {item.id for item in every.items} == set(items)
    assert every.cursor == ""
    if order is None:
        assert [item.id for item in found.items] == items[:3]
        assert found.cursor
    else:
        assert found.items == every.items[:3]
        assert (found.matching, found.cursor) == (9, "")
    if order is Order.PRIORITY:
        assert [item.priority for item in every.items] == sorted(
            item.priority for item in every.items
        )


def test_search_continues_from_its_cursor(bench: Bench) -> None:
    project = bench.project()
    items = [bench.item(project, agent="ada") for _ in range(5)]
    bench.item(project, agent="bob")
    wanted = ItemFilter(agents=("ada",))

    first = bench.queue.views.search(wanted, limit=3)
    second = bench.queue.views.search(wanted, cursor=first.cursor, limit=3)

    assert [item.id for item in (*first.items, *second.items)] == items
    assert second.cursor == ""


def test_call_searches_a_bounded_number_of_bytes(bench: Bench) -> None:
    project = bench.project()
    for _ in range(20):
        bench.item(project, description="x" * 60_000)
    needle = bench.item(project, title="needle")

    found = bench.queue.views.search(ItemFilter(texts=("needle",)))

    assert [item.id for item in found.items] == [needle]


@pytest.mark.parametrize(
    "wanted",
    [
        ItemFilter(project="x"),
        ItemFilter(agents=("../x",)),
        ItemFilter(priorities=(5,)),
        ItemFilter(labels=("two words",)),
        ItemFilter(texts=("x" * 501,)),
        ItemFilter(texts=("\0",)),
        ItemFilter(texts=("x",) * 11),
        ItemFilter(since_at=-1),
        ItemFilter(until_ago_ms=-1),
        ItemFilter(agents=("ada",) * 101),
    ],
    ids=str,
)
def test_invalid_filter_is_refused(bench: Bench, wanted: ItemFilter) -> None:
    with pytest.raises((errors.Invalid, errors.NoProject)):
        bench.queue.views.search(wanted)
