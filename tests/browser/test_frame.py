"""The frame of the board in a real browser: signing in, errors, themes, the phone."""

import pytest
from playwright.sync_api import Page, expect
from support.browser import LARGE, PHONE, OpenBoard, Screen
from support.builders import Bench
from taskorch.domain.role import Role

NOT_SIGNED_IN = "status of 401"


def background(page: Page) -> str:
    """Return the colour behind the page."""
    return str(
        page.evaluate("getComputedStyle(document.body).backgroundColor")
    )


def sign_in_by_hand(screen: Screen, token: str) -> None:
    screen.page.get_by_label("Access token").fill(token)
    screen.page.get_by_role("button", name="Sign in", exact=True).click()
    expect(screen.page.get_by_label("Access token")).to_have_count(0)


def test_person_signs_in_and_out(
    board: OpenBoard, tokens: dict[Role, str]
) -> None:
    screen = board(None, "/?a=1")
    assert screen.accessibility_problems() == []

    sign_in_by_hand(screen, tokens[Role.ORCHESTRATOR])

    assert screen.page.url == f"{screen.url}/?a=1"
    expect(screen.page.locator("#needs-you")).to_be_visible()
    screen.page.get_by_role("button", name="Sign out ana").click()
    expect(screen.page.get_by_label("Access token")).to_be_visible()
    screen.forgive(NOT_SIGNED_IN)


def test_wrong_token_is_named_on_the_page(board: OpenBoard) -> None:
    screen = board(None)

    screen.page.get_by_label("Access token").fill("tok_wrong")
    screen.page.get_by_role("button", name="Sign in", exact=True).click()

    expect(screen.page.get_by_role("alert")).to_contain_text("unknown")
    assert screen.accessibility_problems() == []
    screen.forgive(NOT_SIGNED_IN)


def test_sign_in_link_opens_the_board(board: OpenBoard, bench: Bench) -> None:
    link = bench.queue.access_tokens().create_link("ana", Role.ADMIN).token
    screen = board(None, "/sign-in")

    screen.open(f"/sign-in?link={link}")
    screen.page.wait_for_url(f"{screen.url}/")

    expect(
        screen.page.get_by_role("navigation", name="Pages")
    ).to_contain_text("Audit")


@pytest.mark.parametrize("has_script", [True, False])
def test_theme_is_kept(board: OpenBoard, *, has_script: bool) -> None:
    screen = board(path="/nowhere", theme="light", has_script=has_script)
    screen.open("/")
    light = background(screen.page) if has_script else ""

    screen.page.get_by_role("button", name="Switch between").click()

    expect(screen.page.locator("html")).to_have_attribute("data-theme", "dark")
    screen.open("/")
    expect(screen.page.locator("html")).to_have_attribute("data-theme", "dark")
    if has_script:
        assert background(screen.page) != light
    screen.forgive("status of 404")


def test_keyboard_reaches_the_content_first(board: OpenBoard) -> None:
    screen = board()

    screen.page.keyboard.press("Tab")
    focused = screen.page.locator(":focus")

    expect(focused).to_have_text("Skip to the board")
    expect(focused).to_be_in_viewport()
    focused.press("Enter")
    screen.page.wait_for_url("**#main")


@pytest.mark.parametrize("size", [PHONE, LARGE])
@pytest.mark.parametrize("path", ["/", "/nowhere", "/sign-in"])
def test_page_fits_the_window(
    board: OpenBoard, path: str, size: tuple[int, int]
) -> None:
    screen = board(path=path, size=size)

    assert not screen.is_wider_than_window()
    screen.forgive("status of 404")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_error_page_is_accessible(board: OpenBoard, theme: str) -> None:
    screen = board(
        path="/nowhere", theme="dark" if theme == "dark" else "light"
    )

    assert screen.accessibility_problems() == []
    screen.forgive("status of 404")


def test_entry_of_the_page_is_marked(board: OpenBoard) -> None:
    screen = board(Role.VIEWER)

    entries = screen.page.get_by_role("navigation", name="Pages").get_by_role(
        "link"
    )

    expect(entries).to_have_text(
        ["Now", "Projects", "Items", "Costs", "Schedules"]
    )
    expect(entries.first).to_have_attribute("aria-current", "page")
