"""Clients of MCP over HTTP: raw requests, and the client of the package mcp."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPResponse
from typing import Any

import httpx2
from mcp import ClientSession
from mcp.client.client import Client
from mcp.client.extension import ClientExtension
from mcp.client.streamable_http import streamable_http_client
from support.gateways import Gateway
from support.tool_client import McpClient

WORKER, ORCHESTRATOR = "/mcp/worker", "/mcp/orchestrator"
VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
TASKS = "io.modelcontextprotocol/tasks"
MODERN = {VERSION: "2026-07-28", CAPABILITIES: {}}
WITH_TASKS = {
    VERSION: "2026-07-28",
    CAPABILITIES: {"extensions": {TASKS: {}}},
}
INITIALIZE = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "test", "version": "1"},
}


@dataclass
class Answer:
    """A reply: its status, its headers and its messages, those of a stream too."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    messages: list[Any] = field(default_factory=list)

    @property
    def message(self) -> Any:
        """The last message."""
        return self.messages[-1]

    @property
    def result(self) -> Any:
        """The result of the request."""
        assert "result" in self.message, self.message
        return self.message["result"]

    @property
    def error(self) -> Any:
        """The error of the request."""
        return self.message["error"]

    @property
    def document(self) -> Any:
        """The document in the result of a call."""
        (content,) = self.result["content"]
        return json.loads(content["text"])


class RawClient:
    """Sends requests of MCP, one connection for each."""

    def __init__(self, gateway: Gateway, path: str, token: str = "") -> None:
        self._gateway = gateway
        self.path = path
        self._token = token

    def send(
        self,
        body: bytes,
        headers: Mapping[str, str | None] | None = None,
        method: str = "POST",
    ) -> Answer:
        """Send a body, and return the reply. A header of None is left out."""
        connection, reply = self.open(body, headers, method)
        try:
            return answer_of(reply)
        finally:
            connection.close()

    def open(
        self,
        body: bytes,
        headers: Mapping[str, str | None] | None = None,
        method: str = "POST",
    ) -> tuple[HTTPConnection, HTTPResponse]:
        """Send a body, and return the connection and the beginning of the reply."""
        connection = self.start(body, headers, method)
        return connection, connection.getresponse()

    def start(
        self,
        body: bytes,
        headers: Mapping[str, str | None] | None = None,
        method: str = "POST",
    ) -> HTTPConnection:
        """Send a body, and return the connection that waits for the reply."""
        sent: dict[str, str | None] = {
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
            "Authorization": f"Bearer {self._token}" if self._token else None,
            **(headers or {}),
        }
        connection = HTTPConnection(
            "127.0.0.1", self._gateway.port, timeout=90
        )
        known = {name: each for name, each in sent.items() if each is not None}
        connection.request(method, self.path, body, known)
        return connection

    def modern(
        self,
        method: str,
        headers: Mapping[str, str | None] | None = None,
        meta: Mapping[str, Any] = MODERN,
        **params: object,
    ) -> Answer:
        """Send a request of 2026-07-28."""
        body, sent = self.modern_parts(method, meta, **params)
        return self.send(body, {**sent, **(headers or {})})

    def modern_parts(
        self, method: str, meta: Mapping[str, Any] = MODERN, **params: object
    ) -> tuple[bytes, dict[str, str | None]]:
        """Return the body and the headers of a request of 2026-07-28."""
        name = params.get("name", params.get("taskId"))
        sent: dict[str, str | None] = {
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": method,
            "Mcp-Name": str(name) if name else None,
        }
        return message(method, **params, _meta=meta), sent

    def call(
        self, tool: str, meta: Mapping[str, Any] = MODERN, **arguments: object
    ) -> Answer:
        """Call a tool as of 2026-07-28."""
        return self.modern(
            "tools/call", meta=meta, name=tool, arguments=arguments
        )

    def legacy(
        self, method: str, version: str | None = "2025-11-25", **params: object
    ) -> Answer:
        """Send a request as after a handshake."""
        headers = {"MCP-Protocol-Version": version}
        return self.send(message(method, **params), headers)


def message(method: str, id_: object = 1, **params: object) -> bytes:
    """Return a request; a notification if the id is None."""
    content: dict[str, object] = {"jsonrpc": "2.0", "method": method}
    if id_ is not None:
        content["id"] = id_
    return json.dumps({**content, "params": params}).encode()


@asynccontextmanager
async def session(
    gateway: Gateway, path: str, token: str
) -> AsyncIterator[McpClient]:
    """Open a session of the package mcp with a handshake."""
    async with (
        _http(token) as http,
        streamable_http_client(
            f"{gateway.url}{path}", http_client=http
        ) as streams,
        ClientSession(*streams) as opened,
    ):
        about = await opened.initialize()
        yield McpClient(opened, about.instructions or "")


@asynccontextmanager
async def client(
    gateway: Gateway, path: str, token: str, *extensions: ClientExtension
) -> AsyncIterator[Client]:
    """Open the newest client of the package mcp, which needs no handshake."""
    async with _http(token) as http:
        transport = streamable_http_client(
            f"{gateway.url}{path}", http_client=http
        )
        async with Client(transport, extensions=extensions) as opened:
            yield opened


def _http(token: str) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(
        headers={"Authorization": f"Bearer {token}"}, timeout=90
    )


def answer_of(reply: HTTPResponse) -> Answer:
    """Return a reply when all of it has arrived."""
    body = reply.read()
    headers = {name.lower(): value for name, value in reply.getheaders()}
    kind = headers.get("content-type", "")
    found = []
    if kind.startswith("text/event-stream"):
        found = [
            json.loads(line.removeprefix(b"data: "))
            for line in body.splitlines()
            if line.startswith(b"data: ")
        ]
    elif body and kind.startswith("application/json"):
        found = [json.loads(body)]
    return Answer(reply.status, headers, body, found)
