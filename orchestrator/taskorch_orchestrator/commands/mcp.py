"""The `mcp` command."""

import os

from taskorch.cli import app
from taskorch.cli.parent_environment import parent_environment_option

from taskorch_orchestrator.group import is_workers, orchestrate


@orchestrate.command(epilog="Example: orchestrate mcp")
@parent_environment_option()
def mcp() -> None:
    """Serve the tools of an orchestrator over MCP.

    The server ends with its standard input, or with SIGTERM or Ctrl-C.
    """
    from taskorch.mcp.server import serve

    from taskorch_orchestrator import mcp_tools

    if is_workers(os.environ):
        serve("orchestrate", mcp_tools.FOR_WORKERS, app.settings(), ())
    else:
        serve("orchestrate", mcp_tools.ABOUT, app.settings(), mcp_tools.TOOLS)
