"""`server list` and `server stop --all`: the bundled servers of all roots of a user."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.commands import Shell, alive, eventually
from taskorch.bundled import process_record
from taskorch.config import files


@pytest.fixture
def two(local: Shell) -> Iterator[tuple[Shell, Shell]]:
    """Return two roots whose servers run."""
    folder = Path(tempfile.mkdtemp(prefix="to-"))
    other = local.within(folder)
    for shell in (local, other):
        assert shell.orchestrate("project", "x").code == 0
    yield local, other
    other.orchestrate("server", "stop")
    shutil.rmtree(folder, ignore_errors=True)


def pid_of(shell: Shell) -> int:
    pid: int = shell.orchestrate("server", "status", "--json").data()["pid"]
    return pid


def test_list_shows_servers_of_all_roots(two: tuple[Shell, Shell]) -> None:
    here, other = two
    other.orchestrate("server", "stop")

    ran = here.orchestrate("server", "list")

    rows = {line.split()[-1]: line.split() for line in ran.stdout.splitlines()}
    assert rows[str(here.folder)][:2] == ["running", str(pid_of(here))]
    assert rows[str(other.folder)][:2] == ["stopped", "-"]
    assert ran.stderr == ""


def test_list_is_empty_for_a_new_user(shell: Shell) -> None:
    ran = shell.orchestrate("server", "list")

    assert (ran.code, ran.stdout) == (0, "")
    assert ran.stderr == "You have no bundled server.\n"


def test_list_reports_roots_that_are_gone(two: tuple[Shell, Shell]) -> None:
    here, other = two
    other.orchestrate("server", "stop")
    shutil.rmtree(other.folder)

    ran = here.orchestrate("server", "list")
    document = here.orchestrate("server", "list", "--json").json()
    other.folder.mkdir()

    assert str(other.folder) not in ran.stdout
    assert ran.stderr == "Not listed: 1 root that no longer exists.\n"
    assert document["meta"] == {"gone": [str(other.folder)]}
    assert [each["root"] for each in document["data"]] == [str(here.folder)]


def test_stop_all_ends_every_server(two: tuple[Shell, Shell]) -> None:
    pids = [pid_of(shell) for shell in two]

    ran = two[0].orchestrate("server", "stop", "--all", "--json")

    assert {each["root"] for each in ran.data() if each["stopped"]} == {
        str(shell.folder) for shell in two
    }
    eventually(lambda: not any(map(alive, pids)))


def test_stop_all_spares_process_with_reused_pid(
    two: tuple[Shell, Shell],
) -> None:
    here, other = two
    here.orchestrate("server", "stop")
    lock = files.open_private(
        here.folder / ".task-orchestrator" / "data" / "server.lock", os.O_RDWR
    )
    stranger = subprocess.Popen(["sleep", "60"])
    try:
        assert files.take_lock(lock)
        process_record.write(lock, os.getpid())
        _, *rest = os.pread(lock, process_record.LENGTH, 0).split()
        record = b" ".join([str(stranger.pid).encode(), *rest])
        os.pwrite(lock, record.ljust(process_record.LENGTH), 0)

        ran = other.orchestrate("server", "stop", "--all")

        assert ran.code == 4
        assert f"{here.folder}: The bundled server is running" in ran.stdout
        rows = [line.split() for line in ran.stdout.splitlines()]
        assert ["stopped", "now", "-", "-", str(other.folder)] in rows
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
        os.close(lock)


def test_stop_says_whether_a_server_ran(local: Shell) -> None:
    local.orchestrate("project", "x")

    first = local.orchestrate("server", "stop")
    second = local.orchestrate("server", "stop")

    assert (first.code, first.stdout) == (
        0,
        f"Stopped the bundled server of {local.folder}.\n",
    )
    assert (second.code, second.stdout) == (
        0,
        f"The bundled server of {local.folder} was not running.\n",
    )
