"""The versions of the protocol: our answers are those of the server of the package mcp."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from support import reference_server
from support.commands import BIN, Shell
from support.tool_client import INITIALIZED, receive, send

VERSION = "io.modelcontextprotocol/protocolVersion"
CAPABILITIES = "io.modelcontextprotocol/clientCapabilities"
MODERN = {VERSION: "2026-07-28", CAPABILITIES: {}}

Message = dict[str, Any]


def request(method: str, **params: object) -> Message:
    """Return a request; its id is given when it is sent."""
    message: Message = {"jsonrpc": "2.0", "method": method}
    return {**message, "params": params} if params else message


def initialize(version: object) -> Message:
    return request(
        "initialize",
        protocolVersion=version,
        capabilities={},
        clientInfo={"name": "test", "version": "1"},
    )


AFTER_HANDSHAKE = [
    request("ping"),
    request("tools/list"),
    request("tools/list", cursor="x"),
    request("tools/call", name="check", arguments={}),
    request("tools/call", name="check", arguments=None),
    request("tools/call", name="check", arguments=[]),
    request("tools/call", name="nothing"),
    request("tools/call", name=7),
    request("tools/call"),
    request("prompts/list"),
    request("resources/list"),
    request("logging/setLevel", level="info"),
    request("server/discover"),
    request("tools/list", _meta=MODERN),
    request("no/method"),
]
WITHOUT_HANDSHAKE = [
    request("server/discover", _meta=MODERN),
    request("tools/list", _meta=MODERN),
    request("tools/call", name="check", arguments={}, _meta=MODERN),
    request("tools/call", name="nothing", _meta=MODERN),
    request("tools/call", _meta=MODERN),
    request("ping", _meta=MODERN),
    request("prompts/list", _meta=MODERN),
    request("no/method", _meta=MODERN),
    request("tools/list"),
    request("tools/list", _meta={VERSION: "2026-07-28"}),
    request("tools/list", _meta={VERSION: "2027-01-01", CAPABILITIES: {}}),
    request("tools/list", _meta={VERSION: 5, CAPABILITIES: {}}),
    request("tools/list", _meta={VERSION: "2026-07-28", CAPABILITIES: 5}),
    initialize("2025-06-18"),
    request("initialize"),
]
CONVERSATIONS: dict[str, Sequence[Message]] = {
    **{
        version: [initialize(version), INITIALIZED, *AFTER_HANDSHAKE]
        for version in (
            *("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"),
            *("2026-07-28", "1999-01-01"),
        )
    },
    "without a handshake": WITHOUT_HANDSHAKE,
    "an unknown version first": [
        request(
            "server/discover", _meta={VERSION: "2027-01-01", CAPABILITIES: {}}
        ),
        *WITHOUT_HANDSHAKE,
    ],
    "no handshake yet": [
        request("tools/list"),
        request("tools/call", name="check"),
        request("ping"),
        request("no/method"),
        request("initialize"),
        initialize(3),
        initialize("2025-06-18"),
        request("tools/list"),
    ],
}


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_answers_are_those_of_the_reference(
    shell: Shell, messages: Sequence[Message]
) -> None:
    server = shell.start(BIN / "worker", "mcp")
    reference = shell.start(
        sys.executable, Path(reference_server.__file__).absolute()
    )

    answers = conversation(server, messages)

    assert answers == conversation(reference, messages)


def conversation(
    process: "subprocess.Popen[str]", messages: Sequence[Message]
) -> list[Message]:
    """Send each message, and return the answers; contents of calls are left out."""
    answers = []
    for number, message in enumerate(messages):
        if message == INITIALIZED:
            send(process, message)
            continue
        send(process, {**message, "id": number})
        (answer,) = receive(process)
        result = answer.get("result", {})
        if "content" in result:
            assert json.loads(result.pop("content")[0]["text"]) is not None
        answers.append(answer)
    process.communicate()
    return answers
