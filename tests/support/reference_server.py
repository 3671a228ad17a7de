"""The MCP server of the package mcp, with the tools of `worker mcp`.

It is run as a process: our server is compared with it. A call of a tool answers `{}`.
"""

import anyio
import mcp_types as mcp
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.shared.exceptions import MCPError
from taskorch.mcp.tool import listed
from taskorch.mcp.tool_set import OTHERS_TEXT
from taskorch.version import __version__
from taskorch_worker import mcp_tools

Context = ServerRequestContext
TOOLS = {tool.name: tool for tool in mcp_tools.TOOLS}


async def list_tools(
    _: Context, __: mcp.PaginatedRequestParams | None
) -> mcp.ListToolsResult:
    """Return the tools of a worker."""
    tools = [
        mcp.Tool.model_validate(listed(tool), by_name=False)
        for tool in TOOLS.values()
    ]
    return mcp.ListToolsResult(tools=tools)


async def call_tool(
    _: Context, asked: mcp.CallToolRequestParams
) -> mcp.CallToolResult:
    """Answer a call with an empty object."""
    if asked.name not in TOOLS:
        known = ", ".join(TOOLS)
        raise MCPError(
            mcp.INVALID_PARAMS,
            f"There is no tool {asked.name}; there are {known}.",
        )
    text = mcp.TextContent(type="text", text="{}")
    return mcp.CallToolResult(content=[text], is_error=False)


async def main() -> None:
    """Serve until standard input ends."""
    server = Server(
        "task-orchestrator-worker",
        version=__version__,
        instructions=f"{mcp_tools.ABOUT.format(agent='ada')} {OTHERS_TEXT}",
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )
    async with stdio_server() as (reading, writing):
        await server.run(
            reading, writing, server.create_initialization_options()
        )


if __name__ == "__main__":
    anyio.run(main)
