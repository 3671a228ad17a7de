"""Files of a checkout in the folders of the bundled server have no effect."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.builders import Bench
from support.commands import Shell
from taskorch.domain.item import State


@pytest.fixture
def attacker() -> Iterator[socket.socket]:
    """The port of a primary that a tricked server would copy."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        yield listening


def data(shell: Shell) -> Path:
    return shell.folder / ".task-orchestrator" / "data"


def plant(folder: Path, *commands: str) -> None:
    """Make an append-only folder with these commands."""
    appended = folder / "appendonlydir"
    appended.mkdir(parents=True)
    (appended / "appendonly.aof.manifest").write_text(
        "file appendonly.aof.1.incr.aof seq 1 type i\n"
    )
    packed = "".join(
        f"*{len(words)}\r\n"
        + "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        for words in (command.split() for command in commands)
    )
    (appended / "appendonly.aof.1.incr.aof").write_bytes(packed.encode())


def is_asked(attacker: socket.socket) -> bool:
    try:
        attacker.accept()[0].close()
    except BlockingIOError:
        return False
    return True


def test_data_of_a_checkout_is_never_loaded(
    local: Shell, attacker: socket.socket
) -> None:
    plant(data(local), f"REPLICAOF 127.0.0.1 {attacker.getsockname()[1]}")

    refused = local.orchestrate("projects", "--json").error()
    started = local.orchestrate("server", "start")

    assert refused["code"] == "UNKNOWN_DATA"
    assert started.code == 5
    assert "--accept-data" in started.stderr
    assert not local.orchestrate("server", "status", "--json").data()[
        "running"
    ]
    assert not is_asked(attacker)


def test_data_added_by_a_pull_is_ignored(
    local: Shell, attacker: socket.socket
) -> None:
    project = local.orchestrate("project", "One").stdout.strip()
    local.orchestrate("server", "stop")
    plant(data(local), f"REPLICAOF 127.0.0.1 {attacker.getsockname()[1]}")

    local.orchestrate("server", "start")
    ran = local.orchestrate("projects")

    assert project in ran.stdout
    assert not is_asked(attacker)


def test_known_data_can_be_accepted(local: Shell) -> None:
    plant(data(local), "SELECT 0", "SET known 1")

    ran = local.orchestrate("server", "start", "--accept-data")

    assert ran.code == 0, ran.stderr
    assert (
        b"known"
        in next(data(local).glob("*/appendonlydir/*.incr.aof")).read_bytes()
    )


@pytest.mark.parametrize(
    "name",
    [
        "server.log",
        "server.lock",
        "server.stopped",
        "service.log",
        "service.lock",
    ],
)
def test_link_in_place_of_a_file_harms_nothing(
    local: Shell, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    data(local).mkdir(parents=True)
    (data(local) / name).symlink_to(victim)
    served = local.lacking("TASKORCH_SERVICE")

    started, stopped = (
        served.orchestrate("server", "start"),
        served.orchestrate("server", "stop"),
    )

    assert victim.read_text() == "precious"
    assert started.code == 5 or name == "server.stopped", started.stderr
    assert stopped.code in (0, 5)


@pytest.mark.parametrize("name", ["data", "run"])
def test_link_in_place_of_a_folder_is_refused(
    local: Shell, tmp_path: Path, name: str
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (local.folder / ".task-orchestrator").mkdir()
    (local.folder / ".task-orchestrator" / name).symlink_to(elsewhere)

    ran = local.orchestrate("project", "One")

    assert ran.code == 5
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("name", ["data", "handoffs", "workspace", "sync"])
def test_link_in_the_folder_is_refused_by_steps(
    shell: Shell, bench: Bench, tmp_path: Path, name: str
) -> None:
    item = bench.item()
    (shell.folder / ".task-orchestrator").mkdir()
    (shell.folder / ".task-orchestrator" / name).symlink_to(tmp_path)

    ran = shell.worker("get", item)

    assert ran.code == 5
    assert f"/{name} is a symbolic link" in ran.stderr
    assert bench.state(item) is State.QUEUED


@pytest.mark.parametrize(
    "place", ["run/unanswered", "run/unanswered/1a2b"], ids=["all", "one"]
)
def test_link_for_unanswered_requests_deletes_nothing(
    local: Shell, tmp_path: Path, place: str
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("old")
    os.utime(precious, (1, 1))
    link = local.folder / ".task-orchestrator" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path)

    ran = local.having(TASKORCH_REDIS_URL="redis://127.0.0.1:1").orchestrate(
        "project", "One"
    )

    assert ran.code == 4
    assert precious.read_text() == "old"
