"""The gateway of a root: its process and its address, in a file that it locks.

So `orchestrate board` finds the gateway that runs, and ignores what a killed one left.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

from taskorch.bundled import process_record
from taskorch.config import files
from taskorch.config.settings import Settings
from taskorch.domain.frozen import Frozen
from taskorch.transport import address

#: Maximum number of bytes of what follows the process in the file.
LONGEST = 4096
#: A process that only looks has the lock for a moment.
LOOKED_WITHIN_S = 2.0
POLL_S = 0.01
#: What a gateway that browsers of this machine reach has as its address.
_LOOPBACK = r"http://(127\.[0-9.]+|\[::1\]|localhost):[0-9]{1,5}"


class RunningGateway(Frozen):
    """A gateway that runs here."""

    pid: int
    url: str


@contextmanager
def recorded(settings: Settings, url: str) -> Iterator[None]:
    """Record this process as the gateway of its root while the block runs.

    Nothing is recorded if another one is, if the root has no folder that can be written
    to, and for an address that is not on loopback.
    """
    lock = _taken_lock(settings, url)
    if lock is None:
        yield
        return
    try:
        details = {"url": url, "queue": _queue(settings)}
        os.ftruncate(lock, 0)
        os.pwrite(lock, json.dumps(details).encode(), process_record.LENGTH)
        process_record.write(lock, os.getpid())
        yield
    finally:
        with suppress(OSError):
            os.ftruncate(lock, 0)
        os.close(lock)


def find(settings: Settings) -> RunningGateway | None:
    """Return the recorded gateway of the root and its queue, if it runs.

    A record counts if a process of this user holds its lock, and is proven to be the
    one that wrote it: a checkout may have brought the file.
    """
    try:
        descriptor = files.open_private(_file(settings), os.O_RDONLY)
    except OSError:
        return None
    try:
        if files.take_lock(descriptor, shared=True):
            return None
        process = process_record.read(descriptor)
        written = os.pread(descriptor, LONGEST, process_record.LENGTH)
        owner = os.fstat(descriptor).st_uid
    finally:
        os.close(descriptor)
    url = _url_in(written, settings)
    if not process or not process.is_running or owner != os.getuid():
        return None
    return RunningGateway(pid=process.pid, url=url) if url else None


def _taken_lock(settings: Settings, url: str) -> int | None:
    """Return the descriptor of the locked file, None if there is nothing to record."""
    if not settings.has_folder or not re.fullmatch(_LOOPBACK, url):
        return None
    try:
        lock = files.open_private(_file(settings), os.O_RDWR | os.O_CREAT)
    except OSError:
        return None
    deadline = monotonic() + LOOKED_WITHIN_S
    while not files.take_lock(lock):
        if find(settings) or monotonic() > deadline:
            os.close(lock)
            return None
        sleep(POLL_S)
    return lock


def _url_in(written: bytes, settings: Settings) -> str:
    """Return the address in a record of this queue; "" for none."""
    try:
        details = json.loads(written)
        url, queue = str(details["url"]), details["queue"]
    except (ValueError, TypeError, KeyError):
        return ""
    is_ours = queue == _queue(settings) and re.fullmatch(_LOOPBACK, url)
    return url if is_ours else ""


def _queue(settings: Settings) -> str:
    """Return which Redis the queue is in, without its password."""
    return address.redacted(address.url_of(settings))


def _file(settings: Settings) -> Path:
    return settings.folder / f"gateway-{settings.namespace}.lock"
