"""docker-compose.yml with real containers, where there is an engine to run them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.commands import BIN

WALK = Path(__file__).parents[1] / "compose" / "walk"
TIME_LIMIT_S = 900


def test_the_walk_through_the_compose_file_ends_with_nothing_left() -> None:
    missing = _missing()
    if missing:
        pytest.skip(
            f"{missing}: the containers were not tried, only read (tests/unit/project/test_containers.py)"
        )
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
    if not (shutil.which("docker") and _runs("docker", "info")):
        return "no docker engine answers"
    if not (_runs("docker", "compose", "version") or shutil.which("docker-compose")):
        return "there is neither docker compose nor docker-compose"
    return ""


def _runs(*words: str) -> bool:
    return (
        subprocess.run(words, capture_output=True, timeout=60, check=False).returncode
        == 0
    )
