"""The wheel in a clean venv, in a repository with modules named like our folders."""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZipFile

import pytest
from taskorch.queue import scripts

REPOSITORY = Path(__file__).parents[2]
TRAP = "raise RuntimeError('a command imported a module of the user')\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel, and return its path."""
    folder = tmp_path_factory.mktemp("dist")
    command = [
        sys.executable,
        "-m",
        "hatchling",
        "build",
        "-t",
        "wheel",
        "-d",
        str(folder),
    ]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


@pytest.fixture
def user_repository() -> Iterator[Path]:
    """Return a repository whose modules fail when they are imported."""
    with TemporaryDirectory(prefix="user-") as folder:
        for name in ("shared", "worker", "orchestrator", "gateway"):
            (Path(folder) / name).mkdir()
            (Path(folder) / name / "__init__.py").write_text(TRAP)
        (Path(folder) / "worker.py").write_text(TRAP)
        yield Path(folder)


def test_wheel_has_four_packages_with_their_data(
    wheel: Path,
) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()

    tops = {name.split("/")[0] for name in names}
    lua = {Path(name).name for name in names if name.endswith(".lua")}
    assert {top for top in tops if not top.endswith(".dist-info")} == {
        "taskorch",
        "taskorch_worker",
        "taskorch_orchestrator",
        "taskorch_gateway",
    }
    assert lua == {
        file.name
        for file in (REPOSITORY / "shared/taskorch/queue/scripts").rglob(
            "*.lua"
        )
    }
    assert {name for name in names if name.startswith("taskorch/docs/")} == {
        f"taskorch/docs/{page.name}"
        for page in (REPOSITORY / "docs").glob("*.md")
    }
    assert "taskorch/py.typed" in names
    assert {name for name in names if name.endswith("SKILL.md")} == {
        "taskorch_orchestrator/setup/skills/orchestrator/SKILL.md",
        "taskorch_orchestrator/setup/skills/worker/SKILL.md",
    }


def test_wheel_has_the_files_of_the_board(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        names = archive.namelist()

    board = "taskorch_gateway/board"
    for folder in ("templates", "assets"):
        files = REPOSITORY.joinpath("gateway", board, folder).rglob("*")
        expected = {
            str(file.relative_to(REPOSITORY / "gateway"))
            for file in files
            if file.is_file()
        }
        assert expected
        assert expected == {
            name for name in names if name.startswith(f"{board}/{folder}/")
        }


def test_wheel_has_the_hash_of_its_library(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        written = archive.read(f"taskorch/queue/scripts/{scripts.BUILT}")

    assert written.decode() == scripts.library_hash()
    assert (
        not (REPOSITORY / "shared/taskorch/queue/scripts")
        .joinpath(scripts.BUILT)
        .exists()
    )


def test_installed_commands_ignore_modules_named_like_ours(
    wheel: Path, user_repository: Path, tmp_path: Path
) -> None:
    clean = _venv_with(wheel, tmp_path / "venv")
    environment = {
        **os.environ,
        "PATH": f"{clean}:{os.environ['PATH']}",
        "PYTHONPATH": ".",
        "AGENT_ID": "ada",
    }

    def run(*words: str) -> str:
        done = subprocess.run(
            words,
            cwd=user_repository,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    try:
        project = run("orchestrate", "project", "Packaged")
        item = run(
            "orchestrate", "create", project, "An item", "--assign", "ada"
        )
        checked = run("worker", "check")
        documented = run("orchestrate", "docs", "worker")
        run("worker", "complete", item, "Done")
        completed = run("orchestrate", "complete", project)
    finally:
        run("orchestrate", "server", "stop")

    assert checked.startswith(f"You have 1 assigned work items:\n  - {item}\n")
    assert completed.startswith("Project completed: Packaged")
    assert (
        documented
        == (REPOSITORY / "docs/worker.md").read_text(encoding="utf-8").rstrip()
    )


def _venv_with(wheel: Path, folder: Path) -> Path:
    """Install the wheel into a venv with our dependencies but without this checkout.

    Return the folder of its commands. Python searches a path in a .pth file for
    packages, but does not read the .pth files there, such as that of this checkout.
    """
    venv.create(folder, with_pip=True, symlinks=True)
    python = folder / "bin" / "python"
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "dependencies.pth").write_text(
        sysconfig.get_path("purelib") + "\n"
    )
    install = [
        str(python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-index",
        "--no-deps",
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True)
    return folder / "bin"
