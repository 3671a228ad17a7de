"""Claude Code, the real program, with the MCP server of a gateway."""

import json
import re
from collections.abc import Iterator

import pytest
from programs.checkout import Checkout, run_program
from programs.claude import BRIEFING, OURS, claude, result
from programs.model_server import (
    ModelRequest,
    Reply,
    ScriptedModel,
    Step,
    call,
    say,
    steps,
)
from support import gateways
from support.gateways import Gateway

PROGRAM = "claude"


@pytest.fixture
def gateway(checkout: Checkout) -> Iterator[Gateway]:
    """Return a gateway for the queue of the checkout."""
    checkout.orchestrate("project", "Shop")
    with gateways.running(checkout) as running:
        yield running


def client(
    checkout: Checkout, gateway: Gateway, role: str, name: str
) -> Checkout:
    """Return a shell that knows the gateway alone, set up for Claude Code."""
    folder = checkout.folder.parent / "sandbox"
    folder.mkdir()
    checkout.within(folder).git("init", "--quiet")
    variable = "AGENT_ID" if role == "worker" else "ORCHESTRATOR_ID"
    url = gateway.url.replace("localhost", "127.0.0.1")
    shell = checkout.within(folder).having(
        TASKORCH_URL=url,
        TASKORCH_TOKEN=gateway.token(name, role),
        **{variable: name},
    )
    done = shell.orchestrate("setup", "claude", "--url", url)
    assert done.code == 0, done.stderr
    return shell


def complete(item: str) -> Step:
    """Return an answer that completes an item with the token of its claim."""

    def answer(request: ModelRequest) -> Reply:
        found = re.search(r'"tokens":{"\w+":"([^"]+)"', request.results[-1])
        assert found, request.results[-1]
        return call(
            f"{OURS}complete", item=item, summary="Four lines", token=found[1]
        )

    return answer


def test_worker_completes_an_item_over_http(
    checkout: Checkout, gateway: Gateway, model: ScriptedModel
) -> None:
    project = checkout.orchestrate("projects", "--json").data()[0]["id"]
    created = checkout.orchestrate(
        "create", project, "Write a poem", "--assign", "ada"
    )
    item = created.stdout.strip()
    server = model(steps(call(f"{OURS}pop"), complete(item), say("Done.")))
    ada = claude(client(checkout, gateway, "worker", "ada"), server)

    done = result(ada, "Work.")

    assert done["permission_denials"] == []
    assert server.requests[0].text.count(BRIEFING) == 1
    shown = checkout.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["summary"]) == ("completed", "Four lines")
    assert shown["timeline"][-1]["agent"] == "ada"


def test_orchestrator_plans_over_http(
    checkout: Checkout, gateway: Gateway, model: ScriptedModel
) -> None:
    items = [{"name": "a", "title": "Schema", "agent": "ada"}]
    server = model(
        steps(call(f"{OURS}plan", project="Shop 2", items=items), say("Done."))
    )
    planner = claude(
        client(checkout, gateway, "orchestrator", "planner"), server
    )

    result(planner, "Plan.", "--allowedTools", "mcp__task-orchestrator")

    projects = checkout.orchestrate("projects", "--json").data()
    assert "Shop 2" in {each["title"] for each in projects}


def test_claude_reports_a_refused_token(
    checkout: Checkout, gateway: Gateway, model: ScriptedModel
) -> None:
    server = model(steps(say("Fine.")))
    ada = claude(client(checkout, gateway, "worker", "ada"), server)

    connected = run_program(ada, "claude", "mcp", "list")
    refused = run_program(
        ada.having(TASKORCH_TOKEN="tok_of_nobody"), "claude", "mcp", "list"
    )

    assert "✔ Connected" in connected.stdout
    assert "✔ Connected" not in refused.stdout
    assert "task-orchestrator" in refused.stdout


def test_setup_over_http_names_no_token(
    checkout: Checkout, gateway: Gateway
) -> None:
    ada = client(checkout, gateway, "worker", "ada")

    entry = json.loads((ada.folder / ".mcp.json").read_text(encoding="utf-8"))

    server = entry["mcpServers"]["task-orchestrator"]
    assert server["headers"] == {"Authorization": "Bearer ${TASKORCH_TOKEN}"}
