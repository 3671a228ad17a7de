"""Schedules on the board in a real browser: look, run and remove, with and without script."""

import pytest
from playwright.sync_api import expect
from support.browser import PHONE, OpenBoard, Screen
from support.builders import Bench, new_schedule
from taskorch.domain.role import Role

LATER = 2**41


@pytest.fixture
def nightly(bench: Bench) -> str:
    """Return the name of the only schedule, which has never run."""
    for each in bench.queue.schedules().list():
        bench.queue.schedules().remove(each.name)
    bench.queue.schedules().create(new_schedule("nightly", next_at=LATER))
    return "nightly"


def press(screen: Screen, name: str) -> None:
    screen.page.get_by_role("button", name=name).click()


def test_board_links_to_schedules(board: OpenBoard, nightly: str) -> None:
    screen = board(Role.VIEWER)

    screen.page.get_by_role("link", name="Schedules").click()

    row = screen.page.locator("tbody tr")
    expect(row).to_contain_text(nightly)
    expect(row).to_contain_text("0 6 * * *")
    expect(row).to_contain_text("UTC")
    expect(row).to_contain_text("never")
    expect(row.get_by_role("button")).to_have_count(0)


def test_schedule_shows_its_access_token(
    board: OpenBoard, bench: Bench, nightly: str
) -> None:
    bench.set_schedule(nightly, access_token="tok_1a2b3c4d")

    for screen in (
        board(Role.VIEWER, "/schedules"),
        board(Role.VIEWER, "/schedules", size=PHONE),
    ):
        expect(screen.page.locator("tbody th")).to_contain_text("tok_1a2b3c4d")
        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()


@pytest.mark.parametrize("has_script", [True, False])
def test_schedule_runs_now(
    board: OpenBoard, bench: Bench, nightly: str, *, has_script: bool
) -> None:
    screen = board(Role.ORCHESTRATOR, "/schedules", has_script=has_script)

    press(screen, f"Run {nightly} now")

    receipt = screen.page.locator(".receipt")
    expect(receipt).to_contain_text(f"{nightly} has run")
    (schedule,) = bench.queue.schedules().list()
    project = schedule.last_project
    expect(receipt).to_contain_text(project)
    assert (schedule.runs, schedule.next_at) == (1, LATER)
    screen.page.get_by_role("link", name=project).click()
    expect(screen.page.locator("h1")).to_have_text("Nightly")


@pytest.mark.parametrize("has_script", [True, False])
def test_schedule_is_removed_after_question(
    board: OpenBoard, bench: Bench, nightly: str, *, has_script: bool
) -> None:
    screen = board(Role.ORCHESTRATOR, "/schedules", has_script=has_script)

    press(screen, f"Remove {nightly}")
    expect(screen.page.get_by_text("created stay")).to_be_visible()
    assert len(bench.queue.schedules().list()) == 1
    press(screen, "Remove it")

    expect(screen.page.locator(".receipt")).to_have_text("Removed nightly.")
    expect(screen.page.get_by_text("There are no schedules")).to_be_visible()
    assert bench.queue.schedules().list() == ()


def test_failed_run_shows_its_error(
    board: OpenBoard, bench: Bench, nightly: str
) -> None:
    bench.queue.schedules().end(nightly, error="No <b>such\n" + "W" * 400)

    for screen in (
        board(Role.ADMIN, "/schedules"),
        board(Role.ADMIN, "/schedules", size=PHONE),
    ):
        expect(screen.page.locator("tbody")).to_contain_text("No <b>such")
        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()
