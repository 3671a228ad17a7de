"""The page that shows what is happening now, as people see and use it."""

import re

import pytest
from playwright.sync_api import Locator, expect
from support.browser import LAPTOP, LARGE, PHONE, OpenBoard, Theme
from support.builders import Bench
from taskorch.domain.item import NewItem, State
from taskorch.domain.role import Role

HOSTILE = (
    '"><script>alert(1)</script><img src=x onerror=alert(1)>\u202e{{ 7 * 7 }}'
)
#: A word as long as a text may be wide.
WIDE = "W" * 500


def test_title_and_icon_carry_the_count(
    board: OpenBoard, bench: Bench
) -> None:
    bench.lease_in(State.BLOCKED)
    bench.lease_in(State.FAILED)

    screen = board()

    number = screen.page.locator("#needs-title b").inner_text()
    assert int(number) >= 2
    assert screen.page.title().startswith(f"({number}) Now · ")
    icon = screen.page.locator("link[rel=icon]").get_attribute("href")
    assert icon
    assert re.search(rf"%3E{number}%3C|>{number}<", icon)


@pytest.mark.parametrize(
    ("size", "theme"),
    [(LAPTOP, "light"), (PHONE, "dark"), (LARGE, "light")],
)
def test_busy_page_is_accessible_in_every_window(
    board: OpenBoard, bench: Bench, size: tuple[int, int], theme: Theme
) -> None:
    for state in (State.BLOCKED, State.FAILED, State.IN_PROGRESS):
        bench.lease_in(state)
    bench.item(agent="newcomer")
    bench.item(agent="")

    screen = board(size=size, theme=theme)

    assert screen.accessibility_problems() == []
    assert not screen.is_wider_than_window()


def test_viewer_sees_no_action(board: OpenBoard, bench: Bench) -> None:
    for state in (State.BLOCKED, State.FAILED, State.PENDING):
        bench.lease_in(state)

    page = board(Role.VIEWER).page

    expect(page.locator("#needs-you li").first).to_be_visible()
    assert page.locator("#needs-you :is(form, button, input)").count() == 0


def test_sixth_row_is_behind_a_fold(board: OpenBoard, bench: Bench) -> None:
    bench.create_many(bench.project(), [NewItem(title="Free")] * 12)

    page = board().page

    sixth = page.locator("#needs-you li").nth(5)
    expect(sixth).to_be_hidden()
    page.locator("#needs-you summary").click()
    expect(sixth).to_be_visible()


def test_texts_of_agents_break_nothing(board: OpenBoard, bench: Bench) -> None:
    for text in (HOSTILE, WIDE, "\u200b"):
        _work_with(bench, text)

    for size in (LAPTOP, PHONE):
        screen = board(size=size)

        assert not screen.is_wider_than_window()
        assert screen.page.locator("main :is(script, img)").count() == 0
        assert screen.accessibility_problems() == []


def test_page_without_script_has_times_and_forms(
    board: OpenBoard, bench: Bench
) -> None:
    bench.lease_in(State.BLOCKED)

    page = board(has_script=False).page

    form = page.locator("#needs-you form").first
    assert form.locator("input[name=csrf]").input_value()
    assert form.locator("input[name=key]").input_value()
    assert "UTC" in page.locator("#needs-you time").first.inner_text()


def test_needs_are_settled_from_their_rows(
    board: OpenBoard, bench: Bench
) -> None:
    for (
        need
    ) in bench.queue.views.needs().rows:  # the page shows some rows only
        bench.queue.cancel(need.item.id)
    asked = bench.lease_in(State.BLOCKED).item
    failed = bench.lease_in(State.FAILED).item
    given_up = bench.lease_in(State.FAILED).item
    free = bench.item(agent="", title="Free")
    page = board().page
    needs = page.locator("#needs-you")
    if needs.locator("summary").count():
        needs.locator("summary").click()

    def row(item: str) -> Locator:
        return needs.locator(f"li[data-key='{item}']")

    row(asked).locator("[name=answer]").fill("The first")
    row(asked).get_by_role("button", name="Answer").click()
    expect(row(asked)).to_contain_text("Answered.")
    row(failed).get_by_role("button", name="Requeue").click()
    expect(row(failed)).to_contain_text("Requeued.")
    row(given_up).get_by_role("button", name="Cancel").click()
    page.locator("#ask [value=yes]").click()
    expect(row(given_up)).to_contain_text("Cancelled.")
    row(free).locator("[name=agent]").fill("bob")
    row(free).get_by_role("button", name="Assign").click()
    expect(row(free)).to_contain_text("Assigned to bob.")

    assert [bench.state(item) for item in (asked, failed, given_up, free)] == [
        State.IN_PROGRESS,
        State.QUEUED,
        State.CANCELLED,
        State.QUEUED,
    ]


def _work_with(bench: Bench, text: str) -> None:
    """Let agents write a text wherever they can."""
    project = bench.queue.project(text)
    bench.item(project, title=text, agent="")
    for name in ("fails", "asks", "works"):
        me = bench.agent(name)
        lease = bench.claimed(
            bench.item(project, title=text, agent=name), agent=name
        )
        me.progress(lease, text, percent=10)
        me.discover(lease, text)
        if name == "fails":
            me.fail(lease, text, retry=False)
        if name == "asks":
            me.blocker(lease, text, needs=text)


def test_item_that_moved_is_shown_before_assigning(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(agent="", title="Moves away")
    screen = board()
    row = screen.page.locator(f"#needs-you [data-key={item}]")
    row.get_by_label("pool:NAME for").fill("eve")
    bench.queue.assign(item, "bob")

    row.get_by_role("button", name="Assign", exact=True).click()
    expect(row.get_by_role("alert")).to_contain_text("assigned to bob")
    expect(row.get_by_label("pool:NAME for")).to_have_value("eve")
    row.get_by_role("button", name="Assign", exact=True).click()
    screen.page.locator("#ask [value=yes]").click()

    expect(row.locator("output")).to_contain_text("Assigned to eve")
    assert bench.queue.views.show(item).item.agent == "eve"
    screen.forgive("409")


def test_item_that_failed_again_is_shown_first(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.lease_in(State.FAILED).item
    screen = board(has_script=False)
    row = screen.page.locator(f"#needs-you [data-key={item}]")
    bench.queue.requeue(item)
    bench.agent().fail(bench.claimed(item), "again", retry=False)

    row.get_by_role("button", name="Requeue").click()

    expect(screen.page.locator("main")).to_contain_text("was requeued")
    assert bench.state(item) is State.FAILED
    screen.page.get_by_role("button", name="Requeue").click()
    assert bench.state(item) is State.QUEUED
    screen.forgive("409")


def test_failure_without_a_retry_says_so(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.lease_in(State.FAILED).item

    row = board().page.locator(f"#needs-you [data-key={item}]")

    expect(row).to_contain_text("no retry · attempt 1 of 3")


def test_times_without_the_script_are_whole(
    board: OpenBoard, bench: Bench
) -> None:
    bench.claimed()

    screen = board(has_script=False)

    times = screen.page.locator("#agents :is(time, :has(> time))")
    expect(times).not_to_have_count(0)
    clipped = times.evaluate_all(
        "found => found.filter(each => each.scrollWidth > each.clientWidth + 1"
        " && getComputedStyle(each).overflow === 'hidden').length"
    )
    assert clipped == 0


def test_done_today_begins_at_the_readers_midnight(
    board: OpenBoard, bench: Bench
) -> None:
    bench.completed_item()

    number = board().page.locator("#status [data-hours]")

    expect(number.locator("..")).to_have_attribute("title", "since midnight")
    hours = number.get_attribute("data-hours")
    assert hours
    assert len(hours.split()) == 24
