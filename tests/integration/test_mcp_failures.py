"""Failures of tools that nobody expects: a client over HTTP learns nothing of them."""

import asyncio
import json
import logging
from asyncio import Event
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message, Scope
from support.builders import Bench
from support.mcp_http import message
from taskorch.config.settings import Settings, resolve
from taskorch.domain.role import Role
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.mcp.tool_set import ToolSet
from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.authentication import Authentication
from taskorch_gateway.exchange import Exchange
from taskorch_gateway.mcp.endpoints import Endpoint, McpServer
from taskorch_gateway.performer import Performer
from taskorch_gateway.pool import ConnectionPool
from taskorch_gateway.rates import Rates
from taskorch_gateway.refusals import Refusals
from taskorch_gateway.waits import ClientWaits

pytestmark = pytest.mark.parametrize("lane", ["valkey"], indirect=True)
REASON = "what only the server knows"


class Failing(ToolArguments):
    """Fail."""

    name = "failing"

    def perform(self, call: ToolCall) -> ToolResult:  # noqa: ARG002
        """Fail as no tool should."""
        raise RuntimeError(REASON)


ENDPOINT = Endpoint(
    path="/mcp/worker",
    roles=(Role.WORKER,),
    tools_of=lambda _: ToolSet(
        role="worker", about="", tools=(Failing,), commands={}
    ),
    has_tokens=False,
)


def server_of(settings: Settings, pool: ConnectionPool) -> McpServer:
    refusals = Refusals(settings, pool)
    authentication = Authentication(settings, pool, refusals)
    waits = ClientWaits(settings, pool)
    return McpServer(
        ENDPOINT,
        Exchange(authentication, Rates(0), 100, refusals),
        Performer(settings, pool, waits, AuditLog()),
    )


async def reply_to(settings: Settings, token: str, body: bytes) -> bytes:
    """Return the body of the reply to a call."""
    parts = [
        {"type": "http.request", "body": body, "more_body": False},
    ]
    sent: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await Event().wait()  # the client stays connected
        return parts.pop()

    async def send(part: Message) -> None:
        sent.append(part)

    headers = {
        "authorization": f"Bearer {token}",
        "content-type": "application/json",
    }
    scope: Scope = {
        "type": "http",
        "method": "POST",
        "path": ENDPOINT.path,
        "query_string": b"",
        "headers": [
            (name.encode(), value.encode()) for name, value in headers.items()
        ],
    }
    pool = ConnectionPool(settings)
    response = await server_of(settings, pool).respond(Request(scope, receive))
    await response(scope, receive, send)
    pool.close()
    return b"".join(part.get("body", b"") for part in sent)


def test_client_learns_nothing_of_an_unexpected_failure(
    bench: Bench, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    token = bench.queue.access_tokens().create("ada", Role.WORKER).token
    settings = resolve(
        {"redis_url": bench.url, "namespace": bench.queue.namespace},
        {},
        tmp_path,
    )

    body = message("tools/call", name="failing", arguments={})
    reply = asyncio.run(reply_to(settings, token, body))

    (content,) = json.loads(reply)["result"]["content"]
    assert "the log of the gateway has it" in content["text"]
    assert REASON not in content["text"]
    assert REASON in caplog.text
