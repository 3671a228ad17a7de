"""Bulk actions in a real browser: the question, what follows, and what is left alone."""

import pytest
from playwright.sync_api import expect
from support.browser import PHONE, OpenBoard, Screen
from support.builders import Bench
from taskorch.domain.item import State
from taskorch.domain.role import Role


@pytest.fixture
def items(bench: Bench) -> list[str]:
    """Return three queued items of a new project."""
    project = bench.queue.project("Bulk")
    return [bench.item(project, title=f"Part {n}") for n in range(3)]


def opened(board: OpenBoard, bench: Bench, items: list[str]) -> Screen:
    project = bench.queue.views.show(items[0]).item.project
    return board(Role.ORCHESTRATOR, f"/items?q=project:{project}")


def press(screen: Screen, name: str) -> None:
    screen.page.get_by_role("button", name=name, exact=True).click()


def heading(screen: Screen) -> str:
    return screen.text("h1")


def states(bench: Bench, items: list[str]) -> list[State]:
    return [bench.state(item) for item in items]


def test_selected_items_are_cancelled(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)
    screen.page.get_by_label("Select Part 0").check()
    screen.page.get_by_label("Select Part 2").check()

    press(screen, "Cancel…")
    asked = heading(screen)
    keep = screen.page.get_by_role("link", name="Keep them as they are")
    expect(keep).to_be_focused()
    screen.page.get_by_label("Reason").fill("not needed")
    press(screen, "Cancel 2 items")

    assert asked == "Cancel 2 items?"
    expect(screen.page.locator(".receipt")).to_have_text("2 items cancelled.")
    assert states(bench, items) == [
        State.CANCELLED,
        State.QUEUED,
        State.CANCELLED,
    ]


def test_whole_filter_is_changed_if_none_is_selected(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)

    press(screen, "Reassign…")
    screen.page.get_by_label("Agent").fill("bob")
    press(screen, "Reassign 3 items")

    expect(screen.page.locator(".receipt")).to_have_text("3 items reassigned.")
    shown = [bench.queue.views.show(item).item for item in items]
    assert [item.agent for item in shown] == ["bob"] * 3


def test_keeping_them_changes_nothing(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)

    press(screen, "Cancel…")
    keep = screen.page.get_by_role("link", name="Keep them as they are")
    expect(keep).to_be_focused()
    screen.page.keyboard.press("Enter")
    screen.page.wait_for_url("**/items?*")

    assert heading(screen) == "Items"
    assert states(bench, items) == [State.QUEUED] * 3


def test_question_says_what_follows(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    bench.claimed(items[0])
    bench.agent().complete(bench.claimed(items[1]), "done")
    screen = opened(board, bench, items)

    press(screen, "Cancel…")

    assert heading(screen) == "Cancel 2 items?"
    text = screen.text("main")
    assert "1 item is held by an agent. The agent loses its lease" in text
    assert "1 item stays as it is: 1 completed." in text


def test_item_that_changed_since_is_left_alone(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)
    press(screen, "Cancel…")

    bench.claimed(items[1])
    new = bench.item(
        bench.queue.views.show(items[0]).item.project, title="Too late"
    )
    press(screen, "Cancel 3 items")

    assert heading(screen) == "2 of 3 items cancelled."
    text = screen.text("main")
    assert "1 item had changed since the question" in text
    assert "Part 1: It is in progress." in text
    assert "1 more item matches the filter since the question" in text
    assert states(bench, [*items, new]) == [
        *(State.CANCELLED, State.IN_PROGRESS, State.CANCELLED, State.QUEUED),
    ]


def test_wrong_agent_keeps_what_was_typed(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)
    press(screen, "Reassign…")

    screen.page.get_by_label("Agent").fill("a b")
    press(screen, "Reassign 3 items")

    expect(screen.page.get_by_role("alert")).to_contain_text("is not a name")
    expect(screen.page.get_by_label("Agent")).to_have_value("a b")
    screen.forgive("422")
    screen.page.get_by_label("Agent").fill("bob")
    press(screen, "Reassign 3 items")
    expect(screen.page.locator(".receipt")).to_have_text("3 items reassigned.")


@pytest.mark.parametrize("has_script", [True, False])
def test_priority_and_labels_of_many_change(
    board: OpenBoard, bench: Bench, items: list[str], *, has_script: bool
) -> None:
    project = bench.queue.views.show(items[0]).item.project
    path = f"/items?q=project:{project}"
    screen = board(Role.ORCHESTRATOR, path, has_script=has_script)

    press(screen, "Priority…")
    screen.page.get_by_label("Priority").select_option("0")
    press(screen, "Change the priority of 3 items")
    press(screen, "Labels…")
    screen.page.get_by_label("Labels to add").fill("api v2")
    press(screen, "Change the labels of 3 items")

    expect(screen.page.locator(".receipt")).to_have_text(
        "The labels of 3 items changed."
    )
    shown = [bench.queue.views.show(item).item for item in items]
    assert [item.priority for item in shown] == [0] * 3
    assert [item.labels for item in shown] == [("api", "v2")] * 3


def test_failed_items_are_requeued(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    bench.agent().fail(bench.claimed(items[0]), "no", retry=False)
    screen = opened(board, bench, items)

    press(screen, "Requeue…")
    press(screen, "Requeue 1 item")

    expect(screen.page.locator(".receipt")).to_have_text("1 item requeued.")
    assert states(bench, items) == [State.QUEUED] * 3


def test_nothing_to_change_is_said(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    screen = opened(board, bench, items)

    press(screen, "Requeue…")

    assert heading(screen) == "No item can be changed like this"
    assert "3 items stay as they are: 3 queued." in screen.text("main")


def test_question_is_accessible_on_a_phone(
    board: OpenBoard, bench: Bench, items: list[str]
) -> None:
    project = bench.queue.views.show(items[0]).item.project
    for action in ("assign", "priority", "label", "cancel"):
        path = f"/bulk?action={action}&q=project:{project}"
        screen = board(Role.ORCHESTRATOR, path, size=PHONE)
        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()


def test_hundred_items_are_changed_in_parts(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("A hundred")
    items = [bench.item(project) for _ in range(100)]
    screen = board(Role.ORCHESTRATOR, f"/items?q=project:{project}")

    press(screen, "Cancel…")
    press(screen, "Cancel 100 items")

    expect(screen.page.locator(".receipt")).to_have_text(
        "100 items cancelled."
    )
    assert set(states(bench, items)) == {State.CANCELLED}
