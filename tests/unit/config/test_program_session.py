"""The session of an agent program, from its variables, its hooks and its processes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from time import time

import pytest
from taskorch.config import program_session
from taskorch.config.program_session import KEPT_S, ProgramSessions, Start

#: A hook that begins a session when its standard input ends.
HOOK = """
import sys
from taskorch.config.program_session import ProgramSessions, Start
sessions = ProgramSessions(sys.argv[1])
print(flush=True)
sys.stdin.read()
sessions.begin(Start(sys.argv[2], "startup"))
"""
CLAUDE, CODEX = "CLAUDE_CODE_SESSION_ID", "CODEX_THREAD_ID"


@pytest.fixture
def sessions(tmp_path: Path) -> ProgramSessions:
    return ProgramSessions(tmp_path / ".task-orchestrator")


@pytest.mark.parametrize("name", program_session.VARIABLES)
def test_id_of_the_program_names_the_session(
    sessions: ProgramSessions, name: str
) -> None:
    assert sessions.current({name: "one"}) == "one"


def test_session_outside_of_a_program_has_no_name(
    sessions: ProgramSessions,
) -> None:
    assert sessions.current({CLAUDE: "", "PATH": "/bin"}) == ""


def test_program_in_a_program_is_found_by_process(
    sessions: ProgramSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    nested = {CODEX: "outer", CLAUDE: "inner"}
    before = sessions.current(nested)
    monkeypatch.setattr(program_session, "SHELLS", ())
    sessions.begin(Start("inner", "startup"))

    assert (before, sessions.current(nested)) == ("outer", "inner")


def test_sessions_that_start_together_are_all_recorded(
    tmp_path: Path,
) -> None:
    names = [f"session-{number}" for number in range(8)]
    home = tmp_path / ".task-orchestrator"
    hooks = [
        subprocess.Popen(
            [sys.executable, "-c", HOOK, home, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for name in names
    ]

    for hook in hooks:
        assert hook.stdout
        hook.stdout.readline()
    for hook in hooks:
        assert hook.stdin
        hook.stdin.close()
    for hook in hooks:
        assert hook.stdout
        hook.stdout.close()
    ends = [hook.wait() for hook in hooks]

    (record,) = (home / "run" / "sessions").glob("process-*")
    assert set(json.loads(record.read_bytes())["sessions"]) == {*names}
    assert ends == [0] * len(names)


@pytest.mark.parametrize("record", ["", "3", "{oops", "[" * 4096])
def test_damaged_record_is_none(
    sessions: ProgramSessions, tmp_path: Path, record: str
) -> None:
    sessions.begin(Start("one", "startup"))
    file = tmp_path / ".task-orchestrator" / "run" / "sessions" / "one"
    file.write_text(record, encoding="utf-8")

    assert sessions.named("one") == "one"
    assert not sessions.is_over("one")


def test_session_is_over_if_its_process_is_another(
    sessions: ProgramSessions, tmp_path: Path
) -> None:
    sessions.begin(Start("one", "startup"))
    while_running = sessions.is_over("one")
    file = tmp_path / ".task-orchestrator" / "run" / "sessions" / "one"
    record = json.loads(file.read_bytes())
    pid, _, started = record["process"].partition("-")
    record["process"] = f"{pid}-{int(started) + 1}"
    file.write_text(json.dumps(record), encoding="utf-8")

    assert (while_running, sessions.is_over("one")) == (False, True)
    assert not sessions.is_over("unknown")


def test_cleared_session_of_server_is_new(
    sessions: ProgramSessions,
) -> None:
    sessions.begin(Start("one", "startup"))
    continued = sessions.begin(Start("two", "clear"))
    sessions.begin(Start("other", "startup"))

    names = [sessions.begin(Start("three", "clear")), sessions.current({})]

    assert continued == "one"
    assert names == ["three", "three"]


def test_damaged_record_names_no_session(
    sessions: ProgramSessions, tmp_path: Path
) -> None:
    sessions.begin(Start("one", "startup"))
    folder = tmp_path / ".task-orchestrator" / "run" / "sessions"
    for file in folder.iterdir():
        file.write_bytes(b'{"session": ')

    assert sessions.named("one") == "one"
    assert sessions.current({}) == ""


def test_old_records_are_removed_at_a_start(
    sessions: ProgramSessions, tmp_path: Path
) -> None:
    sessions.begin(Start("old", "startup"))
    sessions.is_first("worker", Start("old", "startup"))
    folder = tmp_path / ".task-orchestrator" / "run" / "sessions"
    for file in folder.iterdir():
        os.utime(file, (0, time() - KEPT_S - 60))

    sessions.begin(Start("new", "startup"))

    names = {file.name for file in folder.iterdir()}
    assert "new" in names
    assert not [name for name in names if name.endswith("old")]


def test_system_without_process_folder_knows_ids(
    sessions: ProgramSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(program_session, "PROCESSES", "/nowhere")

    name = sessions.begin(Start("one", "startup"))

    assert name == sessions.current({CLAUDE: "one"}) == "one"
    assert sessions.is_first("worker", Start("one", "startup"))
    assert not sessions.is_first("worker", Start("one", "startup"))
    assert sessions.current({}) == ""
    assert not sessions.is_over("one")
