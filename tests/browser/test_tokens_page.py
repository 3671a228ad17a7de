"""Access tokens and the audit log in a real browser: for administrators alone."""

import re

import pytest
from playwright.sync_api import Browser, expect
from support import browser as browsers
from support.browser import PHONE, OpenBoard, Screen
from support.builders import Bench
from support.gateways import Gateway
from taskorch.domain.role import Role

SECRET = r"tok_[0-9a-f]{8}_[0-9a-f]{64}"


def press(screen: Screen, name: str | re.Pattern[str]) -> None:
    screen.page.get_by_role("button", name=name).click()


def created(screen: Screen, name: str, role: str) -> str:
    """Create a token on the page, and return it."""
    screen.open("/tokens")
    screen.page.get_by_text("Create a token").first.click()
    screen.page.get_by_label("Name of the agent").fill(name)
    screen.page.get_by_label("Role").select_option(role)
    press(screen, "Create the token")
    shown = screen.text(".copy code")
    assert re.fullmatch(SECRET, shown)
    return shown


def test_created_token_is_shown_once(board: OpenBoard, bench: Bench) -> None:
    screen = board(Role.ADMIN, "/tokens")

    token = created(screen, "once", "viewer")
    screen.open("/tokens")

    assert token not in screen.page.content()
    assert token.rpartition("_")[0] in screen.page.content()
    (listed,) = (
        each
        for each in bench.queue.access_tokens().list()
        if each.name == "once"
    )
    assert listed.role is Role.VIEWER
    assert listed.expires_at


def test_revoked_token_ends_its_board(
    board: OpenBoard, chromium: Browser, gateway: Gateway
) -> None:
    admin = board(Role.ADMIN, "/tokens")
    token = created(admin, "gone", "orchestrator")
    id_ = token.rpartition("_")[0]
    other = browsers.opened(chromium, gateway.url)
    other.sign_in(token)
    other.open("/items")
    expect(other.page.get_by_role("heading", name="Items")).to_be_visible()

    admin.open("/tokens?name=gone")
    press(admin, f"Revoke {id_} of gone")
    expect(
        admin.page.get_by_text("It is refused within a second")
    ).to_be_visible()
    press(admin, "Revoke it")
    expect(admin.page.locator(".receipt")).to_have_text(f"Revoked {id_}.")
    other.open("/items")

    expect(other.page.get_by_label("Access token")).to_be_visible()
    other.close()


def test_new_secret_replaces_the_old_one(
    board: OpenBoard, chromium: Browser, gateway: Gateway
) -> None:
    admin = board(Role.ADMIN, "/tokens")
    old = created(admin, "turned", "viewer")
    id_ = old.rpartition("_")[0]

    admin.open("/tokens?name=turned")
    press(admin, f"New secret of {id_} of turned")
    press(admin, "Replace it")
    new = admin.text(".copy code")

    assert new != old
    other = browsers.opened(chromium, gateway.url)
    other.sign_in(new)
    other.open("/items")
    expect(other.page.get_by_role("heading", name="Items")).to_be_visible()
    other.close()


def test_wrong_token_form_keeps_what_was_typed(board: OpenBoard) -> None:
    screen = board(Role.ADMIN, "/tokens")
    screen.page.get_by_text("Create a token").first.click()
    screen.page.get_by_label("Name of the agent").fill("a b")
    screen.page.get_by_label("Role").select_option("worker")
    screen.page.get_by_label("Most bytes a day").fill("lots")

    press(screen, "Create the token")

    expect(screen.page.get_by_role("alert")).to_contain_text("is not a")
    expect(screen.page.get_by_label("Name of the agent")).to_have_value("a b")
    expect(screen.page.get_by_label("Most bytes a day")).to_have_value("lots")
    screen.forgive("422")


def test_reload_of_a_secret_creates_no_token(
    board: OpenBoard, bench: Bench
) -> None:
    screen = board(Role.ADMIN, "/tokens")
    token = created(screen, "reloaded", "viewer")

    screen.page.reload()

    expect(screen.page.locator("h1")).to_have_text("The secret was shown")
    assert token not in screen.page.content()
    names = [each.name for each in bench.queue.access_tokens().list()]
    assert names.count("reloaded") == 1


@pytest.mark.parametrize("role", [Role.VIEWER, Role.ORCHESTRATOR])
@pytest.mark.parametrize("path", ["/tokens", "/audit"])
def test_pages_of_administrators_are_refused(
    board: OpenBoard, role: Role, path: str
) -> None:
    screen = board(role, "/items")
    assert screen.page.locator(f"nav a[href='{path}']").count() == 0

    response = screen.open(path)

    assert response.status == 403
    assert "tok_" not in screen.text("main")
    screen.forgive("403")


def test_audit_shows_what_a_token_did(board: OpenBoard, bench: Bench) -> None:
    project = bench.queue.project("Audited")
    item = bench.item(project)
    actor = board(
        Role.ORCHESTRATOR, f"/bulk?action=cancel&q=project:{project}"
    )
    press(actor, "Cancel 1 item")
    screen = board(Role.ADMIN, "/audit?verb=cancel")

    row = screen.page.locator("tbody tr").first
    expect(row).to_contain_text("cancel")
    expect(row).to_contain_text("done")
    expect(row).to_contain_text(item)
    row.locator("a[href^='/audit?token=']").click()
    expect(screen.page.get_by_label("Token", exact=True)).to_have_value(
        re.compile("tok_")
    )


def test_audit_of_wrong_token_says_why(board: OpenBoard) -> None:
    screen = board(Role.ADMIN, "/audit?token=tok_x&since=2h")

    expect(screen.page.get_by_role("alert")).to_contain_text("tok_x")
    expect(screen.page.get_by_label("Within the last")).to_have_value("2h")


@pytest.mark.parametrize("path", ["/tokens", "/audit"])
def test_pages_of_administrators_are_accessible(
    board: OpenBoard, path: str
) -> None:
    for screen in (
        board(Role.ADMIN, path),
        board(Role.ADMIN, path, size=PHONE),
    ):
        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()
