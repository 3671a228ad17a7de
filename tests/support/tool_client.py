"""An MCP client with `worker mcp` or `orchestrate mcp` as its child process.

Used by the MCP tests. `worker` and `orchestrate` open a session with the package mcp;
`start_server`, `send` and `receive` exchange raw messages.
"""

import json
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from threading import Timer
from typing import Any

import anyio
import mcp_types as mcp
from anyio.to_thread import run_sync
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.shared.dispatcher import ProgressFnT
from support.commands import BIN, Shell, eventually

#: The time limit of a test, on a busy machine.
TIME_LIMIT_S = 90

INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
INITIALIZED = {"jsonrpc": "2.0", "method": "notifications/initialized"}
#: Its answer shows that a server has received what was sent before it.
PING = {"jsonrpc": "2.0", "id": "ping", "method": "ping"}


@dataclass(frozen=True)
class McpClient:
    """An open session with a server, and the instructions of that server."""

    session: ClientSession
    instructions: str

    async def call(
        self, tool: str, progress: ProgressFnT | None = None, **arguments: Any
    ) -> mcp.CallToolResult:
        """Call a tool, and check that its result is one document."""
        result = await self.session.call_tool(
            tool, arguments, progress_callback=progress
        )
        assert isinstance(result, mcp.CallToolResult)
        assert result.structured_content is None
        assert document_of(result).keys() <= {"data", "meta", "error"}
        return result

    async def data(self, tool: str, **arguments: Any) -> Any:
        """Return `data` of a successful call."""
        return (await self.document(tool, **arguments))["data"]

    async def document(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the JSON document of a successful call."""
        result = await self.call(tool, **arguments)
        document: dict[str, Any] = document_of(result)
        assert not result.is_error, document
        return document

    async def error(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return `error` of a call that fails."""
        result = await self.call(tool, **arguments)
        error: dict[str, Any] = document_of(result)["error"]
        assert result.is_error
        assert error.keys() >= {"code", "message", "exit_code"}
        return {"hint": "", "retryable": False, "details": {}, **error}


def document_of(result: mcp.CallToolResult | dict[str, Any]) -> Any:
    """Return the JSON document in the result of a call."""
    if isinstance(result, mcp.CallToolResult):
        result = result.model_dump(by_alias=True)
    (content,) = result["content"]
    assert content["type"] == "text"
    return json.loads(content["text"])


def run_async(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run an asynchronous test to its end; fail after TIME_LIMIT_S seconds."""

    async def limited() -> None:
        with anyio.fail_after(TIME_LIMIT_S):
            await test()

    anyio.run(limited)


async def until(condition: Callable[[], object]) -> None:
    """Poll until something is true."""
    await run_sync(eventually, condition)


@asynccontextmanager
async def connected(shell: Shell, role: str) -> AsyncIterator[McpClient]:
    """Start the server of a role, and connect to it.

    Fail if the server prints a traceback on stderr.
    """
    server = StdioServerParameters(
        command=str(BIN / role),
        args=["mcp"],
        env=dict(shell.variables),
        cwd=str(shell.folder),
    )
    stderr = (
        shell.folder.parent / f"{role}-{shell.variables.get('AGENT_ID')}.err"
    )
    with stderr.open("w") as errlog:
        async with (
            stdio_client(server, errlog) as streams,
            ClientSession(*streams) as session,
        ):
            about = await session.initialize()
            yield McpClient(session, about.instructions or "")
    assert "Traceback" not in stderr.read_text()


worker = partial(connected, role="worker")


def orchestrate(shell: Shell) -> AbstractAsyncContextManager[McpClient]:
    """Start the server of the orchestrator, in a session without an agent."""
    return connected(
        shell.lacking("AGENT_ID").having(ORCHESTRATOR_ID="planner"),
        "orchestrate",
    )


#: The function that starts the server of each role.
ROLES: dict[str, Callable[[Shell], AbstractAsyncContextManager[McpClient]]] = {
    "worker": worker,
    "orchestrate": orchestrate,
}


def call_message(id_: int, tool: str, **arguments: Any) -> dict[str, Any]:
    """Return the message that calls a tool."""
    return {
        "jsonrpc": "2.0",
        "id": id_,
        "method": "tools/call",
        "params": {"name": tool, "arguments": arguments},
    }


def cancel_message(id_: int) -> dict[str, Any]:
    """Return the message that cancels a call."""
    return {
        "jsonrpc": "2.0",
        "method": "notifications/cancelled",
        "params": {"requestId": id_},
    }


def start_server(
    shell: Shell, *messages: dict[str, Any], role: str = "worker"
) -> subprocess.Popen[str]:
    """Start a server without a client, and send it the handshake and messages."""
    process = shell.start(BIN / role, "mcp")
    send(process, INITIALIZE, INITIALIZED, *messages)
    return process


def send(
    process: subprocess.Popen[str], *messages: dict[str, Any] | str
) -> None:
    """Send messages to a server; text is sent unchanged, as a line."""
    assert process.stdin
    for message in messages:
        line = message if isinstance(message, str) else json.dumps(message)
        process.stdin.write(f"{line}\n")
    process.stdin.flush()


def receive(process: subprocess.Popen[str], number: int = 1) -> list[Any]:
    """Return the next messages of a server; kill it if they do not arrive in time."""
    assert process.stdout
    guard = Timer(TIME_LIMIT_S, process.kill)
    guard.start()
    try:
        return [json.loads(process.stdout.readline()) for _ in range(number)]
    finally:
        guard.cancel()
