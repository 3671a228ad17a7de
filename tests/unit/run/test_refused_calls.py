"""Calls of the queue that an agent program did not permit."""

import json
from pathlib import Path
from time import thread_time
from typing import Any

import pytest
from taskorch.domain.attempt_end import AttemptEnd
from taskorch_worker.cli import worker
from taskorch_worker.git import Work
from taskorch_worker.run.outcome import (
    CommandExit,
    of_exit,
    with_work,
)
from taskorch_worker.run.program_output import read
from taskorch_worker.run.program_result import shell_call

REPORT = "mcp__task-orchestrator__report"
PROGRESS = "worker progress item_aa11aa11 'Half of it' --percent 50"
SESSION = "0b8d"
LIMIT_S = 5


def denial(tool: str, id_: str = "t1", **arguments: str) -> dict[str, Any]:
    """Return a denied call, as Claude Code reports it."""
    return {"tool_name": tool, "tool_use_id": id_, "tool_input": arguments}


def result(*denials: dict[str, Any]) -> dict[str, Any]:
    """Return the last event of Claude Code."""
    return {
        "type": "result",
        "subtype": "success",
        "is_error": False,
        "result": "Four tables.",
        "session_id": SESSION,
        "permission_denials": list(denials),
    }


def use(tool: str, id_: str = "t1", **arguments: str) -> dict[str, Any]:
    """Return the event of a call."""
    part = {"type": "tool_use", "id": id_, "name": tool, "input": arguments}
    message = {"role": "assistant", "content": [part]}
    return {"type": "assistant", "session_id": SESSION, "message": message}


def answer(
    text: str, id_: str = "t1", *, is_error: bool = False
) -> dict[str, Any]:
    """Return the event of a result of a tool."""
    part = {
        "type": "tool_result",
        "tool_use_id": id_,
        "content": text,
        "is_error": is_error,
    }
    message = {"role": "user", "content": [part]}
    return {"type": "user", "session_id": SESSION, "message": message}


def refused(*events: dict[str, Any]) -> list[str]:
    """Return the refused calls in an output of these lines."""
    stdout = "".join(f"{json.dumps(event)}\n" for event in events)
    found = read(stdout, is_whole=True)
    assert found
    return list(found.refused)


@pytest.mark.parametrize(
    ("denied", "names"),
    [
        (denial(REPORT), [REPORT]),
        (denial("Bash", command=PROGRESS), [PROGRESS]),
        (
            denial("Bash", command=f"cd /shop && /opt/bin/{PROGRESS}\nls"),
            [f"/{PROGRESS}"],
        ),
        (denial("Bash", command="ls worker; cat complete"), []),
        (denial("Bash", command="cat worker.md"), []),
        (denial("Edit", file_path="shop.py"), []),
        (denial("mcp__github__report"), []),
        ({"tool_name": 3, "tool_input": None}, []),
    ],
)
def test_denied_call_of_the_queue_is_refused(
    denied: dict[str, Any], names: list[str]
) -> None:
    assert refused(result(denied)) == names


def test_every_command_of_an_agent_is_a_call() -> None:
    started_by_programs = {"run", "hook", "mcp"}
    names = {name for names in worker.sections.values() for name in names}

    unknown = [
        name
        for name in names - started_by_programs
        if shell_call("t1", f"worker {name} item_aa11aa11") is None
    ]

    assert unknown == []


@pytest.mark.parametrize(
    "events",
    [
        [use(REPORT), answer("{}")],
        [use(REPORT), answer("LEASE_LOST", is_error=True)],
        [use("Bash", command=PROGRESS), answer("50%")],
    ],
)
def test_answered_call_outweighs_a_refused_one(
    events: list[dict[str, Any]],
) -> None:
    assert refused(*events, result(denial(REPORT, "t2"))) == []


@pytest.mark.parametrize(
    "events",
    [
        [use(REPORT), answer("Permission needed", is_error=True)],
        [use(REPORT), answer("Permission needed", is_error=True), use("Read")],
        [use("Read", "t2"), answer("# Shop", "t2")],
    ],
)
def test_other_events_leave_a_call_refused(
    events: list[dict[str, Any]],
) -> None:
    assert refused(*events, result(denial(REPORT))) == [REPORT]


def test_unknown_tool_of_the_queue_is_refused() -> None:
    error = "<tool_use_error>Error: No such tool available</tool_use_error>"

    found = refused(use(REPORT), answer(error, is_error=True), result())

    assert found == [REPORT]


def test_call_with_wrong_arguments_is_not_refused(tmp_path: Path) -> None:
    error = (
        "<tool_use_error>InputValidationError: report failed</tool_use_error>"
    )
    events = [use(REPORT), answer(error, is_error=True), result()]
    stdout = "".join(f"{json.dumps(event)}\n" for event in events)

    outcome = of_exit(CommandExit(status=0, stdout=stdout), tmp_path / "none")

    assert outcome.without_report.end is AttemptEnd.COMPLETED
    assert outcome.without_report.text == "Four tables."


def test_wrong_arguments_leave_another_call_refused() -> None:
    error = (
        "<tool_use_error>InputValidationError: report failed</tool_use_error>"
    )

    found = refused(
        use(REPORT),
        answer(error, is_error=True),
        result(denial("Bash", "t2", command=PROGRESS)),
    )

    assert found == [PROGRESS]


def test_thousands_of_calls_are_read_in_time() -> None:
    events = [
        event
        for number in range(8_000)
        for event in (
            use(REPORT, f"t{number}"),
            answer("{}", f"t{number}"),
        )
    ]
    began = thread_time()

    assert refused(*events, result(denial(REPORT, "t0"))) == []
    assert thread_time() - began < LIMIT_S


def test_refusals_are_the_reason_of_a_failure(tmp_path: Path) -> None:
    stdout = json.dumps(result(denial(REPORT)))
    command_exit = CommandExit(status=0, stdout=stdout, log="/logs/1.log")

    outcome = of_exit(command_exit, tmp_path / "none")

    assert (outcome.end, outcome.text) == (
        AttemptEnd.COMPLETED,
        "Four tables.",
    )
    failed = outcome.without_report
    assert failed.end is AttemptEnd.FAILED
    lines = failed.text.splitlines()
    assert lines[0].startswith(
        f"the program refused its calls of the queue ({REPORT}), and nothing"
    )
    assert lines[1] == "Four tables."
    assert lines[2].endswith("/logs/1.log")


def test_result_file_of_refused_program_is_a_report(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text('{"deliverables": {"schema": "db.sql"}}')
    stdout = json.dumps(result(denial(REPORT)))

    outcome = of_exit(CommandExit(status=0, stdout=stdout), file)

    assert outcome.without_report == outcome
    assert outcome.deliverables == {"schema": "db.sql"}


def test_failure_of_refused_program_names_the_worktree(
    tmp_path: Path,
) -> None:
    stdout = json.dumps(result(denial(REPORT)))
    outcome = of_exit(CommandExit(status=0, stdout=stdout), tmp_path / "none")
    work = Work(tree=tmp_path / "tree", branch="item_aa11aa11")

    text = with_work(outcome, work).without_report.text

    assert work.sentence() in text


def test_long_script_is_searched_in_time() -> None:
    script = "/worker -" * 16_000
    began = thread_time()

    assert shell_call("t1", script) is None
    assert thread_time() - began < LIMIT_S
