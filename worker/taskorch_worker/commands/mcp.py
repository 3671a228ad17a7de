"""The command that serves an agent's program: mcp."""

from taskorch.cli import app

from taskorch_worker.group import worker


@worker.command(epilog="Example: worker mcp")
def mcp() -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.mcp.extras import needs_mcp

    with needs_mcp():
        from taskorch.mcp.server import serve

        from taskorch_worker import mcp_tools
    settings = app.settings()
    serve(
        "worker",
        mcp_tools.about(settings),
        settings,
        mcp_tools.TOOLS if settings.agent else (),
    )
