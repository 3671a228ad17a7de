"""`worker run` when a command, a lease, an item or the run itself ends early."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from support.builders import Bench, need_lease
from support.commands import (
    BIN,
    SOON_S,
    Shell,
    alive,
    eventually,
    processes,
)
from support.runs import Run, log_line, running, sh
from support.waiters import Waiters
from taskorch.domain.item import State

#: A command that ends on SIGTERM, and one that ignores it. Both have a child process,
#: and write their pids to a file.
ENDLESS = "sleep 600 & echo $$ $! > $TASKORCH_ROOT/pids.tmp; mv $TASKORCH_ROOT/pids.tmp $TASKORCH_ROOT/pids; wait"
DEAF = f"trap '' TERM; {ENDLESS}; wait; wait"
#: Suspends the run as soon as it is terminated, for longer than the run waits for it.
SUSPENDING = (
    f"trap 'kill -STOP $PPID; sleep 6; kill -CONT $PPID' TERM; {ENDLESS}"
)
SHORT_LEASE = ("--lease", "1s")
#: Enough for a busy machine to start an endless command before it times out.
TIMEOUT = "5s"
STOPPING = "Stopping: no more items are claimed"


def pids(shell: Shell) -> list[int]:
    """Return the pids that an endless command has written, or [] if it has not yet."""
    try:
        return [
            int(word)
            for word in (shell.folder / "pids")
            .read_text(encoding="utf-8")
            .split()
        ]
    except OSError:
        return []


def ended(shell: Shell) -> bool:
    """Return whether none of these processes is left."""
    return not any(alive(pid) for pid in pids(shell))


def terminate_twice(run: Run) -> None:
    """Send two signals; at the second one, the run releases its items."""
    run.send(signal.SIGTERM)
    eventually(lambda: STOPPING in run.stderr())
    run.send(signal.SIGTERM)


@contextmanager
def at_work(
    shell: Shell, *options: str, script: str = ENDLESS
) -> Iterator[Run]:
    """Run an endless command, and check that no process is left at the end."""
    (shell.folder / "pids").unlink(missing_ok=True)
    with running(shell, *options, *sh(script)) as run:
        eventually(lambda: len(pids(shell)) == 2)
        yield run
    eventually(lambda: ended(shell))


@pytest.mark.parametrize(
    "script", [ENDLESS, DEAF], ids=["obeys", "ignores TERM"]
)
def test_timeout_terminates_the_process_group(
    shell: Shell, bench: Bench, script: str
) -> None:
    item = bench.item()

    ran = shell.worker(
        "run",
        "--once",
        "--timeout",
        TIMEOUT,
        "--grace",
        "200ms",
        *sh(f"echo why >&2; {script}"),
    )

    view = bench.queue.views.show(item)
    assert ran.code == 5
    assert (view.item.state, view.history[-1].text) == (
        State.DELAYED,
        f"timed out after 5 s\nwhy\n{log_line(shell, item)}",
    )
    assert len(pids(shell)) == 2
    assert ended(shell)


#: The child of a wrapper: it cleans up for a while on SIGTERM.
TIDY = """
import signal, sys, time
def tidy(*_):
    time.sleep(1.5)
    open("tidy", "w").close()
    sys.exit()
signal.signal(signal.SIGTERM, tidy)
open("works", "w").close()
while True:
    signal.pause()
"""


def test_child_of_a_wrapper_has_the_grace_period(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    (shell.folder / "tidy.py").write_text(TIDY)
    works = shell.folder / "works"

    with running(
        shell,
        "--timeout",
        "20s",
        "--grace",
        "20s",
        *sh(f"{sys.executable} tidy.py; true"),
    ) as run:
        eventually(works.exists)
        run.send(signal.SIGTERM)
        run.send(signal.SIGINT)
        assert run.exit_code() == 0

    assert (shell.folder / "tidy").exists()


def test_stopped_run_announces_no_pause(shell: Shell, bench: Bench) -> None:
    for _ in range(3):
        bench.item()
    works, end = shell.folder / "works", shell.folder / "end"
    os.mkfifo(end)
    script = (
        "echo >> runs; if [ $(wc -l < runs) -eq 3 ]; then "
        "touch works; read line < end; fi; exit 1"
    )

    with running(shell, *sh(script)) as run:
        eventually(works.exists)
        run.send(signal.SIGTERM)
        eventually(lambda: STOPPING in run.stderr())
        end.write_text("\n", encoding="utf-8")
        run.exit_code()
        entries, stderr = run.entries(), run.stderr()

    assert sum(each["event"] == "failed" for each in entries) == 3
    assert "Claiming pauses" not in stderr


def test_exit_status_is_known_with_sigchld_ignored(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.run(
        "sh",
        "-c",
        f"trap '' CHLD; exec {BIN}/worker run --once -- sh -c 'exit 3'",
    )

    assert ran.code == 5
    failure = bench.queue.views.show(item).history[-1].text
    assert failure == f"exit status 3\n{log_line(shell, item)}"


def test_lease_is_renewed_while_the_command_runs(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell, *SHORT_LEASE) as run:
        lease_ends = bench.queue.views.show(item).item.lease_expires_at
        eventually(
            lambda: (
                bench.queue.views.show(item).item.lease_expires_at
                > lease_ends + 1000
            )
        )

        assert run.events() == ["claimed"]
        assert bench.queue.views.show(item).item.attempts == 1


def test_reassigned_item_terminates_the_command(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell, *SHORT_LEASE) as run:
        bench.queue.assign(item, "bob", force=True)
        run.wait_for("lost")

        assert ended(shell)
        assert f"{item} is assigned to bob" in run.last_entry()["text"]
        assert bench.state(item) is State.QUEUED
        assert list(shell.folder.rglob("*.lease")) == []


@pytest.mark.parametrize(
    "way", ["given to the same agent again", "cancelled and requeued"]
)
def test_requeued_item_terminates_the_command(
    shell: Shell, bench: Bench, way: str
) -> None:
    item = bench.item()

    with at_work(shell, *SHORT_LEASE, "--once") as run:
        if way == "given to the same agent again":
            bench.queue.assign(item, "ada", force=True)
        else:
            bench.queue.cancel(item)
            bench.queue.requeue(item)

        assert run.exit_code() == 6
        assert (run.last_entry()["event"], run.last_entry()["state"]) == (
            "lost",
            State.QUEUED,
        )
        assert ended(shell)


def test_takeover_terminates_the_command_and_keeps_the_token(
    shell: Shell, bench: Bench
) -> None:
    item, second = bench.item(), shell.having(AGENT_SESSION="two")

    with at_work(shell, *SHORT_LEASE) as run:
        assert second.worker("get", item, "--takeover").code == 0
        run.wait_for("lost")

        assert ended(shell)
        assert second.worker("complete", item, "theirs").code == 0
    assert bench.queue.views.show(item).item.summary == "theirs"


def test_cancelled_item_terminates_the_command(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell, *SHORT_LEASE, "--once") as run:
        bench.queue.cancel(item, reason="not wanted")

        assert run.exit_code() == 6
        assert (run.last_entry()["event"], run.last_entry()["text"]) == (
            "cancelled",
            f"{item} was cancelled: not wanted.",
        )
        assert ended(shell)
        assert bench.state(item) is State.CANCELLED


def test_command_may_run_on_after_completing(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    script = (
        f"{BIN / 'worker'} complete {item} mine >&2; touch $TASKORCH_ROOT/completed;"
        " until test -e $TASKORCH_ROOT/go; do sleep 0.01; done"
    )

    with running(shell, *SHORT_LEASE, "--once", *sh(script)) as run:
        eventually((shell.folder / "completed").exists)
        completed_at = bench.now_ms()
        eventually(lambda: bench.now_ms() > completed_at + 1100)
        before = run.events()
        (shell.folder / "go").touch()

        assert run.exit_code() == 0
        assert before == ["claimed"]
        assert run.last_entry()["event"] == "completed"


def test_killed_run_leaves_no_process_and_folder(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(
        shell,
        *SHORT_LEASE,
        script=f"echo $TASKORCH_ITEM_FILE > $TASKORCH_ROOT/file; {ENDLESS}",
    ) as run:
        file = Path(
            (shell.folder / "file").read_text(encoding="utf-8").strip()
        )
        assert file.exists()
        run.send(signal.SIGKILL)

        eventually(lambda: ended(shell))
        eventually(lambda: not file.parents[1].exists())
    eventually(
        lambda: bench.queue.reap() and bench.state(item) is State.DELAYED,
    )
    bench.end_delay(item)
    assert bench.claimed_next() == item


def test_killed_run_kills_a_command_ignoring_sigterm(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with at_work(shell, "--grace", "200ms", script=DEAF) as run:
        run.send(signal.SIGKILL)

        eventually(lambda: ended(shell))


def test_suspended_run_learns_of_its_lost_lease(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell, *SHORT_LEASE) as run:
        run.suspend(bench)
        bench.expire_lease(item)
        bench.queue.reap()
        bench.end_delay(item)
        second = need_lease(bench.agent(session="second").claim())
        run.send(signal.SIGCONT)
        run.wait_for("lost")

        assert ended(shell)
        assert second.token == 2
        assert (
            bench.agent(session="second").complete(second, "once").remark == ""
        )
    assert [event["verb"] for event in bench.events()].count("complete") == 1
    assert bench.queue.views.show(item).item.summary == "once"


def test_suspended_run_delivers_an_unclaimed_dead_letter(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item(max_attempts=1)
    script = "touch $TASKORCH_ROOT/begun; until test -e $TASKORCH_ROOT/go; do sleep 0.01; done; echo done"
    with running(shell, *SHORT_LEASE, "--once", *sh(script)) as run:
        eventually((shell.folder / "begun").exists)
        run.suspend(bench)
        bench.expire_lease(item)
        bench.queue.reap()
        assert bench.state(item) is State.FAILED
        run.send(signal.SIGCONT)
        resumed_at = bench.now_ms()
        eventually(lambda: bench.now_ms() > resumed_at + 700)
        (shell.folder / "go").touch()

        assert run.exit_code() == 0
    assert bench.queue.views.show(item).item.summary == "done"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_commands_finish_and_stops_claims(
    shell: Shell, bench: Bench, number: signal.Signals
) -> None:
    first, second = bench.item(), bench.item()
    script = "until test -e $TASKORCH_ROOT/go; do sleep 0.01; done; echo done"

    with running(shell, *sh(script)) as run:
        run.wait_for("claimed")
        run.send(number)
        eventually(lambda: STOPPING in run.stderr())
        (shell.folder / "go").touch()

        assert run.exit_code() == 0
    assert (bench.state(first), bench.state(second)) == (
        State.COMPLETED,
        State.QUEUED,
    )


@pytest.mark.parametrize(
    "script", [ENDLESS, DEAF], ids=["obeys", "ignores TERM"]
)
def test_second_signal_releases_the_items(
    shell: Shell, bench: Bench, script: str
) -> None:
    item = bench.item()

    with at_work(shell, "--grace", "200ms", script=script) as run:
        terminate_twice(run)

        assert run.exit_code() == 0
        assert run.events() == ["claimed", "released"]
        assert ended(shell)
    view = bench.queue.views.show(item).item
    assert (view.state, view.attempts) == (State.QUEUED, 0)


def test_stalled_run_releases_its_items_when_stopped(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell, "--grace", "3s", script=SUSPENDING) as run:
        terminate_twice(run)

        assert run.exit_code() == 0
        assert run.events() == ["claimed", "released"]
    assert bench.state(item) is State.QUEUED


def test_closed_terminal_releases_the_items(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with at_work(shell) as run:
        run.send(signal.SIGHUP)

        assert run.exit_code() == 0
    view = bench.queue.views.show(item).item
    assert (view.state, view.attempts) == (State.QUEUED, 0)


def test_blocked_stdout_blocks_no_renewal_and_no_end(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    def expires() -> int:
        return bench.queue.views.show(item).item.lease_expires_at or 0

    stderr_file = shell.folder / "stderr"
    with full_pipe() as stdout, stderr_file.open("wb") as stderr:
        words: list[str | Path] = [
            BIN / "worker",
            "run",
            "--lease",
            "1s",
            "--grace",
            "200ms",
            *sh("true"),
        ]
        run = subprocess.Popen(
            words,
            cwd=shell.folder,
            env=shell.environment(),
            stdout=stdout,
            stderr=stderr,
        )
        eventually(expires)
        claimed = expires()
        eventually(lambda: expires() > claimed)
        run.send_signal(signal.SIGTERM)
        eventually(lambda: STOPPING in stderr_file.read_text(encoding="utf-8"))
        run.send_signal(signal.SIGTERM)

        assert run.wait(SOON_S) == 4


@contextmanager
def full_pipe() -> Iterator[int]:
    """Yield the writing end of a full pipe without a reader."""
    reads, writes = os.pipe()
    os.set_blocking(writes, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writes, b"x" * 4096)
    os.set_blocking(writes, True)
    try:
        yield writes
    finally:
        os.close(reads)
        os.close(writes)


def test_stopped_idle_run_takes_no_wake_token(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with at_work(shell, "--pool", "3") as run:
        eventually(lambda: bench.blocked_clients() == 2)
        run.send(signal.SIGTERM)
        eventually(lambda: bench.blocked_clients() == 0)
        item = bench.item()

        assert (
            need_lease(bench.agent(session="other").claim(wait_s=60)).item
            == item
        )
        assert run.events() == ["claimed"]


def test_only_the_end_of_output_is_kept(shell: Shell, bench: Bench) -> None:
    item = bench.item()
    script = (
        "head -c 100000000 /dev/zero | tr '\\0' x; head -c 1000000 /dev/zero | tr '\\0' e >&2;"
        " echo; grep VmHWM /proc/$PPID/status"
    )

    ran = shell.worker("run", "--once", *sh(script))

    peak_kb = int(bench.queue.views.show(item).item.summary.split()[1])
    assert ran.code == 0, ran.stdout
    assert peak_kb < 100_000


def test_command_need_not_read_its_item(shell: Shell, bench: Bench) -> None:
    item = bench.item(
        description="x" * 60_000, requirements=("y" * 60_000, "z" * 60_000)
    )

    ran = shell.worker("run", "--once", *sh("exec < /dev/null; echo done"))

    assert (ran.code, bench.queue.views.show(item).item.summary) == (0, "done")


def test_background_process_ends_with_the_command(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    ran = shell.worker(
        "run", "--once", *sh(f"{ENDLESS.rsplit(';', 1)[0]}; echo done")
    )

    assert (ran.code, bench.queue.views.show(item).item.summary) == (0, "done")
    assert len(pids(shell)) == 2
    eventually(lambda: ended(shell))


#: A command like an agent program: its child is in a session of its own.
LIKE_AN_AGENT = ENDLESS.replace("sleep 600", "setsid sleep 600")


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_timeout_ends_the_session_of_a_child(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    shell.worker("run", "--once", "--timeout", TIMEOUT, *sh(LIKE_AN_AGENT))

    assert len(pids(shell)) == 2
    eventually(lambda: ended(shell))


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_killed_run_ends_the_session_of_a_child(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with at_work(shell, script=LIKE_AN_AGENT) as run:
        run.send(signal.SIGKILL)


#: A command that goes on to start sessions: until SIGTERM, or until it is killed.
STARTING = (
    "touch $TASKORCH_ROOT/begun;"
    " for each in $(seq 2000); do setsid sleep 600 & sleep 0.005; done; wait"
)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
@pytest.mark.parametrize("trap", ["", "trap '' TERM;"])
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGKILL])
def test_session_started_meanwhile_ends(
    shell: Shell, bench: Bench, trap: str, number: signal.Signals
) -> None:
    item = bench.item()
    script = sh(trap + STARTING)

    with running(shell, "--grace", "300ms", *script) as run:
        eventually((shell.folder / "begun").exists)
        run.send(number)
        eventually(run.has_ended)

    eventually(lambda: not processes(f"TASKORCH_ITEM_ID={item}"))


#: Starts a process in a session of its own, and waits until it has left its group,
#: which is killed with the command.
ALONE = (
    "setsid sh -c 'touch $TASKORCH_ITEM_ID; exec sleep 600' & "
    "until test -e $TASKORCH_ITEM_ID; do sleep 0.01; done;"
)


@pytest.mark.parametrize(
    "alone",
    [ALONE, "set -m; sleep 600 &"],
    ids=["session", "group"],
)
def test_process_outside_the_group_delays_nothing(
    shell: Shell, bench: Bench, alone: str
) -> None:
    item = bench.item()
    script = f"{alone} echo $$ $! > $TASKORCH_ROOT/pids; echo done"

    ran = shell.worker("run", "--once", "--json", "--", "bash", "-c", script)

    left = pids(shell)[1]
    is_running = alive(left)
    os.kill(left, signal.SIGKILL)
    assert (
        ran.code,
        bench.queue.views.show(item).item.summary,
        is_running,
    ) == (
        0,
        "done",
        True,
    )
    assert json.loads(ran.stdout.splitlines()[-1])["duration_s"] < 60


def test_process_outside_the_group_leaks_nothing(
    shell: Shell, bench: Bench
) -> None:
    bench.item()
    path = shell.folder / "pids"

    with running(
        shell,
        *sh(f"{ALONE} echo $! >> $TASKORCH_ROOT/pids; echo done"),
    ) as run:
        run.wait_for("completed")
        eventually(lambda: bench.blocked_clients() == 1)
        before = costs(run.pid)
        for _ in range(3):
            bench.item()
        run.wait_for("completed", times=4)

        # A thread of the first attempt may not have ended yet.
        eventually(
            lambda: all(
                now <= was
                for now, was in zip(costs(run.pid), before, strict=True)
            )
        )
    for left in path.read_text(encoding="utf-8").split():
        os.kill(int(left), signal.SIGKILL)


def costs(pid: int) -> tuple[int, int]:
    """Return the number of open files and of threads of a process."""
    path = Path(f"/proc/{pid}")
    return len(list((path / "fd").iterdir())), len(
        list((path / "task").iterdir())
    )


def test_run_survives_the_loss_of_its_folder(
    shell: Shell, bench: Bench
) -> None:
    items = [bench.item() for _ in range(2)]

    ran = shell.worker(
        "run",
        "--wait",
        "0",
        *sh(
            'rm -r "$(dirname "$(dirname "$TASKORCH_ITEM_FILE")")"; echo done'
        ),
    )

    assert (ran.code, ran.stdout.count("completed")) == (0, 2)
    assert {bench.state(item) for item in items} == {State.COMPLETED}


def test_next_item_is_claimed_with_the_completion(
    shell: Shell, bench: Bench
) -> None:
    first, second = bench.item(), bench.item()

    with running(shell, *sh("echo done")) as run:
        run.wait_for("completed", times=2)
        run.send(signal.SIGTERM)
        assert run.exit_code() == 0

    assert bench.state(second) is State.COMPLETED
    assert bench.was_claimed_with(second, completed=first)


def test_stopped_wait_wakes_another_session(
    shell: Shell, waiters: Waiters
) -> None:
    bench = waiters.bench
    item = bench.item(agent="bob")
    with running(shell, *sh("echo done")) as run:
        eventually(lambda: bench.blocked_clients() == 1)
        other = waiters.start(lambda bench: bench.agent().claim(wait_s=60))
        eventually(lambda: bench.blocked_clients() == 2)
        bench.add_without_wake_token(item)

        run.send(signal.SIGTERM)

        assert run.exit_code() == 0
        assert need_lease(other.result(SOON_S)).item == item
