"""The service beside the bundled server of a root: one process that holds a lock.

Its starter takes the lock and hands it to the new process, whose pid is in the file
from then on. So two starters start one service, and a command that stops the service
finds it immediately.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

from taskorch.bundled import process_record
from taskorch.bundled.process_record import ProcessRecord
from taskorch.config import files, root_folder
from taskorch.config.settings import Settings
from taskorch.domain import errors

ENDS_WITHIN_S = 10.0
POLL_S = 0.01
#: A process that has the lock has written its record after this time.
RECORDED_WITHIN_S = 2.0
#: The variable with the descriptor of the lock that the starter handed over.
LOCK_VARIABLE = "TASKORCH_SERVICE_LOCK"


def become(settings: Settings) -> int:
    """Make this process the service of the root; return the descriptor of its lock.

    Raises errors.RootNotWritable, and errors.ServiceRuns if there is another one.
    """
    try:
        root_folder.create(settings.folder)
        files.make_private_folder(settings.folder / "data")
        lock = _inherited_lock(settings) or _open_lock(settings)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    if not _take(lock, settings):
        os.close(lock)
        raise errors.ServiceRuns(root=str(settings.root), pid=pid(settings))
    process_record.write(lock, os.getpid())
    return lock


def is_current(settings: Settings, lock: int) -> bool:
    """Return whether a lock is still that of the root: its file may be another one."""
    try:
        return os.path.samestat(os.fstat(lock), _lock_file(settings).stat())
    except OSError:
        return False


def wanted(settings: Settings) -> bool:
    """Return whether a service belongs beside the bundled server of this root."""
    return settings.service and not settings.redis_url


def pid(settings: Settings) -> int:
    """Return the pid of the root's service, in its own pid namespace; 0 for none."""
    found = record(settings)
    return found.pid if found else 0


def record(settings: Settings) -> ProcessRecord | None:
    """Return the service of this root, if it is running."""
    deadline = monotonic() + RECORDED_WITHIN_S
    with suppress(OSError):
        lock = files.open_private(_lock_file(settings), os.O_RDONLY)
        try:
            while monotonic() < deadline:
                if files.take_lock(lock, shared=True):
                    return None
                if found := process_record.read(lock):
                    return found
                sleep(POLL_S)
        finally:
            os.close(lock)
    return None


def start(settings: Settings) -> None:
    """Start the service of this root in the background, unless it is running.

    Nothing happens if the settings want no service, name another Redis, or have no
    command line for it. Raises errors.RootNotWritable.
    """
    if not wanted(settings) or not settings.service_command:
        return
    try:
        lock = _open_lock(settings)
        try:
            if _take(lock, settings):
                process_record.write(lock, _launch(settings, lock))
        finally:
            os.close(lock)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None


def stop(settings: Settings) -> None:
    """Stop the service of this root after its current pass, if it is running.

    Only a process that is proven to be the service gets a signal. A service in another
    container ends by itself when its server was stopped; see await_end(). Raises
    errors.ServerFailed if it does not end.
    """
    running = record(settings)
    if running and running.send(signal.SIGTERM):
        _await_end_of(running, settings)


def await_end(settings: Settings) -> None:
    """Wait for the end of a service whose server was stopped.

    Raises errors.ServerFailed if it does not end.
    """
    if running := record(settings):
        _await_end_of(running, settings)


def _await_end_of(running: ProcessRecord, settings: Settings) -> None:
    deadline = monotonic() + ENDS_WITHIN_S
    while record(settings) == running:
        if monotonic() > deadline:
            reason = f"its service, pid {running.pid}, did not stop"
            raise errors.ServerFailed(
                reason=reason, log=str(_log_file(settings))
            )
        sleep(POLL_S)


def _launch(settings: Settings, lock: int) -> int:
    """Start the process of the service, hand it the lock, and return its pid."""
    environment = {
        **os.environ,
        "TASKORCH_ROOT": str(settings.root),
        "TASKORCH_NAMESPACE": settings.namespace,
        LOCK_VARIABLE: str(lock),
    }
    log = files.open_private(
        _log_file(settings), os.O_WRONLY | os.O_TRUNC | os.O_CREAT
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", *settings.service_command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=settings.folder,
            env=environment,
            start_new_session=True,
            pass_fds=[lock],
        )
    finally:
        os.close(log)
    return process.pid


def _take(lock: int, settings: Settings) -> bool:
    """Take the lock; return False if a service has it.

    A process that only looks has it for a moment.
    """
    deadline = monotonic() + RECORDED_WITHIN_S
    while not files.take_lock(lock):
        if pid(settings) or monotonic() > deadline:
            return False
        sleep(POLL_S)
    process_record.clear(lock)
    return True


def _inherited_lock(settings: Settings) -> int:
    """Return the lock that the starter handed over, or 0."""
    lock = int(os.environ.pop(LOCK_VARIABLE, "0"))
    if not lock or not is_current(settings, lock):
        return 0
    os.set_inheritable(lock, False)
    return lock


def _open_lock(settings: Settings) -> int:
    return files.open_private(_lock_file(settings), os.O_RDWR | os.O_CREAT)


def _lock_file(settings: Settings) -> Path:
    return settings.folder / "data" / "service.lock"


def _log_file(settings: Settings) -> Path:
    return settings.folder / "data" / "service.log"
