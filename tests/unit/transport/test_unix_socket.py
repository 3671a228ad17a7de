"""A server of another user at a Unix socket receives nothing."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from support.connections import connect
from taskorch.config.settings import resolve
from taskorch.connections import connect_to
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch.transport.failover import our_error, raw_client
from taskorch.transport.socket import connect_unix, peer_of

ANOTHER_USER = 12345
needs_root = pytest.mark.skipif(
    os.getuid() != 0, reason="only root can act as another user"
)
#: Listens as a user, and prints the first message of a client.
LISTENER = """
import os, socket, sys
listening = socket.socket(socket.AF_UNIX)
listening.bind(sys.argv[1])
os.setuid(int(sys.argv[2]))
listening.listen()
print("listening", flush=True)
client, _ = listening.accept()
print(client.recv(1000), flush=True)
"""

#: Checks as a user whether a socket's folder may be used, and prints the error.
ASKER = """
import os, sys
from taskorch.domain import errors
from taskorch.transport.socket import need_own_folder
os.setuid(int(sys.argv[2]))
try:
    need_own_folder(sys.argv[1])
except errors.ForeignServer as refusal:
    print(refusal)
"""


@contextmanager
def listener(path: Path, user: int) -> Iterator["subprocess.Popen[str]"]:
    """Run a process that listens at a socket as a user."""
    words = [sys.executable, "-c", LISTENER, str(path), str(user)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert received(process) == "listening"
            yield process
        finally:
            process.kill()


def received(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder with a short path, below one that every user can write to."""
    with tempfile.TemporaryDirectory(prefix="to-") as name:
        yield Path(name)


@pytest.fixture
def folder_of_services() -> Iterator[Path]:
    """A folder that only its owner can write to, as are all above it."""
    with tempfile.TemporaryDirectory(prefix="to-", dir="/run") as name:
        yield Path(name)


@pytest.fixture
def root(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A root with the folder of the bundled server's socket."""
    monkeypatch.setenv("TASKORCH_ROOT", str(place))
    (place / ".task-orchestrator" / "run").mkdir(parents=True, mode=0o700)
    return place


def queue(url: str) -> Queue:
    return Queue(
        connect(url, password="sesame", retries=0),
        "default",
        Caller(agent="planner"),
    )


def bundled_queue(root: Path) -> Queue:
    return Queue(
        connect_to(resolve({}, {"TASKORCH_ROOT": str(root)}, root)),
        "default",
        Caller(agent="planner"),
    )


@needs_root
def test_server_of_another_user_receives_nothing(place: Path) -> None:
    with listener(place / "s.sock", ANOTHER_USER) as process:
        with pytest.raises(errors.ForeignServer) as refusal:
            queue(f"unix://{place}/s.sock").project("Secret")

        assert received(process) == "b''"
    assert f"uid {ANOTHER_USER}" in str(refusal.value)
    assert "/run/redis" in refusal.value.hint()


@needs_root
def test_redis_py_sends_nothing_to_another_user(place: Path) -> None:
    with listener(place / "s.sock", ANOTHER_USER) as process:
        with (
            raw_client(f"unix://{place}/s.sock", "sesame") as client,
            pytest.raises(errors.ForeignServer),
        ):
            client.ping()

        assert received(process) == "b''"


@needs_root
def test_system_service_of_another_user_is_used(
    folder_of_services: Path,
) -> None:
    with listener(folder_of_services / "s.sock", ANOTHER_USER) as process:
        with pytest.raises(errors.Unreachable):
            queue(f"unix://{folder_of_services}/s.sock").project("One")

        assert "HELLO" in received(process)


def test_own_server_is_used_in_any_folder(place: Path) -> None:
    with listener(place / "s.sock", os.getuid()) as process:
        with pytest.raises(errors.Unreachable):
            queue(f"unix://{place}/s.sock").project("One")

        assert "HELLO" in received(process)


@needs_root
def test_bundled_server_of_another_user_receives_nothing(root: Path) -> None:
    with listener(
        root / ".task-orchestrator" / "run" / "server.sock", ANOTHER_USER
    ) as process:
        with pytest.raises(errors.ForeignServer) as refusal:
            bundled_queue(root).project("Secret")

        assert received(process) == "b''"
    assert "TASKORCH_ROOT" in refusal.value.hint()


@needs_root
def test_runtime_folder_of_another_user_is_refused(root: Path) -> None:
    run = root / ".task-orchestrator" / "run"
    os.chown(run, ANOTHER_USER, ANOTHER_USER)

    with pytest.raises(
        errors.ForeignServer,
        match=f"{run} is not used: it belongs to another user",
    ):
        bundled_queue(root).project("One")


@needs_root
def test_user_who_cannot_enter_sees_whose_it_is(root: Path) -> None:
    root.chmod(0o755)
    path = root / ".task-orchestrator" / "run" / "server.sock"

    ran = subprocess.run(
        [sys.executable, "-c", ASKER, str(path), str(ANOTHER_USER)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert (
        f"{path.parent} is not used: it belongs to another user (uid 0)"
        in ran.stdout
    )


def test_runtime_folder_that_is_a_link_is_refused(
    root: Path, tmp_path: Path
) -> None:
    run = root / ".task-orchestrator" / "run"
    run.rmdir()
    run.symlink_to(tmp_path)

    with pytest.raises(
        errors.ForeignServer, match="is not used: it is a symbolic link"
    ):
        bundled_queue(root).project("One")


def test_socket_that_is_a_link_receives_nothing(root: Path) -> None:
    with listener(root / "s.sock", os.getuid()) as process:
        (root / ".task-orchestrator" / "run" / "server.sock").symlink_to(
            root / "s.sock"
        )

        with pytest.raises(
            errors.ForeignServer, match="is not used: it is a symbolic link"
        ):
            bundled_queue(root).project("One")

        process.kill()
        assert received(process) == ""


def test_runtime_folder_is_made_private_by_a_client(root: Path) -> None:
    run = root / ".task-orchestrator" / "run"
    run.chmod(0o777)

    with pytest.raises(errors.Unreachable):
        bundled_queue(root).project("One")

    assert run.stat().st_mode & 0o777 == 0o700


def test_peer_is_the_process_that_listens(place: Path) -> None:
    with listener(place / "s.sock", os.getuid()) as process:
        with connect_unix(str(place / "s.sock"), 1, private=False) as opened:
            peer = peer_of(opened)

        assert peer == (process.pid, os.getuid())


@pytest.mark.skipif(os.getuid() == 0, reason="no mode keeps root out")
def test_mode_that_keeps_the_user_out_is_named(place: Path) -> None:
    with listener(place / "s.sock", os.getuid()):
        (place / "s.sock").chmod(0)

        with pytest.raises(errors.NotPermitted) as refusal:
            queue(f"unix://{place}/s.sock").project("One")

    assert "unixsocketperm" in refusal.value.hint()
    assert isinstance(refusal.value, errors.Unavailable)
    assert not refusal.value.retryable


@pytest.mark.parametrize("number", [1, 13])
def test_error_number_of_redis_py_is_read(number: int) -> None:
    told = our_error(
        redis.ConnectionError(f"Error {number} connecting to db:6379. No."),
        "redis+cluster://db:6379",
    )

    assert isinstance(told, errors.NotPermitted)


def test_certificate_error_is_not_taken_for_a_sandbox() -> None:
    reason = "Error 1 connecting to db:6379. [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed"

    told = our_error(redis.ConnectionError(reason), "rediss+cluster://db:6379")

    assert isinstance(told, errors.Untrusted)
