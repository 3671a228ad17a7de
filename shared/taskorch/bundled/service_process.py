"""The service beside the bundled server of a root: one process, which holds a lock as long as it lives.

Who starts it takes the lock, and leaves it to the new process: from that moment on there is one service, whose pid
stands in the file, so that two starters start one, and who stops it at once finds it.
"""

import fcntl
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
LOOK_AGAIN_S = 0.01
#: Who has the lock and has not said yet who it is will have within this time.
KNOWN_WITHIN_S = 2.0
#: The descriptor of the lock that the starter left to the service.
LEFT = "TASKORCH_SERVICE_LOCK"


def become(settings: Settings) -> int:
    """Be the service of this root until this process ends; return the descriptor of its lock.

    Raises errors.RootNotWritable, errors.ServiceRuns where another one is.
    """
    try:
        root_folder.create(settings.folder)
        files.make_private_folder(settings.folder / "data")
        lock = _left(settings) or _opened(settings)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None
    if not _taken(lock, settings):
        os.close(lock)
        raise errors.ServiceRuns(root=str(settings.root), pid=pid(settings))
    process_record.write(lock, os.getpid())
    return lock


def is_of(settings: Settings, lock: int) -> bool:
    """Return whether a lock is still the one of this root: its file may be gone, or another one."""
    try:
        return os.path.samestat(os.fstat(lock), _lock(settings).stat())
    except OSError:
        return False


def wanted(settings: Settings) -> bool:
    """Return whether a service belongs beside the bundled server of this root."""
    return settings.service and not settings.redis_url


def pid(settings: Settings) -> int:
    """Return the pid of the service of this root, in its own pid namespace; 0 when there is none."""
    found = record(settings)
    return found.pid if found else 0


def record(settings: Settings) -> ProcessRecord | None:
    """Return the service of this root; None when there is none."""
    deadline, found = monotonic() + KNOWN_WITHIN_S, None
    with suppress(OSError):
        lock = files.open_private(_lock(settings), os.O_RDONLY)
        try:
            while (
                not found
                and not _locked(lock, fcntl.LOCK_SH)
                and monotonic() < deadline
            ):
                found = process_record.read(lock)
                sleep(0 if found else LOOK_AGAIN_S)
        finally:
            os.close(lock)
    return found


def start(settings: Settings) -> None:
    """Start the service of this root in the background, unless it runs, is not wanted, or another Redis is named."""
    if not wanted(settings):
        return
    try:
        lock = _opened(settings)
        try:
            if _taken(lock, settings):
                process_record.write(lock, _launch(settings, lock))
        finally:
            os.close(lock)
    except OSError as error:
        raise files.root_not_writable(settings.root, error) from None


def stop(settings: Settings) -> None:
    """End the service of this root, its pass finished, if there is one. Raises errors.ServerFailed if it stays.

    Only a process that is proven to be the service gets a signal. One in another container is left alone: it ends by
    itself when its server has been stopped, see await_end().
    """
    running = record(settings)
    if running and running.send(signal.SIGTERM):
        _await_end_of(running, settings)


def await_end(settings: Settings) -> None:
    """Wait for the end of a service whose server has been stopped. Raises errors.ServerFailed if it stays."""
    if running := record(settings):
        _await_end_of(running, settings)


def _await_end_of(running: ProcessRecord, settings: Settings) -> None:
    deadline = monotonic() + ENDS_WITHIN_S
    while record(settings) == running:
        if monotonic() > deadline:
            log = str(settings.folder / "data" / "service.log")
            raise errors.ServerFailed(
                reason=f"its service, pid {running.pid}, did not stop", log=log
            )
        sleep(LOOK_AGAIN_S)


def _launch(settings: Settings, lock: int) -> int:
    """Start a process, leave it the lock, and return its pid."""
    environment = {
        "TASKORCH_ROOT": str(settings.root),
        "TASKORCH_NAMESPACE": settings.namespace,
        LEFT: str(lock),
    }
    output = files.open_private(
        settings.folder / "data" / "service.log", os.O_WRONLY | os.O_TRUNC | os.O_CREAT
    )
    try:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "taskorch_orchestrator.cli", "service"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd=settings.folder,
            env={**os.environ, **environment},
            start_new_session=True,
            pass_fds=[lock],
        )
    finally:
        os.close(output)
    return process.pid


def _taken(lock: int, settings: Settings) -> bool:
    """Return whether the lock is ours now; whoever only looks has it for a moment."""
    deadline = monotonic() + KNOWN_WITHIN_S
    while not _locked(lock, fcntl.LOCK_EX):
        if pid(settings) or monotonic() > deadline:
            return False
        sleep(LOOK_AGAIN_S)
    process_record.clear(lock)
    return True


def _locked(lock: int, how: int) -> bool:
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _left(settings: Settings) -> int:
    """Return the lock that was left to this process; 0 for a process that somebody started by hand."""
    descriptor = int(os.environ.pop(LEFT, "0"))
    if not descriptor or not os.path.samestat(
        os.fstat(descriptor), _lock(settings).stat()
    ):
        return 0
    os.set_inheritable(descriptor, False)
    return descriptor


def _opened(settings: Settings) -> int:
    return files.open_private(_lock(settings), os.O_RDWR | os.O_CREAT)


def _lock(settings: Settings) -> Path:
    return settings.folder / "data" / "service.lock"
