"""What an open board is sent: the newest of each fragment, and the ids of events."""

import json
from math import inf
from time import monotonic
from typing import cast

import pytest
from support.builders import Bench
from taskorch.domain.events import Event, Events
from taskorch_gateway.board import now
from taskorch_gateway.board.live import (
    MOST_IDS,
    SLOW_S,
    AccessKind,
    BoardRequest,
    BoardUpdates,
    KindViews,
    RenderedFragment,
    Touched,
    due_at,
)
from taskorch_gateway.board.visit import Visit
from taskorch_gateway.waits import LOST


def event(number: int, project: str = "proj_1a2b3c4d", **fields: str) -> Event:
    known = {
        "verb": "progress",
        "item": f"item_{number:08x}",
        "agent": "ada",
        "state": "in_progress",
    }
    return Event(
        cursor=f"{number}-0", at=number, project=project, **{**known, **fields}
    )


def batch(*entries: Event) -> Events:
    return Events(known=True, newest=entries[-1].cursor, entries=entries)


def updates(**have: str) -> BoardUpdates:
    """Return the updates of a board that shows agents and events."""
    request = BoardRequest(
        kind=AccessKind(project="", may_act=True),
        names=("agents", "events"),
        have=have,
        since="",
        visit=cast("Visit", None),  # what a board shows needs none
    )
    return BoardUpdates(request)


def fragment(version: str) -> RenderedFragment:
    return RenderedFragment(
        part=version, version=version, message=f"<{version}>"
    )


def test_slow_board_gets_newest_fragment_only() -> None:
    board = updates()
    board.show({"agents": fragment("1")})
    board.show({"agents": fragment("2"), "flow": fragment("3")})

    assert board.messages() == "<2>"
    assert board.messages() == ""


def test_fragment_of_the_page_is_not_sent() -> None:
    board = updates(agents="1")

    board.show({"agents": fragment("1"), "events": fragment("2")})

    assert board.messages() == "<2>"


def test_fragment_that_changed_back_is_not_sent() -> None:
    board = updates(agents="1")
    board.show({"agents": fragment("2")})

    board.show({"agents": fragment("1")})

    assert board.messages() == ""


def test_many_ids_stand_for_all() -> None:
    touched = Touched()

    for number in range(MOST_IDS + 1):
        touched.add(event(number))

    assert '{"all": true}' in touched.message()


def test_ids_of_events_are_merged() -> None:
    board = updates()
    for number in (1, 2, 1):
        views = KindViews(board.request.kind)
        views.boards.add(board)
        views.note(batch(event(number)))
        views.tell()

    message = board.messages()

    data = message.partition("data: ")[2]
    assert json.loads(data)["items"] == ["item_00000001", "item_00000002"]
    assert "id: 1-0\n" in message


def test_confined_board_learns_nothing_of_others() -> None:
    views = KindViews(AccessKind(project="proj_1a2b3c4d", may_act=False))
    views.is_stale = False

    views.note(batch(event(1, project="proj_99999999")))

    assert not views.is_stale
    assert not views.touched


def test_lost_events_concern_every_board() -> None:
    views = KindViews(AccessKind(project="proj_1a2b3c4d", may_act=False))

    views.note(LOST)

    assert views.touched.is_all


@pytest.mark.one_lane
def test_idle_view_is_never_due(bench: Bench) -> None:
    bench.completed_item()

    assert due_at(now.read(bench.queue.views)) == inf


@pytest.mark.one_lane
def test_view_with_lease_is_due_soon(bench: Bench) -> None:
    bench.claimed()

    assert due_at(now.read(bench.queue.views)) <= monotonic() + SLOW_S


@pytest.mark.one_lane
def test_view_is_due_when_lease_ends(bench: Bench) -> None:
    left_s = SLOW_S / 2
    bench.shorten_lease(bench.claimed().item, left_ms=int(left_s * 1000))

    assert due_at(now.read(bench.queue.views)) <= monotonic() + left_s
