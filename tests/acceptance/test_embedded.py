"""The bundled server: one per root, started by the first command, and durable."""

import os
import signal
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support.commands import BIN, Shell, alive, eventually, result_of
from support.runs import running, sh

STARTED = (
    "Started the bundled server for {}. To stop it: orchestrate server stop\n"
)


def status(shell: Shell) -> dict[str, Any]:
    """Return the result of `orchestrate server status`."""
    result: dict[str, Any] = shell.orchestrate(
        "server", "status", "--json"
    ).data()
    return result


def servers_of(root: Path) -> list[int]:
    """Return the processes with a current folder below the data of a root."""
    return [
        int(entry.name)
        for entry in Path("/proc").iterdir()
        if entry.name.isdigit() and _works_in(entry, root)
    ]


def blocked(shell: Shell) -> int:
    """Return the number of clients that block on the bundled server."""
    with redis.Redis.from_url(status(shell)["url"]) as raw:
        return int(cast("Any", raw).info("clients")["blocked_clients"])


def _works_in(process: Path, root: Path) -> bool:
    try:
        return (process / "cwd").resolve().parent == (
            root / ".task-orchestrator" / "data"
        ).resolve()
    except OSError:
        return False


def test_first_command_starts_and_announces_the_server(local: Shell) -> None:
    first, second = (
        local.orchestrate("project", "One"),
        local.orchestrate("projects"),
    )

    assert first.code == 0
    assert first.stdout.startswith("proj_")
    assert first.stderr == STARTED.format(local.folder)
    assert (second.code, second.stderr) == (0, "")
    assert first.stdout.strip() in second.stdout


@pytest.mark.parametrize("number", [2, 8])
def test_concurrent_first_commands_start_one_server(
    local: Shell, number: int
) -> None:
    processes = [
        local.start(BIN / "orchestrate", "project", f"Number {n}")
        for n in range(number)
    ]
    runs = [result_of(process) for process in processes]

    assert [run.code for run in runs] == [0] * number
    assert "".join(run.stderr for run in runs) == STARTED.format(local.folder)
    assert len(servers_of(local.folder)) == 1
    assert len(local.orchestrate("projects", "--json").data()) == number


def test_restarted_server_has_everything_it_acknowledged(
    local: Shell,
) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    item = local.orchestrate(
        "create", project, "Two", "--assign", "ada"
    ).stdout.strip()
    local.worker("get", item)
    pid = status(local)["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))

    done = local.worker("complete", item, "done")

    assert done.code == 0, done.stderr
    assert done.stderr == STARTED.format(local.folder)
    assert status(local)["pid"] != pid
    assert (
        local.orchestrate("show", item, "--json").data()["summary"] == "done"
    )


def test_concurrent_commands_restart_the_server_once(local: Shell) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    os.kill(status(local)["pid"], signal.SIGKILL)

    processes = [
        local.start(BIN / "orchestrate", "create", project, "x")
        for _ in range(4)
    ]
    runs = [result_of(process) for process in processes]

    assert [run.code for run in runs] == [0] * 4
    assert len(servers_of(local.folder)) == 1
    assert len(local.orchestrate("list", project, "--json").data()) == 4


def test_server_has_status_start_and_stop(local: Shell) -> None:
    url = f"unix://{local.folder}/.task-orchestrator/run/server.sock"

    before = status(local)
    started = local.orchestrate("server", "start", "--json").data()
    again, shown = (
        local.orchestrate("server", "start", "--json").data(),
        local.orchestrate("server", "status"),
    )
    stopped = local.orchestrate("server", "stop", "--json").data()
    after = local.orchestrate("server", "stop")

    assert before == {
        "running": False,
        "pid": 0,
        "url": url,
        "reachable": True,
        "elsewhere": False,
        "service_pid": 0,
        "service_wanted": False,
    }
    assert set(started) == set(before)
    assert (started["running"], started["url"], started["pid"]) == (
        True,
        url,
        again["pid"],
    )
    assert f"running, pid {started['pid']}" in shown.stdout
    assert stopped == before
    assert after.code == 0
    assert started["service_pid"] == 0
    eventually(lambda: not servers_of(local.folder))


def test_waiting_command_leaves_a_stopped_server_alone(
    local: Shell,
) -> None:
    local.orchestrate("project", "x")
    popping = local.start(BIN / "worker", "pop", "--wait", "60")
    with running(local, *sh("echo done")) as run:
        eventually(lambda: blocked(local) == 2)
        local.orchestrate("server", "stop")
        popped = result_of(popping)
        eventually(lambda: "Redis is unreachable" in run.stderr())
        stopped = status(local)

        project = local.orchestrate("project", "y").stdout.strip()
        local.orchestrate("create", project, "z", "--assign", "ada")
        run.wait_for("completed")

        assert "Started" not in run.stderr()
    assert popped.code == 4
    assert "Redis is unreachable" in popped.stderr
    assert not stopped["running"]


def test_waiting_command_restarts_a_killed_server(
    local: Shell,
) -> None:
    local.orchestrate("project", "x")
    with running(local, *sh("echo done")) as run:
        eventually(lambda: blocked(local) == 1)
        local.orchestrate("server", "stop")
        eventually(lambda: "Redis is unreachable" in run.stderr())
        pid = local.orchestrate("server", "start", "--json").data()["pid"]
        eventually(lambda: blocked(local) == 1)
        os.kill(pid, signal.SIGKILL)

        eventually(lambda: status(local)["pid"] not in (0, pid))


def test_status_does_not_start_the_server(local: Shell) -> None:
    status(local)

    assert list(local.folder.iterdir()) == []


def test_server_commands_ignore_a_configured_address(
    local: Shell,
) -> None:
    remote = local.having(TASKORCH_REDIS_URL="redis://localhost:1")

    found = status(remote)

    assert (
        found["url"]
        == f"unix://{local.folder}/.task-orchestrator/run/server.sock"
    )


def test_only_this_user_reaches_the_server(
    local: Shell,
) -> None:
    local.orchestrate("server", "start")
    socket = local.folder / ".task-orchestrator" / "run" / "server.sock"
    pid = status(local)["pid"]

    assert stat.S_IMODE(socket.parent.stat().st_mode) == 0o700
    assert (
        stat.S_IMODE(
            (local.folder / ".task-orchestrator" / "data").stat().st_mode
        )
        == 0o700
    )
    assert _listening_ports(pid) == set()


def _listening_ports(pid: int) -> set[str]:
    """Return the local addresses on which a process listens by TCP."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # the server has just closed it
            inodes.add(str(link.readlink()))
    rows = [
        row.split()
        for kind in ("tcp", "tcp6")
        for row in Path(f"/proc/{pid}/net/{kind}")
        .read_text(encoding="utf-8")
        .splitlines()
    ]
    return {
        row[1]
        for row in rows
        if row[3] == "0A" and f"socket:[{row[9]}]" in inodes
    }


@pytest.mark.parametrize(
    "name", ["spaces, 'quotes' and \"Ümläute\" 🙂", "x" * 120, "100%s {0} #"]
)
def test_root_of_any_name_has_a_server(local: Shell, name: str) -> None:
    inner = _inner(local, name)
    try:
        created = inner.orchestrate("project", "One")
        listed = inner.orchestrate("projects")
        running_status = status(inner)
    finally:
        inner.orchestrate("server", "stop")

    assert (created.code, listed.code) == (0, 0), created.stderr
    assert created.stderr == STARTED.format(inner.folder)
    assert created.stdout.strip() in listed.stdout
    assert running_status["running"]
    eventually(lambda: not servers_of(inner.folder))


@pytest.fixture
def deep(local: Shell) -> Iterator[Shell]:
    """Return a shell in a root whose path is too long for a socket."""
    inner = _inner(local, "x" * 120)
    yield inner
    for pid in servers_of(inner.folder):
        os.kill(pid, signal.SIGTERM)


def test_runtime_folder_does_not_change_the_server(
    deep: Shell,
) -> None:
    runtime = deep.folder.parent / "run-user-0"
    runtime.mkdir(mode=0o700)

    project = deep.orchestrate("project", "One").stdout.strip()
    seen = deep.having(XDG_RUNTIME_DIR=str(runtime)).orchestrate("projects")
    stopped = deep.having(TMPDIR=str(runtime)).orchestrate("server", "stop")

    assert project in seen.stdout
    assert stopped.code == 0
    eventually(lambda: not servers_of(deep.folder))


def test_root_has_one_server_under_any_path(deep: Shell) -> None:
    link = deep.folder.parent / "link"
    link.symlink_to(deep.folder)
    spelt = [str(link), f"{deep.folder}/../{deep.folder.name}"]

    project = deep.orchestrate("project", "One").stdout.strip()
    seen = [
        deep.having(TASKORCH_ROOT=root).orchestrate("projects")
        for root in spelt
    ]

    assert [(ran.code, project in ran.stdout, ran.stderr) for ran in seen] == [
        (0, True, "")
    ] * len(spelt)
    assert len(servers_of(deep.folder)) == 1


@pytest.mark.parametrize("name", ["data", "run", ""])
def test_file_in_place_of_a_folder_is_named(local: Shell, name: str) -> None:
    in_the_way = local.folder / ".task-orchestrator" / name
    in_the_way.parent.mkdir(exist_ok=True)
    in_the_way.write_text("a file", encoding="utf-8")

    ran, started = (
        local.orchestrate("project", "x"),
        local.orchestrate("server", "start"),
    )

    assert {ran.code, started.code} <= {2, 4, 5}
    assert str(in_the_way) in ran.stderr
    assert str(in_the_way) in started.stderr


def test_missing_root_is_not_created(local: Shell) -> None:
    rooted = local.having(TASKORCH_ROOT=str(local.folder / "nowhere"))

    runs = [
        rooted.orchestrate("project", "x"),
        rooted.orchestrate("service"),
        rooted.orchestrate("server", "start"),
    ]

    assert [run.code for run in runs] == [5, 5, 5]
    assert {
        f"Cannot write to {local.folder}/nowhere: No such file" in run.stderr
        for run in runs
    } == {True}
    assert not (local.folder / "nowhere").exists()


def test_damaged_data_is_left_alone_and_named(local: Shell) -> None:
    local.orchestrate("project", "One")
    local.orchestrate("server", "stop")
    file = next(
        (local.folder / ".task-orchestrator" / "data").glob(
            "*/appendonlydir/*.incr.aof"
        )
    )
    content = file.read_bytes()
    file.write_bytes(damaged := content[:60] + b"\0damaged\0" + content[60:])

    ran = local.orchestrate("server", "start")

    assert ran.code == 4
    assert (
        f"The bundled server cannot read its data: {file} is damaged"
        in ran.stderr
    )
    assert file.read_bytes() == damaged


def test_server_appends_before_it_replies(local: Shell) -> None:
    local.orchestrate("project", "One")

    with redis.Redis.from_url(
        local.orchestrate("server", "status", "--json").data()["url"]
    ) as raw:
        settings = raw.config_get("append*")

    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "no")


def test_server_restarts_after_a_partial_append(
    local: Shell,
) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    local.orchestrate("server", "stop")
    file = next(
        (local.folder / ".task-orchestrator" / "data").glob(
            "*/appendonlydir/*.incr.aof"
        )
    )
    file.write_bytes(file.read_bytes() + b"*3\r\n$3\r\nSET\r\n$5\r\nhal")

    local.orchestrate("server", "start")
    ran = local.orchestrate("projects")

    assert ran.code == 0, ran.stderr
    assert project in ran.stdout


def _inner(shell: Shell, name: str) -> Shell:
    folder = shell.folder / name
    (folder / ".task-orchestrator").mkdir(parents=True)
    return shell.within(folder)
