"""The `mcp` command."""

import os
import sys

from taskorch.cli import app
from taskorch.cli.parent_environment import parent_environment_option

from taskorch_orchestrator.group import is_workers, orchestrate

#: The arguments with which Python serves the tools of a worker.
WORKERS_COMMAND = ("-P", "-m", "taskorch_worker.cli")


@orchestrate.command(epilog="Example: orchestrate mcp")
@parent_environment_option()
def mcp() -> None:
    """Serve an agent program over MCP, with the tools of the session's role.

    With AGENT_ID, and no ORCHESTRATOR_ID, they are those of `worker mcp`. Runs until
    standard input ends, SIGTERM or Ctrl-C.
    """
    if is_workers(os.environ):
        command = [sys.executable, *WORKERS_COMMAND, *sys.argv[1:]]
        os.execv(sys.executable, command)  # noqa: S606  no shell is wanted
    from taskorch.mcp.server import serve

    from taskorch_orchestrator import mcp_tools

    serve(mcp_tools.TOOL_SET, app.settings())
