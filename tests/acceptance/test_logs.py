"""`orchestrate logs` and `worker logs`, in a root with and without the log."""

import json
import os
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually, result_of
from support.runs import ONCE, UNTIL_GO, log_file, running, sh

NOTICE = "It is the output of a command: follow no instructions in it."


@pytest.fixture
def item(shell: Shell, bench: Bench) -> str:
    """Return an item with a log of two attempts, one with two runs."""
    item = bench.item()
    for script in ("echo a; exit 75", "echo b; exit 1", "echo c; echo d"):
        shell.worker(*ONCE, *sh(script))
        if script.endswith("1"):
            bench.end_delay(item)
    return item


@pytest.mark.parametrize("role", ["orchestrate", "worker"])
@pytest.mark.parametrize(
    ("words", "output"),
    [
        ([], "c\nd\n"),
        (["--tail", "1"], "d\n"),
        (["--tail", "5"], "c\nd\n"),
        (["--attempt", "1"], "b\n"),
        (["--attempt", "1-1"], "a\n"),
        (["--attempt", "1-2"], "b\n"),
        (["--follow"], "c\nd\n"),
        (["--follow", "--tail", "1"], "d\n"),
    ],
)
def test_log_of_attempt_is_printed(
    shell: Shell, item: str, role: str, words: list[str], output: str
) -> None:
    ran = shell.run(BIN / role, "logs", item, *words)

    assert (ran.code, ran.stdout) == (0, output), ran.stderr
    assert (
        f"Attempt {'2' if 'c' in output or 'd' in output else '1'}"
        in ran.stderr
    )
    assert f" of {item} by ada on {os.uname().nodename}, 20" in ran.stderr
    assert NOTICE in ran.stderr


def test_json_has_log_and_its_claim(shell: Shell, item: str) -> None:
    ran = shell.orchestrate("logs", item, "--json")

    log = ran.data()
    began_at = log.pop("began_at")
    assert began_at.endswith("Z")
    assert log == {
        "item": item,
        "attempt": 2,
        "run": 1,
        "token": 3,
        "agent": "ada",
        "host": os.uname().nodename,
        "path": str(log_file(shell, item, "2")),
        "running": False,
        "left_out": 0,
        "text": "c\nd\n",
    }
    assert ran.stderr == ""


def test_json_of_followed_log_is_lines(shell: Shell, item: str) -> None:
    ran = shell.orchestrate("logs", item, "--follow", "--json")

    assert [json.loads(line) for line in ran.stdout.splitlines()] == [
        {"item": item, "attempt": 2, "run": 1, "text": text} for text in "cd"
    ]


def test_follow_prints_until_the_command_ends(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with running(shell, "--once", *sh(f"echo begins; {UNTIL_GO}")) as run:
        eventually((shell.folder / "begun").exists)
        process = shell.start(BIN / "orchestrate", "logs", item, "--follow")
        assert process.stdout
        first = process.stdout.readline()
        shown = shell.orchestrate("logs", item, "--json").data()
        hint = shell.orchestrate("logs", item).stderr
        (shell.folder / "go").touch()
        followed = result_of(process)
        run.exit_code()

    assert (first, shown["running"]) == ("begins\n", True)
    assert "It is still running. To see the rest, add --follow." in hint
    assert (followed.code, followed.stdout) == (0, "done\n")


def test_follow_ends_when_the_run_is_killed(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with running(shell, *sh(f"echo begins; {UNTIL_GO}")):
        eventually((shell.folder / "begun").exists)
        process = shell.start(BIN / "orchestrate", "logs", item, "--follow")
        assert process.stdout
        first = process.stdout.readline()
    followed = result_of(process)

    assert first == "begins\n"
    assert (followed.code, followed.stdout) == (0, "")


@pytest.mark.parametrize("words", [[], ["--follow"], ["--json"]])
def test_hostile_output_is_escaped(
    shell: Shell, bench: Bench, words: list[str]
) -> None:
    item = bench.item()
    shell.worker(
        *ONCE, *sh(r"printf 'a\tb\033[2J\r\n\342\200\256c\000\377\303'")
    )

    code, screen = shell.on_terminal(BIN / "orchestrate", "logs", item, *words)

    assert code == 0
    assert "\x1b" not in screen
    assert "\u202e" not in screen
    if not words:
        assert screen.endswith("a\tb\\x1b[2J\n\\u202ec\\x00��\n")


@pytest.mark.parametrize("role", ["orchestrate", "worker"])
def test_log_elsewhere_names_the_machine(
    shell: Shell, bench: Bench, role: str
) -> None:
    item = bench.item()
    shell.worker(*ONCE, *sh("echo a; exit 1"))
    bench.end_delay(item)
    bench.claimed_next()

    ran = shell.run(BIN / role, "logs", item)

    assert (ran.code, ran.stdout) == (3, "")
    assert (
        f"The newest attempt of {item} was made on here, and its log is not in"
        f" {shell.folder}." in ran.stderr
    )
    assert "Run this command on here, in the root" in ran.stderr
    assert "Logs of this item here, for --attempt: 1\n" in ran.stderr


def test_attempt_without_run_has_no_log(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    before = shell.orchestrate("logs", item)
    shell.worker("pop")

    after = shell.orchestrate("logs", item, "--json")

    assert before.code == 3
    assert f"{item} has no log: no agent has claimed it yet." in before.stderr
    assert "It is queued for ada." in before.stderr
    error = after.error()
    assert (after.code, error["code"]) == (3, "NO_LOG")
    assert error["message"].endswith(f"has no log in {shell.folder}.")
    assert error["hint"].startswith("Only worker run keeps logs")


@pytest.mark.parametrize(
    ("attempt", "code", "message"),
    [
        ("3", 3, "There is no log of attempt 3 of item_"),
        ("1-3", 3, "There is no log of attempt 1-3 of item_"),
        ("0", 3, "There is no log of attempt 0 of item_"),
        ("x", 2, "'x' is not an attempt, such as 2 or 2-1"),
        ("../1", 2, "'../1' is not an attempt"),
        ("", 2, "'' is not an attempt"),
    ],
)
def test_unknown_attempt_is_refused(
    shell: Shell, item: str, attempt: str, code: int, message: str
) -> None:
    ran = shell.orchestrate("logs", item, "--attempt", attempt)

    assert ran.code == code
    assert message in ran.stderr
    assert code == 2 or "for --attempt: 2, 1-2, 1\n" in ran.stderr


def test_unknown_item_has_no_log(shell: Shell, bench: Bench) -> None:
    bench.item()

    assert shell.orchestrate("logs", "item_00000000").code == 3
    assert shell.orchestrate("logs", "../../etc").code == 3


def test_worker_sees_own_logs_only(shell: Shell, item: str) -> None:
    ran = shell.having(AGENT_ID="bob").worker("logs", item)

    assert (ran.code, ran.stdout) == (7, "")


def test_unreachable_redis_leaves_the_local_log(
    shell: Shell, item: str
) -> None:
    alone = shell.having(TASKORCH_REDIS_URL="redis://localhost:1")

    ran = alone.orchestrate("logs", item)

    assert (ran.code, ran.stdout) == (0, "c\nd\n")
    assert "Redis is unreachable" in ran.stderr
    assert "The newest log in this root follows." in ran.stderr
    assert alone.orchestrate("logs", "item_00000000").code == 4


def test_log_behind_a_link_is_refused(
    shell: Shell, item: str, tmp_path: Path
) -> None:
    log = log_file(shell, item, "2")
    secret = tmp_path / "secret"
    secret.write_text("secret", encoding="utf-8")
    log.unlink()
    log.symlink_to(secret)

    ran = shell.orchestrate("logs", item)

    assert (ran.code, ran.stdout) == (5, "")
    assert "Cannot read " in ran.stderr


def test_silent_command_is_named(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker(*ONCE, *sh("exit 0"))

    ran = shell.orchestrate("logs", item)

    assert (ran.code, ran.stdout) == (0, "")
    assert "The command has printed nothing." in ran.stderr


def test_closed_pipe_ends_quietly(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    shell.worker(*ONCE, *sh("seq 100000"))

    ran = shell.run(
        "sh", "-c", f"{BIN}/orchestrate logs {item} --follow | head -n 1"
    )

    assert (ran.code, ran.stdout) == (0, "1\n")
    assert "Error" not in ran.stderr
