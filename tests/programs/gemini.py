"""Gemini CLI in a checkout: its configuration, and what it sends to the model."""

import json

from programs import work
from programs.checkout import Checkout
from programs.model_server import ModelRequest, ModelServer

#: How Gemini names the tools of our server.
TOOLS = "mcp_task-orchestrator_"
SETTINGS = {
    "security": {"auth": {"selectedType": "gemini-api-key"}},
    "privacy": {"usageStatisticsEnabled": False},
    "general": {"enableAutoUpdate": False, "maxAttempts": 1},
    "model": {"name": "gemini-2.5-flash"},
}
#: The first words of the briefings, and a line of the instructions.
OF_WORKER = "# You are the agent `ada`"
OF_ORCHESTRATOR = "# You are the orchestrating agent"
INSTRUCTIONS = "Run that command at the start, and again after"


def gemini(
    checkout: Checkout, model: ModelServer, *, trusts: bool = True
) -> Checkout:
    """Return a shell in which Gemini CLI uses the scripted model alone.

    With `trusts`, it trusts every folder, as if the person had said so.
    """
    folder = checkout.home / ".gemini"
    folder.mkdir()
    settings = json.dumps(SETTINGS)
    (folder / "settings.json").write_text(settings, encoding="utf-8")
    shell = checkout.having(
        GOOGLE_GEMINI_BASE_URL=model.url, GEMINI_API_KEY="of-no-value"
    )
    return shell.having(GEMINI_CLI_TRUST_WORKSPACE="true") if trusts else shell


def set_up(shell: Checkout, *options: str) -> str:
    """Run `orchestrate setup gemini`, and return what it printed."""
    return work.set_up(shell, "gemini", *options)


def our_tools(request: ModelRequest) -> set[str]:
    """Return the names of our tools in a request."""
    return request.tools_of(TOOLS)
