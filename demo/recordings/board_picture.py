"""Pictures of the board: a moment of the demo's team, in a real browser."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from playwright.sync_api import sync_playwright

from demo.recordings.scratch_root import BIN, ScratchRoot, scratch_root
from demo.team import scene

CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT = 1280, 800
#: Without a sandbox, it runs as root.
FLAGS = ("--no-sandbox", "--disable-gpu", "--hide-scrollbars")


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture of the page Now."""

    #: Of its file, without ".png".
    name: str
    theme: Literal["light", "dark"]


PICTURES = (
    Picture(name="board-light", theme="light"),
    Picture(name="board-dark", theme="dark"),
)


def take(picture: Picture, file: Path) -> None:
    """Write a picture to a file."""
    with (
        scratch_root() as root,
        _board(root) as link,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS)
        )
        page = browser.new_page(
            viewport={"width": WIDTH, "height": HEIGHT},
            color_scheme=picture.theme,
            reduced_motion="reduce",
        )
        page.goto(link)
        page.locator("#status [role=status]", has_text="live").wait_for()
        page.screenshot(path=file)
        browser.close()


@contextmanager
def _board(root: ScratchRoot) -> Iterator[str]:
    """Yield the link to a board of the team's moment, which runs until then."""
    printed = root.run("orchestrate", "server", "status", "--json")
    scene.stage(json.loads(printed)["data"]["url"])
    command = [str(BIN / "orchestrate"), "board", "--no-open", "--json"]
    with subprocess.Popen(
        command,
        cwd=root.folder,
        env=root.environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as board:
        try:
            shown = json.loads(next(iter(board.stdout or ())))
            yield str(shown["data"]["link"])
        finally:
            board.send_signal(signal.SIGINT)
