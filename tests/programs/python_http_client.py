"""A client of the package mcp, of any version, over HTTP: what it gets, as JSON.

Arguments: the address of the server, the access token, and the calls as JSON: [[tool,
arguments], ...]. The argument "token" of a call may be "claimed": the token of the claim
before it.
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from mcp import ClientSession
from mcp.client import streamable_http


@asynccontextmanager
async def connected(url: str, token: str) -> AsyncIterator[Any]:
    """Open the streams; the packages before 2.0 have another function for them."""
    headers = {"Authorization": f"Bearer {token}"}
    old = getattr(streamable_http, "streamablehttp_client", None)
    if old:
        async with old(url, headers=headers) as (reading, writing, _):
            yield reading, writing
        return
    import httpx2

    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        streamable_http.streamable_http_client(
            url, http_client=http
        ) as streams,
    ):
        yield streams


async def main() -> None:
    """Connect, list the tools, make the calls, and print all of it."""
    url, token, calls = sys.argv[1:]
    results: list[Any] = []
    claimed = ""
    async with (
        connected(url, token) as streams,
        ClientSession(*streams) as session,
    ):
        about = await session.initialize()
        listed = await session.list_tools()
        for tool, arguments in json.loads(calls):
            if arguments.get("token") == "claimed":
                arguments["token"] = claimed
            result = await session.call_tool(tool, arguments)
            results.append(result.model_dump(by_alias=True, mode="json"))
            document = json.loads(results[-1]["content"][0]["text"])
            for each in document.get("meta", {}).get("tokens", {}).values():
                claimed = each
    said = {
        "client": version("mcp"),
        "about": about.model_dump(by_alias=True, mode="json"),
        "tools": [
            tool.model_dump(by_alias=True, mode="json")
            for tool in listed.tools
        ],
        "results": results,
    }
    sys.stdout.write(json.dumps(said))


asyncio.run(main())
