"""The command that serves an agent's program: mcp."""

from typing import TYPE_CHECKING

from taskorch_worker.role import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk


@worker.command(epilog="Example: worker mcp")
@at_desk
def mcp(desk: "Desk") -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.extras import needs_mcp

    with needs_mcp():
        from taskorch.tool_server import serve

        from taskorch_worker import tools
    serve("worker", tools.ABOUT.format(agent=desk.agent), desk.settings, tools.TOOLS)
