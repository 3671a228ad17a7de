"""Fixtures of tests in a real browser: one gateway and one Chromium for each module.

    def test_answer_reaches_the_agent(board: OpenBoard, bench: Bench) -> None:
        screen = board(Role.ORCHESTRATOR, "/items/item_11aa22bb")

After each test, no window may have noted an error of the console or a violation of the
content security policy.
"""

import os
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, expect
from support import browser as browsers
from support import gateways
from support.browser import LAPTOP, OpenBoard, Screen, Theme
from support.builders import Bench, opened
from support.commands import Shell
from support.gateways import Gateway
from taskorch.domain.role import Role

expect.set_options(timeout=browsers.STEP_MS)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    if not browsers.CHROMIUM.exists():
        pytest.skip(f"{browsers.CHROMIUM} is not installed.")
    with browsers.running() as browser:
        yield browser


@pytest.fixture(scope="module")
def shell(valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Return a shell with a namespace of its own on a real server."""
    return Shell(
        tmp_path_factory.mktemp("board"),
        {
            "TASKORCH_REDIS_URL": valkey_url,
            "TASKORCH_NAMESPACE": f"board-{os.urandom(3).hex()}",
            "AGENT_ID": "ada",
        },
    )


@pytest.fixture(scope="module")
def gateway(shell: Shell) -> Iterator[Gateway]:
    with gateways.running(shell) as running:
        yield running


@pytest.fixture(scope="module")
def bench(shell: Shell) -> Iterator[Bench]:
    """Return the queue of the board, to prepare and inspect items."""
    url = shell.variables["TASKORCH_REDIS_URL"]
    namespace = shell.variables["TASKORCH_NAMESPACE"]
    with opened(url, namespace) as bench:
        yield bench


@pytest.fixture(scope="module")
def tokens(bench: Bench) -> dict[Role, str]:
    """Return an access token of each role."""
    created = bench.queue.access_tokens()
    return {role: created.create("ana", role).token for role in Role}


@pytest.fixture
def board(
    chromium: Browser, gateway: Gateway, tokens: dict[Role, str]
) -> Iterator[OpenBoard]:
    """Return what opens windows, which are closed after the test."""
    screens: list[Screen] = []

    def opened(
        role: Role | None = Role.ORCHESTRATOR,
        path: str = "/",
        *,
        size: tuple[int, int] = LAPTOP,
        theme: Theme = "light",
        has_script: bool = True,
    ) -> Screen:
        screen = browsers.opened(
            chromium,
            gateway.url,
            size=size,
            theme=theme,
            has_script=has_script,
        )
        screens.append(screen)
        if role:
            screen.sign_in(tokens[role])
        screen.open(path)
        return screen

    yield opened
    for screen in screens:
        screen.close()
    assert [each.problems for each in screens if each.problems] == []
