"""The MCP server with the official TypeScript clients, and with the Inspector."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from programs.checkout import Checkout, run_program
from programs.installed import install

PROGRAM = "inspector"
CLIENT = Path(__file__).with_name("typescript_client.mjs")
AGENT = "db"
#: The machine may be busy.
CONNECT_LIMIT = ("--connect-timeout", "60000")
WORKERS_TOOLS = {
    "check",
    "pop",
    "get",
    "report",
    "discoveries",
    "wait",
    "complete",
    "fail",
    "release",
}


@pytest.fixture(params=["typescript-oldest", "typescript-newest"])
def modules(request: pytest.FixtureRequest) -> Path:
    """Return the folder with a version of the client."""
    return install(request.param).parent


def new_item(checkout: Checkout, title: str) -> str:
    """Create an item in a project of its own."""
    project = checkout.orchestrate("project", title, "--json").data()["id"]
    created = checkout.orchestrate("create", project, title, "--json")
    return str(created.data()["id"])


def talk(
    checkout: Checkout, modules: Path, role: str, *steps: Mapping[str, Any]
) -> dict[str, Any]:
    """Have the client perform steps with the server of a role."""
    session = {"command": role, "args": ["mcp"], "steps": steps}
    run = run_program(
        checkout, "node", CLIENT, str(modules), json.dumps(session)
    )
    assert run.returncode == 0, run.stderr
    talked: dict[str, Any] = json.loads(run.stdout)
    return talked


def inspect(checkout: Checkout, *words: str) -> dict[str, Any]:
    """Run the Inspector's command line, and return what it prints."""
    run = run_program(
        checkout, "mcp-inspector", "--cli", *CONNECT_LIMIT, *words
    )
    assert run.returncode == 0, run.stderr
    printed: dict[str, Any] = json.loads(run.stdout)
    return printed


def names(tools: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the names of tools."""
    return {tool["name"] for tool in tools}


def test_typescript_orchestrator_plans_and_looks(
    checkout: Checkout, modules: Path
) -> None:
    plan = {
        "project": "Shop",
        "items": [{"name": "schema", "title": "Schema", "agent": AGENT}],
    }

    talked = talk(
        checkout,
        modules,
        "orchestrate",
        {"tool": "plan", "arguments": plan},
        {"tool": "status"},
        {"tool": "status", "arguments": {"of": "item_00000000"}},
    )

    planned, status, refused = talked["results"]
    assert talked["server"]["name"] == "task-orchestrator-orchestrate"
    assert {"plan", "assign", "status"} <= names(talked["tools"])
    assert not planned["isError"]
    assert not status["isError"]
    assert "Shop" in json.dumps(status["document"])
    assert refused["isError"]
    assert refused["document"]["error"]["code"] == "NO_ITEM"
    assert "Schema" in checkout.orchestrate("list").stdout


def test_typescript_worker_completes_an_item(
    checkout: Checkout, modules: Path
) -> None:
    item = new_item(checkout, "Schema")
    checkout.orchestrate("assign", item, AGENT)

    talked = talk(
        checkout.having(AGENT_ID=AGENT),
        modules,
        "orchestrate",
        {"tool": "check"},
        {"tool": "pop"},
        {
            "tool": "report",
            "arguments": {"item": item, "kind": "progress", "text": "Half"},
        },
        {
            "tool": "complete",
            "arguments": {
                "item": item,
                "summary": "Written",
                "deliverables": {"file": "schema.sql"},
            },
        },
    )

    assert names(talked["tools"]) == WORKERS_TOOLS
    assert not any(result["isError"] for result in talked["results"])
    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["state"] == "completed"
    assert shown["deliverables"] == {"file": "schema.sql"}


def test_typescript_client_gets_annotations_and_progress(
    checkout: Checkout, modules: Path
) -> None:
    new_item(checkout, "Schema")

    talked = talk(
        checkout.having(AGENT_ID=AGENT),
        modules,
        "worker",
        {"tool": "pop", "arguments": {"wait": 6}},
    )

    (waited,) = talked["results"]
    assert waited["document"]["error"]["code"] == "NOTHING_TO_DO"
    (step,) = waited["progress"]
    assert re.fullmatch(r"Waiting for [1-6] s\.", step["message"])
    for tool in talked["tools"]:
        assert tool["annotations"]["destructiveHint"] is False
        assert tool["annotations"]["openWorldHint"] is False


def test_typescript_cancelled_wait_claims_nothing(
    checkout: Checkout, modules: Path
) -> None:
    item = new_item(checkout, "Schema")

    talked = talk(
        checkout.having(AGENT_ID=AGENT),
        modules,
        "worker",
        {"tool": "pop", "arguments": {"wait": 60}, "cancel": True},
        {"tool": "check"},
        {"run": ["orchestrate", "assign", item, AGENT]},
        {"tool": "check"},
        {"tool": "pop"},
    )

    cancelled, _, _, checked, popped = talked["results"]
    assert "not needed any more" in cancelled["raised"]
    assert checked["document"]["data"]["count"] == 1
    assert popped["document"]["data"]["attempts"] == 1


def test_inspector_lists_tools_of_the_role(checkout: Checkout) -> None:
    of_orchestrator = inspect(
        checkout, "orchestrate", "mcp", "--method", "tools/list"
    )
    of_worker = inspect(
        checkout,
        "-e",
        f"AGENT_ID={AGENT}",
        "orchestrate",
        "mcp",
        "--method",
        "tools/list",
    )

    assert "plan" in names(of_orchestrator["tools"])
    assert names(of_worker["tools"]) == WORKERS_TOOLS


def test_inspector_claims_an_item(checkout: Checkout) -> None:
    item = new_item(checkout, "Schema")
    checkout.orchestrate("assign", item, AGENT)

    called = inspect(
        checkout,
        "-e",
        f"AGENT_ID={AGENT}",
        "worker",
        "mcp",
        "--method",
        "tools/call",
        "--tool-name",
        "get",
        "--tool-arg",
        f"item={item}",
    )

    claim = json.loads(called["content"][0]["text"])["data"]
    assert claim["id"] == item
    shown = checkout.orchestrate("show", item, "--json").data()
    assert shown["state"] == "in_progress"
