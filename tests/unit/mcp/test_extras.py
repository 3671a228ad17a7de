"""A missing extra is reported with the command that adds it to the environment that lacks it."""

import shutil
import sys
import tomllib
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch.mcp import extras

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An environment that no program has left a trace in: no pip, no uv."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/an env/bin/python")
    monkeypatch.setattr(extras, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    return tmp_path


def test_pipx_environment_is_told_to_inject(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").touch()

    assert extras.how_to_install("x>=2") == f"pipx inject {prefix.name} 'x>=2'"


@pytest.mark.usefixtures("prefix")
def test_environment_with_pip_is_told_its_own_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(extras, "find_spec", lambda name: name == "pip")

    assert extras.how_to_install("x>=2") == "'/an env/bin/python' -m pip install 'x>=2'"


@pytest.mark.usefixtures("prefix")
def test_environment_of_uv_is_told_its_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")

    assert (
        extras.how_to_install("x>=2")
        == "uv pip install --python '/an env/bin/python' 'x>=2'"
    )


def test_environment_without_installer_is_named(prefix: Path) -> None:
    assert extras.how_to_install("x>=2") == f"add x>=2 to the environment in {prefix}"


def test_missing_extra_is_a_mistake_of_the_call() -> None:
    with (
        pytest.raises(
            errors.Usage,
            match=r"needs the Python package mcp \(no mcp\)\. Install it: ",
        ),
        extras.needs_mcp(),
    ):
        raise ImportError("no mcp")


def test_extra_is_that_of_pyproject() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]

    assert project["optional-dependencies"]["mcp"] == [extras.MCP]
