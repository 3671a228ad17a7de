"""A cancelled call whose claim cannot be given back."""

from collections.abc import Mapping
from pathlib import Path
from threading import Semaphore
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import eventually
from taskorch.config.settings import resolve
from taskorch.mcp import running_call
from taskorch.mcp.background import Background
from taskorch.mcp.messages import Message
from taskorch.mcp.protocol import ClientSession, Server
from taskorch.mcp.running_call import CallContext, RunningCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.mcp.tool_set import Requested

if TYPE_CHECKING:
    from taskorch.mcp.call import ToolCall


SERVER = Server(name="server", version="1", instructions="", tools=[])


class Sent:
    """The messages to a client."""

    def __init__(self) -> None:
        self.messages: list[Mapping[str, Any]] = []

    def send(self, message: Mapping[str, Any]) -> None:
        self.messages.append(message)


class Claiming(ToolArguments):
    """Claim something that cannot be given back."""

    name = "claiming"

    def perform(self, call: "ToolCall") -> ToolResult:
        call.undo = _fail
        return ToolResult("claimed")


def _fail() -> None:
    raise OSError("no space left")


def test_call_is_over_although_its_undo_fails(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running_call, "CROSSED_S", 3600)
    sent = Sent()
    environment = {"TASKORCH_REDIS_URL": "redis://127.0.0.1:1/0"}
    context = CallContext(
        role="worker",
        settings=resolve({}, environment, tmp_path),
        commands={},
        session=ClientSession(SERVER),
        output=sent,
        slots=Semaphore(1),
        background=Background(),
    )
    request = Message(method="tools/call", params={}, id=1)
    call = RunningCall(request, Requested(Claiming, {}), context)

    call.start()
    eventually(lambda: sent.messages)
    call.cancel()

    eventually(lambda: call.is_done)
    assert "could not be undone: OSError('no space left')" in caplog.text
