"""`worker run` as a process that adopts orphans, such as PID 1 of a container."""

import os
import signal
import sys
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import Shell, alive, eventually
from support.runs import UNTIL_GO, Run, running, sh
from taskorch.domain.item import State

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux lets a process adopt orphans"
)

#: Becomes a command that adopts orphans, as PID 1 does (PR_SET_CHILD_SUBREAPER).
ADOPTS = "import ctypes, os, sys; ctypes.CDLL(None).prctl(36, 1); os.execv(sys.argv[1], sys.argv[1:])"
ADOPTING = (sys.executable, "-c", ADOPTS)
#: Leaves an orphan in a session of its own, which ends after 0.2 s.
ORPHAN = (
    "setsid sh -c 'touch $TASKORCH_ITEM_ID; sleep 0.2; echo >> gone' > /dev/null 2>&1 & "
    "until test -e $TASKORCH_ITEM_ID; do sleep 0.01; done;"
)


def children(run: Run) -> list[tuple[int, str]]:
    """Return the children of a run as pid and state; "Z" is a zombie."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, parent = (
                stat.read_text(encoding="utf-8").rpartition(")")[2].split()[:2]
            )
        except OSError:  # it has ended
            continue
        if int(parent) == run.pid:
            found.append((int(stat.parent.name), state))
    return found


def test_adopted_orphans_are_reaped(shell: Shell, bench: Bench) -> None:
    items = [bench.item() for _ in range(4)]
    script = f"{ORPHAN} test $(grep -c last) = 0 || exit 3; echo done"
    items.append(bench.item(title="last"))

    with running(shell, "--pool", "2", *sh(script), below=ADOPTING) as run:
        run.wait_for("completed", times=4)
        run.wait_for("failed")
        eventually((shell.folder / "gone").exists)
        eventually(lambda: [state for _, state in children(run)] == ["S"])

        run.send(signal.SIGTERM)
        assert run.exit_code() == 0
    assert [bench.state(item) for item in items] == [State.COMPLETED] * 4 + [
        State.DELAYED
    ]
    failure = bench.queue.views.show(items[-1]).history[-1].text
    assert failure.startswith("exit status 3\n")


def test_signals_reach_a_run_that_adopts_orphans(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()

    with running(shell, *sh(UNTIL_GO), below=ADOPTING) as run:
        eventually((shell.folder / "begun").exists)
        run.send(signal.SIGINT)
        eventually(lambda: "Stopping" in run.stderr())
        run.send(signal.SIGINT)

        assert run.exit_code() == 0
    assert bench.state(item) is State.QUEUED


def test_exit_code_of_a_run_that_adopts_orphans(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with running(shell, "--once", *sh("exit 3"), below=ADOPTING) as run:
        assert run.exit_code() == 5


def test_killed_run_ends_the_process_that_adopts(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with running(shell, *sh(UNTIL_GO), below=ADOPTING) as run:
        eventually((shell.folder / "begun").exists)
        (worker,) = (pid for pid, _ in children(run))
        os.kill(worker, signal.SIGKILL)

        assert run.exit_code() == 128 + signal.SIGKILL


def test_kill_of_the_adopting_process_ends_the_run(
    shell: Shell, bench: Bench
) -> None:
    bench.item()

    with running(shell, *sh(UNTIL_GO), below=ADOPTING) as run:
        eventually((shell.folder / "begun").exists)
        (worker,) = (pid for pid, _ in children(run))
        run.send(signal.SIGKILL)

        eventually(lambda: not alive(worker))
