"""The command that serves an agent's program: mcp."""

from typing import TYPE_CHECKING

from taskorch_orchestrator.role import at_office, orchestrate

if TYPE_CHECKING:
    from taskorch_orchestrator.office import Office


@orchestrate.command(epilog="Example: orchestrate mcp")
@at_office
def mcp(office: "Office") -> None:
    """Serve an agent's program over MCP. Until standard input ends, SIGTERM or Ctrl-C."""
    from taskorch.extras import needs_mcp

    with needs_mcp():
        from taskorch.tool_server import serve

        from taskorch_orchestrator import tools
    serve("orchestrate", tools.ABOUT, office.settings, tools.TOOLS)
