"""The board by keyboard alone."""

import re

from playwright.sync_api import Page, expect
from support.browser import OpenBoard
from support.builders import Bench


def focused(page: Page) -> str:
    """Return the text of what has the focus."""
    return str(page.evaluate("document.activeElement.textContent.trim()"))


def test_rows_are_reached_by_keys(board: OpenBoard, bench: Bench) -> None:
    bench.agent().blocker(bench.claimed(), "Which month?")
    page = board().page

    page.keyboard.press("j")
    first = focused(page)
    page.keyboard.press("j")
    second = focused(page)
    page.keyboard.press("k")

    assert first != second
    assert focused(page) == first


def test_enter_opens_and_escape_returns(
    board: OpenBoard, bench: Bench
) -> None:
    bench.agent().blocker(bench.claimed(), "Which month?")
    page = board().page
    page.keyboard.press("j")
    row = focused(page)

    page.keyboard.press("Enter")
    expect(page.locator("dialog.drawer[open]")).to_be_visible()
    page.wait_for_url("**/items/item_*")
    page.keyboard.press("Escape")

    expect(page.locator("dialog.drawer")).to_have_count(0)
    page.wait_for_url(re.compile(r"/$"))
    assert focused(page) == row


def test_letter_a_goes_to_answer(board: OpenBoard, bench: Bench) -> None:
    bench.agent().blocker(bench.claimed(), "Which month?")
    page = board().page

    page.keyboard.press("a")
    page.keyboard.type("jkptg?")
    page.keyboard.press("Escape")

    expect(page.locator("[name=answer]").first).to_have_value("jkptg?")
    assert page.evaluate("document.activeElement === document.body")


def test_letters_go_to_pages(board: OpenBoard) -> None:
    page = board().page

    for keys, path in (("gp", "/projects"), ("gi", "/items"), ("gn", "/")):
        for key in keys:
            page.keyboard.press(key)
        page.wait_for_url(f"**{path}")


def test_help_opens_and_closes(board: OpenBoard) -> None:
    page = board().page

    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("Escape")

    expect(page.locator("#help")).to_be_hidden()


def test_theme_outlives_the_page(board: OpenBoard) -> None:
    page = board().page

    page.keyboard.press("t")
    page.reload()

    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_question_keeps_the_focus_safe(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "Staging is down", retry=False)
    page = board().page
    button = page.locator(f"[data-key='{lease.item}'] button.danger")

    button.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#ask")).to_be_visible()
    safe = focused(page)
    page.keyboard.press("Enter")

    assert safe == "Keep it as it is"
    expect(page.locator("#ask")).to_be_hidden()
    expect(button).to_be_focused()
    assert bench.state(lease.item) == "failed"
