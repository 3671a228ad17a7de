"""Calls of the queue in the output of Codex, as Codex 0.171 prints them."""

import json
from typing import Any

import pytest
from taskorch_worker.run.program_output import read

UNAPPROVED = "MCP tool call requires approval, but approval policy is never"
ANSWER = {"content": [{"type": "text", "text": "{}"}]}
SANDBOXED = (
    "Error: This process is not allowed to connect to unix:///shop/server.sock:"
    " [Errno 1] Operation not permitted\n"
)
NO_WORKER = "/bin/bash: line 1: worker: command not found\n"


def tool(
    id_: str = "item_1",
    server: str = "task-orchestrator",
    result: object = None,
    error: str = "",
) -> dict[str, Any]:
    """Return a call of the tool `report`."""
    return {
        "id": id_,
        "type": "mcp_tool_call",
        "server": server,
        "tool": "report",
        "arguments": {},
        "result": result,
        "error": {"message": error} if error else None,
        "status": "failed" if error else "completed",
    }


def command(
    script: str, output: str = "", status: str = "completed"
) -> dict[str, Any]:
    """Return a command in the shell."""
    return {
        "id": "item_2",
        "type": "command_execution",
        "command": f"/bin/bash -lc '{script}'",
        "aggregated_output": output,
        "exit_code": 0,
        "status": status,
    }


def refused(*items: dict[str, Any]) -> list[str]:
    """Return the refused calls in an output with these items."""
    message = {"id": "item_9", "type": "agent_message", "text": "Done."}
    events = [
        {"type": "item.completed", "item": item} for item in (*items, message)
    ]
    stdout = "".join(f"{json.dumps(event)}\n" for event in events)
    found = read(stdout, is_whole=True)
    assert found
    assert found.text == "Done."
    return list(found.refused)


@pytest.mark.parametrize(
    ("item", "names"),
    [
        (tool(error=UNAPPROVED), ["task-orchestrator.report"]),
        (
            tool(error="user cancelled MCP tool call"),
            ["task-orchestrator.report"],
        ),
        (tool(error="the server has ended"), []),
        (tool(server="github", error=UNAPPROVED), []),
        (command("worker check", SANDBOXED), ["worker check"]),
        (command("worker check; ls", NO_WORKER), ["worker check; ls"]),
        (command("worker check", status="declined"), ["worker check"]),
        (command("worker check", "You have 1 assigned work items:"), []),
        (command("ls worker", NO_WORKER), []),
    ],
)
def test_refused_call_of_the_queue_is_known(
    item: dict[str, Any], names: list[str]
) -> None:
    assert refused(item) == names


@pytest.mark.parametrize(
    "item", [tool(result=ANSWER), command("worker check", "No items")]
)
def test_one_answer_outweighs_refused_calls(item: dict[str, Any]) -> None:
    assert refused(tool("item_3", error=UNAPPROVED), item) == []


def test_command_without_a_shell_is_read() -> None:
    item = {**command(""), "command": "worker check 'open"}

    assert refused({**item, "status": "declined"}) == ["worker check 'open"]
