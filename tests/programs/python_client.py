"""A client of the package mcp, of any version: what it gets from a server, as JSON.

Arguments: the command of the server, and the calls as JSON: [[tool, arguments], ...].
"""

import asyncio
import json
import os
import sys
from importlib.metadata import version

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main() -> None:
    """Connect, list the tools, make the calls, and print all of it."""
    command, calls = sys.argv[1:]
    server = StdioServerParameters(
        command=command, args=["mcp"], env=dict(os.environ)
    )
    async with (
        stdio_client(server) as streams,
        ClientSession(*streams) as session,
    ):
        about = await session.initialize()
        listed = await session.list_tools()
        results = [
            await session.call_tool(tool, arguments)
            for tool, arguments in json.loads(calls)
        ]
    said = {
        "client": version("mcp"),
        "about": about.model_dump(by_alias=True, mode="json"),
        "tools": [
            tool.model_dump(by_alias=True, mode="json")
            for tool in listed.tools
        ],
        "results": [
            result.model_dump(by_alias=True, mode="json") for result in results
        ],
    }
    sys.stdout.write(json.dumps(said))


asyncio.run(main())
