"""`worker run`: the outcomes of commands, the pool, and the log."""

import json
from datetime import datetime
from typing import Any, cast

import pytest
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.runs import ONCE, log_line, running, sh
from taskorch.domain.item import State


@pytest.mark.parametrize(
    "case",
    [
        (
            "echo first; echo 4 tables; echo",
            0,
            "completed",
            State.COMPLETED,
            "first\n4 tables",
        ),
        ("exit 0", 0, "completed", State.COMPLETED, ""),
        ("echo later >&2; exit 75", 8, "released", State.QUEUED, "later"),
        (
            "echo why >&2; exit 3",
            5,
            "failed",
            State.DELAYED,
            "exit status 3\nwhy",
        ),
        (
            "echo only on stdout; exit 1",
            5,
            "failed",
            State.DELAYED,
            "exit status 1\nonly on stdout",
        ),
        (
            "kill -9 $$",
            5,
            "failed",
            State.DELAYED,
            "killed by signal 9 (Killed)",
        ),
        (
            "no-such-command 2> /dev/null",
            5,
            "failed",
            State.DELAYED,
            "exit status 127",
        ),
    ],
)
def test_exit_status_decides_the_outcome(
    shell: Shell, bench: Bench, case: tuple[str, int, str, State, str]
) -> None:
    script, code, event, state, text = case
    item = bench.item()
    if event == "failed":
        text += f"\n{log_line(shell, item)}"

    ran = shell.worker(*ONCE, *sh(script))

    claimed, ended = (json.loads(line) for line in ran.stdout.splitlines())
    view = bench.queue.views.show(item)
    assert (ran.code, ended["event"], ended["item"], ended["text"]) == (
        code,
        event,
        item,
        text,
    )
    assert (
        claimed["event"],
        claimed["item"],
        claimed["title"],
        claimed["attempt"],
    ) == ("claimed", item, "An item", 1)
    assert (view.item.state, ended["state"]) == (state, state)
    assert view.item.summary == (text if event == "completed" else "")
    assert view.item.attempts == (0 if event == "released" else 1)
    assert (
        event == "completed"
        or [report.text for report in view.history][-1] == text
    )
    assert list(shell.folder.rglob("*.lease")) == []


def test_log_has_a_line_per_event(shell: Shell, bench: Bench) -> None:
    item = bench.item(title="Draw\x1b[2J it")

    ran = shell.worker("run", "--once", *sh("echo 4 tables"))

    claimed, completed = ran.stdout.splitlines()
    assert claimed.endswith(
        rf"{item}  claimed    Draw\x1b[2J it (attempt 1 of 3)"
    )
    assert f"{item}  completed  after " in completed
    assert completed.endswith(": 4 tables")
    assert ran.stderr == ""


def test_log_shortens_a_long_text(shell: Shell, bench: Bench) -> None:
    bench.item()

    ran = shell.worker(
        "run", "--once", *sh("seq 1000 | tr '\\n' ' ' >&2; exit 3")
    )

    failed = ran.stdout.splitlines()[-1]
    assert len(failed) < 400
    assert r"exit status 3\n" in failed
    assert r"998 999 1000\nLog on " in failed
    assert failed.endswith("/1.log")


def test_once_takes_one_item_per_slot(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(3)]

    first, second, third = (
        shell.worker("run", "--once", "--pool", "2", *sh("echo done"))
        for _ in range(3)
    )

    assert [ran.code for ran in (first, second, third)] == [0, 0, 8]
    assert [
        ran.stdout.count("completed") for ran in (first, second, third)
    ] == [
        2,
        1,
        0,
    ]
    assert third.stderr == (
        "There is nothing to do now.\n"
        "  Wait for work: worker run --once --wait 300 -- COMMAND\n"
    )
    assert {bench.state(item) for item in items} == {State.COMPLETED}


def test_once_exits_with_the_worst_outcome(shell: Shell, bench: Bench) -> None:
    bench.item(title="well")
    bench.item(title="badly")

    ran = shell.worker(
        "run",
        "--once",
        "--pool",
        "2",
        *sh('case "$TASKORCH_ITEM" in *badly*) exit 1; esac'),
    )

    assert ran.code == 5
    assert (ran.stdout.count("completed"), ran.stdout.count("failed")) == (
        1,
        1,
    )


@pytest.mark.parametrize(("items", "code"), [(0, 8), (2, 0)])
def test_run_ends_after_the_idle_time(
    shell: Shell, bench: Bench, items: int, code: int
) -> None:
    for _ in range(items):
        bench.item()

    ran = shell.worker("run", "--pool", "2", "--wait", "0.2", *sh("echo done"))

    assert (ran.code, ran.stdout.count("completed")) == (code, items)


def test_pool_limits_the_commands_at_a_time(
    shell: Shell, bench: Bench
) -> None:
    for _ in range(5):
        bench.item()
    script = "touch $TASKORCH_ROOT/at-$$; until test -e $TASKORCH_ROOT/go; do sleep 0.01; done"

    with running(shell, "--pool", "3", "--wait", "0", *sh(script)) as run:
        run.wait_for("claimed", times=3)
        eventually(lambda: len(list(shell.folder.glob("at-*"))) == 3)
        at_a_time = run.events()
        (shell.folder / "go").touch()

        assert run.exit_code() == 0
        assert at_a_time == ["claimed"] * 3
        assert run.events().count("completed") == 5


def test_options_after_the_command_belong_to_it(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.worker("run", "--once", "echo", "--once", "-n", "--json")

    assert (ran.code, bench.queue.views.show(item).item.summary) == (
        0,
        "--once -n --json",
    )


def test_json_option_of_the_command_formats_no_errors(
    shell: Shell,
) -> None:
    ran = shell.worker("run", "--once", "echo", "--json")

    assert (ran.code, ran.stdout) == (8, "")
    assert "There is nothing to do now" in ran.stderr


def test_command_that_cannot_start_releases_its_item(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    script = shell.folder / "script"
    script.write_text("no interpreter is named\n", encoding="utf-8")
    script.chmod(0o700)

    ran = shell.worker(*ONCE, "--", str(script))

    view = bench.queue.views.show(item).item
    assert ran.code == 8
    assert (
        "could not be started: [Errno 8] Exec format error"
        in json.loads(ran.stdout.splitlines()[-1])["text"]
    )
    assert (view.state, view.attempts) == (State.QUEUED, 0)


def test_released_item_is_claimed_after_a_pause(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    script = "echo >> $TASKORCH_ROOT/times; test $(wc -l < $TASKORCH_ROOT/times) = 2 || exit 75"

    ran = shell.worker("run", "--json", "--wait", "0", *sh(script))

    entries = [json.loads(line) for line in ran.stdout.splitlines()]
    _, released, again, _ = (
        datetime.fromisoformat(each["at"]) for each in entries
    )
    assert [each["event"] for each in entries] == [
        "claimed",
        "released",
        "claimed",
        "completed",
    ]
    assert (again - released).total_seconds() > 0.4


def test_release_pauses_the_other_slots(shell: Shell, bench: Bench) -> None:
    bench.item()
    script = (
        "until test -e $TASKORCH_ROOT/go; do sleep 0.01; done;"
        " echo >> $TASKORCH_ROOT/times; test $(wc -l < $TASKORCH_ROOT/times) = 2 || exit 75"
    )

    with running(shell, "--pool", "3", *sh(script)) as run:
        run.wait_for("claimed")
        eventually(lambda: bench.blocked_clients() == 2)
        (shell.folder / "go").touch()
        run.wait_for("completed")
        entries = run.entries()

    _, released, again, _ = (
        datetime.fromisoformat(each["at"]) for each in entries
    )
    assert [each["event"] for each in entries] == [
        "claimed",
        "released",
        "claimed",
        "completed",
    ]
    assert (again - released).total_seconds() > 0.4


def test_failing_command_makes_the_run_pause(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item() for _ in range(5)]

    with running(shell, *sh("exit 127")) as run:
        run.wait_for("claimed", times=4)
        entries, stderr = run.entries(), run.stderr()

    ends = [each for each in entries if each["event"] == "failed"]
    fourth = [each for each in entries if each["event"] == "claimed"][3]
    pause = datetime.fromisoformat(fourth["at"]) - datetime.fromisoformat(
        ends[2]["at"]
    )
    assert pause.total_seconds() > 0.4
    assert "3 items in a row have failed. Claiming pauses for" in stderr
    assert [
        bench.queue.views.show(item).item.attempts for item in items[:3]
    ] == [
        1,
        1,
        1,
    ]


@pytest.mark.parametrize("pool", [1, 2])
def test_run_ends_after_max_failures(
    shell: Shell, bench: Bench, pool: int
) -> None:
    items = [bench.item() for _ in range(6)]

    ran = shell.worker(
        "run",
        "--pool",
        str(pool),
        "--max-failures",
        "2",
        *sh("echo broken >&2; exit 127"),
    )

    assert ran.code == 5
    assert (
        "its command failed 2 times in a row. The last failure: exit status 127\\nbroken"
        in ran.stderr
    )
    assert ran.stdout.count(" failed ") in range(2, 2 + pool)
    assert [bench.state(item) for item in items].count(
        State.DELAYED
    ) == ran.stdout.count(" failed ")


def test_success_resets_max_failures(shell: Shell, bench: Bench) -> None:
    for title in ("bad", "good", "bad", "good", "bad"):
        bench.item(title=title, max_attempts=1)

    ran = shell.worker(
        "run", "--wait", "0.1", "--max-failures", "2", *sh("grep -q good")
    )

    assert ran.code == 0, ran.stderr
    assert (ran.stdout.count(" failed "), ran.stdout.count(" completed ")) == (
        3,
        2,
    )


@pytest.mark.parametrize(
    ("pool", "files", "code"), [(8, 103, 5), (8, 104, 0), (1, 40, 5)]
)
def test_pool_needs_enough_open_files(
    shell: Shell, bench: Bench, pool: int, files: int, code: int
) -> None:
    for _ in range(pool):
        bench.item()
    command = f"echo >> begun; until test $(wc -l < begun) = {pool}; do sleep 0.01; done"
    limited = ("sh", "-c", f'ulimit -n {files}; exec "$@"', "sh")

    ran = shell.run(
        *limited,
        BIN / "worker",
        "run",
        "--once",
        "--pool",
        str(pool),
        *sh(command),
    )

    assert ran.code == code, ran.stderr
    if code:
        assert (
            f"--pool {pool} needs {40 + 8 * pool} open files, but the limit of this process is {files}."
            in ran.stderr
        )
        assert "ulimit -n" in ran.stderr


def test_closed_stdout_does_not_stop_the_run(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item() for _ in range(3)]

    ran = shell.run(
        "sh", "-c", f"{BIN / 'worker'} run --wait 0 -- sleep 0.1 | head -n 1"
    )

    eventually(
        lambda: {bench.state(item) for item in items} == {State.COMPLETED}
    )
    assert ran.stdout.count("\n") == 1


def test_idle_pool_runs_no_scripts(shell: Shell, bench: Bench) -> None:
    with running(shell, "--pool", "3", *sh("exit 0")):
        eventually(lambda: bench.blocked_clients() == 3)
        before = scripts_run(bench)
        ran = shell.run("sleep", "0.5")
        after = scripts_run(bench)

    assert (ran.code, after - before) == (0, 0)


def test_idle_slot_waits_for_items_of_busy_slots(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    script = "until test -e $TASKORCH_ROOT/go; do sleep 0.01; done"

    with running(shell, "--pool", "3", "--wait", "0", *sh(script)) as run:
        eventually(lambda: bench.blocked_clients() == 2)
        before = scripts_run(bench)
        bench.item()
        run.wait_for("claimed", times=2)
        asked = scripts_run(bench) - before
        (shell.folder / "go").touch()

        assert run.exit_code() == 0
        assert asked < 10
        assert run.events().count("completed") == 2


def test_new_items_are_claimed_immediately(shell: Shell, bench: Bench) -> None:
    with running(shell, "--pool", "2", *sh("echo done")) as run:
        eventually(lambda: bench.blocked_clients() == 2)
        items = [bench.item() for _ in range(4)]
        run.wait_for("completed", times=4)

    assert {bench.state(item) for item in items} == {State.COMPLETED}


def scripts_run(bench: Bench) -> int:
    """Return the number of scripts that the server has run."""
    stats = cast("Any", bench.raw).info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0)
        for name in ("fcall", "evalsha", "eval")
    )
