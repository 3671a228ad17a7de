"""The MCP server with the clients of the package mcp, from the oldest to ours."""

import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from programs.python_packages import python_with
from support.commands import BIN, Shell

CLIENT = Path(__file__).with_name("python_client.py")
#: Version of the client -> the protocol that it agrees on. Ours comes with `make venv`.
CLIENTS = {
    "1.0.0": "2024-11-05",
    "1.9.4": "2025-03-26",
    "1.12.4": "2025-06-18",
    "1.30.0": "2025-11-25",
    version("mcp"): "2025-11-25",
}
#: What a version needs besides: it does not work with newer ones.
BESIDE = {"1.9.4": ["pydantic<2.12"], "1.12.4": ["pydantic<2.12"]}


@pytest.fixture
def shell(tmp_path: Path, valkey_url: str) -> Shell:
    """Return the shell of an agent, with a namespace of its own."""
    variables = {
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": f"test-{os.urandom(4).hex()}",
        "AGENT_ID": "ada",
    }
    return Shell(tmp_path, variables)


def talk(shell: Shell, client: str, *calls: Any) -> dict[str, Any]:
    """Have a version of the client list the tools and make calls."""
    python = (
        sys.executable
        if client == version("mcp")
        else python_with(
            f"mcp-{client}", [f"mcp=={client}", *BESIDE.get(client, ())]
        )
    )
    ran = shell.run(python, CLIENT, BIN / "orchestrate", json.dumps(calls))
    assert ran.code == 0, ran.stderr
    talked: dict[str, Any] = json.loads(ran.stdout)
    assert talked["client"] == client
    return talked


def document(result: dict[str, Any]) -> Any:
    (content,) = result["content"]
    return json.loads(content["text"])


@pytest.mark.parametrize("client", CLIENTS)
def test_python_client_completes_an_item(shell: Shell, client: str) -> None:
    project = shell.orchestrate("project", "Shop").stdout.strip()
    created = shell.orchestrate(
        "create", project, "Schema 🚀", "--assign", "ada"
    )
    item = created.stdout.strip()

    talked = talk(
        shell,
        client,
        ["check", {}],
        ["pop", {}],
        ["report", {"item": item, "kind": "progress", "text": "Half"}],
        ["get", {"item": "item_00000000"}],
        ["complete", {"item": item, "summary": "Written"}],
    )

    checked, popped, reported, refused, completed = talked["results"]
    assert talked["about"]["protocolVersion"] == CLIENTS[client]
    assert "You are the agent ada" in talked["about"]["instructions"]
    assert {"check", "pop", "complete"} <= {
        tool["name"] for tool in talked["tools"]
    }
    assert document(checked)["data"]["count"] == 1
    assert document(popped)["data"]["title"] == "Schema 🚀"
    assert document(reported)["data"]["state"] == "in_progress"
    assert refused["isError"]
    assert document(refused)["error"]["code"] == "NO_ITEM"
    assert not completed["isError"]
    shown = shell.orchestrate("show", item, "--json").data()
    assert shown["summary"] == "Written"


@pytest.mark.parametrize("client", CLIENTS)
def test_python_client_plans_a_project(shell: Shell, client: str) -> None:
    plan = {
        "project": "Shop",
        "items": [{"name": "a", "title": "Schema", "agent": "ada"}],
    }

    talked = talk(
        shell.lacking("AGENT_ID"), client, ["plan", plan], ["status", {}]
    )

    planned, status = talked["results"]
    assert document(planned)["data"]["items"][0]["state"] == "queued"
    assert document(status)["data"][0]["title"] == "Shop"
    projects = shell.orchestrate("projects", "--json").data()
    assert [project["title"] for project in projects] == ["Shop"]
