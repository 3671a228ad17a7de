"""Costs and budgets on the board in a real browser."""

import pytest
from playwright.sync_api import expect
from support.browser import LAPTOP, PHONE, OpenBoard, Theme
from support.builders import Bench
from taskorch.domain.role import Role
from taskorch.domain.usage import ModelUsage


@pytest.fixture
def project(bench: Bench) -> str:
    """Return a project in which two agents have used something today."""
    bench.stay_in_one_day()
    for budget in bench.queue.views.budgets():
        owner = budget.owner.partition(":")[2] or budget.owner
        bench.queue.set_budget(owner, period=budget.period)
    home = bench.queue.project("Monthly report")
    for name, cost in (("ada", 3_200_000), ("W" * 60, 9_000_000_000)):
        lease = bench.claimed(bench.item(home, agent=name), agent=name)
        used = ModelUsage(
            tokens_in=10**11, tokens_out=7, cost_micros=cost, model="M" * 90
        )
        bench.agent(name).progress(lease, "half", used=used)
    return home


@pytest.mark.parametrize(
    ("size", "theme"),
    [(LAPTOP, "light"), (LAPTOP, "dark"), (PHONE, "light")],
)
def test_costs_are_accessible_in_every_window(
    board: OpenBoard,
    bench: Bench,
    project: str,
    size: tuple[int, int],
    theme: Theme,
) -> None:
    bench.queue.set_budget(project, period="day", limit_micros=1)
    bench.queue.set_budget("ada", period="total", limit_tokens=10**12)

    pages = ("/", "/projects", "/costs", "/costs?by=model")
    for path in (*pages, f"/costs?of={project}"):
        screen = board(Role.ADMIN, path, size=size, theme=theme)

        assert screen.accessibility_problems() == []
        assert not screen.is_wider_than_window()


def test_cost_of_today_leads_to_its_owners(
    board: OpenBoard, project: str
) -> None:
    assert project
    page = board(Role.VIEWER).page

    page.locator("#status").get_by_role("link", name="today").first.click()
    page.get_by_role("link", name="Monthly report").first.click()
    expect(page.locator("h1")).to_have_text("Costs of Monthly report")
    page.locator("main").get_by_role("link", name="ada").click()

    expect(page.locator("h1")).to_have_text("Costs of ada")
    expect(page.locator("form[action^='/costs/']")).to_have_count(0)


@pytest.mark.parametrize("has_script", [True, False])
def test_budget_is_set_and_removed(
    board: OpenBoard, bench: Bench, project: str, *, has_script: bool
) -> None:
    screen = board(
        Role.ORCHESTRATOR, f"/costs?of={project}", has_script=has_script
    )
    page = screen.page

    page.get_by_text("Set a budget").click()
    page.get_by_label("Dollars").fill("20")
    page.get_by_role("button", name="Set the budget").click()
    row = page.locator("#budgets tbody tr")
    expect(row).to_contain_text("of $20.00")
    expect(row).to_contain_text("OVER BUDGET")
    row.get_by_role("button", name="Remove").click()
    page.get_by_role("button", name="Remove the budget", exact=True).click()

    removed = f"The budget of {project} is removed."
    expect(page.get_by_text(removed).first).to_be_visible()
    assert bench.queue.views.budgets(project) == ()
    page.reload()
    expect(page.locator("#budgets")).to_contain_text("No budget")


def test_wrong_budget_keeps_what_was_typed(
    board: OpenBoard, bench: Bench, project: str
) -> None:
    screen = board(Role.ORCHESTRATOR, f"/costs?of={project}")
    page = screen.page

    page.get_by_text("Set a budget").click()
    page.get_by_label("Dollars").fill("twenty")
    page.get_by_role("button", name="Set the budget").click()

    expect(page.get_by_role("alert")).to_contain_text("not a cost in dollars")
    expect(page.get_by_label("Dollars")).to_have_value("twenty")
    assert bench.queue.views.budgets(project) == ()
    screen.forgive("status of 4")


def test_project_over_budget_says_so(
    board: OpenBoard, bench: Bench, project: str
) -> None:
    page = board(Role.VIEWER, f"/projects/{project}").page
    figures = page.locator(".title .figures")
    expect(figures).to_contain_text("$9,003.20")
    expect(figures).not_to_contain_text("OVER BUDGET")

    bench.queue.set_budget(project, period="total", limit_micros=1)
    page.reload()

    expect(figures).to_contain_text("$9,003.20 of $0.000001")
    expect(figures).to_contain_text("OVER BUDGET")
