"""Gemini CLI, the real program, with the MCP server of a gateway."""

from programs import over_http
from programs.checkout import Checkout
from programs.gemini import OF_WORKER, TOOLS, gemini, our_tools
from programs.model_server import ScriptedModel
from taskorch_worker import mcp_tools as of_the_worker

PROGRAM = "gemini"


def test_agent_completes_an_item_over_http(
    checkout: Checkout, model: ScriptedModel
) -> None:
    server = model(over_http.script(TOOLS))
    shell = gemini(checkout, server)

    done = over_http.completed_item(
        checkout, shell, ("gemini",), "gemini", "-p", "Work."
    )

    assert (done["state"], done["summary"]) == ("completed", "Done")
    assert our_tools(server.requests[0]) == {
        tool.name for tool in of_the_worker.TOOLS
    }
    assert OF_WORKER in server.requests[0].text
