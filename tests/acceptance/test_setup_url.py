"""`orchestrate setup PROGRAM --url` names the MCP server of a gateway, and no secret."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.commands import BIN, Shell

URL = "https://queue.example/team"
SECRET = f"tok_1a2b3c4d_{'5' * 64}"
SERVER = f"{URL}/mcp/worker"
#: Program -> the file with its servers, their table, and our entry.
ENTRIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "claude": (
        ".mcp.json",
        "mcpServers",
        {
            "type": "http",
            "url": SERVER,
            "headers": {"Authorization": "Bearer ${TASKORCH_TOKEN}"},
            "alwaysLoad": True,
        },
    ),
    "codex": (
        ".codex/config.toml",
        "mcp_servers",
        {
            "url": SERVER,
            "bearer_token_env_var": "TASKORCH_TOKEN",
            "tool_timeout_sec": 600,
            "required": True,
            "default_tools_approval_mode": "approve",
        },
    ),
    "gemini": (
        ".gemini/settings.json",
        "mcpServers",
        {
            "httpUrl": SERVER,
            "headers": {"Authorization": "Bearer $TASKORCH_TOKEN"},
            "trust": True,
        },
    ),
    "cursor": (
        ".cursor/mcp.json",
        "mcpServers",
        {
            "url": SERVER,
            "headers": {"Authorization": "Bearer ${env:TASKORCH_TOKEN}"},
        },
    ),
    "opencode": (
        "opencode.json",
        "mcp",
        {
            "type": "remote",
            "url": SERVER,
            "headers": {"Authorization": "Bearer {env:TASKORCH_TOKEN}"},
            "oauth": False,
            "enabled": True,
            "timeout": 600_000,
        },
    ),
    "qwen": (
        ".qwen/settings.json",
        "mcpServers",
        {
            "httpUrl": SERVER,
            "headers": {"Authorization": "Bearer $TASKORCH_TOKEN"},
            "trust": True,
        },
    ),
}


@pytest.fixture
def shell(shell: Shell, tmp_path: Path) -> Shell:
    """A shell of an agent whose login shell finds our commands."""
    login = tmp_path / "sh"
    login.write_text(
        f'#!/bin/sh\nPATH={BIN}:/usr/bin:/bin; export PATH; exec /bin/sh -c "$2"\n',
        encoding="utf-8",
    )
    login.chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    return shell.having(SHELL=str(login), HOME=str(home), AGENT_ID="ada")


def entry(shell: Shell, program: str) -> dict[str, Any]:
    """Return the entry of our server in the file of a program."""
    name, table, _ = ENTRIES[program]
    text = (shell.folder / name).read_text(encoding="utf-8")
    content = tomllib.loads(text) if name.endswith("toml") else None
    found = (content or json.loads(text))[table]
    assert list(found) == ["task-orchestrator"]
    ours: dict[str, Any] = found["task-orchestrator"]
    return ours


def texts(folder: Path) -> dict[str, str]:
    """Return every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_text(encoding="utf-8")
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("program", ENTRIES)
def test_entry_names_gateway_and_variable(shell: Shell, program: str) -> None:
    done = shell.having(TASKORCH_TOKEN=SECRET).orchestrate(
        "setup", program, "--url", URL
    )

    assert done.code == 0, done.stderr
    assert entry(shell, program) == ENTRIES[program][2]
    assert f"TASKORCH_URL={URL} TASKORCH_TOKEN=tok_… AGENT_ID=…" in done.stderr
    shown = [*texts(shell.folder).values(), done.stdout, done.stderr]
    assert not any(SECRET in text for text in shown)


@pytest.mark.parametrize("program", ENTRIES)
def test_check_and_remove_know_the_entry(shell: Shell, program: str) -> None:
    shell.orchestrate("setup", program, "--url", URL)

    checked = shell.orchestrate("setup", program, "--check")
    same = shell.orchestrate("setup", program, "--url", URL, "--check")
    other = shell.orchestrate(
        "setup", program, "--url", "https://other.example", "--check"
    )
    again = shell.orchestrate("setup", program, "--url", URL)
    removed = shell.orchestrate("setup", program, "--remove")

    assert (checked.code, same.code, other.code) == (0, 0, 5)
    assert {line.split()[0] for line in again.stdout.splitlines()} == {
        "unchanged"
    }
    assert removed.code == 0, removed.stderr
    assert texts(shell.folder) == {}


@pytest.mark.parametrize("program", ENTRIES)
def test_local_and_remote_entry_replace_each_other(
    shell: Shell, program: str
) -> None:
    shell.orchestrate("setup", program)
    local = entry(shell, program)

    remote = shell.orchestrate("setup", program, "--url", URL)
    between = entry(shell, program)
    back = shell.orchestrate("setup", program)
    after = entry(shell, program)
    shell.orchestrate("setup", program, "--remove")

    assert (remote.code, back.code) == (0, 0), remote.stderr + back.stderr
    assert between == ENTRIES[program][2]
    assert after == local
    assert texts(shell.folder) == {}


@pytest.mark.parametrize("program", ENTRIES)
def test_new_address_replaces_the_old_one(shell: Shell, program: str) -> None:
    shell.orchestrate("setup", program, "--url", "https://old.example")

    done = shell.orchestrate(
        "setup", program, "--url", URL, "--role", "orchestrator"
    )

    found = entry(shell, program)
    assert done.code == 0, done.stderr
    assert f"{URL}/mcp/orchestrator" in found.values()


def test_role_is_that_of_the_session(shell: Shell) -> None:
    planner = shell.having(ORCHESTRATOR_ID="planner")

    done = planner.orchestrate("setup", "claude", "--url", URL)

    assert entry(shell, "claude")["url"] == f"{URL}/mcp/orchestrator"
    assert "ORCHESTRATOR_ID=…" in done.stderr


def test_additions_of_the_user_to_the_entry_stay(shell: Shell) -> None:
    shell.orchestrate("setup", "claude", "--url", URL)
    file = shell.folder / ".mcp.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    own = content["mcpServers"]["task-orchestrator"]
    own["headers"] = {"Authorization": "Bearer ${MY_TOKEN}", "X-Team": "a"}
    file.write_text(json.dumps(content), encoding="utf-8")

    checked = shell.orchestrate("setup", "claude", "--check")
    shell.orchestrate("setup", "claude", "--url", URL)

    assert checked.code == 0
    assert entry(shell, "claude")["headers"] == own["headers"]


def test_server_of_others_with_our_name_stays(shell: Shell) -> None:
    file = shell.folder / ".mcp.json"
    theirs = '{"mcpServers": {"task-orchestrator": {"url": "https://a.example/mcp"}}}'
    file.write_text(theirs, encoding="utf-8")

    refused = shell.orchestrate("setup", "claude", "--url", URL)
    removed = shell.orchestrate("setup", "claude", "--remove")

    assert refused.code == 5
    assert removed.code == 0
    assert file.read_text(encoding="utf-8") == theirs


@pytest.mark.parametrize(
    "url",
    [
        "http://queue.example",
        "https://user:secret@queue.example",
        "https://queue.example?token=secret",
        "ftp://queue.example",
        "queue.example",
        f"{URL}/mcp/worker",
    ],
)
def test_address_that_harms_is_refused(shell: Shell, url: str) -> None:
    refused = shell.orchestrate("setup", "claude", "--url", url)

    assert refused.code == 2
    assert texts(shell.folder) == {}


@pytest.mark.parametrize(
    "url", ["http://localhost:8650", "http://127.0.0.1:8650/", "http://[::1]"]
)
def test_loopback_needs_no_tls(shell: Shell, url: str) -> None:
    done = shell.orchestrate("setup", "claude", "--url", url)

    assert done.code == 0, done.stderr
    assert entry(shell, "claude")["url"] == f"{url.rstrip('/')}/mcp/worker"


def test_role_without_address_is_refused(shell: Shell) -> None:
    refused = shell.orchestrate("setup", "claude", "--role", "worker")

    assert refused.code == 2
    assert "--role needs --url" in refused.stderr
