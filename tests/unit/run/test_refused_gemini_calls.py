"""Calls of the queue that Gemini CLI or Qwen Code did not permit."""

import json
from typing import Any

import pytest
from taskorch_worker.run.program_output import read

CHECK = "mcp_task-orchestrator_check"


def row(*, fail: int = 0, **decisions: int) -> dict[str, Any]:
    """Return the statistics of a tool, as Gemini CLI prints them."""
    names = ("accept", "reject", "modify", "auto_accept")
    return {
        "count": 1,
        "success": 1 - fail,
        "fail": fail,
        "decisions": {name: decisions.get(name, 0) for name in names},
    }


def document(**rows: dict[str, Any]) -> str:
    """Return the output in the format json."""
    stats = {"tools": {"totalCalls": len(rows), "byName": rows}}
    found = {"session_id": "0b8d", "response": "Sorry.", "stats": stats}
    return json.dumps(found, indent=2)


def stream(tool: str, error: str, **parameters: str) -> str:
    """Return the output in the format stream-json, of one call."""
    result: dict[str, object] = {"type": "tool_result", "tool_id": "t1"}
    if error:
        failure = {"type": error, "message": "Not so."}
        result |= {"status": "error", "error": failure}
    use = {"type": "tool_use", "tool_name": tool, "tool_id": "t1"}
    events = [
        {**use, "parameters": parameters},
        result,
        {"type": "message", "role": "assistant", "content": "Sorry."},
        {"type": "result", "status": "success", "stats": {}},
    ]
    return "".join(f"{json.dumps(event)}\n" for event in events)


def refused(stdout: str) -> list[str]:
    """Return the refused calls in an output."""
    found = read(stdout, is_whole=True)
    assert found
    assert found.text == "Sorry."
    return list(found.refused)


@pytest.mark.parametrize(
    ("stdout", "names"),
    [
        (document(**{CHECK: row(fail=1)}), [CHECK]),
        (document(**{CHECK: row(fail=1, reject=1)}), [CHECK]),
        (document(**{CHECK: row(fail=1, accept=1)}), []),
        (document(**{CHECK: row(auto_accept=1)}), []),
        (document(read_file=row(fail=1)), []),
        (document(run_shell_command=row(fail=1)), []),
        (document(**{CHECK: {"decisions": 3}}), [CHECK]),
        (stream(CHECK, "tool_not_registered"), [CHECK]),
        (stream(CHECK, "mcp_tool_error"), []),
        (stream(CHECK, "invalid_tool_params"), []),
        (stream(CHECK, ""), []),
        (stream("read_file", "tool_not_registered"), []),
        (
            stream(
                "run_shell_command", "policy_violation", command="worker pop"
            ),
            ["worker pop"],
        ),
        (
            stream("run_shell_command", "policy_violation", command="ls"),
            [],
        ),
    ],
)
def test_call_that_gemini_did_not_make_is_refused(
    stdout: str, names: list[str]
) -> None:
    assert refused(stdout) == names


def test_denied_shell_of_qwen_is_refused() -> None:
    denied = {
        "tool_name": "run_shell_command",
        "tool_use_id": "t1",
        "tool_input": {"command": "worker pop"},
    }
    result = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "Sorry.",
        "session_id": "0b8d",
        "permission_denials": [denied],
    }

    assert refused(json.dumps([result])) == ["worker pop"]


def test_api_error_of_qwen_is_a_failure() -> None:
    result = {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "[API Error: 400 There is no such model.]",
        "session_id": "0b8d",
        "permission_denials": [],
    }

    found = read(json.dumps(result), is_whole=True)

    assert found
    assert found.failed
    assert "no such model" in found.text
