"""Codex, the real program, with the MCP server of a gateway."""

import re

from programs.checkout import Checkout, run_program
from programs.codex import TOOLS, codex, our_tools
from programs.model_server import (
    ModelRequest,
    Reply,
    ScriptedModel,
    call,
    say,
    steps,
)
from support import gateways
from taskorch_worker import mcp_tools as of_the_worker

PROGRAM = "codex"


def complete(request: ModelRequest) -> Reply:
    """Return an answer that completes the item of the claim before."""
    found = re.search(r'"tokens":{"(\w+)":"([^"]+)"', request.results[-1])
    assert found, request.results[-1]
    return call(
        f"{TOOLS}.complete", item=found[1], summary="Done", token=found[2]
    )


def test_agent_completes_an_item_over_http(
    checkout: Checkout, model: ScriptedModel
) -> None:
    project = checkout.orchestrate("project", "Shop").stdout.strip()
    item = checkout.orchestrate(
        *("create", project, "Prices", "--assign", "ada")
    ).stdout.strip()
    server = model(steps(call(f"{TOOLS}.pop"), complete, say("Fine.")))
    with gateways.running(checkout) as gateway:
        ada = codex(checkout, server).having(
            TASKORCH_URL=gateway.url,
            TASKORCH_TOKEN=gateway.token("ada", "worker"),
            AGENT_ID="ada",
        )
        ada.orchestrate("setup", "codex", "--user", "--url", gateway.url)

        run = run_program(ada, "codex", "exec", "Work.")

    assert run.returncode == 0, run.stderr
    assert set(our_tools(server.requests[0])) == {
        tool.name for tool in of_the_worker.TOOLS
    }
    shown = checkout.orchestrate("show", item, "--json").data()
    assert (shown["state"], shown["summary"]) == ("completed", "Done")
