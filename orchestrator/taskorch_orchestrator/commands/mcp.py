"""The command that serves an agent's program: mcp."""

import os

from taskorch.cli import app

from taskorch_orchestrator.group import is_workers, orchestrate


@orchestrate.command(epilog="Example: orchestrate mcp")
def mcp() -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.mcp.extras import needs_mcp

    with needs_mcp():
        from taskorch.mcp.server import serve

        from taskorch_orchestrator import mcp_tools
    about, offered = (
        (mcp_tools.NOBODY, ())
        if is_workers(os.environ)
        else (mcp_tools.ABOUT, mcp_tools.TOOLS)
    )
    serve("orchestrate", about, app.settings(), offered)
