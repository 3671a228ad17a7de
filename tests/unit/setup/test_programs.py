"""Our parts of the files of programs match our settings and limits."""

import re
import tomllib
from collections import UserDict
from pathlib import Path
from typing import Any

import pytest
from taskorch.acceptance import runner
from taskorch.config import (
    parent_environment,
    password,
    program_session,
    token,
)
from taskorch.config.settings import resolve
from taskorch.domain import limits
from taskorch_orchestrator import mcp_tools as tools
from taskorch_orchestrator.service.start import RQ_URL
from taskorch_orchestrator.setup import installed, programs
from taskorch_worker import inherited_lease
from taskorch_worker import mcp_tools as worker_tools

REPOSITORY = Path(__file__).parents[3]


class Asked(UserDict[str, str]):
    """An empty environment that records which variables were read."""

    def __init__(self, **values: str) -> None:
        super().__init__(values)
        self.names = set[str]()

    def get(self, key: str, default: Any = None) -> Any:
        self.names.add(key)
        return super().get(key, default)


def codex_server() -> dict[str, Any]:
    """Return our MCP server in a new Codex configuration."""
    target = programs.Target(root=Path("/p"), environment={}, approves=True)
    part = programs.parts("codex", target)[Path("/p/.codex/config.toml")]
    servers: dict[str, dict[str, Any]] = tomllib.loads(part.added(None))[
        "mcp_servers"
    ]
    return servers["task-orchestrator"]


def test_parent_environment_has_every_variable_of_settings(
    tmp_path: Path,
) -> None:
    environment = Asked(REDIS_URL="redis://127.0.0.1")
    over_gateway = Asked(REDIS_URL="http://127.0.0.1")

    resolve({}, environment, tmp_path)
    resolve({}, over_gateway, tmp_path)

    systems = {"HOME", "TMPDIR"}  # Codex hands these on by itself
    # In the parent, these name the session that has started it.
    others = set(program_session.VARIABLES)
    assert (
        set(parent_environment.VARIABLES)
        == {
            *environment.names,
            *over_gateway.names,
            RQ_URL,
            inherited_lease.ITEM,
            inherited_lease.LEASE,
            *inherited_lease.OF_WORKTREE,
            "TASKORCH_RESULT_FILE",
            runner.VARIABLE,
        }
        - systems
        - others
    )


def test_codex_names_no_variable_that_may_be_unset() -> None:
    assert "env_vars" not in codex_server()


def test_codex_names_variables_without_process_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parent_environment, "PROCESSES", "/nowhere")

    names = codex_server()["env_vars"]

    assert names == list(parent_environment.VARIABLES)


def test_server_without_option_is_completed() -> None:
    file = Path("/p/.codex/config.toml")
    target = programs.Target(root=Path("/p"), environment={})
    part = programs.parts("codex", target)[file]
    old = """\
[mcp_servers.task-orchestrator]
command = "orchestrate"
args = ["mcp"]
"""

    added = part.added(old)

    assert part.has(added)
    assert tomllib.loads(added)["mcp_servers"][programs.SERVER]["args"] == [
        "mcp",
        "--parent-environment",
    ]


def test_codex_timeout_exceeds_the_longest_wait() -> None:
    assert codex_server()["tool_timeout_sec"] > limits.LONGEST_WAIT_S


def test_gemini_names_the_secret_variables() -> None:
    assert set(parent_environment.SECRETS) == {
        password.VARIABLE,
        password.FILE_VARIABLE,
        token.VARIABLE,
        token.FILE_VARIABLE,
    }


def test_page_lists_oldest_version_of_each_program() -> None:
    page = (REPOSITORY / "docs" / "agents.md").read_text(encoding="utf-8")
    (paragraph,) = re.findall(r"(?s)\*\*Programs\.\*\*.*?\n\n", page)

    assert set(installed.COMMANDS) == set(programs.PROGRAMS)
    assert sorted(re.findall(r"\d+\.\d+\.\d+", paragraph)) == sorted(
        minimum for _, minimum in installed.COMMANDS.values()
    )


def test_claude_approves_tools_that_harm_nothing() -> None:
    of_worker = {tool.name for tool in worker_tools.TOOLS}
    reading = {tool.name for tool in tools.TOOLS if tool.read_only}

    assert set(programs.APPROVED_TOOLS) == of_worker | reading
    assert len(programs.APPROVED_TOOLS) == len(set(programs.APPROVED_TOOLS))


@pytest.mark.parametrize("program", programs.PROGRAMS)
def test_user_instructions_start_no_server(
    program: str,
) -> None:
    target = programs.Target(root=Path("/home"), is_user=True, environment={})
    texts = [
        part.added(None)
        for file, part in programs.parts(program, target).items()
        if file.suffix == ".md" and file.name != "SKILL.md"
    ]

    assert len(texts) == (program != "cursor")
    for text in texts:
        assert "If a repository has a `.task-orchestrator/` folder" in text
        assert set(re.findall(r"(?:worker|orchestrate) \w+", text)) == {
            "worker prime",
            "orchestrate prime",
            "orchestrate setup",
        }


@pytest.mark.parametrize("below", [".", "a/b"])
@pytest.mark.parametrize("is_worktree", [True, False])
def test_project_is_the_checkout_of_a_folder(
    tmp_path: Path, below: str, *, is_worktree: bool
) -> None:
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    git = tmp_path / ("own" if is_worktree else ".git")
    git.mkdir()
    (git / "HEAD").write_text("ref: refs/heads/main\n", encoding="utf-8")
    if is_worktree:
        (tmp_path / ".git").write_text("gitdir: own\n", encoding="utf-8")

    assert programs.project(folder) == tmp_path


def test_git_folder_without_head_is_no_project_checkout(
    tmp_path: Path,
) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / "project").mkdir()

    assert programs.project(tmp_path / "project") == tmp_path / "project"


def test_project_without_checkout_is_the_folder(tmp_path: Path) -> None:
    assert programs.project(tmp_path) == tmp_path
