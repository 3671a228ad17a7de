"""Reviews on the board, from the completion of an item to the decision of a person."""

import pytest
from playwright.sync_api import Locator, expect
from support.browser import OpenBoard, Screen
from support.builders import Bench
from taskorch.domain.acceptance import (
    CheckEvidence,
    DeliverableCheck,
    RunCheck,
)
from taskorch.domain.item import State
from taskorch.domain.role import Role

MAKE = RunCheck(run=("make", "test"))
SCHEMA = DeliverableCheck(deliverable="schema")
HOSTILE = "<script>window.broken = 1</script><img src=x>\u202e{{ 7 * 7 }}"


def held(bench: Bench, title: str = "Login form") -> str:
    """Return an item that ada holds, and lead is to review."""
    item = bench.item(title=title, reviewer="lead")
    bench.claimed(item)
    return item


def complete(bench: Bench, item: str, summary: str = "4 tables") -> None:
    bench.agent().complete(bench.lease_of(item), summary)


def in_review(bench: Bench, title: str = "Login form") -> str:
    item = held(bench, title)
    complete(bench, item)
    return item


def row_of(screen: Screen, item: str) -> Locator:
    """Return the row of an item among those that need a person, once they are live."""
    needs = screen.page.locator("#needs-you")
    if needs.locator("details:not([open]) summary").count():
        needs.locator("summary").click()
    return needs.locator(f"li[data-key='{item}']")


def newest(bench: Bench, item: str) -> tuple[str, str, str]:
    """Return the kind, the agent and the text of the newest report on an item."""
    report = bench.queue.views.timeline(item).timeline[-1].report
    return report.kind, report.agent, report.text


@pytest.fixture(autouse=True)
def nothing_else(bench: Bench) -> None:
    """End what older tests have left: the page shows some rows only."""
    while rows := bench.queue.views.needs().rows:
        for need in rows:
            bench.queue.cancel(need.item.id)


def test_item_in_review_appears_by_itself(
    board: OpenBoard, bench: Bench
) -> None:
    item = held(bench)
    screen = board()
    expect(screen.page.locator("#status [role=status]")).to_have_text("live")
    expect(row_of(screen, item)).to_have_count(0)

    complete(bench, item)

    row = row_of(screen, item)
    expect(row).to_contain_text("4 tables")
    expect(row).to_contain_text("Review of ada, by lead · Login form")
    assert screen.page.title().startswith("(1) ")
    assert screen.accessibility_problems() == []


def test_review_is_accepted_in_its_row(board: OpenBoard, bench: Bench) -> None:
    item = in_review(bench)
    waiting = bench.item(depends_on=(item,))
    row = row_of(board(), item)

    row.get_by_role("button", name="Accept").click()

    expect(row).to_contain_text("Accepted. The item is completed.")
    assert bench.state(item) is State.COMPLETED
    assert bench.state(waiting) is State.QUEUED


def test_review_is_sent_back_from_its_row(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    screen = board()
    row = row_of(screen, item)

    row.get_by_role("button", name="Send back…").click()
    ask = screen.page.locator("#ask")
    expect(ask).to_contain_text("Send Login form back?")
    ask.get_by_label("What has to change?").fill("No test of it")
    ask.get_by_role("button", name="Send back").click()

    expect(row).to_contain_text("Sent back to ada.")
    assert newest(bench, item) == ("send_back", "ana", "No test of it")
    assert bench.state(item) is State.QUEUED


def test_review_is_accepted_with_a_text(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    screen = board(path=f"/items/{item}")

    screen.page.get_by_label("Your text about the work").fill("Well done")
    screen.page.get_by_role("button", name="Accept").click()

    drawer = screen.page.locator(".drawer")
    expect(drawer.locator("header")).to_contain_text("Completed")
    expect(drawer).to_contain_text("“Well done”")
    assert newest(bench, item) == ("accept", "ana", "Well done")


def test_review_is_sent_back_with_the_typed_text(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    screen = board(path=f"/items/{item}")

    screen.page.get_by_label("Your text about the work").fill(HOSTILE)
    screen.page.get_by_role("button", name="Send back…").click()

    drawer = screen.page.locator(".drawer")
    expect(drawer.locator("header")).to_contain_text("Queued")
    expect(drawer).to_contain_text("<script>window.broken = 1</script>")
    assert newest(bench, item)[2] == HOSTILE
    assert not screen.page.evaluate("window.broken")
    assert drawer.locator("img").count() == 0


def test_sending_back_without_a_text_asks_for_it(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    screen = board(path=f"/items/{item}")

    screen.page.get_by_role("button", name="Send back…").click()
    ask = screen.page.locator("#ask")
    ask.get_by_label("What has to change?").fill("No test of it")
    assert bench.state(item) is State.REVIEW
    ask.get_by_role("button", name="Send back").click()

    expect(screen.page.locator(".drawer header")).to_contain_text("Queued")
    assert newest(bench, item) == ("send_back", "ana", "No test of it")
    screen.forgive("409")


def test_evidence_of_checks_is_in_the_drawer(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(title="Schema", checks=(MAKE, SCHEMA), reviewer="lead")
    passed = CheckEvidence(
        check=MAKE,
        passed=True,
        exit_code=0,
        duration_ms=2300,
        output=f"42 passed\n{HOSTILE}",
    )
    bench.agent().complete(
        bench.claimed(item),
        "4 tables",
        deliverables={"schema": "schema.sql"},
        evidence=[passed],
    )
    screen = board(Role.VIEWER, f"/items/{item}")
    checks = screen.page.get_by_role("region", name="Checks 2/2 passed")

    checks.locator("summary").click()

    expect(checks.locator("li").first).to_contain_text("make test")
    expect(checks.locator("pre")).to_contain_text("42 passed")
    expect(checks.locator("pre")).to_contain_text("<script>window.broken")
    expect(checks.locator("li").nth(1)).to_contain_text("deliverable schema")
    assert not screen.page.evaluate("window.broken")
    assert screen.accessibility_problems() == []


def test_viewer_sees_a_review_and_no_action(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)

    screen = board(Role.VIEWER)

    expect(row_of(screen, item)).to_contain_text("4 tables")
    assert row_of(screen, item).locator("form, button").count() == 0
    screen.open(f"/items/{item}")
    expect(screen.page.locator(".drawer")).to_contain_text("4 tables")
    assert screen.page.locator(".drawer form").count() == 0


def test_accepted_review_goes_in_the_other_browser(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    first, second = board(), board()
    live = second.page.locator("#status [role=status]")
    expect(live).to_have_text("live")
    expect(row_of(second, item)).to_be_visible()

    row_of(first, item).get_by_role("button", name="Accept").click()

    expect(row_of(second, item)).to_have_count(0)
    expect(second.page.locator("#needs-you")).to_contain_text(
        "Nothing waits for you."
    )


@pytest.mark.parametrize("action", ["Accept", "Send back…"])
def test_late_click_is_told_what_happened(
    board: OpenBoard, bench: Bench, action: str
) -> None:
    item = in_review(bench)
    second = board()
    row = row_of(second, item)
    expect(row).to_be_visible()
    second.page.keyboard.press("p")  # its page is no longer renewed
    expect(second.page.locator("body")).to_have_class("paused")
    bench.queue.accept(item)

    row.get_by_role("button", name=action).click()
    if action == "Send back…":
        ask = second.page.locator("#ask")
        ask.get_by_label("What has to change?").fill("No test of it")
        ask.get_by_role("button", name="Send back").click()

    alert = row.get_by_role("alert")
    expect(alert).to_contain_text("Login form is completed")
    assert newest(bench, item)[0] == "accept"
    second.forgive("409")


def test_review_is_decided_by_keyboard_alone(
    board: OpenBoard, bench: Bench
) -> None:
    first, second = in_review(bench, "First"), in_review(bench, "Second")
    screen = board()
    keyboard = screen.page.keyboard
    expect(row_of(screen, second)).to_be_visible()

    keyboard.press("j")
    keyboard.press("Tab")
    focused = screen.page.locator(":focus")
    expect(focused).to_have_text("Accept")
    keyboard.press("Enter")
    expect(row_of(screen, first)).to_contain_text("Accepted.")
    expect(row_of(screen, second).locator("a")).to_be_focused()
    keyboard.press("Tab")
    keyboard.press("Tab")
    expect(focused).to_have_text("Send back…")
    keyboard.press("Enter")
    keyboard.type("No test of it")
    keyboard.press("Tab")
    while focused.inner_text() != "Send back":
        keyboard.press("Tab")
    keyboard.press("Enter")

    expect(row_of(screen, second)).to_contain_text("Sent back to ada.")
    assert bench.state(first) is State.COMPLETED
    assert newest(bench, second) == ("send_back", "ana", "No test of it")


def test_review_is_decided_without_the_script(
    board: OpenBoard, bench: Bench
) -> None:
    accepted, returned = in_review(bench, "First"), in_review(bench, "Second")
    screen = board(has_script=False)
    page = screen.page

    row_of(screen, accepted).get_by_role("button", name="Accept").click()
    expect(page.locator(".receipt")).to_contain_text("Accepted.")
    row_of(screen, returned).get_by_role("button", name="Send back…").click()
    assert bench.state(returned) is State.REVIEW
    page.get_by_label("What has to change?").fill("No test of it")
    page.get_by_role("button", name="Send back").click()

    expect(page.locator(".receipt")).to_contain_text("Sent back to ada.")
    assert bench.state(accepted) is State.COMPLETED
    assert newest(bench, returned) == ("send_back", "ana", "No test of it")


def test_text_of_a_review_counts_without_the_script(
    board: OpenBoard, bench: Bench
) -> None:
    accepted, returned = in_review(bench), in_review(bench)
    screen = board(path=f"/items/{accepted}", has_script=False)
    page = screen.page

    page.get_by_label("Your text about the work").fill("Well done")
    page.get_by_role("button", name="Accept").click()
    expect(page.locator(".drawer")).to_contain_text("“Well done”")
    screen.open(f"/items/{returned}")
    page.get_by_label("Your text about the work").fill("No test of it")
    page.get_by_role("button", name="Send back…").click()

    expect(page.locator(".drawer")).to_contain_text("“No test of it”")
    assert newest(bench, accepted) == ("accept", "ana", "Well done")
    assert newest(bench, returned) == ("send_back", "ana", "No test of it")


def test_late_click_without_the_script_keeps_the_text(
    board: OpenBoard, bench: Bench
) -> None:
    item = in_review(bench)
    screen = board(path=f"/items/{item}", has_script=False)
    bench.queue.send_back(item, "Once more")

    screen.page.get_by_label("Your text about the work").fill("Well done")
    screen.page.get_by_role("button", name="Accept").click()

    main = screen.page.locator("main")
    expect(main).to_contain_text("Login form is queued")
    assert bench.state(item) is State.QUEUED
    text = screen.page.get_by_label("Your text about the work")
    expect(text).to_have_value("Well done")
    screen.forgive("409")
