"""What a test leaves behind, found while it is known which test it was: sockets and files, threads, processes."""

import gc
import os
import threading
import warnings
from dataclasses import dataclass
from pathlib import Path

from support.commands import alive, eventually
from support.hermetic import MARK

#: Which test starts a process: pytest says it in the environment.
CURRENT_TEST = b"PYTEST_CURRENT_TEST="
ENDED_WITHIN_S = 10


@dataclass(frozen=True)
class Open:
    """What is open in this process."""

    descriptors: int
    threads: frozenset[threading.Thread]

    @classmethod
    def now(cls) -> "Open":
        """Return what is open now."""
        return cls(
            sum(1 for _ in Path("/dev/fd").iterdir()), frozenset(threading.enumerate())
        )


def unclosed(before: Open) -> list[str]:
    """Return the threads that were started since and still run, and what nobody refers to and nobody has closed.

    Sockets that somebody refers to are not named: those of a fixture that several tests share.
    """
    now = Open.now()
    threads = [
        f"{thread} still runs"
        for thread in now.threads - before.threads
        if not _has_ended(thread)
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
    """Return the processes that tests of this process have started and that do not end, each with its test."""
    return [
        words
        for process in _started()
        if (words := _description(process)) and not _ends(process)
    ]


def _has_ended(thread: threading.Thread) -> bool:
    thread.join(ENDED_WITHIN_S)
    return not thread.is_alive()


def _started() -> list[Path]:
    """Return the folders of processes that have the mark of this one; those of other systems cannot be seen."""
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
    except OSError:  # it has just ended, or is another user's
        return []


def _description(process: Path) -> str:
    test = next(
        (word for word in _environment(process) if word.startswith(CURRENT_TEST)), b""
    )
    command = (process / "cmdline").read_bytes().replace(b"\0", b" ")
    return f"{test.removeprefix(CURRENT_TEST).decode()}: {command.decode(errors='replace')}"


def _ends(process: Path) -> bool:
    try:
        eventually(lambda: not alive(int(process.name)), within_s=ENDED_WITHIN_S)
    except AssertionError:
        return False
    return True
