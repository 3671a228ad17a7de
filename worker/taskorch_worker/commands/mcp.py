"""The command `mcp`."""

from taskorch.cli import app
from taskorch.cli.parent_environment import parent_environment_option

from taskorch_worker.group import worker


@worker.command(epilog="Example: worker mcp")
@parent_environment_option()
def mcp() -> None:
    """Serve an agent program over MCP.

    Runs until standard input ends, SIGTERM or Ctrl-C.
    """
    from taskorch.mcp.server import serve

    from taskorch_worker import mcp_tools

    settings = app.settings()
    serve(mcp_tools.tool_set(settings), settings)
