"""The ticks of a project."""

import pytest
from taskorch.domain.item import State
from taskorch_gateway.board.ticks import MARKS, MOST, STEP, ticks


def test_each_item_has_a_tick() -> None:
    shown = ticks({State.COMPLETED: 2, State.FAILED: 1, State.CANCELLED: 5})

    assert shown.label == "2 completed, 1 failed"
    assert [shape.style for shape in shown.shapes] == ["s-done", "s-failed"]
    assert shown.shapes[0].path == "M0 4h5v10h-5zM7 4h5v10h-5z"
    assert shown.width == 19


def test_project_without_items_has_no_ticks() -> None:
    shown = ticks({})

    assert (shown.shapes, shown.width, shown.label) == ((), 0, "no items")


@pytest.mark.parametrize(
    "counts",
    [
        {State.COMPLETED: 10_000, State.FAILED: 1, State.QUEUED: 3},
        dict.fromkeys(MARKS, 1_000),
        {State.QUEUED: 37},
    ],
)
def test_large_project_shows_shares(counts: dict[State, int]) -> None:
    shown = ticks(counts)

    assert len(shown.shapes) == len(counts)
    assert shown.width == MOST * STEP - 2
    assert f"{counts[next(iter(counts))]} " in shown.label
