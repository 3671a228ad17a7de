"""`orchestrate board`: a gateway for one person, and the link that opens it."""

import os
import signal
import socket
import subprocess
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support import board_commands, gateways
from support.board_commands import Person, browser_that_notes
from support.commands import BIN, TIME_LIMIT_S, Shell, eventually, result_of
from support.topologies import free_ports

NO_DISPLAY = {
    "DISPLAY": "",
    "WAYLAND_DISPLAY": "",
    "SSH_CONNECTION": "",
    "BROWSER": "",
}


@pytest.fixture
def shell(shell: Shell) -> Shell:
    """Return a shell without a display."""
    return shell.having(**NO_DISPLAY)


@pytest.fixture
def port() -> str:
    return str(free_ports(1)[0])


def test_board_opens_a_browser_with_its_link(
    shell: Shell, port: str, tmp_path: Path
) -> None:
    browser, noted = browser_that_notes(tmp_path)

    with board_commands.running(
        shell.having(BROWSER=browser), "--port", port
    ) as board:
        eventually(noted.exists)
        eventually(noted.read_text)

        assert noted.read_text().strip() == board.link
        assert board.shown["started"]
        assert board.url == f"http://127.0.0.1:{port}"


def test_link_of_board_signs_in_once(shell: Shell, port: str) -> None:
    with board_commands.running(shell, "--port", port) as board:
        first, second, stranger = Person(), Person(), Person()

        opened = first.get(board.link)
        again = second.get(board.link)

        assert opened.status == 200
        assert first.get(board.url).status == 200
        assert again.status == 403
        assert "This sign-in link was used already" in again.text
        assert "<h1>This link no longer works</h1>" in again.text
        assert 'href="/sign-in">Sign in</a>' in again.text
        assert "orchestrate board" in again.text
        assert second.get(board.url).status == 401
        assert stranger.get(board.url).status == 401


def test_second_command_finds_the_running_board(
    shell: Shell, port: str
) -> None:
    with board_commands.running(shell, "--port", port) as board:
        found = shell.orchestrate("board", "--json", "--no-open").data()
        person = Person()
        person.get(found["link"])

        assert not found["started"]
        assert found["url"] == board.url
        assert found["pid"] == board.process.pid
        assert board.process.poll() is None
        assert person.get(board.url).status == 200


def test_board_uses_a_gateway_that_runs(shell: Shell) -> None:
    shell.orchestrate("project", "One")
    (shell.folder / ".task-orchestrator").mkdir(exist_ok=True)

    with gateways.running(shell) as gateway:
        # it listens a moment before it can be found
        assert Person().get(f"{gateway.url}/healthz").status == 200
        found = shell.orchestrate("board", "--json", "--no-open").data()

        assert not found["started"]
        assert found["pid"] == gateway.pid
        assert gateway.is_running()


def test_ctrl_c_ends_the_board_cleanly(shell: Shell, port: str) -> None:
    with board_commands.running(shell, "--port", port) as board:
        board.process.send_signal(signal.SIGINT)
        code, stderr = board.end()

    assert (code, stderr) == (0, "")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(port)), 10)


def test_board_without_a_reader_ends_cleanly(shell: Shell, port: str) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ran = subprocess.run(
            [
                *(BIN / "orchestrate", "board", "--json", "--no-open"),
                *("--port", port),
            ],
            cwd=shell.folder,
            env=shell.environment(),
            stdout=writes,
            stderr=subprocess.PIPE,
            timeout=TIME_LIMIT_S,
            check=False,
        )
    finally:
        os.close(writes)

    assert (ran.returncode, ran.stderr) == (0, b"")


def test_board_replaces_a_killed_one(shell: Shell, port: str) -> None:
    with board_commands.running(shell, "--port", port) as killed:
        person = Person()
        person.get(killed.link)
        killed.process.kill()
        killed.end()

        with board_commands.running(shell, "--port", port) as board:
            assert board.shown["started"]
            assert board.url == killed.url
            # an open page goes on with its session
            assert person.get(board.url).status == 200


def test_port_of_another_program_is_refused(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = str(other.getsockname()[1])
        refused = shell.orchestrate("--json", "board", "--port", taken)

    assert refused.code == 2
    assert refused.error()["code"] == "PORT_TAKEN"
    assert taken in refused.error()["message"]
    assert "another port" in refused.error()["hint"]


def test_board_finds_a_port_by_itself(shell: Shell) -> None:
    with ExitStack() as held:
        with suppress(OSError):  # another program has it already
            held.enter_context(socket.create_server(("127.0.0.1", 8650)))

        with board_commands.running(shell) as board:
            assert board.shown["started"]
            assert not board.url.endswith(":8650")
            assert Person().get(f"{board.url}/healthz").status == 200


def test_board_says_how_to_forward_its_port(shell: Shell, port: str) -> None:
    remote = shell.having(
        SSH_CONNECTION="198.51.100.7 50000 192.0.2.10 2222", USER="ada"
    )
    started = remote.start(BIN / "orchestrate", "board", "--port", port)
    assert started.stdout
    link = started.stdout.readline().strip()

    started.send_signal(signal.SIGINT)
    ended = result_of(started)

    assert link.startswith(f"http://127.0.0.1:{port}/sign-in?link=tok_")
    assert (
        f"ssh -N -L {port}:127.0.0.1:{port} -p 2222 ada@192.0.2.10"
        in ended.stderr
    )
    assert ended.stderr.endswith("The board has stopped.\n")


def test_board_of_a_remote_gateway_is_named(tmp_path: Path) -> None:
    browser, noted = browser_that_notes(tmp_path)
    client = Shell(
        tmp_path,
        {
            **NO_DISPLAY,
            "TASKORCH_URL": "https://queue.example:8650",
            "BROWSER": browser,
        },
    )

    shown = client.orchestrate("board")
    eventually(noted.exists)
    document = client.orchestrate("board", "--json", "--no-open").data()

    assert shown.stdout == "https://queue.example:8650\n"
    assert "access token" in shown.stderr
    assert document["link"] == ""
    assert not document["started"]


def test_board_without_a_queue_starts_nothing(tmp_path: Path) -> None:
    empty = Shell(tmp_path, {**NO_DISPLAY, "TASKORCH_ROOT": str(tmp_path)})

    refused = empty.orchestrate("--json", "board")

    assert refused.code == 3
    assert refused.error()["code"] == "NO_QUEUE"
    assert list(tmp_path.iterdir()) == []


def test_board_without_redis_names_its_address(shell: Shell) -> None:
    closed = f"redis://127.0.0.1:{free_ports(1)[0]}"

    refused = shell.having(TASKORCH_REDIS_URL=closed).orchestrate(
        "--json", "board", "--port", str(free_ports(1)[0])
    )

    assert refused.code == 4
    assert refused.error()["code"] == "UNREACHABLE"
    assert closed in refused.error()["message"]


@pytest.mark.parametrize("option", [(), ("--snapshot", "-")])
def test_board_without_its_extra_says_so(
    shell: Shell, option: tuple[str, ...], tmp_path: Path
) -> None:
    for module in ("uvicorn", "jinja2"):
        (tmp_path / f"{module}.py").write_text(
            f"raise ModuleNotFoundError({module!r})"
        )

    refused = shell.having(PYTHONPATH=str(tmp_path)).orchestrate(
        "--json", "board", *option
    )

    assert refused.code == 2
    assert "pipx install --force '.[gateway]'" in refused.error()["message"]


def test_viewer_link_gives_a_viewer(shell: Shell, port: str) -> None:
    with board_commands.running(
        shell, "--port", port, "--role", "viewer"
    ) as board:
        person = Person()
        person.get(board.link)
        tokens = shell.orchestrate("--json", "token", "list").data()

        assert [token["role"] for token in tokens] == ["viewer"]
        assert tokens[0]["created_by"] == "gateway"
