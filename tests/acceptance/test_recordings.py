"""`make recordings`: terminals with real commands become images."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from support.commands import eventually
from support.svg_images import SvgImage

REPOSITORY = Path(__file__).parents[2]
IMAGES = REPOSITORY / "docs" / "images"
TIME_LIMIT_S = 120
#: Settings that a user has for a queue of their own.
EXPORTED = {
    "TASKORCH_REDIS_URL": "redis://127.0.0.1:1",
    "TASKORCH_NAMESPACE": "no name",
    "TASKORCH_JSON": "1",
    "AGENT_SESSION": "mine",
    "ORCHESTRATOR_ID": "mine",
    "NO_COLOR": "1",
    "PS1": "mine",
}


def recording(*words: str | Path, scratch: Path) -> "subprocess.Popen[str]":
    """Start the command of `make recordings`, with temporary files in `scratch`."""
    return subprocess.Popen(
        [sys.executable, "-m", "demo.recordings", *words],
        cwd=REPOSITORY,
        env={**os.environ, **EXPORTED, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    folder = tmp_path / "s"
    folder.mkdir()
    return folder


def in_order(texts: list[str], *expected: str) -> bool:
    """Return whether texts contain the expected ones, in this order."""
    left = iter(texts)
    return all(any(each in text for text in left) for each in expected)


def test_first_minute_is_as_in_the_readme(
    tmp_path: Path, scratch: Path
) -> None:
    ran = recording("first-minute", "--to", tmp_path, scratch=scratch)
    printed, errors = ran.communicate(timeout=TIME_LIMIT_S)

    assert ran.returncode == 0, errors
    assert printed == f"{tmp_path / 'first-minute.svg'}\n"
    image = SvgImage.read(tmp_path / "first-minute.svg")
    orchestrator, expert, developer = by_pane(image.texts())
    assert in_order(
        orchestrator,
        "cat plan.yaml",
        "depends_on: [schema]",
        "orchestrate apply plan.yaml",
        "waiting",
        "orchestrate inbox",
        "How long does a session",
        "orchestrate answer item_",
        "orchestrate progress proj_",
        "2 of 2 items completed",
        "orchestrate complete proj_",
        "schema: db.sql",
    )
    assert in_order(
        expert,
        "worker pop",
        "Design the database schema",
        "worker discover item_",
        "worker complete item_",
        "is completed",
    )
    assert in_order(
        developer,
        "worker pop --wait 60",
        "Write the sign-in API",
        "E-mails are lower case",
        "worker blocker item_",
        "worker wait item_",
        "Answer to question 1 by orchestrator: 30 days",
        "worker complete item_",
    )
    committed = SvgImage.read(IMAGES / "first-minute.svg")
    assert image.common_texts() == committed.common_texts(), (
        "The commands print something new: make recordings"
    )


def by_pane(texts: list[str]) -> list[list[str]]:
    """Return the texts of each pane, without its title."""
    panes: list[list[str]] = []
    for text in texts:
        if text == "orchestrator" or text.startswith("AGENT_ID="):
            panes.append([])
        elif panes:
            panes[-1].append(text)
    return panes


@pytest.mark.parametrize("name", ["watch", "progress"])
def test_screens_show_work_in_progress(
    name: str, tmp_path: Path, scratch: Path
) -> None:
    ran = recording(name, "--to", tmp_path, scratch=scratch)
    _, errors = ran.communicate(timeout=TIME_LIMIT_S)

    assert ran.returncode == 0, errors
    image = SvgImage.read(tmp_path / f"{name}.svg")
    assert in_order(
        image.texts(), "completed", "in_progress", "blocked", "waiting"
    )
    assert os.uname().nodename not in " ".join(image.texts()).split()
    assert "animation" not in image.source


def test_interrupted_recording_leaves_nothing(
    tmp_path: Path, scratch: Path
) -> None:
    ran = recording("first-minute", "--to", tmp_path, scratch=scratch)
    eventually(lambda: list(scratch.rglob("server.lock")), within_s=60)

    ran.send_signal(signal.SIGTERM)
    ran.communicate(timeout=TIME_LIMIT_S)

    assert ran.returncode == 128 + signal.SIGTERM
    assert not list(scratch.iterdir())
    assert not list(tmp_path.glob("*.svg"))


def test_unknown_recording_is_refused(tmp_path: Path) -> None:
    ran = recording("no-such", "--to", tmp_path, scratch=tmp_path)
    _, errors = ran.communicate(timeout=TIME_LIMIT_S)

    assert ran.returncode == 2
    assert re.search("There is no recording no-such", errors)
