"""The graph of a project: the words, the shapes and the texts of its items."""

from typing import Any

import pytest
from support.board_calls import performed
from support.builders import Bench
from taskorch.domain.item import Item, NewItem, State
from taskorch.queue.stuck import StuckItem
from taskorch_gateway.board import pages, project_graph
from taskorch_gateway.board.filters import Filter
from taskorch_gateway.board.project import ProjectView, ReadProject
from taskorch_gateway.board.project_graph import GraphItem, ProjectGraph

HOSTILE = '</title><script>alert(1)</script>\u202e\x1b[2J & "quotes" \''


def items_of(bench: Bench, project: str) -> list[Item]:
    return list(bench.queue.views.items_of(project))


def graph_of(bench: Bench, project: str) -> ProjectGraph:
    items = items_of(bench, project)
    found = bench.queue.views.stuck(project=project, silent_ms=1)
    stuck = {each.item.id: each for each in found.items}
    return project_graph.drawn(items, stuck, len(items))


def by_id(graph: ProjectGraph) -> dict[str, GraphItem]:
    return {item.id: item for item in graph.items}


def html_of(graph: ProjectGraph) -> str:
    drawing: Any = pages.template("project_graph.html").module
    return str(drawing.drawing(graph, "It"))


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (State.PENDING, "no agent"),
        (State.QUEUED, "queued · ada"),
        (State.BLOCKED, "asks: Which one?"),
        (State.FAILED, "failed, no retry · ada"),
        (State.COMPLETED, "ada"),
        (State.CANCELLED, "cancelled · ada"),
        (State.DELAYED, "delayed · ada"),
    ],
)
def test_graph_says_state_in_words(
    bench: Bench, state: State, words: str
) -> None:
    lease = bench.lease_in(state)
    project = bench.queue.views.show(lease.item).item.project

    graph = graph_of(bench, project)

    shown = by_id(graph)[lease.item]
    assert shown.sub == words
    assert shown.mark == project_graph.mark_of(
        bench.queue.views.show(lease.item).item, None
    )


def test_item_in_a_pool_names_the_pool(bench: Bench) -> None:
    item = bench.pool_item("backend")
    project = bench.queue.views.show(item).item.project

    shown = by_id(graph_of(bench, project))[item]

    assert shown.sub == "queued · pool backend"


def test_silent_item_looks_silent(bench: Bench) -> None:
    item = bench.claimed().item
    known = bench.queue.views.show(item).item
    stuck = StuckItem(
        item=known,
        why="silent",
        since=1,
        agent_seen_at=1,
        dependency="",
        reason="",
        command="",
    )

    graph = project_graph.drawn([known], {item: stuck}, 1)

    assert graph.items[0].mark.glyph == "silent"
    assert graph.items[0].sub == "silent · 0%"


def test_waiting_item_says_for_what(bench: Bench) -> None:
    project = bench.project()
    first, second = bench.item(project), bench.item(project)
    both = bench.item(project, depends_on=[first, second])
    one = bench.item(project, depends_on=[first])

    before = by_id(graph_of(bench, project))
    bench.queue.cancel(first)
    after = by_id(graph_of(bench, project))

    assert before[both].sub == "waits for 2 items"
    assert before[one].sub == "waits for 1 item"
    assert after[both].sub == "waits for a cancelled item"


def test_lines_tell_done_open_and_dead(bench: Bench) -> None:
    project = bench.project()
    for state in (State.COMPLETED, State.QUEUED, State.FAILED):
        item = bench.item(project)
        bench.bring_to(item, state)
        bench.item(project, agent="bob", depends_on=[item])

    graph = graph_of(bench, project)

    looks = {(line.is_open, line.is_dead) for line in graph.lines}
    assert looks == {(False, False), (True, False), (True, True)}


def test_label_of_item_is_its_text_alternative(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project, title="Design the schema")
    second = bench.item(project, title="Write the API", depends_on=[first])

    graph = graph_of(bench, project)

    assert by_id(graph)[second].label == (
        "Write the API; waiting; waits for 1 item; after Design the schema"
    )


@pytest.mark.parametrize(
    "title",
    [
        "W" * 500,
        "i" * 500,
        "日本語のとても長い題名" * 20,
        "👩‍🔬" * 160,
        "a" + "\u0301" * 499,
        "line\nbreak\u2028and\ttab " * 20,
        HOSTILE * 5,
    ],
)
def test_long_titles_are_clipped(bench: Bench, title: str) -> None:
    project = bench.project()
    item = bench.item(project, title=title)

    shown = by_id(graph_of(bench, project))[item].title

    assert "\n" not in shown
    assert len(shown) <= 80 or title.startswith("a\u0301")
    assert project_graph.clipped(shown, project_graph.TITLE_PX) == shown


def test_short_titles_are_not_clipped() -> None:
    for title in ("Review password hashing", "Users, sessions tables", ""):
        assert project_graph.clipped(title, project_graph.TITLE_PX) == title


def test_hostile_texts_stay_in_their_place(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project, title=HOSTILE)
    bench.item(project, title="Other", depends_on=[item])

    html = html_of(graph_of(bench, project))

    assert "<script" not in html
    assert "</title><" not in html.replace("</title><rect", "")
    assert "\u202e" not in html


def test_very_large_project_says_what_was_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = bench.project()
    queued = NewItem(title="Queued", agent="ada")
    bench.create_many(project, [queued] * 200)
    bench.item(project, agent="")
    read = ReadProject(project=project, wanted=Filter())
    monkeypatch.setattr("taskorch_gateway.board.project.MOST_CALLS", 1)

    view = performed(bench, read)

    assert isinstance(view, ProjectView)
    assert view.looked_at == 100
    assert not view.graph.is_whole


def test_page_of_project_marks_silent_item(bench: Bench) -> None:
    project = bench.project()
    item = bench.claimed(bench.item(project)).item
    bench.shorten_lease(item, left_ms=60_000)

    view = performed(bench, ReadProject(project=project, wanted=Filter()))

    assert isinstance(view, ProjectView)
    assert view.stuck[item].why == "silent"
    assert view.graph.items[0].mark.glyph == "silent"
