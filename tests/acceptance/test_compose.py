"""docker-compose.yml with real containers; skipped without a Docker engine."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import BIN

WALK = Path(__file__).parents[1] / "compose" / "walk"
TIME_LIMIT_S = 900


def test_compose_walkthrough_leaves_nothing_running() -> None:
    missing = _missing()
    if missing:
        # tests/unit/project/test_containers.py checks the files without containers.
        pytest.skip(missing)
    environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}"}

    walk = subprocess.run(
        [WALK],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )

    assert walk.returncode == 0, walk.stdout + walk.stderr
    assert walk.stdout.endswith("down, nothing is left\n")


def _missing() -> str:
    """Return what this machine lacks to run the containers, or ""."""
    if shutil.which("docker") is None or not _succeeds("docker", "info"):
        return "no Docker engine is running"
    has_plugin = _succeeds("docker", "compose", "version")
    if not has_plugin and shutil.which("docker-compose") is None:
        return "neither docker compose nor docker-compose is installed"
    return ""


def _succeeds(*words: str) -> bool:
    done = subprocess.run(words, capture_output=True, timeout=60, check=False)
    return done.returncode == 0
