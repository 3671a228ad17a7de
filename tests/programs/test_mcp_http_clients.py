"""MCP over HTTP with the official clients, from the oldest with this transport."""

import json
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from programs.installed import install
from programs.python_packages import python_with
from support import gateways
from support.commands import Shell
from support.gateways import Gateway

FOLDER = Path(__file__).parent
#: Version of the client -> what it needs besides: it does not work with newer ones.
PYTHON_CLIENTS = {
    "1.9.4": ["pydantic<2.12"],
    "1.30.0": [],
    version("mcp"): [],
}


@pytest.fixture
def gateway(tmp_path: Path, valkey_url: str) -> Iterator[Gateway]:
    """Return a gateway with a namespace of its own."""
    variables = {
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": f"test-{os.urandom(4).hex()}",
    }
    folder = tmp_path / "root"
    folder.mkdir()
    with gateways.running(Shell(folder, variables)) as running:
        yield running


def new_item(gateway: Gateway) -> str:
    """Create an item for ada."""
    shell = gateway.shell
    project = shell.orchestrate("project", "Shop").stdout.strip()
    created = shell.orchestrate(
        "create", project, "Schema 🚀", "--assign", "ada"
    )
    return created.stdout.strip()


def document(result: dict[str, Any]) -> Any:
    (content,) = result["content"]
    return json.loads(content["text"])


@pytest.mark.parametrize("client", PYTHON_CLIENTS)
def test_python_client_completes_an_item(
    gateway: Gateway, client: str
) -> None:
    item = new_item(gateway)
    python = (
        sys.executable
        if client == version("mcp")
        else python_with(
            f"mcp-{client}", [f"mcp=={client}", *PYTHON_CLIENTS[client]]
        )
    )
    calls = [
        ["check", {}],
        ["pop", {}],
        [
            "report",
            {
                "item": item,
                "kind": "progress",
                "text": "Half",
                "token": "claimed",
            },
        ],
        ["get", {"item": "item_00000000"}],
        ["complete", {"item": item, "summary": "Done", "token": "claimed"}],
    ]

    ran = gateway.shell.run(
        python,
        FOLDER / "python_http_client.py",
        f"{gateway.url}/mcp/worker",
        gateway.token("ada", "worker"),
        json.dumps(calls),
    )

    assert ran.code == 0, ran.stderr
    talked = json.loads(ran.stdout)
    checked, popped, reported, refused, completed = talked["results"]
    assert talked["client"] == client
    assert "You are the agent ada" in talked["about"]["instructions"]
    assert document(checked)["data"]["count"] == 1
    assert document(popped)["data"]["title"] == "Schema 🚀"
    assert document(reported)["data"]["state"] == "in_progress"
    assert document(refused)["error"]["code"] == "NO_ITEM"
    assert not completed["isError"]
    shown = gateway.shell.orchestrate("show", item, "--json").data()
    assert shown["summary"] == "Done"


def test_typescript_client_works_and_cancels(gateway: Gateway) -> None:
    item = new_item(gateway)
    modules = install("typescript-newest").parent
    session = {
        "url": f"{gateway.url}/mcp/worker",
        "token": gateway.token("ada", "worker"),
        "steps": [
            {"tool": "get", "arguments": {"item": item, "peek": True}},
            {"tool": "pop"},
            {
                "tool": "complete",
                "claimed": True,
                "arguments": {"item": item, "summary": "Done"},
            },
            {"tool": "pop", "arguments": {"wait": 50}, "cancel": True},
            {"tool": "check"},
        ],
    }

    ran = gateway.shell.run(
        "node",
        FOLDER / "typescript_client.mjs",
        str(modules),
        json.dumps(session),
    )

    assert ran.code == 0, ran.stderr
    talked = json.loads(ran.stdout)
    looked, popped, completed, cancelled, checked = talked["results"]
    assert talked["server"]["name"] == "task-orchestrator-worker"
    assert looked["document"]["data"]["state"] == "queued"
    assert popped["document"]["data"]["id"] == item
    assert completed["document"]["data"]["state"] == "completed"
    assert "not needed any more" in cancelled["raised"]
    assert checked["document"]["data"]["count"] == 0
