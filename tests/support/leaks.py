"""Leaks of a test: sockets, files, threads and processes that it does not close.

`tests/conftest.py` calls this after each test, so that the test that leaks fails.
"""

import gc
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from support.commands import alive, eventually
from support.hermetic import MARK
from taskorch.queue.renewal import FIRST_RENEWALS

#: The variable with which pytest names the running test to its processes.
CURRENT_TEST = b"PYTEST_CURRENT_TEST="
ENDED_WITHIN_S = 30
#: Running threads of fixtures that several tests share.
_SHARED: set[threading.Thread] = set()


@dataclass(frozen=True)
class Open:
    """The open descriptors and the running threads of this process."""

    descriptors: int
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> "Open":
        """Count the descriptors and threads now."""
        return cls(
            sum(1 for _ in Path("/dev/fd").iterdir()),
            frozenset(threading.enumerate()),
        )


@contextmanager
def shared(threads: set[threading.Thread]) -> Iterator[None]:
    """Let the threads of a fixture run until it ends; then they must end."""
    _SHARED.update(threads)
    try:
        yield
    finally:
        _SHARED.difference_update(threads)


def unclosed(before: Open) -> list[str]:
    """Return the new threads that still run, and unreferenced files left open.

    Referenced sockets may belong to a fixture that several tests share. The thread that
    waits for the first renewals of leases belongs to the process.
    """
    now = Open.now()
    threads = [
        f"{thread} still runs"
        for thread in now.threads - before.threads - _SHARED
        if thread.name != FIRST_RENEWALS and not _has_ended(thread)
    ]
    if now.descriptors <= before.descriptors:
        return threads
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        gc.collect()
    return threads + [
        str(warning.message)
        for warning in caught
        if warning.category is ResourceWarning
    ]


def running() -> list[str]:
    """Return the processes of tests that do not end, each with its test."""
    left = [(_description(process), process) for process in _started()]
    return [description for description, process in left if not _ends(process)]


def _has_ended(thread: threading.Thread) -> bool:
    thread.join(ENDED_WITHIN_S)
    return not thread.is_alive()


def _started() -> list[Path]:
    """Return the folders in /proc of the processes that have our mark."""
    mark = f"{MARK}={os.environ[MARK]}".encode()
    own = str(os.getpid())
    return [
        folder
        for folder in Path("/proc").glob("[0-9]*")
        if folder.name != own and mark in _environment(folder)
    ]


def _environment(process: Path) -> list[bytes]:
    try:
        return (process / "environ").read_bytes().split(b"\0")
    except OSError:  # it has just ended, or belongs to another user
        return []


def _description(process: Path) -> str:
    test = next(
        (
            word
            for word in _environment(process)
            if word.startswith(CURRENT_TEST)
        ),
        b"",
    )
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    name = test.removeprefix(CURRENT_TEST).decode()
    return f"{name}: {command.decode(errors='replace')}"


def _ends(process: Path) -> bool:
    try:
        eventually(
            lambda: not alive(int(process.name)), within_s=ENDED_WITHIN_S
        )
    except AssertionError:
        return False
    return True
