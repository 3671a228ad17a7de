"""Every page of the board with hostile texts: nothing runs, and everyone can read it."""

import re

import pytest
from support.browser import PHONE, OpenBoard, Screen
from support.builders import Bench, new_schedule
from taskorch.domain.item import NewItem, State
from taskorch.domain.role import Role
from taskorch_gateway.board import routes

HOSTILE = (
    "\"'></textarea></title><script>document.title='owned'</script>"
    "<img src=x onerror=\"document.title='owned'\">{{ 7*7 }}\u202eevil\u200b"
)
LONG = "W" * 400
#: The page of bulk actions asks for the items, and the item of the test has no log.
NO_FILTER, NO_LOG = "status of 400", "status of 404"
PATHS = sorted({page.path for page in routes.PAGES})


@pytest.fixture(scope="module")
def hostile(bench: Bench) -> dict[str, str]:
    """Return the ids of an item and a project whose texts try to break out."""
    project = bench.queue.project(HOSTILE, description=HOSTILE)
    texts = (HOSTILE, LONG)
    item = bench.queue.create(
        project,
        NewItem(
            title=HOSTILE,
            description=HOSTILE,
            requirements=texts,
            resources=(*texts, "javascript:alert(1)", "https://example.org/a"),
            criteria=texts,
            deliverables_expected=texts,
            context={"name": HOSTILE},
            labels=("api",),
            agent="ada",
        ),
    )
    lease = bench.claimed(item)
    agent = bench.agent()
    agent.progress(lease, HOSTILE, percent=40)
    agent.discover(lease, HOSTILE, impact=HOSTILE)
    agent.blocker(lease, HOSTILE, needs=HOSTILE)
    bench.queue.comment(item, HOSTILE)
    other = bench.item(project, title=LONG, depends_on=(item,))
    bench.item(project, agent="", title=HOSTILE)
    dead = bench.item(project, title=HOSTILE)
    agent.fail(bench.claimed(dead), HOSTILE, retry=False)
    assert bench.state(other) is State.WAITING
    bench.queue.schedules().create(new_schedule("nightly", cron=HOSTILE))
    bench.queue.schedules().end("nightly", error=HOSTILE + LONG)
    return {"item": item, "project": project}


def address(path: str, ids: dict[str, str]) -> str:
    """Return the address of a page, of the item or the project."""
    kind = "project" if path.startswith("/projects") else "item"
    return re.sub(r"\{\w+\}", ids[kind], path)


def is_intact(screen: Screen) -> bool:
    """Return whether no text has become code."""
    page = screen.page
    return (
        page.title() != "owned"
        and page.locator("img[src=x]").count() == 0
        and page.locator("main script, dialog script").count() == 0
        and page.locator("a[href^='javascript:']").count() == 0
    )


@pytest.mark.parametrize("path", PATHS)
def test_page_is_safe_and_accessible(
    board: OpenBoard, hostile: dict[str, str], path: str
) -> None:
    screen = board(Role.ADMIN, address(path, hostile))

    problems = screen.accessibility_problems()
    screen.forgive(NO_FILTER)
    screen.forgive(NO_LOG)

    assert is_intact(screen)
    assert "\u202e" not in screen.text("body")
    assert problems == []


@pytest.mark.parametrize("path", PATHS)
def test_page_fits_a_dark_phone(
    board: OpenBoard, hostile: dict[str, str], path: str
) -> None:
    address_ = address(path, hostile)
    screen = board(Role.ADMIN, address_, size=PHONE, theme="dark")

    problems = screen.accessibility_problems()
    screen.forgive(NO_FILTER)
    screen.forgive(NO_LOG)

    assert not screen.is_wider_than_window()
    assert problems == []


@pytest.mark.parametrize("path", PATHS)
def test_viewer_sees_no_action(
    board: OpenBoard, hostile: dict[str, str], path: str
) -> None:
    screen = board(Role.VIEWER, address(path, hostile))

    actions = [
        form.get_attribute("action")
        for form in screen.page.locator("form[method=post]").all()
    ]

    assert set(actions) <= {"/theme", "/sign-out"}
    screen.forgive("status of 403")
