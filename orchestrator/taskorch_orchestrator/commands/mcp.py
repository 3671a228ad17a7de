"""The command that serves an agent's program: mcp."""

import os

from taskorch import command

from taskorch_orchestrator.role import is_workers, orchestrate


@orchestrate.command(epilog="Example: orchestrate mcp")
def mcp() -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.extras import needs_mcp

    with needs_mcp():
        from taskorch.tool_server import serve

        from taskorch_orchestrator import tools
    about, offered = (tools.NOBODY, ()) if is_workers(os.environ) else (tools.ABOUT, tools.TOOLS)
    serve("orchestrate", about, command.settings(), offered)
