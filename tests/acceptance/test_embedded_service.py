"""The service starts and ends with the bundled server, and there is one of each."""

import os
import signal
import subprocess
from functools import partial
from typing import Any

import pytest
from support import services
from support.commands import (
    BIN,
    SOON_S,
    Shell,
    alive,
    discard,
    eventually,
    result_of,
)
from support.services import handoff_items, progress_messages
from taskorch_orchestrator.service.service import SERVER_LOST_S


@pytest.fixture
def served(local: Shell) -> Shell:
    """A folder for a server with a service, which are stopped after the test."""
    return local.lacking("TASKORCH_SERVICE")


def status(shell: Shell) -> dict[str, Any]:
    """Return the result of `orchestrate server status`."""
    result: dict[str, Any] = shell.orchestrate(
        "server", "status", "--json"
    ).data()
    return result


def is_gone(before: dict[str, Any]) -> bool:
    """Return whether the server and service of an earlier status have ended."""
    return not alive(before["pid"]) and not alive(before["service_pid"])


def kill(pid: int) -> None:
    """Kill a process of this test, and wait until it has ended."""
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: not alive(pid))


def create_item(shell: Shell) -> str:
    """Create an item of ada in a new project, and return its id."""
    project = shell.orchestrate("project", "One").stdout.strip()
    return shell.orchestrate(
        "create", project, "Two", "--assign", "ada"
    ).stdout.strip()


def test_first_command_starts_server_and_service(served: Shell) -> None:
    first = create_item(served)

    running, shown = (
        status(served),
        served.orchestrate("server", "status").stdout,
    )

    assert alive(running["pid"])
    assert alive(running["service_pid"])
    assert f"service pid {running['service_pid']}" in shown
    eventually(lambda: handoff_items(served.folder) == {first})
    served.worker("progress", first, "half of it")
    eventually(
        lambda: progress_messages(served.folder, first) == ["half of it"]
    )


def test_stopped_server_ends_its_service(served: Shell) -> None:
    first = create_item(served)
    before = status(served)

    stopped = served.orchestrate("server", "stop", "--json").data()

    assert (stopped["running"], stopped["pid"], stopped["service_pid"]) == (
        False,
        0,
        0,
    )
    eventually(lambda: is_gone(before))
    assert status(served) == stopped
    served.orchestrate("server", "start")
    eventually(lambda: handoff_items(served.folder) == {first})
    assert status(served)["service_pid"] != before["service_pid"]


def test_immediate_stop_leaves_nothing_running(
    served: Shell,
) -> None:
    for _ in range(3):
        served.orchestrate("server", "start")
        before = status(served)

        served.orchestrate("server", "stop")

        eventually(partial(is_gone, before))
        assert status(served)["running"] is False


@pytest.mark.parametrize("number", [2, 6])
def test_concurrent_first_commands_start_one_service(
    served: Shell, number: int
) -> None:
    processes = [
        served.start(BIN / "orchestrate", "project", f"Number {n}")
        for n in range(number)
    ]
    runs = [result_of(process) for process in processes]

    assert [run.code for run in runs] == [0] * number
    assert _services_of(served) == [status(served)["service_pid"]]


def _services_of(shell: Shell) -> list[int]:
    """Return the pids of the services of a root."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid=,args="],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    pids = [
        int(line.split()[0])
        for line in listed.splitlines()
        if "taskorch_orchestrator.cli service" in line
    ]
    return [
        pid
        for pid in pids
        if _variable(pid, "TASKORCH_ROOT") == str(shell.folder)
    ]


def _variable(pid: int, name: str) -> str:
    try:
        with open(f"/proc/{pid}/environ", encoding="utf-8") as file:  # noqa: PTH123
            return dict(
                pair.partition("=")[::2] for pair in file.read().split("\0")
            ).get(name, "")
    except OSError:
        return ""


def test_service_can_be_turned_off(local: Shell) -> None:
    local.orchestrate("server", "start")

    assert status(local)["running"]
    assert status(local)["service_pid"] == 0
    assert _services_of(local) == []


def test_config_file_turns_the_service_off(served: Shell) -> None:
    (served.folder / ".task-orchestrator").mkdir()
    (served.folder / ".task-orchestrator" / "config.toml").write_text(
        'service = "off"'
    )

    served.orchestrate("server", "start")

    assert status(served)["service_pid"] == 0


def test_service_survives_a_restart_of_the_server(
    served: Shell,
) -> None:
    first = create_item(served)
    before = status(served)
    eventually(lambda: handoff_items(served.folder) == {first})

    kill(before["pid"])
    second = create_item(served)

    eventually(lambda: handoff_items(served.folder) == {first, second})
    after = status(served)
    assert after["pid"] != before["pid"]
    assert after["service_pid"] == before["service_pid"]


def test_service_ends_when_its_server_stays_unreachable(served: Shell) -> None:
    served.orchestrate("server", "start")
    file = served.folder / ".task-orchestrator" / "data" / "service.log"
    # A service that is still starting would start the server again.
    eventually(lambda: "started" in file.read_text())
    before = status(served)

    kill(before["pid"])
    # It ends after SERVER_LOST_S seconds.
    eventually(lambda: not alive(before["service_pid"]))

    log = file.read_text()
    assert SERVER_LOST_S < SOON_S
    assert status(served) == {
        **before,
        "running": False,
        "pid": 0,
        "service_pid": 0,
    }
    assert "stopped" in log
    assert "Traceback" not in log


def test_worker_command_restarts_server_and_service(served: Shell) -> None:
    create_item(served)
    before = status(served)
    kill(before["service_pid"])
    kill(before["pid"])

    served.worker("check")

    after = status(served)
    assert after["running"]
    assert alive(after["service_pid"])


def test_server_start_restarts_a_killed_service(
    served: Shell,
) -> None:
    first = create_item(served)
    before = status(served)
    kill(before["service_pid"])
    gone = status(served)["service_pid"]

    started = served.orchestrate("server", "start", "--json").data()

    assert gone == 0
    assert started["pid"] == before["pid"]
    assert alive(started["service_pid"])
    assert started["service_pid"] != before["service_pid"]
    eventually(lambda: handoff_items(served.folder) == {first})


def test_missing_service_is_reported_until_it_returns(served: Shell) -> None:
    served.orchestrate("server", "start")
    kill(status(served)["service_pid"])

    shown, missing = (
        served.orchestrate("server", "status").stdout,
        status(served),
    )
    served.orchestrate("server", "start")

    assert "\nno service: orchestrate server start\n" in shown
    assert (missing["service_pid"], missing["service_wanted"]) == (0, True)
    assert "no service" not in served.orchestrate("server", "status").stdout


def test_unwanted_service_is_not_reported_missing(local: Shell) -> None:
    local.orchestrate("server", "start")

    assert "no service" not in local.orchestrate("server", "status").stdout
    assert not status(local)["service_wanted"]


def delete(shell: Shell, name: str = "") -> None:
    """Delete a root or a folder of it atomically."""
    discard(shell.folder / name, shell.folder)


def test_deleted_root_stays_deleted(
    served: Shell,
) -> None:
    first = create_item(served)
    before = status(served)
    eventually(lambda: handoff_items(served.folder) == {first})

    delete(served)

    eventually(lambda: is_gone(before))
    assert not served.folder.exists()
    served.folder.mkdir()
    assert (
        served.orchestrate("projects", "--json").error()["code"] == "NO_QUEUE"
    )


@pytest.mark.parametrize(
    "name", [".task-orchestrator", ".task-orchestrator/data"]
)
def test_deleted_folder_ends_server_and_service(
    served: Shell, name: str
) -> None:
    first = create_item(served)
    before = status(served)
    eventually(lambda: handoff_items(served.folder) == {first})

    delete(served, name)

    eventually(lambda: is_gone(before))


def test_new_root_at_a_deleted_path_works(
    served: Shell,
) -> None:
    first = create_item(served)
    before = status(served)
    eventually(lambda: handoff_items(served.folder) == {first})

    delete(served)
    served.folder.mkdir()
    second = create_item(served)
    after = status(served)

    eventually(lambda: is_gone(before))
    assert status(served) == after
    assert after["service_pid"] != before["service_pid"]
    assert _services_of(served) == [after["service_pid"]]
    eventually(lambda: handoff_items(served.folder) == {second})


def test_manual_service_ends_with_its_folder(local: Shell) -> None:
    with services.running(local, "--no-rq") as [service]:
        local.orchestrate("server", "start")
        before = status(local)

        delete(local)
        code = service.exit_code()

        eventually(lambda: is_gone(before))
        local.folder.mkdir()
        assert code == 0
        assert "The folder of the bundled server was deleted" in service.log()


def test_second_service_is_refused(served: Shell) -> None:
    served.orchestrate("server", "start")
    pid = status(served)["service_pid"]

    ran, error = (
        served.orchestrate("service"),
        served.orchestrate("service", "--no-rq", "--json").error(),
    )

    assert ran.code == 6
    assert (
        f"The service of {served.folder} is already running (pid {pid})."
        in ran.stderr
    )
    assert error["code"] == "SERVICE_RUNS"
    assert alive(pid)


def test_manual_service_is_the_one_of_the_server(local: Shell) -> None:
    with services.running(local) as [service]:
        first = create_item(local)
        eventually(lambda: handoff_items(local.folder) == {first})
        before = status(local)
        refused = local.orchestrate("service")

        local.orchestrate("server", "stop")
        code = service.exit_code()

    assert before["service_pid"] == service.pid
    assert (refused.code, code) == (6, 0)
    eventually(lambda: not alive(before["pid"]))
