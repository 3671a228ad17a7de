"""Codex, the real program, with the MCP server of a gateway."""

from programs import over_http
from programs.checkout import Checkout
from programs.codex import TOOLS, codex, our_tools
from programs.model_server import ScriptedModel
from taskorch_worker import mcp_tools as of_the_worker

PROGRAM = "codex"


def test_agent_completes_an_item_over_http(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(over_http.script(f"{TOOLS}."))
    shell = codex(checkout, server)

    done = over_http.completed_item(
        checkout, shell, ("codex", "--user"), "codex", "exec", "Work."
    )

    assert (done["state"], done["summary"]) == ("completed", "Done")
    assert our_tools(server.requests[0]) == {
        tool.name for tool in of_the_worker.TOOLS
    }
