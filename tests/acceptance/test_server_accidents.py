"""Ordinary accidents of the bundled server: its socket, its pid, its disk, its data."""

import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from support.commands import BIN, Shell, alive, eventually, result_of
from taskorch.bundled import process_record
from taskorch.bundled import server as bundled_server
from taskorch.config.settings import resolve
from taskorch.domain import errors

ANOTHER_USER = 12345
WORDS = (
    ["projects"],
    ["server", "status"],
    ["server", "stop"],
    ["server", "start"],
)
#: Fills the disk of the root, kills the server, and prints the outcome.
FULL_DISK = """
import json, os, signal, subprocess, sys

def run(*words):
    done = subprocess.run(words, capture_output=True, text=True)
    return done.returncode, done.stdout.strip(), done.stderr

orchestrate = sys.argv[1]
with open(".task-orchestrator/filler", "wb") as filler:
    filler.write(b"x" * 50_000)
_, project, _ = run(orchestrate, "project", "One")
acknowledged = []
while True:
    refused, item, message = run(orchestrate, "create", project, "x", "-d", "x" * 60_000)
    if refused:
        break
    acknowledged.append(item)
other, _, _ = run(orchestrate, "cancel", acknowledged[0])
read, shown, _ = run(orchestrate, "show", acknowledged[0])
status = json.loads(run(orchestrate, "server", "status", "--json")[1])
os.kill(status["data"]["pid"], signal.SIGKILL)
there = [item["id"] for item in json.loads(run(orchestrate, "list", project, "--json")[1])["data"]]
lost = sorted(set(acknowledged) - set(there))
while not run(orchestrate, "create", project, "x", "-d", "y" * 60_000)[0]:
    pass
before = len(json.loads(run(orchestrate, "list", project, "--json")[1])["data"])
os.unlink(".task-orchestrator/filler")
again, item, _ = run(orchestrate, "create", project, "x", "-d", "y" * 60_000)
after = len(json.loads(run(orchestrate, "list", project, "--json")[1])["data"])
run(orchestrate, "server", "stop")
print(json.dumps([[refused, other, read, again], message, len(acknowledged), lost, after - before]))
"""


@cache
def may_unshare(*kinds: str) -> bool:
    """Return whether this machine permits these namespaces."""
    return (
        subprocess.run(
            ["unshare", *kinds, "true"], capture_output=True, check=False
        ).returncode
        == 0
    )


def status(shell: Shell) -> dict[str, Any]:
    told: dict[str, Any] = shell.orchestrate(
        "server", "status", "--json"
    ).data()
    return told


def data(shell: Shell) -> Path:
    return shell.folder / ".task-orchestrator" / "data"


def age(shell: Shell) -> None:
    """Make the server look as if it was started long ago."""
    os.utime(data(shell) / "server.lock", (1, 1))


def lose_socket(shell: Shell) -> int:
    """Start a server, delete its socket, and return its pid."""
    pid = int(shell.orchestrate("server", "start", "--json").data()["pid"])
    (shell.folder / ".task-orchestrator" / "run" / "server.sock").unlink()
    age(shell)
    return pid


@pytest.fixture
def innocent() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that is none of ours."""
    with subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(600)"]
    ) as process:
        yield process
        process.kill()


def test_server_without_a_socket_is_named_and_stopped(local: Shell) -> None:
    pid = lose_socket(local)

    told, shown = status(local), local.orchestrate("server", "status").stdout
    stopped = local.orchestrate("server", "stop", "--json").data()

    assert (told["running"], told["pid"], told["reachable"]) == (
        True,
        pid,
        False,
    )
    assert f"running, pid {pid}" in shown
    assert "its socket is gone" in shown
    assert not stopped["running"]
    eventually(lambda: not alive(pid))


def test_command_replaces_a_server_without_a_socket(local: Shell) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    pid = lose_socket(local)

    ran = local.orchestrate("projects")

    assert project in ran.stdout
    assert (
        f"The socket of the bundled server (pid {pid}) was deleted. "
        "The server is started again." in ran.stderr
    )
    eventually(lambda: not alive(pid))
    assert status(local)["reachable"]


def test_server_of_another_container_gets_no_signal(local: Shell) -> None:
    pid = lose_socket(local)
    lock = data(local) / "server.lock"
    words = lock.read_text().split()
    lock.write_text(
        " ".join([*words[:3], "pid:[1]"]).ljust(process_record.LENGTH - 1)
        + "\n"
    )
    age(local)

    error, stopping = (
        local.orchestrate("projects", "--json").error(),
        local.orchestrate("server", "stop"),
    )

    assert (error["code"], error["retryable"]) == ("SERVER_UNREACHABLE", False)
    assert f"pid {pid} in another container" in error["message"]
    assert stopping.code == 4
    assert status(local)["elsewhere"]
    assert alive(pid)
    os.kill(pid, signal.SIGTERM)
    eventually(lambda: not alive(pid))


@pytest.mark.parametrize("record", ["{pid}", "{pid} 1 boot namespace"])
def test_innocent_process_survives_server_stop(
    local: Shell, innocent: "subprocess.Popen[bytes]", record: str
) -> None:
    server = local.orchestrate("server", "start", "--json").data()["pid"]
    with (data(local) / "service.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(record.format(pid=innocent.pid))
        lock.flush()

        stopping = local.start(BIN / "orchestrate", "server", "stop")
        eventually(lambda: not alive(server), within_s=60)

    assert result_of(stopping).code == 0
    assert innocent.poll() is None


def test_server_is_stopped_from_another_pid_namespace(local: Shell) -> None:
    words = ("--user", "--map-root-user", "--pid", "--fork", "--mount-proc")
    if not may_unshare(*words):
        pytest.skip("unshare may not make a pid namespace here")
    served = local.lacking("TASKORCH_SERVICE")
    before = served.orchestrate("server", "start", "--json").data()
    log = data(local) / "service.log"
    eventually(lambda: "started" in log.read_text())

    shown = served.run(
        "unshare", *words, BIN / "orchestrate", "server", "status"
    )
    stopped = served.run(
        "unshare", *words, BIN / "orchestrate", "server", "stop"
    )

    assert "in another container" in shown.stdout
    assert stopped.code == 0, stopped.stderr
    eventually(lambda: not alive(before["pid"]))
    eventually(lambda: not alive(before["service_pid"]))


@pytest.mark.skipif(
    os.getuid() != 0, reason="only root can give a folder to another user"
)
def test_server_of_another_user_is_refused(local: Shell) -> None:
    pid = local.orchestrate("server", "start", "--json").data()["pid"]
    own = local.folder / ".task-orchestrator"
    folders = [own, own / "run", own / "data"]
    for folder in folders:
        os.chown(folder, ANOTHER_USER, ANOTHER_USER)

    runs = [local.orchestrate(*words) for words in WORDS]

    for folder in folders:
        os.chown(folder, 0, 0)
    assert [ran.code for ran in runs] == [5] * len(WORDS), runs
    assert len({ran.stderr for ran in runs}) == 1
    assert "belongs to another user" in runs[0].stderr
    assert alive(pid)


def test_server_that_hangs_is_named_soon(
    local: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = local.orchestrate("server", "start", "--json").data()["pid"]
    age(local)
    monkeypatch.setattr(bundled_server, "ANSWERS_WITHIN_S", 0.2)
    os.kill(pid, signal.SIGSTOP)
    try:
        with pytest.raises(
            errors.ServerFailed, match=f"pid {pid} does not answer"
        ):
            bundled_server.start(
                resolve({}, {"TASKORCH_ROOT": str(local.folder)}, local.folder)
            )
    finally:
        os.kill(pid, signal.SIGCONT)


def test_full_disk_loses_nothing_acknowledged(local: Shell) -> None:
    if not may_unshare("--user", "--map-root-user", "--mount"):
        pytest.skip("unshare may not mount here")
    mount = 'mkdir .task-orchestrator && mount -t tmpfs -o size=768k none .task-orchestrator && exec "$@"'
    words = (
        "unshare",
        "--user",
        "--map-root-user",
        "--mount",
        "sh",
        "-c",
        mount,
        "sh",
    )

    ran = local.run(
        *words, sys.executable, "-c", FULL_DISK, BIN / "orchestrate"
    )

    codes, message, acknowledged, lost, added = json.loads(ran.stdout)
    assert codes == [4, 4, 0, 0]
    assert "Free disk space" in message
    assert acknowledged > 0
    assert lost == []
    assert added == 0, "the step that was not saved at first was made twice"


def test_end_lost_in_a_power_cut_is_repaired(local: Shell) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    local.orchestrate("server", "stop")
    (
        data(local) / "server.stopped"
    ).unlink()  # the power was cut, nobody stopped it
    file = next(data(local).glob("*/appendonlydir/*.incr.aof"))
    with file.open("ab") as opened:
        opened.write(b"*3\r\n$3\r\nSET\r\n" + b"\0" * 4096)

    ran = local.orchestrate("projects")

    assert ran.code == 0, ran.stderr
    assert project in ran.stdout
    assert (
        "Repaired the data of the bundled server: the last 4109 of"
        in ran.stderr
    )
    assert len(list(data(local).glob("*/damaged-*"))) == 1


def test_damaged_data_is_cut_only_on_request(local: Shell) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    local.orchestrate("server", "stop")
    (
        data(local) / "server.stopped"
    ).unlink()  # the power was cut, nobody stopped it
    file = next(data(local).glob("*/appendonlydir/*.incr.aof"))
    with file.open("ab") as opened:
        opened.write(b"garbage" + file.read_bytes())

    refused = local.orchestrate("projects", "--json").error()
    repaired = local.orchestrate("server", "start", "--repair")
    after = local.orchestrate("projects")

    assert (refused["code"], refused["retryable"]) == ("DATA_DAMAGED", False)
    assert "orchestrate server start --repair" in refused["hint"]
    assert repaired.code == 0, repaired.stderr
    assert project in after.stdout
