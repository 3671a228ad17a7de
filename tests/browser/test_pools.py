"""Pools on the board in a real browser: their items and agents, and assigning to one."""

import pytest
from playwright.sync_api import expect
from support.browser import LAPTOP, PHONE, OpenBoard, Theme
from support.builders import Bench
from taskorch.domain.item import Item
from taskorch.domain.role import Role


def item_of(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def test_first_pool_appears_live(board: OpenBoard, bench: Bench) -> None:
    screen = board(Role.VIEWER)
    pools = screen.page.locator("#pools")
    expect(pools).to_be_hidden()
    assert screen.accessibility_problems() == []

    bench.pool_item("backend", title="Shared")

    row = pools.locator("[data-key=backend]")
    expect(row).to_contain_text("Shared")
    expect(row).to_contain_text("1 ready")
    expect(row).to_contain_text("no agent takes them")
    row.get_by_role("link", name="backend").click()
    expect(screen.page.locator("#items tbody tr")).to_contain_text("Shared")


@pytest.mark.parametrize(
    ("size", "theme"),
    [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light")],
)
def test_pools_are_accessible_in_every_window(
    board: OpenBoard, bench: Bench, size: tuple[int, int], theme: Theme
) -> None:
    bench.pool_item("W" * 64, title="W" * 400)
    for name in ("V" * 64, "eve", "bob"):
        bench.agent(name, pools=["W" * 64]).check()

    screen = board(Role.ADMIN, size=size, theme=theme)

    expect(screen.page.locator("#pools tbody tr").last).to_be_visible()
    assert screen.accessibility_problems() == []
    assert not screen.is_wider_than_window()


def test_item_goes_to_a_pool_from_its_row(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(agent="", title="Free")
    page = board().page
    row = page.locator(f"#needs-you [data-key={item}]")

    row.get_by_label("pool:NAME for").fill("pool:backend")
    row.get_by_role("button", name="Assign", exact=True).click()

    expect(row).to_contain_text("Assigned to the pool backend.")
    assert item_of(bench, item).pool == "backend"


def test_item_moves_between_pools_in_drawer(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.pool_item("backend")
    page = board(Role.ORCHESTRATOR, f"/items/{item}").page

    page.get_by_role("button", name="Reassign…").click()
    ask = page.locator("#ask")
    expect(ask).to_contain_text("It leaves the queue of the pool backend.")
    ask.get_by_label("Agent or pool:NAME").fill("pool:python")
    ask.locator("[value=yes]").click()

    expect(page.locator(".drawer")).to_contain_text("in the pool python")
    assert item_of(bench, item).pool == "python"


def test_selected_items_go_to_a_suggested_pool(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("Bulk")
    items = [bench.item(project, title=f"Part {n}") for n in range(2)]
    bench.pool_item("backend")
    page = board(Role.ORCHESTRATOR, f"/items?q=project:{project}").page

    page.get_by_role("button", name="Reassign…").click()
    suggested = page.locator("#assignees option[value='pool:backend']")
    expect(suggested).to_have_count(1)
    page.get_by_label("Agent or pool:NAME").fill("pool:backend")
    page.get_by_role("button", name="Reassign 2 items").click()

    expect(page.locator(".receipt")).to_have_text("2 items reassigned.")
    assert {item_of(bench, item).pool for item in items} == {"backend"}
