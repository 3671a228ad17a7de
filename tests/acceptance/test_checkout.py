"""`./tm_orchestrator.py` and `./tm_worker.py` in a checkout, without dependencies."""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from taskorch.checkout import MODULES
from taskorch.version import __version__

REPOSITORY = Path(__file__).parents[2]
SCRIPTS = [("tm_orchestrator.py", "orchestrate"), ("tm_worker.py", "worker")]


@pytest.fixture(scope="module")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a Python without our dependencies."""
    folder = tmp_path_factory.mktemp("bare")
    venv.create(folder, symlinks=True)
    return folder / "bin" / "python"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """Return a copy of the scripts, with links to the source."""
    folder = tmp_path / "a checkout"
    folder.mkdir()
    for name, _ in SCRIPTS:
        shutil.copy(REPOSITORY / name, folder)
    for name in ("shared", "worker", "orchestrator", "gateway"):
        (folder / name).symlink_to(REPOSITORY / name)
    return folder


def run(
    python: Path, script: Path, *words: str
) -> subprocess.CompletedProcess[str]:
    """Run a script in another folder than its own."""
    environment = {
        "PATH": os.environ["PATH"],
        "TASKORCH_ROOT": str(script.parent),
    }
    command = [str(python), str(script), *words]
    return subprocess.run(
        command,
        cwd=script.parents[1],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("script", "name"), SCRIPTS)
def test_script_uses_environment_beside_it(
    bare_python: Path, checkout: Path, script: str, name: str
) -> None:
    (checkout / ".venv").symlink_to(sys.prefix)

    ran = run(bare_python, checkout / script, "--version")

    assert (ran.returncode, ran.stdout, ran.stderr) == (
        0,
        f"{name} {__version__}\n",
        "",
    )


@pytest.mark.parametrize(("script", "name"), SCRIPTS)
def test_script_uses_installed_dependencies(
    checkout: Path, script: str, name: str
) -> None:
    (checkout / ".venv/bin").mkdir(parents=True)
    (checkout / ".venv/bin/python").symlink_to("/bin/false")

    ran = run(Path(sys.executable), checkout / script, "--version")

    assert (ran.returncode, ran.stdout, ran.stderr) == (
        0,
        f"{name} {__version__}\n",
        "",
    )


@pytest.mark.parametrize("script", ["tm_orchestrator.py", "tm_worker.py"])
@pytest.mark.parametrize("is_broken", [True, False])
def test_script_without_environment_says_how_to_make_one(
    bare_python: Path, checkout: Path, script: str, *, is_broken: bool
) -> None:
    if is_broken:
        (checkout / ".venv").symlink_to(bare_python.parents[1])

    ran = run(bare_python, checkout / script, "--version")

    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr == (
        "Error: the module click is not installed. "
        f"Run this once: make -C '{checkout}' venv\n"
    )


def test_checked_modules_are_the_runtime_dependencies() -> None:
    dependencies = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())[
        "project"
    ]["dependencies"]
    modules = metadata.packages_distributions()
    wanted = {Requirement(each).name for each in dependencies}

    provided = [
        {name.lower() for name in modules[module]} for module in MODULES
    ]

    assert all(len(names & wanted) == 1 for names in provided)
    assert set().union(*provided) >= wanted
    assert len(MODULES) == len(wanted)
