"""A process of the tests on a machine that has everything: variables, files of its user, a checkout above /tmp."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from support.commands import Shell

TESTS = Path(__file__).parents[2]
HOSTILE = {
    "AGENT_ID": "mallory",
    "TASKORCH_NAMESPACE": "wrong",
    "REDIS_URL": "redis://127.0.0.1:1",
    "XDG_CONFIG_HOME": "/nonexistent",
    "CODEX_HOME": "/nonexistent",
    "GIT_DIR": "/nonexistent",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
#: Runs a command as nohup and & do, outside of this run of the tests.
IN_BACKGROUND = "trap '' HUP INT; unset PYTEST_XDIST_WORKER; exec \"$@\""
ISOLATED = """
import json, os, shutil, signal, sys, tempfile
from support import hermetic
home = hermetic.isolate()
print(json.dumps({
    "variables": dict(os.environ),
    "home": str(home),
    "temporary": tempfile.gettempdir(),
    "caches code": not sys.dont_write_bytecode,
    "ignores": [number for number in (signal.SIGHUP, signal.SIGINT) if signal.getsignal(number) is signal.SIG_IGN],
}))
shutil.rmtree(home)
"""


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder for temporary files, in a folder of the user's; its path is short enough for a socket."""
    with TemporaryDirectory(prefix="t-") as folder:
        yield Path(folder, "tmp")


def isolated(place: Path) -> dict[str, Any]:
    """Return what a process has that was isolated there."""
    place.mkdir(parents=True)
    shell = Shell(
        place,
        {
            **HOSTILE,
            "HOME": str(place),
            "TMPDIR": str(place),
            "PYTHONPATH": str(TESTS),
        },
    )
    ran = shell.run(
        "sh", "-c", IN_BACKGROUND, "sh", sys.executable, "-c", ISOLATED
    )
    assert ran.code == 0, ran.stderr
    seen: dict[str, Any] = json.loads(ran.stdout)
    return seen


def test_isolated_process_has_no_foreign_variable(place: Path) -> None:
    seen = isolated(place)

    assert not set(HOSTILE) & set(seen["variables"])
    assert seen["variables"]["HOME"] == seen["home"] != str(place)
    assert seen["temporary"] == seen["variables"]["TMPDIR"] == str(place)
    assert seen["caches code"]


def test_signals_reach_what_tests_start(place: Path) -> None:
    assert isolated(place)["ignores"] == []


@pytest.mark.parametrize(
    "stray", [".git/HEAD", ".task-orchestrator/config.toml"]
)
def test_temporary_files_lie_outside_stray_checkouts(
    place: Path, stray: str
) -> None:
    file = place.parent / stray
    file.parent.mkdir()
    file.write_text("ref: refs/heads/main\n")

    seen = isolated(place)

    assert place not in Path(seen["temporary"], "x").parents
    assert place not in Path(seen["home"]).parents


def test_long_path_is_no_place_for_sockets(place: Path) -> None:
    seen = isolated(place / ("long" * 20))

    assert len(seen["temporary"]) < 40
