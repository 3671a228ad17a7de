"""The page of a queue that is new, and of one with thirty agents at work."""

from playwright.sync_api import expect
from support.browser import LAPTOP, OpenBoard
from support.builders import Bench


def test_new_queue_shows_three_steps(board: OpenBoard) -> None:
    screen = board()

    expect(screen.page.locator("h1")).to_have_text("Nothing in the queue yet")
    assert screen.page.locator(".steps > li").count() == 3
    assert "Nothing waits for you." in screen.text("#needs-you")
    assert screen.page.title().startswith("Now · ")
    assert screen.accessibility_problems() == []


def test_thirty_agents_fit_into_a_laptop(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.project()
    for number in range(30):
        name = f"agent-{number}"
        lease = bench.claimed(bench.item(project, agent=name), agent=name)
        bench.agent(name).progress(lease, "Half of it", percent=50)
    for _ in range(3):
        bench.item(project, agent="")

    screen = board(size=LAPTOP)

    rows = screen.page.locator("#agents tbody tr")
    box = rows.last.bounding_box()
    assert rows.count() == 30
    assert box
    assert box["y"] + box["height"] <= LAPTOP[1]
    assert screen.accessibility_problems() == []
