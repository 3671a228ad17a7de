"""The board while Redis is unreachable."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect
from support import browser as browsers
from support import gateways, topologies
from support.commands import Shell
from support.topologies import Node


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """Return a server that keeps what it has acknowledged."""
    [port] = topologies.free_ports(1)
    options = ("--port", str(port), "--appendonly", "yes")
    node = Node(tmp_path / "node", port, *options, "--appendfsync", "always")
    with topologies.running([node]):
        yield node
    node.raw.close()


def test_page_recovers_when_redis_is_back(
    chromium: Browser, node: Node, tmp_path: Path
) -> None:
    shell = Shell(
        tmp_path, {"TASKORCH_REDIS_URL": f"redis://{node.address}/0"}
    )
    with gateways.running(shell) as gateway:
        screen = browsers.opened(chromium, gateway.url)
        screen.page.set_default_timeout(60_000)
        screen.sign_in(gateway.token("ana", "viewer"))
        screen.open("/nowhere")
        node.kill()

        response = screen.open("/")
        heading = screen.text("h1")
        shown = screen.text("main")
        node.start()

        expect(screen.page.locator("#needs-you")).to_be_visible(timeout=60_000)
        screen.close()
    assert response.status == 503
    assert heading == "The queue is unavailable"
    assert node.address not in shown
