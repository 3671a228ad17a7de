"""A snapshot of the board, opened from a file in a browser without a network."""

from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support import browser as browsers
from support.browser import PHONE, Theme
from support.builders import Bench
from support.commands import Shell
from taskorch.domain.item import NewItem

HOSTILE = "<img src=x onerror=\"document.title='run'\"><script>x</script>"


@pytest.fixture
def snapshot(shell: Shell, bench: Bench, tmp_path: Path) -> Path:
    """Return a file of a queue with hostile titles."""
    project = bench.queue.project(HOSTILE)
    bench.queue.create(project, NewItem(title=HOSTILE, agent="ada"))
    bench.queue.create(project, NewItem(title="Nobody's"))
    file = tmp_path / "now.html"
    written = shell.orchestrate("board", "--snapshot", str(file))
    assert written.code == 0, written.stderr
    return file


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_snapshot_is_readable_offline(
    chromium: Browser, snapshot: Path, theme: Theme
) -> None:
    screen = browsers.opened(chromium, f"file://{snapshot}", theme=theme)
    screen.context.set_offline(True)
    requested: list[str] = []
    screen.page.on("request", lambda request: requested.append(request.url))

    screen.open("")

    assert screen.page.get_by_role("heading", name="Needs you").is_visible()
    assert screen.page.title().endswith("Task Orchestrator")
    assert screen.page.get_by_text("Nobody's").first.is_visible()
    assert screen.accessibility_problems() == []
    assert screen.problems == []
    assert [url for url in requested if not url.startswith("data:")] == [
        f"file://{snapshot}"
    ]
    screen.close()


def test_snapshot_has_nothing_to_click(
    chromium: Browser, snapshot: Path
) -> None:
    screen = browsers.opened(chromium, f"file://{snapshot}", size=PHONE)

    screen.open("")

    assert screen.page.locator("form, button, input, script").count() == 0
    assert screen.page.locator("a[href]:not([href^='#'])").count() == 0
    assert not screen.is_wider_than_window()
    screen.close()
