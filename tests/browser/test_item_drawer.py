"""An item on the board: all about it, and every action from its page."""

import re

import pytest
from playwright.sync_api import expect
from support.browser import PHONE, OpenBoard, Screen
from support.builders import Bench
from taskorch.domain.acceptance import DeliverableCheck, FileCheck, RunCheck
from taskorch.domain.item import Item, ItemEdit, State
from taskorch.domain.role import Role

HOSTILE = (
    "<script>window.broken = 1</script><img src=x onerror='window.broken = 1'>"
    "\"'`{{7*7}}{%x%}</textarea></title>\u202e\x1b[2J" + "w" * 300
)


def path_of(item: str) -> str:
    return f"/items/{item}"


def item_of(bench: Bench, item: str) -> Item:
    return bench.queue.views.show(item).item


def confirm(screen: Screen, text: str = "") -> None:
    """Answer the question of the board with yes, with a text."""
    ask = screen.page.locator("#ask")
    if text:
        ask.locator("textarea").fill(text)
    ask.locator("[value=yes]").click()


def test_drawer_shows_all_about_an_item(
    board: OpenBoard, bench: Bench
) -> None:
    before = bench.completed_item()
    item = bench.item(
        title="Login form",
        description="With a password",
        requirements=("Short",),
        context={"where": "here"},
        resources=("https://example.org/a", "javascript:alert(1)"),
        labels=("ui",),
        depends_on=(before,),
    )
    bench.item(title="Sign-out", depends_on=(item,))
    lease, ada = bench.claimed(item), bench.agent()
    ada.progress(lease, "Half of it", percent=50)
    ada.discover(lease, "It rains", impact="take a coat")

    screen = board(Role.VIEWER, path_of(item))

    shown = screen.text(".drawer")
    for text in (
        *("Login form", "With a password", "Short", "where", "50%", "ui"),
        *("Half of it", "It rains", "take a coat", "Sign-out", "1 of 3"),
        *("Claimed by ada", "Created by planner", "waits for this"),
        f"orchestrate show {item}",
    ):
        assert text in shown
    links = screen.page.locator(".drawer a[href^=http]")
    assert links.all_inner_texts() == ["https://example.org/a"]
    assert screen.page.locator("a[href^=javascript]").count() == 0
    assert screen.page.locator(".drawer form").count() == 0
    assert screen.accessibility_problems() == []


def test_short_id_leads_to_the_item(board: OpenBoard, bench: Bench) -> None:
    item = bench.item(title="Login form")

    screen = board(Role.VIEWER, path_of(item.removeprefix("item_")))

    assert screen.page.url.endswith(path_of(item))


def test_question_is_answered_in_the_drawer(
    board: OpenBoard, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?", needs="a date")
    screen = board(path=path_of(lease.item))

    screen.page.get_by_label("Answer to question 1").fill("May")
    screen.page.get_by_role("button", name="Answer").click()

    expect(screen.page.locator(".drawer")).to_contain_text("“May”")
    assert bench.state(lease.item) is State.IN_PROGRESS


def test_comment_reaches_the_holder(board: OpenBoard, bench: Bench) -> None:
    lease = bench.claimed()
    screen = board(path=path_of(lease.item))

    screen.page.get_by_role("button", name="Comment…").click()
    confirm(screen, "Use the new table")

    expect(screen.page.locator(".drawer")).to_contain_text("“Use the new")
    receipt = bench.agent().progress(lease, "done")
    assert [each.text for each in receipt.comments] == ["Use the new table"]


def test_pending_item_is_assigned(board: OpenBoard, bench: Bench) -> None:
    item = bench.item(agent="")
    screen = board(path=path_of(item))

    screen.page.get_by_label("to assign it to").fill("eve")
    screen.page.get_by_role("button", name="Assign", exact=True).click()

    expect(screen.page.locator(".drawer header")).to_contain_text("eve")
    assert item_of(bench, item).agent == "eve"


def test_held_item_is_reassigned_after_a_question(
    board: OpenBoard, bench: Bench
) -> None:
    lease = bench.claimed()
    screen = board(path=path_of(lease.item))

    screen.page.get_by_role("button", name="Reassign…").click()
    expect(screen.page.locator("#ask")).to_contain_text("loses its lease")
    confirm(screen, "bob")

    expect(screen.page.locator(".drawer header")).to_contain_text("bob")
    assert item_of(bench, lease.item).agent == "bob"


def test_item_is_cancelled_after_a_question(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(title="Login form")
    bench.item(depends_on=(item,))
    screen = board(path=path_of(item))

    screen.page.get_by_role("button", name="Cancel…").click()
    expect(screen.page.locator("#ask")).to_contain_text("1 item waits for it")
    screen.page.locator("#ask [value=no]").click()
    assert bench.state(item) is State.QUEUED
    screen.page.get_by_role("button", name="Cancel…").click()
    confirm(screen, "Not needed")

    expect(screen.page.locator(".drawer header")).to_contain_text("Cancelled")
    assert bench.state(item) is State.CANCELLED


def test_failed_item_is_requeued(board: OpenBoard, bench: Bench) -> None:
    item = bench.lease_in(State.FAILED).item
    screen = board(path=path_of(item))
    expect(screen.page.locator(".first")).to_contain_text("hopeless")

    screen.page.get_by_role("button", name="Requeue").click()

    expect(screen.page.locator(".drawer header")).to_contain_text("Queued")
    assert bench.state(item) is State.QUEUED


def test_item_is_edited(board: OpenBoard, bench: Bench) -> None:
    other = bench.item()
    item = bench.item(title="Login form", requirements=("one",))
    screen = board(path=path_of(item))

    screen.page.get_by_role("link", name="Edit").click()
    screen.page.get_by_label("Title").fill("Sign-in form")
    screen.page.get_by_label("Requirements").fill("one\ntwo")
    screen.page.get_by_label("Priority").select_option("0")
    screen.page.get_by_label("Labels").fill("ui")
    screen.page.get_by_label("Depends on").fill(other.removeprefix("item_"))
    screen.page.get_by_role("button", name="Save").click()

    screen.page.wait_for_url(f"**{path_of(item)}")
    expect(screen.page.locator("h1")).to_have_text("Sign-in form")
    edited = item_of(bench, item)
    assert edited.requirements == ("one", "two")
    assert (edited.priority, edited.labels) == (0, ("ui",))
    assert edited.depends_on == (other,)
    assert edited.state is State.WAITING


@pytest.mark.parametrize("script", ["on", "off"])
def test_checks_of_an_item_are_edited(
    board: OpenBoard, bench: Bench, script: str
) -> None:
    make, docs = RunCheck(run=("make", "test")), FileCheck(file="docs/api.md")
    item = bench.item(title="Login form", checks=(make, docs))
    screen = board(path=f"{path_of(item)}/edit", has_script=script == "on")
    page = screen.page
    commands = page.get_by_label("Commands that must succeed")
    expect(commands).to_have_value("make test")

    page.get_by_label("Files that must exist").fill("")
    page.get_by_label("Deliverables that must be delivered").fill("schema")
    page.get_by_label("Reviewer").fill("lead")
    page.get_by_label("Title").fill("Sign-in form")
    commands.fill("make test\ntrue")
    page.get_by_role("button", name="Save").click()

    alert = page.locator(".field", has=commands).get_by_role("alert")
    expect(alert).to_contain_text("The check 'true' cannot fail")
    expect(page.get_by_role("alert")).to_have_count(1)
    expect(commands).to_have_value("make test\ntrue")
    expect(commands).to_have_attribute("aria-invalid", "true")
    if script == "on":
        expect(commands).to_be_focused()
        assert screen.accessibility_problems() == []
    expect(page.get_by_label("Title")).to_have_value("Sign-in form")
    assert item_of(bench, item).checks == (make, docs)
    commands.fill("make test")
    page.get_by_role("button", name="Save").click()
    page.wait_for_url(f"**{path_of(item)}")
    edited = item_of(bench, item)
    assert edited.checks == (make, DeliverableCheck(deliverable="schema"))
    assert (edited.title, edited.reviewer) == ("Sign-in form", "lead")
    screen.forgive("422")


def test_checks_of_a_held_item_are_closed(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(checks=(RunCheck(run=("make", "test")),))
    bench.claimed(item)
    page = board(path=f"{path_of(item)}/edit").page

    commands = page.get_by_label("Commands that must succeed")

    expect(commands).to_be_disabled()
    expect(commands).to_have_value("make test")
    expect(page.get_by_label("Reviewer")).to_have_count(0)


def test_item_is_created_with_checks(board: OpenBoard, bench: Bench) -> None:
    screen = board(path=f"/projects/{bench.project()}/new-item")
    page = screen.page

    page.get_by_label("Title").fill("Form with checks")
    page.get_by_label("Files that must exist").fill("/etc/passwd")
    page.get_by_label("Commands that must succeed").fill("make test")
    page.get_by_label("Reviewer").fill("lead")
    page.get_by_role("button", name="Create the item").click()
    field = page.locator(".field", has=page.locator("[name=check_file]"))
    expect(field.get_by_role("alert")).to_contain_text("relative path")
    page.get_by_label("Files that must exist").fill("docs/api.md")
    page.get_by_role("button", name="Create the item").click()

    page.wait_for_url("**/items/item_*")
    created = item_of(bench, page.url.rpartition("/")[2])
    assert created.checks == (
        RunCheck(run=("make", "test")),
        FileCheck(file="docs/api.md"),
    )
    assert created.reviewer == "lead"
    screen.forgive("422")


def test_item_is_created_in_a_project(board: OpenBoard, bench: Bench) -> None:
    project = bench.project()
    screen = board(path=f"/projects/{project}/new-item")

    screen.page.get_by_label("Title").fill("Login form")
    screen.page.get_by_label("Facts").fill("no equals sign")
    screen.page.get_by_role("button", name="Create the item").click()
    expect(screen.page.get_by_role("alert")).to_contain_text("NAME=VALUE")
    expect(screen.page.get_by_label("Title")).to_have_value("Login form")
    screen.page.get_by_label("Facts").fill("where=here")
    screen.page.get_by_label("Agent").fill("ada")
    screen.page.get_by_role("button", name="Create the item").click()

    screen.page.wait_for_url("**/items/item_*")
    created = item_of(bench, screen.page.url.rpartition("/")[2])
    assert created.title == "Login form"
    assert created.context == {"where": "here"}
    assert created.agent == "ada"
    assert screen.accessibility_problems() == []
    screen.forgive("422")
    screen.forgive("400")


def test_every_action_works_without_the_script(
    board: OpenBoard, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")
    item = lease.item
    screen = board(path=path_of(item), has_script=False)
    page = screen.page

    page.get_by_label("Answer to question 1").fill("May")
    page.get_by_role("button", name="Answer").click()
    expect(page.get_by_role("status").first).to_be_visible()
    assert bench.state(item) is State.IN_PROGRESS
    page.get_by_role("button", name="Comment…").click()
    page.get_by_label("Comment").fill("Use the new table")
    page.get_by_role("button", name="Comment").click()
    expect(page.locator(".drawer")).to_contain_text("Use the new table")
    page.get_by_role("button", name="Reassign…").click()
    page.get_by_label("Agent").fill("bob")
    page.get_by_role("button", name="Reassign").click()
    assert item_of(bench, item).agent == "bob"
    page.get_by_role("button", name="Cancel…").click()
    page.get_by_role("button", name="Cancel the item").click()
    assert bench.state(item) is State.CANCELLED
    page.get_by_role("button", name="Requeue").click()
    assert bench.state(item) is State.QUEUED
    page.get_by_role("link", name="Edit").click()
    page.get_by_label("Title").fill("Another")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("h1")).to_have_text("Another")


def test_two_people_answer_one_question(
    board: OpenBoard, bench: Bench
) -> None:
    lease = bench.claimed()
    bench.agent().blocker(lease, "Which month?")
    first, second = (board(path=path_of(lease.item)) for _ in range(2))
    field = second.page.get_by_label("Answer to question 1")
    field.fill("June")

    first.page.get_by_label("Answer to question 1").fill("May")
    first.page.get_by_role("button", name="Answer").click()
    expect(first.page.locator(".drawer")).to_contain_text("“May”")
    second.page.get_by_role("button", name="Answer").click()

    alert = second.page.get_by_role("alert")
    expect(alert).to_contain_text("Answer to question 1 by ana: “May”")
    expect(field).to_have_value("June")
    second.forgive("409")


def test_item_that_moved_is_shown_before_acting(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(title="Login form")
    screen = board(path=path_of(item))
    screen.page.get_by_role("button", name="Cancel…").click()
    bench.queue.assign(item, "bob")
    confirm(screen, "Not needed")

    expect(screen.page.get_by_role("alert")).to_contain_text("assigned to bob")
    expect(screen.page.locator(".drawer header")).to_contain_text("bob")
    screen.page.get_by_role("button", name="Cancel…").click()
    ask = screen.page.locator("#ask")
    expect(ask.locator("textarea")).to_have_value("Not needed")
    confirm(screen)

    expect(screen.page.locator(".drawer header")).to_contain_text("Cancelled")
    screen.forgive("409")


def test_two_people_edit_one_item(board: OpenBoard, bench: Bench) -> None:
    item = bench.item(title="Login form", description="Old")
    screen = board(path=f"{path_of(item)}/edit")
    bench.queue.edit([item], ItemEdit(title="Their form", priority=0))
    page = screen.page

    page.get_by_label("Title").fill("My form")
    page.get_by_role("button", name="Save").click()

    expect(page.locator("#ask")).to_contain_text("“Their form”")
    expect(page.get_by_label("Title")).to_have_value("My form")
    confirm(screen)
    page.wait_for_url(f"**{path_of(item)}")
    edited = item_of(bench, item)
    assert (edited.title, edited.priority) == ("My form", 0)
    screen.forgive("409")


def test_hostile_texts_break_out_nowhere(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(
        title=HOSTILE[:400],
        description=HOSTILE,
        requirements=(HOSTILE,),
        criteria=(HOSTILE,),
        resources=(HOSTILE,),
        context={"where": HOSTILE},
        deliverables_expected=(HOSTILE,),
    )
    lease, ada = bench.claimed(item), bench.agent()
    ada.progress(lease, HOSTILE)
    ada.discover(lease, HOSTILE, impact=HOSTILE)
    ada.blocker(lease, HOSTILE, needs=HOSTILE)

    for path in (path_of(item), f"{path_of(item)}/edit"):
        screen = board(path=path, size=PHONE)
        assert not screen.page.evaluate("window.broken")
        assert screen.page.locator("img").count() == 0
        assert not screen.is_wider_than_window()
    title = screen.page.locator("[name=title]")
    assert title.input_value() == HOSTILE[:400]


def test_older_steps_are_read_on_demand(
    board: OpenBoard, bench: Bench
) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(200):
        ada.progress(lease, f"report {number}.")
    screen = board(Role.VIEWER, path_of(lease.item))
    assert "report 0." not in screen.text(".drawer")

    screen.page.get_by_role("link", name="Older").click()

    expect(screen.page.locator(".drawer")).to_contain_text("report 0.")


def test_older_steps_keep_the_readers_place(
    board: OpenBoard, bench: Bench
) -> None:
    lease, ada = bench.claimed(), bench.agent()
    for number in range(200):
        ada.progress(lease, f"report {number}.")
    page = board(Role.VIEWER, "/").page
    page.locator(f"a[href='{path_of(lease.item)}']").first.click()
    older = page.get_by_role("link", name="Older")
    older.scroll_into_view_if_needed()
    before = page.locator(".drawer").evaluate("each => each.scrollTop")

    older.click()

    expect(page.locator(".drawer")).to_contain_text("report 0.")
    after = page.locator(".drawer").evaluate("each => each.scrollTop")
    assert abs(after - before) < 2
    assert page.url.endswith(path_of(lease.item))


def test_saved_edit_leads_back_to_the_page_underneath(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(agent="", title="Login form")
    page = board(path="/items?q=state:pending").page
    page.get_by_role("link", name="Login form").click()
    page.get_by_role("link", name="Edit").click()

    page.get_by_label("Title").fill("Sign-in form")
    page.get_by_role("button", name="Save").click()

    expect(page.locator(".drawer h1")).to_have_text("Sign-in form")
    expect(page.locator(".drawer .receipt")).to_have_text("Changed: title.")
    page.wait_for_url(f"**{path_of(item)}")
    page.keyboard.press("Escape")
    expect(page.locator(".drawer")).to_have_count(0)
    page.wait_for_url(re.compile(r"/items\?q=state:pending$"))
    expect(page.get_by_role("link", name="Sign-in form")).to_be_visible()


def test_item_opened_by_its_address_is_a_page(
    board: OpenBoard, bench: Bench
) -> None:
    item = bench.item(title="Login form")

    for path in (path_of(item), f"{path_of(item)}/edit"):
        page = board(path=path).page
        expect(page.get_by_role("link", name="Projects")).to_be_visible()
        assert page.locator("dialog:modal").count() == 0
    page.keyboard.press("Escape")
    page.wait_for_url(f"**{path_of(item)}")
    page.keyboard.press("Escape")
    page.wait_for_url(re.compile(r"localhost:\d+/$"))
