"""The results that agent programs print, and output that only resembles them."""

import json
from pathlib import Path

import pytest
from taskorch.domain.attempt_end import AttemptEnd
from taskorch_worker.run.outcome import CommandExit, of_exit
from taskorch_worker.run.program_output import read

CLAUDE: dict[str, object] = {
    "type": "result",
    "subtype": "success",
    "is_error": False,
    "duration_ms": 2006,
    "num_turns": 3,
    "result": "Four tables.",
    "session_id": "0b8d",
    "total_cost_usd": 0.02,
    "usage": {"input_tokens": 10, "output_tokens": 78},
}
CLAUDE_STREAM: list[dict[str, object]] = [
    {"type": "system", "subtype": "init", "session_id": "0b8d"},
    {
        "type": "assistant",
        "session_id": "0b8d",
        "message": {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Reading the schema."},
                {"type": "tool_use", "id": "t1", "name": "Bash", "input": {}},
            ],
        },
    },
    {
        "type": "user",
        "message": {
            "role": "user",
            "content": [{"type": "tool_result", "content": "ok"}],
        },
    },
    CLAUDE,
]
CODEX: list[dict[str, object]] = [
    {"type": "thread.started", "thread_id": "0199"},
    {"type": "turn.started"},
    {
        "type": "item.completed",
        "item": {"id": "i0", "type": "agent_message", "text": "I look."},
    },
    {
        "type": "item.completed",
        "item": {
            "id": "i1",
            "type": "command_execution",
            "command": "ls",
            "aggregated_output": "db.sql",
            "exit_code": 0,
        },
    },
    {
        "type": "item.completed",
        "item": {"id": "i2", "type": "agent_message", "text": "Four tables."},
    },
    {"type": "turn.completed", "usage": {"input_tokens": 1}},
]
GEMINI = {
    "session_id": "5f",
    "response": "Four tables.",
    "stats": {"models": {}, "tools": {}},
}
GEMINI_STREAM: list[dict[str, object]] = [
    {"type": "init", "session_id": "5f", "model": "gemini"},
    {"type": "message", "role": "user", "content": "Draw it"},
    {
        "type": "message",
        "role": "assistant",
        "content": "I look.",
        "delta": True,
    },
    {"type": "tool_use", "tool_name": "ls", "tool_id": "t1", "parameters": {}},
    {"type": "tool_result", "tool_id": "t1", "status": "success"},
    {
        "type": "message",
        "role": "assistant",
        "content": "Four ",
        "delta": True,
    },
    {
        "type": "message",
        "role": "assistant",
        "content": "tables.",
        "delta": True,
    },
    {"type": "result", "status": "success", "stats": {}},
]


def lines(events: list[dict[str, object]]) -> str:
    return "".join(f"{json.dumps(event)}\n" for event in events)


@pytest.mark.parametrize(
    "stdout",
    [
        json.dumps(CLAUDE),
        json.dumps(CLAUDE_STREAM),
        lines(CLAUDE_STREAM),
        lines(CODEX),
        json.dumps(GEMINI, indent=2),
        lines(GEMINI_STREAM),
        f"Building\n{json.dumps(CLAUDE)}\npushed\n",
        f"Loaded credentials.\n{json.dumps(GEMINI, indent=2)}\n",
    ],
    ids=[
        "claude json",
        "claude json verbose",
        "claude stream-json",
        "codex",
        "gemini json",
        "gemini stream-json",
        "claude among other lines",
        "gemini after other lines",
    ],
)
def test_last_message_of_program_is_the_result(stdout: str) -> None:
    result = read(stdout, is_whole=True)

    assert result
    assert (result.text, result.failed) == ("Four tables.", False)


@pytest.mark.parametrize(
    ("stdout", "reason"),
    [
        (
            json.dumps({**CLAUDE, "is_error": True, "result": "No credit"}),
            "No credit",
        ),
        (
            json.dumps(
                {
                    "type": "result",
                    "subtype": "error_max_turns",
                    "is_error": False,
                    "session_id": "0b8d",
                }
            ),
            "error_max_turns",
        ),
        (
            json.dumps(
                {
                    "type": "result",
                    "subtype": "error_during_execution",
                    "is_error": True,
                    "errors": ["stopped", "late"],
                    "session_id": "0b8d",
                }
            ),
            "stopped\nlate",
        ),
        (
            lines(
                [
                    *CODEX[:3],
                    {"type": "turn.failed", "error": {"message": "quota"}},
                ]
            ),
            "quota",
        ),
        (
            json.dumps({"error": {"message": "quota"}, "stats": {}}, indent=2),
            "quota",
        ),
        (
            json.dumps(
                {
                    "session_id": "5f",
                    "error": {"type": "Error", "message": "quota", "code": 1},
                },
                indent=2,
            ),
            "quota",
        ),
        (
            lines(
                [
                    {
                        "type": "result",
                        "stats": {},
                        "status": "error",
                        "error": {"type": "x", "message": "quota"},
                    }
                ]
            ),
            "quota",
        ),
    ],
)
def test_error_of_program_is_a_failure(stdout: str, reason: str) -> None:
    result = read(stdout, is_whole=True)

    assert result
    assert (result.text, result.failed) == (reason, True)


@pytest.mark.parametrize(
    "stdout",
    [
        "",
        "4 tables",
        "{oops}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "[]",
        "[1, 2]",
        "null",
        '{"type": "result"}',
        '{"type": "result", "is_error": true, "result": "an example"}',
        '{"type": "item.completed", "item": {"type": "agent_message"}}',
        '{"type": "assistant", "message": {"content": [], "role": "x"}}',
        '{"type": "result", "is_error": "no", "result": "x"}',
        '{"type": ["result"], "is_error": false}',
        '{"type": "result", "status": "error", "test": "test_schema"}',
        '{"type": "assistant", "message": "x"}',
        '{"type": "assistant", "message": {"content": "x"}}',
        '{"type": "item.completed", "item": 3}',
        '{"type": "tool_result"}',
        '{"response": "x"}',
        '{"error": {"message": "x"}}',
        '{"session_id": "5f"}',
        '{"response": 4, "stats": {}}',
        '{"summary": "x", "deliverables": {}}',
        "9" * 10_000,
    ],
)
def test_other_output_has_no_result(stdout: str) -> None:
    assert read(stdout, is_whole=True) is None


def test_end_of_stream_has_the_result() -> None:
    stdout = lines([{"type": "turn.started", "x": "y" * 500}, *CODEX])

    result = read(stdout[200:], is_whole=False)

    assert result
    assert result.text == "Four tables."


@pytest.mark.parametrize(
    ("stdout", "summary"),
    [
        (
            "Reading.\n\nFour tables,\nand a view.\n\n",
            "Four tables,\nand a view.",
        ),
        ("10%\r20%\rFour tables.\r\n", "10%\n20%\nFour tables."),
        ("", ""),
        ("\n \n", ""),
        ("\n".join(map(str, range(100))), "\n".join(map(str, range(80, 100)))),
        ("x" * 5000, "x" * 2000),
        (f"{'x' * 1990}\nFour tables.", "Four tables."),
        ("Four\0tables", "Four�tables"),
    ],
)
def test_last_paragraph_is_the_summary(
    stdout: str, summary: str, tmp_path: Path
) -> None:
    ended = of_exit(CommandExit(status=0, stdout=stdout), tmp_path / "none")

    assert (ended.end, ended.text) == (AttemptEnd.COMPLETED, summary)


def test_lone_surrogate_does_not_break_the_summary(tmp_path: Path) -> None:
    stdout = json.dumps({**CLAUDE, "result": "Four \ud800 tables"})

    ended = of_exit(CommandExit(status=0, stdout=stdout), tmp_path / "none")

    assert ended.text == "Four ? tables"


def test_failure_has_end_of_output_and_log(tmp_path: Path) -> None:
    printed = "".join(f"line {number}\n" for number in range(1000))
    command_exit = CommandExit(status=3, printed=printed, log="/logs/1.log")

    text = of_exit(command_exit, tmp_path / "none").text

    assert text.startswith("exit status 3\nline 960\n")
    assert "\nline 999\nLog on " in text
    assert text.endswith(": /logs/1.log")


def test_failure_of_program_has_its_message(tmp_path: Path) -> None:
    stdout = lines(CODEX)
    command_exit = CommandExit(status=1, stdout=stdout, printed=stdout)

    text = of_exit(command_exit, tmp_path / "none").text

    assert text == "exit status 1\nFour tables."


def test_reported_error_fails_despite_status_0(tmp_path: Path) -> None:
    stdout = json.dumps({**CLAUDE, "is_error": True, "result": "No credit"})

    ended = of_exit(CommandExit(status=0, stdout=stdout), tmp_path / "none")

    assert (ended.end, ended.text) == (
        AttemptEnd.FAILED,
        "the program reports an error\nNo credit",
    )


@pytest.mark.parametrize(
    "events",
    [CLAUDE_STREAM, CODEX, GEMINI_STREAM],
    ids=["claude", "codex", "gemini"],
)
def test_events_of_another_program_are_ignored(
    events: list[dict[str, object]],
) -> None:
    forged: list[dict[str, object]] = [
        {"type": "result", "stats": {}, "status": "error"},
        {"type": "turn.failed", "error": {"message": "forged"}},
        {**CLAUDE, "is_error": True, "result": "forged"},
    ]
    own = {"turn.completed": 1, "result": 2 if events is CLAUDE_STREAM else 0}
    del forged[own[str(events[-1]["type"])]]

    result = read(lines([*events, *forged]), is_whole=True)

    assert result
    assert (result.text, result.failed) == ("Four tables.", False)


def test_second_program_in_a_script_has_the_result() -> None:
    failed: list[dict[str, object]] = [
        *CODEX[:2],
        {"type": "turn.failed", "error": {"message": "quota"}},
    ]

    result = read(lines([*failed, *CLAUDE_STREAM]), is_whole=True)

    assert result
    assert (result.text, result.failed) == ("Four tables.", False)
