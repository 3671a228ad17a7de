"""Projects on the board: the list, the page with its graph, and new ones from plans."""

from pathlib import Path

import pytest
from playwright.sync_api import expect
from support.browser import LAPTOP, LARGE, PHONE, OpenBoard, Theme
from support.builders import Bench
from taskorch.domain.item import NewItem, State
from taskorch.domain.role import Role
from taskorch_gateway.board import new_project

pytestmark = pytest.mark.one_lane

HOSTILE = (
    "<script>document.title='taken'</script></title><img src=x onerror=alert(1)>"
    "\"'--> {{ 7 * 7 }} \u202ereversed"
)
#: A plan with variables, one of which must be set.
RECIPE = """project: Release ${version}
variables:
  version: {description: The version to release}
  branch: main
items:
  - {name: tag, title: "Tag ${version} on ${branch}"}
  - {name: notes, title: Write the notes}
"""
#: Whether each text of a box is inside of it.
TEXTS_FIT = """() => [...document.querySelectorAll('#graph .words text')].every(text =>
    text.getBBox().width <= 158)"""
#: Whether a box cuts a text that is wider than the server believed.
TEXTS_ARE_CUT = """() => [...document.querySelectorAll('#graph .words')].every(box =>
    getComputedStyle(box).overflow !== 'visible')"""
#: The pairs of boxes that overlap.
OVERLAPS = """() => {
    const boxes = [...document.querySelectorAll('#graph rect.box')].map(box => box.getBoundingClientRect());
    return boxes.flatMap((one, place) => boxes.slice(place + 1).filter(other =>
        one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom)).length;
}"""


@pytest.fixture(scope="module")
def project(bench: Bench) -> str:
    """Return a project with an item in each state, and dependencies."""
    project = bench.queue.project(
        "Build authentication system", description="Users\nsign in."
    )
    plan = [
        ("Write threat model", ()),
        ("Design database schema", ()),
        ("Review password hashing", (0,)),
        ("Implement JWT logic", (1,)),
        ("Create REST endpoints", (1,)),
        ("Session refresh in the client, with a very long title", (3, 4)),
        ("End-to-end tests", (2, 5)),
        ("Rate limiting", ()),
        ("Login form", ()),
    ]
    new = [
        NewItem(title=title, agent="ada", depends_on=tuple(after))
        for title, after in plan
    ]
    items = [each.id for each in bench.queue.create_many(project, new)]
    for place, state in enumerate(
        (State.COMPLETED, State.COMPLETED, State.IN_PROGRESS, State.FAILED)
    ):
        bench.bring_to(items[place], state)
    bench.bring_to(items[7], State.BLOCKED)
    bench.item(project, agent="", title="Nobody does this")
    bench.agent().discover(
        bench.claimed(items[4]), "Needs a table", impact="More work"
    )
    return project


def shown_projects(bench: Bench, title: str) -> list[str]:
    return [
        project.id
        for project in bench.queue.views.projects(limit=500)
        if project.title == title
    ]


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [LAPTOP, PHONE, LARGE])
def test_project_page_looks_right(
    board: OpenBoard,
    project: str,
    size: tuple[int, int],
    theme: Theme,
) -> None:
    screen = board(path=f"/projects/{project}", size=size, theme=theme)

    expect(screen.page.locator("#graph a")).to_have_count(10)
    expect(screen.page.locator("h1")).to_have_text(
        "Build authentication system"
    )
    assert screen.page.evaluate(OVERLAPS) == 0
    assert screen.page.evaluate(TEXTS_FIT)
    assert not screen.is_wider_than_window()
    assert screen.accessibility_problems() == []


def test_graph_leads_to_items_by_keyboard(
    board: OpenBoard, project: str
) -> None:
    screen = board(path=f"/projects/{project}")
    link = screen.page.get_by_role("link", name="Login form; queued")

    link.focus()
    screen.page.keyboard.press("Enter")

    screen.page.wait_for_url("**/items/item_*")
    expect(screen.page.locator("h1", has_text="Login form")).to_be_visible()


def test_graph_follows_the_work(board: OpenBoard, bench: Bench) -> None:
    project = bench.queue.project("Live")
    item = bench.item(project, title="Moving")
    screen = board(path=f"/projects/{project}")
    expect(screen.page.locator("#status [role=status]")).to_have_text("live")

    bench.agent().complete(bench.claimed(item), "done")

    expect(screen.page.locator("#graph a")).to_have_attribute(
        "aria-label", "Moving; completed; ada", timeout=20_000
    )
    expect(screen.page.locator("#items td").nth(1)).to_have_text("completed")


def test_items_of_project_are_filtered(board: OpenBoard, project: str) -> None:
    screen = board(path=f"/projects/{project}")

    screen.page.get_by_label("Filter the items").fill("state:failed")
    screen.page.keyboard.press("Enter")

    expect(screen.page.locator("#items tbody tr")).to_have_count(1)
    expect(screen.page.locator("#items tbody tr")).to_contain_text("JWT")
    expect(screen.page.locator("#graph a")).to_have_count(10)


def test_wrong_filter_points_at_its_place(
    board: OpenBoard, project: str
) -> None:
    screen = board(path=f"/projects/{project}?q=agent:ada+stat:failed")

    expect(screen.page.locator("#find-error mark")).to_have_text("stat:")
    expect(screen.page.get_by_label("Filter the items")).to_have_value(
        "agent:ada stat:failed"
    )
    screen.forgive("400")


def test_plan_is_pasted_checked_and_created(
    board: OpenBoard, bench: Bench
) -> None:
    screen = board(path="/projects/new")
    page = screen.page
    plan = new_project.EXAMPLE.replace("Build auth", "Paste auth")

    page.locator("[name=plan]").fill(plan)
    page.get_by_role("button", name="Check the plan").click()

    expect(page.locator("#check tbody tr")).to_have_count(3)
    expect(page.locator("#check .graph g")).to_have_count(3)
    assert shown_projects(bench, "Paste authentication system") == []
    assert screen.accessibility_problems() == []
    page.get_by_role("button", name="Create 3 items").click()
    page.wait_for_url("**/projects/proj_*")
    expect(page.locator(".receipt")).to_contain_text("3 items created")
    expect(page.locator("#graph a")).to_have_count(3)
    assert len(shown_projects(bench, "Paste authentication system")) == 1


@pytest.mark.parametrize("script", ["on", "off"])
def test_plan_of_a_file_is_created(
    board: OpenBoard, bench: Bench, tmp_path: Path, script: str
) -> None:
    title = f"File {script}"
    file = tmp_path / "plan.yaml"
    file.write_text(new_project.EXAMPLE.replace("Build", title))
    page = board(path="/projects/new", has_script=script == "on").page

    page.locator("[name=file]").set_input_files(file)
    page.get_by_role("button", name="Check the plan").click()
    expect(page.locator("#check tbody tr")).to_have_count(3)
    expect(page.locator("[name=plan]")).to_have_value(file.read_text())
    page.get_by_role("button", name="Create 3 items").click()

    page.wait_for_url("**/projects/proj_*")
    assert len(shown_projects(bench, f"{title} authentication system")) == 1


def test_wrong_plan_keeps_text_and_names_lines(board: OpenBoard) -> None:
    screen = board(path="/projects/new")
    page = screen.page
    wrong = new_project.EXAMPLE.replace("agent: backend", "agnt: backend")

    page.locator("[name=plan]").fill(wrong)
    page.get_by_role("button", name="Check the plan").click()

    expect(page.locator(".mistakes mark")).to_have_text(
        "    agnt: backend_developer"
    )
    expect(page.locator(".mistakes li")).to_contain_text("Line 9")
    expect(page.locator("[name=plan]")).to_have_value(wrong)
    expect(page.get_by_role("button", name="Create 3 items")).to_have_count(0)
    assert screen.accessibility_problems() == []
    screen.forgive("422")


@pytest.mark.parametrize("script", ["on", "off"])
def test_variables_of_a_plan_are_set(
    board: OpenBoard, bench: Bench, script: str
) -> None:
    plan = RECIPE.replace("Release", f"Release {script}")
    screen = board(path="/projects/new", has_script=script == "on")
    page = screen.page
    page.locator("[name=plan]").fill(plan)
    page.get_by_role("button", name="Check the plan").click()

    version = page.locator("[name='set.version']")
    expect(page.locator("#check .refusal")).to_contain_text("has no default")
    expect(version).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#check")).to_contain_text("required")
    expect(page.locator("#check")).to_contain_text("The version to release")
    expect(page.locator("[name='set.branch']")).to_have_value("main")
    expect(page.locator("#mistakes")).to_have_count(0)
    if script == "on":
        assert screen.accessibility_problems() == []
    version.fill("1.2")
    page.locator("[name='set.branch']").fill("next")
    page.get_by_role("button", name="Check the plan").click()
    expect(page.locator("#check tbody tr")).to_contain_text(
        ["Tag 1.2 on next", "Write the notes"]
    )
    page.get_by_role("button", name="Create 2 items").click()

    page.wait_for_url("**/projects/proj_*")
    assert len(shown_projects(bench, f"Release {script} 1.2")) == 1
    screen.forgive("422")


def test_wrong_variables_stand_beside_their_fields(board: OpenBoard) -> None:
    screen = board(path="/projects/new")
    page = screen.page
    page.locator("[name=plan]").fill(RECIPE)
    page.get_by_role("button", name="Check the plan").click()
    page.locator("[name='set.version']").fill("1.2")
    page.locator("[name='set.branch']").fill(HOSTILE)
    without = RECIPE.replace("  branch: main\n", "").replace("${branch}", "it")
    page.locator("[name=plan]").fill(without)

    page.get_by_role("button", name="Check the plan").click()

    expect(page.locator("fieldset .refusal")).to_contain_text(
        "The plan declares no variable of this name."
    )
    branch = page.locator("[name='set.branch']")
    expect(branch).to_have_value(HOSTILE)
    expect(page.locator("[name='set.version']")).to_have_value("1.2")
    expect(page.locator("[name=plan]")).to_have_value(without)
    branch.fill("")
    page.get_by_role("button", name="Check the plan").click()
    expect(page.get_by_role("button", name="Create 2 items")).to_be_visible()
    expect(branch).to_have_count(0)
    screen.forgive("422")


def test_double_click_creates_one_project(
    board: OpenBoard, bench: Bench
) -> None:
    page = board(path="/projects/new").page
    plan = new_project.EXAMPLE.replace("Build auth", "Twice auth")
    page.locator("[name=plan]").fill(plan)
    page.get_by_role("button", name="Check the plan").click()

    page.get_by_role("button", name="Create 3 items").dblclick()

    page.wait_for_url("**/projects/proj_*")
    (project,) = shown_projects(bench, "Twice authentication system")
    assert len(bench.queue.views.items_of(project)) == 3


def test_empty_project_asks_for_items(board: OpenBoard) -> None:
    screen = board(path="/projects")
    page = screen.page

    page.get_by_role("link", name="New project").click()
    page.get_by_label("Title").fill("By hand")
    page.get_by_role("button", name="Create the project").click()

    page.wait_for_url("**/projects/proj_*")
    expect(page.locator("h1")).to_have_text("By hand")
    expect(page.get_by_role("link", name="Add the first one")).to_be_visible()
    assert screen.accessibility_problems() == []


def test_empty_title_keeps_the_description(board: OpenBoard) -> None:
    screen = board(path="/projects/new")
    page = screen.page

    page.get_by_label("The request, in full").fill("A long\nrequest")
    page.get_by_label("Title").fill("  ")
    page.get_by_role("button", name="Create the project").click()

    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("The request, in full")).to_have_value(
        "A long\nrequest"
    )
    screen.forgive("422")


def test_closing_with_open_items_asks_first(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("To close")
    item = bench.item(project)
    page = board(path=f"/projects/{project}").page

    page.get_by_role("button", name="Close…").click()
    expect(page.locator("#ask h2")).to_have_text(
        "Close To close with 1 open item?"
    )
    page.get_by_role("button", name="Keep it as it is").click()
    assert bench.state(item) is State.QUEUED
    page.get_by_role("button", name="Close…").click()
    page.get_by_role("button", name="Close the project").click()

    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    assert bench.state(item) is State.CANCELLED


def test_closing_without_the_script_asks_first(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("To close plainly")
    item = bench.item(project)
    page = board(path=f"/projects/{project}", has_script=False).page

    page.get_by_role("button", name="Close…").click()
    assert bench.state(item) is State.QUEUED
    page.get_by_role("button", name="Close the project").click()

    expect(page.locator(".receipt")).to_contain_text("closed")
    assert bench.state(item) is State.CANCELLED


def test_project_is_reopened_and_cancelled(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("Again")
    bench.queue.complete_project(project)
    page = board(path=f"/projects/{project}").page

    page.get_by_role("button", name="Reopen").click()
    expect(page.get_by_role("button", name="Close")).to_be_visible()
    item = bench.item(project)
    page.reload()
    page.get_by_role("button", name="Cancel the project…").click()
    page.get_by_label("Reason").fill("Not needed")
    page.get_by_role("button", name="Cancel the project", exact=True).click()

    expect(page.get_by_role("button", name="Reopen")).to_be_visible()
    assert bench.state(item) is State.CANCELLED


def test_viewer_sees_no_action_of_projects(
    board: OpenBoard, project: str
) -> None:
    screen = board(Role.VIEWER, f"/projects/{project}")
    expect(screen.page.locator("main .acts")).to_have_count(0)
    expect(screen.page.locator("main form[method=post]")).to_have_count(0)

    screen.open("/projects")
    expect(screen.page.get_by_role("link", name="New project")).to_have_count(
        0
    )
    response = screen.open("/projects/new")

    assert response.status == 403
    screen.forgive("403")


def test_hostile_texts_of_a_project_stay_texts(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project(HOSTILE, description=HOSTILE)
    item = bench.item(project, title=HOSTILE)
    bench.item(project, title="x" * 500, depends_on=[item])
    bench.agent().discover(bench.claimed(item), HOSTILE, impact=HOSTILE)
    screen = board(path=f"/projects/{project}")
    page = screen.page

    expect(page.locator("#graph a")).to_have_count(2)
    expect(page.locator("h1")).to_contain_text("<script>document.title")
    assert page.locator("img").count() == 0
    assert page.title() != "taken"
    assert page.evaluate(TEXTS_ARE_CUT)
    assert not screen.is_wider_than_window()
    screen.open("/projects")
    assert not screen.is_wider_than_window()
    assert page.locator("img").count() == 0


def test_large_project_shows_what_matters(
    board: OpenBoard, bench: Bench
) -> None:
    project = bench.queue.project("Large")
    new = [NewItem(title=f"Item {n}", agent="ada") for n in range(200)]
    created = bench.create_many(project, new)
    bench.bring_to(created[-1].id, State.FAILED)
    screen = board(path=f"/projects/{project}")

    expect(screen.page.locator("#graph a")).to_have_count(150)
    first = screen.page.locator("#items tbody tr").first
    expect(first).to_contain_text("Item 199")
    expect(screen.page.locator("main")).to_contain_text(
        "The graph shows 150 of 200 items"
    )
    assert screen.page.evaluate(OVERLAPS) == 0


def test_list_of_projects_has_pages(board: OpenBoard, bench: Bench) -> None:
    closed = [bench.queue.project(f"Closed {n}") for n in range(51)]
    for project in closed:
        bench.queue.complete_project(project)
    newest = bench.queue.views.projects_page("completed", limit=51).projects
    screen = board(path="/projects")
    page = screen.page

    page.get_by_role("link", name="Completed").click()
    expect(page.locator("#project-list tbody tr")).to_have_count(50)
    assert screen.accessibility_problems() == []
    page.get_by_role("link", name="Older projects").click()

    expect(page.locator("#project-list")).to_contain_text(newest[50].title)
    page.get_by_role("link", name="Archived").click()
    expect(page.locator("#project-list code")).to_contain_text(["archive"])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/projects/proj_00000000", 404),
        ("/projects/nonsense", 404),
        ("/projects?show=wrong", 400),
        ("/projects?skip=-1", 400),
    ],
)
def test_odd_addresses_of_projects_are_explained(
    board: OpenBoard, path: str, status: int
) -> None:
    screen = board()

    response = screen.open(path)

    assert response.status == status
    expect(screen.page.get_by_role("alert")).to_be_visible()
    screen.forgive(str(status))
