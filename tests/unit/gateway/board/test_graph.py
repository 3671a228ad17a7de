import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from taskorch_gateway.board import graph
from taskorch_gateway.board.graph import GraphBox, GraphLayout

pytestmark = pytest.mark.one_lane

NUMBER = r"-?\d+"
FEW = settings(max_examples=40, deadline=None)


@st.composite
def graphs(draw: st.DrawFn, most: int = 24) -> dict[str, list[str]]:
    """Return items in random order, each with dependencies on some drawn before it."""
    names = [f"item_{number}" for number in range(draw(st.integers(0, most)))]
    after: dict[str, list[str]] = {}
    for place, name in enumerate(names):
        after[name] = []
        if place:
            those = st.lists(st.sampled_from(names[:place]), max_size=4)
            after[name] = draw(those)
    order = draw(st.permutations(names))
    return {name: after[name] for name in order}


def boxes_of(layout: GraphLayout) -> dict[str, GraphBox]:
    return {box.id: box for box in layout.boxes}


def overlapping(layout: GraphLayout) -> list[tuple[str, str]]:
    return [
        (one.id, other.id)
        for place, one in enumerate(layout.boxes)
        for other in layout.boxes[:place]
        if abs(one.x - other.x) < graph.BOX_WIDTH
        and abs(one.y - other.y) < graph.BOX_HEIGHT + graph.ROW_GAP / 2
    ]


def points_of(path: str) -> list[tuple[int, int]]:
    """Return where the parts of a path end."""
    points = [(0, 0)]
    for word, numbers in re.findall(r"([MHC])([-\d ]+)", path):
        values = [int(each) for each in re.findall(NUMBER, numbers)]
        y = points[-1][1] if word == "H" else values[-1]
        points.append((values[0] if word == "H" else values[-2], y))
    return points[1:]


def crosses_a_box(
    points: Sequence[tuple[int, int]], boxes: Mapping[str, GraphBox]
) -> bool:
    """Return whether a level part of a curve goes through a box."""
    for (x, y), (next_x, next_y) in pairwise(points):
        for box in boxes.values():
            is_beside = next_x <= box.x or x >= box.x + graph.BOX_WIDTH
            is_level = y == next_y and box.y < y < box.y + graph.BOX_HEIGHT
            if is_level and not is_beside:
                return True
    return False


@FEW
@given(after=graphs())
def test_boxes_of_a_graph_never_overlap(after: dict[str, list[str]]) -> None:
    layout = graph.layout(after)

    assert overlapping(layout) == []
    assert sorted(boxes_of(layout)) == sorted(after)


@FEW
@given(after=graphs())
def test_edges_of_a_graph_point_forward(after: dict[str, list[str]]) -> None:
    layout = graph.layout(after)

    boxes = boxes_of(layout)
    for item, dependencies in after.items():
        for each in dependencies:
            assert boxes[each].x + graph.PITCH <= boxes[item].x


@FEW
@given(after=graphs())
def test_edges_lead_from_box_to_box(after: dict[str, list[str]]) -> None:
    layout = graph.layout(after)

    boxes = boxes_of(layout)
    known = {(each, item) for item, those in after.items() for each in those}
    assert {(edge.source, edge.target) for edge in layout.edges} == known
    assert layout.left_out == 0
    for edge in layout.edges:
        source, target = boxes[edge.source], boxes[edge.target]
        points = points_of(edge.path)
        half = graph.BOX_HEIGHT // 2
        assert points[0] == (source.x + graph.BOX_WIDTH, source.y + half)
        assert points[-1] == (target.x, target.y + half)
        assert not crosses_a_box(points, boxes)


@FEW
@given(after=graphs())
def test_graph_fits_into_its_size(after: dict[str, list[str]]) -> None:
    layout = graph.layout(after)

    for box in layout.boxes:
        right, bottom = box.x + graph.BOX_WIDTH, box.y + graph.BOX_HEIGHT
        assert graph.MARGIN <= box.x <= right <= layout.width - graph.MARGIN
        assert graph.MARGIN <= box.y <= bottom <= layout.height - graph.MARGIN


@FEW
@given(after=graphs())
def test_same_graph_is_drawn_the_same(after: dict[str, list[str]]) -> None:
    assert graph.layout(after) == graph.layout(dict(after))


def test_chain_is_a_straight_line() -> None:
    layout = graph.layout({"c": ["b"], "a": [], "b": ["a"]})

    assert [box.id for box in layout.boxes] == ["a", "b", "c"]
    assert len({box.y for box in layout.boxes}) == 1
    assert [edge.path.count("C") for edge in layout.edges] == [0, 0]


def test_boxes_are_sorted_to_avoid_crossings() -> None:
    after = {"a": [], "b": [], "c": [], "x": ["c"], "y": ["b"], "z": ["a"]}

    boxes = boxes_of(graph.layout({**after, "end": ["x", "y", "z"]}))

    order = sorted("abc", key=lambda item: boxes[item].y)
    beside = sorted("xyz", key=lambda item: boxes[item].y)
    assert [after[item][0] for item in beside] == order


def test_single_items_are_in_rows_below() -> None:
    singles = [f"single_{number}" for number in range(7)]
    after: dict[str, list[str]] = {item: [] for item in singles}

    layout = graph.layout({**after, "a": [], "b": ["a"]})

    boxes = boxes_of(layout)
    rows = sorted({boxes[item].y for item in singles})
    assert len(rows) == 2
    assert rows[0] > boxes["a"].y + graph.BOX_HEIGHT


def test_circle_of_damaged_items_is_drawn() -> None:
    layout = graph.layout({"a": ["b", "a"], "b": ["a"], "c": ["gone", "b"]})

    assert sorted(boxes_of(layout)) == ["a", "b", "c"]
    assert overlapping(layout) == []


def test_implied_dependencies_of_many_are_left_out() -> None:
    names = [f"item_{number}" for number in range(40)]
    after = {name: names[:place] for place, name in enumerate(names)}

    layout = graph.layout(after)

    assert len(layout.edges) == 39
    assert layout.left_out == 40 * 39 // 2 - 39


def test_number_of_curves_has_a_limit() -> None:
    first = [f"first_{number}" for number in range(60)]
    after: dict[str, list[str]] = {item: [] for item in first}
    after |= {f"second_{number}": first for number in range(60)}

    layout = graph.layout(after)

    assert len(layout.edges) == graph.MOST_EDGES
    assert layout.left_out == 3600 - graph.MOST_EDGES


@settings(max_examples=10, deadline=None)
@given(after=graphs(most=graph.GRID_COLUMNS * 30))
def test_large_graph_is_drawn_in_order(after: dict[str, list[str]]) -> None:
    layout = graph.layout(after)

    assert overlapping(layout) == []
    assert len(layout.boxes) == len(after)
    places = [(box.x, box.y) for box in layout.boxes]
    assert places == sorted(places)
