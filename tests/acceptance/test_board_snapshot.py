"""`orchestrate board --snapshot`: the board as one file."""

import re
import stat
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import Shell
from support.gateways import Gateway
from taskorch.domain.item import Lease, NewItem

HOSTILE = "<script>alert(1)</script>\"'><b>bold"


#: What runs, sends, or leads elsewhere.
ACTING = (
    "<script",
    "<form",
    "<button",
    "<input",
    "<link",
    r'href="(?!#|data:)',
    r'src="(?!data:)',
    r"\son\w+=",
    r"url\((?!data:)",
    "@import",
)


@pytest.fixture
def busy(shell: Shell, bench: Bench) -> Shell:
    """Return a shell whose queue has an item in progress and one that failed."""
    project = bench.queue.project(HOSTILE)
    agent = bench.queue.agent_queue("ada")
    works, fails = (
        Lease(
            item=bench.queue.create(project, NewItem(title=title, agent="ada"))
        )
        for title in ("Works", "Fails")
    )
    agent.progress(works, HOSTILE, percent=40)
    held = agent.get(fails).lease
    assert held
    agent.fail(held, "The disk is full", retry=False)
    return shell


def test_snapshot_shows_what_is_happening(busy: Shell) -> None:
    written = busy.orchestrate("board", "--snapshot", "now.html")

    page = (busy.folder / "now.html").read_text(encoding="utf-8")
    assert written.stdout == "Written: now.html\n"
    assert "Works" in page
    assert "The disk is full" in page
    assert "&lt;script&gt;" in page
    assert len(page) < 200_000


def test_snapshot_has_nothing_that_acts(busy: Shell) -> None:
    page = busy.orchestrate("board", "--snapshot", "-").stdout

    assert "<title>" in page
    assert [each for each in ACTING if re.search(each, page)] == []


def test_snapshot_replaces_its_file_when_complete(
    busy: Shell, tmp_path: Path
) -> None:
    file = tmp_path / "now.html"
    file.write_text("the old one")
    file.chmod(0o644)

    document = busy.orchestrate("board", "--snapshot", str(file), "--json")
    refused = busy.having(
        TASKORCH_REDIS_URL="redis://127.0.0.1:1"
    ).orchestrate("board", "--snapshot", str(file))

    assert document.data() == {
        "file": str(file),
        "bytes": file.stat().st_size,
    }
    assert refused.code == 4
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "Works" in file.read_text(encoding="utf-8")
    assert list(tmp_path.glob(".*")) == []


def test_snapshot_that_cannot_be_written_is_refused(busy: Shell) -> None:
    refused = busy.orchestrate(
        "--json", "board", "--snapshot", "no-such-folder/now.html"
    )

    assert refused.code == 5
    assert "cannot be written" in refused.error()["message"]


@pytest.mark.parametrize("confined", [False, True])
def test_snapshot_over_gateway_shows_what_token_may(
    busy: Shell,
    gateway: Gateway,
    confined: bool,  # noqa: FBT001
) -> None:
    project = busy.orchestrate("--json", "projects").data()[0]["id"]
    options = ("--project", project) if confined else ()
    viewer = gateway.client(
        gateway.token("eve", "viewer", *options), ORCHESTRATOR_ID="eve"
    )

    page = viewer.orchestrate("board", "--snapshot", "-").stdout

    assert "The disk is full" in page


def test_snapshot_starts_no_stopped_server(local: Shell) -> None:
    local.orchestrate("project", "One")
    local.orchestrate("server", "stop")

    refused = local.orchestrate("--json", "board", "--snapshot", "-")

    assert refused.error()["code"] == "SERVER_STOPPED"
