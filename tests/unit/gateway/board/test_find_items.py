"""The items that a filter of the board means, with the projects that it names."""

from typing import cast

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.domain.item import State
from taskorch.domain.role import Role
from taskorch_gateway.board import filters
from taskorch_gateway.board.filters import WrongFilter
from taskorch_gateway.board.search import FindItems, FoundItems


def found(
    bench: Bench,
    text: str,
    *,
    project: str = "",
    **more: object,
) -> FoundItems:
    given = {"limit": 50, "calls": 20, **more}
    verb = FindItems(wanted=filters.parse(text), confined=project, **given)  # type: ignore[arg-type]
    return cast(
        "FoundItems", performed(bench, verb, Role.VIEWER, project=project)
    )


def ids(items: FoundItems) -> list[str]:
    return [item.id for item in items.items]


def test_filter_finds_items_with_titles_and_counts(bench: Bench) -> None:
    project = bench.queue.project("Monthly report")
    queued, pending = bench.item(project), bench.item(project, agent="")
    bench.item()

    items = found(bench, "state:queued project:report")

    assert ids(items) == [queued]
    assert items.project_titles == {project: "Monthly report"}
    assert items.counts[State.QUEUED] == items.counts[State.PENDING] == 1
    assert ids(found(bench, "state:pending")) == [pending]


def test_project_is_named_by_id_or_its_start(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.item()

    assert ids(found(bench, f"project:{project}")) == [item]
    assert ids(found(bench, f"project:{project[:-1]}")) == [item]


def test_whole_title_comes_before_part_of_one(bench: Bench) -> None:
    report = bench.queue.project("Report")
    other = bench.queue.project("Report of May")
    first, second = bench.item(report), bench.item(other)

    assert ids(found(bench, "project:report")) == [first]
    assert ids(found(bench, 'project:"of may"')) == [second]
    assert set(ids(found(bench, "project:repor"))) == {first, second}


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_pages_of_several_projects_have_everything(
    bench: Bench, limit: int
) -> None:
    one, two, empty = (bench.queue.project(f"Part {n}") for n in range(3))
    wanted = [bench.item(one) for _ in range(2)]
    wanted += [bench.item(two) for _ in range(3)]
    text, cursor, seen = f"project:{one},{empty},{two}", "", list[str]()

    for _ in range(10):
        page = found(bench, text, cursor=cursor, limit=limit)
        seen += ids(page)
        assert len(page.items) <= limit
        cursor = page.cursor
        if not cursor:
            break

    assert seen == wanted


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a project:nothing", "has nothing in its title"),
        ("a project:proj_00000000", "proj_00000000"),
        ("a project:proj_0000", "proj_0000"),
        ("a project:proj_!", "proj_!"),
    ],
)
def test_unknown_project_is_a_mistake_there(
    bench: Bench, text: str, why: str
) -> None:
    with pytest.raises(WrongFilter, match=why) as caught:
        found(bench, text)

    assert caught.value.at == text.index(":") + 1


def test_too_many_projects_are_a_mistake(bench: Bench) -> None:
    for number in range(21):
        bench.queue.project(f"Part {number}")

    with pytest.raises(WrongFilter, match="more than 20 projects"):
        found(bench, "project:part")


def test_confined_token_finds_its_project_only(bench: Bench) -> None:
    project = bench.queue.project("Own")
    own, _ = bench.item(project), bench.item(bench.queue.project("Other"))

    items = found(bench, "", project=project)

    assert ids(items) == [own]
    assert sum(items.counts.values()) == 1
    with pytest.raises(WrongFilter):
        found(bench, "project:other", project=project)


def test_search_ends_after_its_calls_and_goes_on(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, title="needle")
    for _ in range(160):
        bench.item(project, agent="")
    last = bench.item(project, title="needle")

    page = found(bench, "needle", calls=1)
    rest = found(bench, "needle", calls=1, cursor=page.cursor)

    assert (ids(page), page.visited) == ([first], 100)
    assert (ids(rest), rest.cursor) == ([last], "")
