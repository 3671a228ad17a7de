"""The command that serves an agent's program: mcp."""

from taskorch import command

from taskorch_orchestrator.role import orchestrate


@orchestrate.command(epilog="Example: orchestrate mcp")
def mcp() -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.extras import needs_mcp

    with needs_mcp():
        from taskorch.tool_server import serve

        from taskorch_orchestrator import tools
    serve("orchestrate", tools.ABOUT, command.settings(), tools.TOOLS)
