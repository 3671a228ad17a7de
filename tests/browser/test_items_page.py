"""All items in a real browser: the filter, its mistakes, pages, and a crowd of items."""

import re
from time import perf_counter

import pytest
from playwright.sync_api import expect
from support.browser import LAPTOP, PHONE, OpenBoard, Screen, Theme
from support.builders import Bench
from taskorch.domain.item import NewItem, State
from taskorch.domain.role import Role

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "</textarea></title><svg onload=alert(1)>",
    "javascript:alert(1)",
    "\u202egnp.exe\u2066 {{ 7 * 7 }} \x1b[31m",
)


@pytest.fixture
def project(bench: Bench) -> str:
    """Return a project with a queued, a failed and a completed item."""
    project = bench.queue.project("Filtered")
    bench.item(project, title="Write login form")
    failed = bench.item(project, title="Deploy to staging", labels=("ops",))
    bench.agent().fail(bench.claimed(failed), "staging is down", retry=False)
    done = bench.item(project, title="Design tables", agent="bob")
    bench.agent("bob").complete(bench.claimed(done, agent="bob"), "done")
    return project


def titles(screen: Screen) -> list[str]:
    return screen.page.locator("tbody th a").all_inner_texts()


def search(screen: Screen, text: str) -> None:
    """Type a filter with the keyboard alone."""
    screen.page.keyboard.press("/")
    field = screen.page.get_by_role("searchbox")
    expect(field).to_be_focused()
    field.select_text()
    screen.page.keyboard.type(text)
    with screen.page.expect_navigation():
        screen.page.keyboard.press("Enter")


def test_filter_works_by_keyboard_alone(
    board: OpenBoard, project: str
) -> None:
    screen = board(Role.VIEWER, f"/items?q=project:{project}")
    assert len(titles(screen)) == 3

    search(screen, f"state:failed project:{project}")
    screen.page.keyboard.press("j")

    assert titles(screen) == ["Deploy to staging"]
    expect(screen.page.locator("tbody th a")).to_be_focused()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("login form", ["Write login form"]),
        ("label:ops", ["Deploy to staging"]),
        ("agent:bob", ["Design tables"]),
        ("-state:completed", ["Write login form", "Deploy to staging"]),
        ("state:open newer:1h", ["Write login form", "Deploy to staging"]),
        ("older:1h", []),
    ],
)
def test_filter_finds_its_items(
    board: OpenBoard, project: str, text: str, found: list[str]
) -> None:
    screen = board(Role.VIEWER, f"/items?q=project:{project} {text}")

    assert titles(screen) == found


@pytest.mark.parametrize("has_script", [True, False])
def test_wrong_filter_points_at_its_place(
    board: OpenBoard, *, has_script: bool
) -> None:
    screen = board(
        Role.VIEWER, "/items?q=agent:ada state:faild x", has_script=has_script
    )

    field = screen.page.get_by_role("searchbox")
    expect(field).to_have_value("agent:ada state:faild x")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_accessible_description(
        re.compile("Column 17: There is no state faild")
    )
    assert screen.text("mark") == "faild"


def test_chips_lead_to_the_states(board: OpenBoard, project: str) -> None:
    screen = board(Role.VIEWER, f"/items?q=project:{project}")

    screen.page.get_by_role("link", name="failed 1").click()

    expect(screen.page.get_by_role("searchbox")).to_have_value(
        f"state:failed project:{project}"
    )
    assert titles(screen) == ["Deploy to staging"]
    expect(screen.page.locator(".chip[aria-current]")).to_have_text("failed 1")


def test_new_item_appears_by_itself(board: OpenBoard, bench: Bench) -> None:
    project = bench.queue.project("Live")
    screen = board(Role.VIEWER, f"/items?q=project:{project}")
    expect(screen.page.get_by_text("No item matches")).to_be_visible()

    bench.item(project, title="Just created")

    expect(
        screen.page.get_by_role("link", name="Just created")
    ).to_be_visible()


def test_pages_lead_through_all_items(board: OpenBoard, bench: Bench) -> None:
    project = bench.queue.project("Many")
    bench.create_many(
        project, [NewItem(title=f"Item {n}") for n in range(120)]
    )
    screen = board(Role.VIEWER, f"/items?q=project:{project}")
    seen = titles(screen)

    for _ in range(2):
        screen.page.get_by_role("link", name="Next page").click()
        seen += titles(screen)

    assert seen == [f"Item {n}" for n in range(120)]
    assert "101 to 120" in screen.text("nav[aria-label=Paging]")
    assert "120 match" in screen.text(".bulk .acts")
    screen.page.get_by_role("link", name="First page").click()
    assert titles(screen)[0] == "Item 0"


@pytest.mark.parametrize("size", [LAPTOP, PHONE])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_of_items_is_accessible(
    board: OpenBoard, project: str, size: tuple[int, int], theme: Theme
) -> None:
    path = f"/items?q=project:{project}"
    for role in (Role.VIEWER, Role.ORCHESTRATOR):
        screen = board(role, path, size=size, theme=theme)
        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()
    screen = board(Role.VIEWER, "/items?q=state:x", size=size, theme=theme)
    assert screen.accessibility_problems() == []


def test_hostile_texts_stay_texts(board: OpenBoard, bench: Bench) -> None:
    project = bench.queue.project(HOSTILE[0])
    for text in HOSTILE:
        bench.item(project, title=text, description=text)
    screen = board(Role.ORCHESTRATOR, f"/items?q=project:{project}")
    dialogs: list[str] = []
    screen.page.on("dialog", lambda dialog: dialogs.append(dialog.message))

    shown = titles(screen)
    for text in HOSTILE:
        search(screen, text.replace("\x1b", ""))

    assert shown[:5] == list(HOSTILE[:5])
    assert "\u202e" not in shown[5]
    assert "{{ 7 * 7 }}" in shown[5]
    assert dialogs == []


def test_viewer_sees_no_action(board: OpenBoard, project: str) -> None:
    screen = board(Role.VIEWER, f"/items?q=project:{project}")

    assert screen.page.locator("main [type=checkbox]").count() == 0
    assert screen.page.locator("form.bulk button").count() == 0
    assert screen.page.get_by_role("link", name="Tokens").count() == 0
    response = screen.open("/bulk?action=cancel&q=")
    assert response.status == 403
    screen.forgive("403")


def test_thousands_of_items_open_quickly(
    board: OpenBoard, bench: Bench
) -> None:
    for number in range(4):
        project = bench.queue.project(f"Crowd {number}")
        bench.create_many(
            project,
            [NewItem(title=f"Item {n}", agent="ada") for n in range(500)],
        )
    screen = board(Role.ORCHESTRATOR, "/items")

    started = perf_counter()
    response = screen.open("/items?q=crowd item")
    took = perf_counter() - started

    assert response.ok
    assert took < 15
    assert len(response.body()) < 200_000
    assert bench.state(_first_item(bench)) is State.QUEUED


def _first_item(bench: Bench) -> str:
    return bench.queue.views.list(limit=1).items[0].id


def test_rows_are_selected_on_a_phone(board: OpenBoard, bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project, title="Tapped")
    bench.item(project, title="Left")
    screen = board(path=f"/items?q=project:{project}", size=PHONE)

    screen.page.get_by_label("Select Tapped").tap()
    screen.page.get_by_role("button", name="Cancel…").tap()
    screen.page.get_by_role("button", name="Cancel 1 item").tap()

    expect(screen.page.locator(".receipt")).to_have_text("1 item cancelled.")
    assert bench.state(item) is State.CANCELLED
    assert not screen.is_wider_than_window()
