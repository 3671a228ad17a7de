"""The processes of acceptance checks: what passes, and what bounds them."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from time import monotonic

import pytest
from support.commands import alive, eventually
from taskorch.acceptance import check_process
from taskorch.acceptance.runner import CheckRunner, file_problem
from taskorch.domain.acceptance import (
    Check,
    CheckEvidence,
    DeliverableCheck,
    FileCheck,
    RunCheck,
)

HOUR_S = 3600


def run(
    folder: Path, *command: str, timeout_ms: int = 90_000
) -> CheckEvidence:
    check = RunCheck(run=command, timeout_ms=timeout_ms)
    (result,) = CheckRunner(str(folder)).results([check])
    return result


def shell(
    folder: Path, script: str, timeout_ms: int = 90_000
) -> CheckEvidence:
    return run(folder, "sh", "-c", script, timeout_ms=timeout_ms)


def test_exit_status_decides(tmp_path: Path) -> None:
    passed = shell(tmp_path, "echo all good; test -d .")
    failed = shell(tmp_path, "echo 2 failed >&2; exit 3")

    assert (passed.passed, passed.exit_code) == (True, 0)
    assert passed.output == "all good\n"
    assert (failed.passed, failed.exit_code) == (False, 3)
    assert (failed.problem, failed.output) == ("exit status 3", "2 failed\n")


def test_check_runs_in_the_folder_without_shell(tmp_path: Path) -> None:
    result = run(tmp_path, "printf", "%s", "$HOME; pwd")
    where = run(tmp_path, "pwd")

    assert result.output == "$HOME; pwd"
    assert where.output.strip() == str(tmp_path)


@pytest.mark.parametrize(
    ("number", "ended_by"),
    [
        (signal.SIGINT, KeyboardInterrupt),
        (signal.SIGTERM, SystemExit),
        (signal.SIGHUP, SystemExit),
    ],
)
def test_signal_at_the_start_ends_the_check(
    tmp_path: Path,
    number: signal.Signals,
    ended_by: type[BaseException],
) -> None:
    groups: list[int] = []

    @contextmanager
    def interrupted(group: int) -> Iterator[None]:
        groups.append(group)
        os.kill(os.getpid(), number)
        yield

    runner = CheckRunner(str(tmp_path), watching=interrupted)
    before = signal.getsignal(number)

    with pytest.raises(ended_by):
        runner.results([RunCheck(run=("sleep", "600"))])

    with pytest.raises(ProcessLookupError):
        os.killpg(groups[0], 0)
    assert signal.getsignal(number) is before


def test_missing_command_is_not_a_pass(tmp_path: Path) -> None:
    result = run(tmp_path, "no-such-command")

    assert (result.passed, result.exit_code) == (False, None)
    assert result.problem == (
        "it could not be started: No such file or directory"
    )


def test_file_that_may_not_be_executed_fails(tmp_path: Path) -> None:
    (tmp_path / "check.sh").write_text("exit 0\n", encoding="utf-8")

    result = run(tmp_path, "./check.sh")

    assert result.problem == "it could not be started: Permission denied"


def test_timeout_kills_the_process_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The time is over when the command has begun.
    begun = tmp_path / "begun"
    monkeypatch.setattr(
        check_process,
        "monotonic",
        lambda: monotonic() + HOUR_S * begun.exists(),
    )

    result = shell(
        tmp_path,
        "trap '' TERM; sleep 600 & echo $! > pid; echo begun; touch begun;"
        " wait; wait",
    )

    child = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert (result.passed, result.exit_code) == (False, None)
    assert result.problem == "it was still running after 90 s"
    assert result.output == "begun\n"
    eventually(lambda: not alive(child))


def test_huge_output_is_bounded(tmp_path: Path) -> None:
    result = shell(
        tmp_path,
        "head -c 100000000 /dev/zero | tr '\\0' x; echo; echo the end",
    )

    assert result.passed
    assert len(result.output) == 2000
    assert result.output.endswith("x\nthe end\n")


def test_background_process_does_not_survive(tmp_path: Path) -> None:
    result = shell(tmp_path, "sleep 600 & echo $! > pid; test -d .")

    child = int((tmp_path / "pid").read_text(encoding="utf-8"))
    assert result.passed
    assert result.duration_ms < 10_000
    eventually(lambda: not alive(child))


def test_check_inherits_no_secret(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = (
        "TASKORCH_REDIS_PASSWORD",
        "TASKORCH_TOKEN",
        "TASKORCH_LEASE",
        "TASKORCH_REDIS_URL",
    )
    for name in secrets:
        monkeypatch.setenv(name, "s3cr3t")

    result = run(tmp_path, "env")

    assert "PATH=" in result.output
    assert "s3cr3t" not in result.output


@pytest.mark.parametrize(
    ("own", "inherited"), [("", 0), ("redis://queue:6379", 1)]
)
def test_redis_url_of_queue_is_not_inherited(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    inherited: int,
) -> None:
    monkeypatch.setenv("REDIS_URL", "redis://:s3cr3t@work:6379")
    monkeypatch.setenv("TASKORCH_REDIS_URL", own)
    monkeypatch.setenv("TASKORCH_URL", "")

    result = run(tmp_path, "env")

    assert result.output.count("s3cr3t") == inherited


@pytest.mark.parametrize("value", ["off", "OFF", "0", "no"])
def test_user_of_a_machine_runs_no_checks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("TASKORCH_CHECKS", value)

    result = run(tmp_path, "touch", "ran")

    assert (result.passed, result.exit_code) == (False, None)
    assert (
        result.problem == f"this machine runs none (TASKORCH_CHECKS={value})"
    )
    assert not (tmp_path / "ran").exists()


def test_check_reads_no_input(tmp_path: Path) -> None:
    assert shell(tmp_path, "cat; test -d .").passed


@pytest.fixture
def ignored_children() -> Iterator[None]:
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGCHLD, before)


@pytest.mark.usefixtures("ignored_children")
def test_ignored_sigchld_loses_no_exit_status(tmp_path: Path) -> None:
    result = shell(tmp_path, "exit 3")

    assert (result.passed, result.exit_code) == (False, 3)
    assert signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN


@pytest.mark.usefixtures("ignored_children")
def test_thread_that_ignores_sigchld_runs_no_check(tmp_path: Path) -> None:
    results: list[CheckEvidence] = []
    thread = Thread(target=lambda: results.append(shell(tmp_path, "exit 3")))
    thread.start()
    thread.join()

    (result,) = results
    assert (result.passed, result.exit_code) == (False, None)
    assert "ignores SIGCHLD" in result.problem


def test_stopped_runner_begins_no_check(tmp_path: Path) -> None:
    runner = CheckRunner(str(tmp_path))
    checks = [
        RunCheck(run=("sh", "-c", "echo > begun; sleep 600")),
        RunCheck(run=("touch", "second")),
    ]
    results: list[CheckEvidence] = []
    thread = Thread(target=lambda: results.extend(runner.results(checks)))
    thread.start()
    eventually((tmp_path / "begun").exists)

    runner.stop()
    thread.join()

    assert [each.problem for each in results] == [
        "it was stopped",
        "it was not run",
    ]
    assert not (tmp_path / "second").exists()


def test_all_checks_run_after_a_failure(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("text", encoding="utf-8")
    checks: list[Check] = [
        RunCheck(run=("test", "-d", "missing")),
        DeliverableCheck(deliverable="schema"),
        FileCheck(file="a.md"),
    ]

    results = CheckRunner(str(tmp_path), source="run").results(checks)

    assert [(each.check, each.passed) for each in results] == [
        (checks[0], False),
        (checks[2], True),
    ]
    assert {each.source for each in results} == {"run"}


def test_only_a_file_with_content_passes(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "full.md").write_text("text", encoding="utf-8")
    (tmp_path / "empty.md").touch()
    os.mkfifo(tmp_path / "pipe")

    problems = [
        file_problem(str(tmp_path), file)
        for file in ("docs/full.md", "docs", "empty.md", "none.md", "pipe")
    ]

    assert problems == [
        "",
        "it is not a file",
        "it is empty",
        "it does not exist",
        "it is not a file",
    ]


def test_link_out_of_the_folder_does_not_pass(tmp_path: Path) -> None:
    outside, folder = tmp_path / "secret.md", tmp_path / "root"
    outside.write_text("text", encoding="utf-8")
    folder.mkdir()
    (folder / "link.md").symlink_to(outside)
    (folder / "up").symlink_to(tmp_path)
    (folder / "real.md").write_text("text", encoding="utf-8")
    (folder / "inside.md").symlink_to("real.md")

    problems = [
        file_problem(str(folder), file)
        for file in ("link.md", "up/secret.md", "../secret.md", "inside.md")
    ]

    assert problems == ["it is outside the folder of the worker"] * 3 + [""]
