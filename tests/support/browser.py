"""The board in a real browser: Debian's Chromium, driven by Playwright.

Each window notes errors of the console, exceptions of the script and violations of the
content security policy: `Screen.problems`.
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, Protocol

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Response,
    expect,
    sync_playwright,
)
from support import leaks
from taskorch.domain.role import Role

CHROMIUM = Path("/usr/bin/chromium")
#: Without a sandbox it runs as root; the rest keeps it from the network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
#: Width and height of a window, in CSS pixels.
LAPTOP, PHONE, LARGE = (1280, 800), (390, 844), (3840, 2160)
#: How long a step may take on a busy machine.
STEP_MS = 20_000
#: The rules of axe: WCAG 2.2 to level AA, and its own.
RULES = (
    "wcag2a",
    "wcag2aa",
    "wcag21a",
    "wcag21aa",
    "wcag22aa",
    "best-practice",
)

Theme = Literal["light", "dark"]


class Screen:
    """A window of a person, in a browser profile of its own."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        """`url` is the address of the gateway."""
        self.context = context
        self.url = url
        self.page = context.new_page()
        #: What the console and the script have complained about.
        self.problems: list[str] = []
        self.page.set_default_timeout(STEP_MS)
        self.page.on("console", self._note)
        self.page.on(
            "pageerror", lambda error: self.problems.append(str(error))
        )

    def open(self, path: str = "/") -> Response:
        """Go to a page of the board, and return the reply."""
        response = self.page.goto(self.url + path)
        assert response
        return response

    def sign_in(self, token: str) -> None:
        """Have the session of an access token, as after signing in."""
        port = self.url.rpartition(":")[2]
        name = f"taskorch_session_{port}"
        self.context.add_cookies(
            [
                {
                    "name": name,
                    "value": token,
                    "url": self.url,
                    "httpOnly": True,
                    "sameSite": "Strict",
                }
            ]
        )

    def sign_out(self) -> None:
        """Lose the session."""
        self.context.clear_cookies()

    def text(self, selector: str) -> str:
        """Return the text of an element as it is shown."""
        return self.page.locator(selector).inner_text()

    def accessibility_problems(self) -> list[str]:
        """Return what axe finds on the page: the rule and the element."""
        options = {"runOnly": {"type": "tag", "values": list(RULES)}}
        found: Mapping[str, Any] = (
            Axe().run(self.page, options=options).response
        )
        return [
            f"{broken['id']}: {node['html'][:200]} {node.get('failureSummary', '')}"
            for broken in found["violations"]
            for node in broken["nodes"]
        ]

    def is_wider_than_window(self) -> bool:
        """Return whether the page scrolls sideways."""
        return bool(
            self.page.evaluate(
                # a phone zooms out until all of a page is in the window
                "document.documentElement.scrollWidth"
                " > document.documentElement.clientWidth"
            )
        )

    def forgive(self, text: str) -> None:
        """Drop expected problems, such as the note about a reply with an error."""
        self.problems = [each for each in self.problems if text not in each]

    def close(self) -> None:
        """Close the window and its profile."""
        self.context.close()

    def _note(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"{message.text} ({message.location['url']})")


class OpenBoard(Protocol):
    """Opens a window of a person with a role, who is signed in; None for nobody."""

    def __call__(
        self,
        role: Role | None = Role.ORCHESTRATOR,
        path: str = "/",
        *,
        size: tuple[int, int] = LAPTOP,
        theme: Theme = "light",
        has_script: bool = True,
    ) -> Screen:
        """Return the window."""


@contextmanager
def running() -> Iterator[Browser]:
    """Run Chromium without a window."""
    before = set(threading.enumerate())
    expect.set_options(timeout=STEP_MS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, headless=True, args=list(FLAGS)
        )
        with leaks.shared(set(threading.enumerate()) - before):
            yield browser
            browser.close()


def opened(
    browser: Browser,
    url: str,
    *,
    size: tuple[int, int] = LAPTOP,
    theme: Theme = "light",
    has_script: bool = True,
) -> Screen:
    """Return a new window; a person without the script has turned it off."""
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]},
        color_scheme=theme,
        java_script_enabled=has_script,
        has_touch=size == PHONE,
        is_mobile=size == PHONE,
    )
    return Screen(context, url)
