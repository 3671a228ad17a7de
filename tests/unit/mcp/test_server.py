"""The MCP server: a missing extra is reported with the command that installs it."""

import shutil
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from taskorch.domain import errors
from taskorch.mcp import server

REPOSITORY = Path(__file__).parents[3]


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an environment without pip and uv."""
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/an env/bin/python")
    monkeypatch.setattr(server, "find_spec", lambda _: None)
    monkeypatch.setattr(shutil, "which", lambda _: None)
    return tmp_path


def test_pipx_environment_installs_with_pipx_inject(prefix: Path) -> None:
    (prefix / "pipx_metadata.json").touch()

    assert server.how_to_install("x>=2") == f"pipx inject {prefix.name} 'x>=2'"


@pytest.mark.usefixtures("prefix")
def test_environment_with_pip_installs_with_its_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "find_spec", lambda name: name == "pip")

    assert (
        server.how_to_install("x>=2")
        == "'/an env/bin/python' -m pip install 'x>=2'"
    )


@pytest.mark.usefixtures("prefix")
def test_environment_of_uv_installs_with_uv_pip(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/bin/{name}")

    assert (
        server.how_to_install("x>=2")
        == "uv pip install --python '/an env/bin/python' 'x>=2'"
    )


def test_environment_without_installer_is_reported_by_its_folder(
    prefix: Path,
) -> None:
    assert (
        server.how_to_install("x>=2")
        == f"add x>=2 to the environment in {prefix}"
    )


def test_missing_extra_is_reported_with_its_install_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "mcp_types", None)
    monkeypatch.delitem(sys.modules, "taskorch.mcp.server")

    with pytest.raises(
        errors.Usage,
        match=r"needs the Python package mcp \(.*\)\. Install it: ",
    ):
        import_module("taskorch.mcp.server")


def test_extra_has_the_requirement_of_pyproject() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())[
        "project"
    ]

    assert project["optional-dependencies"]["mcp"] == [server.MCP]
