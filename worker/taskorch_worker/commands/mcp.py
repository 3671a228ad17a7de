"""The command that serves an agent's program: mcp."""

from taskorch import command

from taskorch_worker.role import worker


@worker.command(epilog="Example: worker mcp")
def mcp() -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.extras import needs_mcp

    with needs_mcp():
        from taskorch.tool_server import serve

        from taskorch_worker import tools
    settings = command.settings()
    serve("worker", tools.about(settings), settings, tools.TOOLS if settings.agent else ())
