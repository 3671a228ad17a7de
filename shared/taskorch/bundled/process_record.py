"""Which process a lock file names. A pid alone may mean another process: later, in another container, on another host.

`<pid> <start time> <boot of the machine> <pid namespace>`, padded to one length: it can be replaced on a full disk
"""

import os
import signal
import subprocess
from contextlib import suppress
from functools import cache
from pathlib import Path

from taskorch.domain.frozen import Frozen

LENGTH = 200
UNKNOWN = "?"
_ANSWERS_WITHIN_S = 5


class ProcessRecord(Frozen):
    """A process, and what tells it from others that have its pid."""

    pid: int
    #: When it started, by the clock of its machine; UNKNOWN where nothing tells.
    started: str
    machine: str
    namespace: str

    @property
    def is_here(self) -> bool:
        """Return whether its pid has a meaning in this process: same machine, same boot, same pid namespace."""
        return (self.machine, self.namespace) == (_machine(), _namespace())

    @property
    def is_running(self) -> bool:
        """Return whether it is proven to be running here."""
        return (
            self.is_here
            and self.started != UNKNOWN
            and _started(self.pid) == self.started
        )

    def send(self, number: signal.Signals) -> bool:
        """Send it a signal if it is proven to be the process of the record; return whether it was."""
        if not self.is_running:
            return False
        try:
            descriptor = os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1
        except OSError:  # it has just ended, or the kernel has no such call
            descriptor = -1
        try:
            if (
                not self.is_running
            ):  # another process may have had the pid when it was opened
                return False
            if descriptor >= 0:
                signal.pidfd_send_signal(descriptor, number)
            else:
                os.kill(self.pid, number)
        except ProcessLookupError:
            return False
        finally:
            if descriptor >= 0:
                os.close(descriptor)
        return True


def write(descriptor: int, pid: int) -> None:
    """Let an open file name a process of this machine."""
    words = (str(pid), _started(pid), _machine(), _namespace())
    os.pwrite(descriptor, (" ".join(words).ljust(LENGTH - 1) + "\n").encode(), 0)


def clear(descriptor: int) -> None:
    """Let an open file name no process."""
    os.pwrite(descriptor, b" " * (LENGTH - 1) + b"\n", 0)


def read(descriptor: int) -> ProcessRecord | None:
    """Return the process that an open file names; None if it names none, or half of one."""
    words = os.pread(descriptor, LENGTH, 0).decode(errors="replace").split()
    if len(words) != len(ProcessRecord._names) or not words[0].isdecimal():  # noqa: SLF001  of a class of ours
        return None
    pid, started, machine, namespace = words
    return ProcessRecord(
        pid=int(pid), started=started, machine=machine, namespace=namespace
    )


def _started(pid: int) -> str:
    """Return when a process started, in one word; UNKNOWN if there is no such process, or nothing tells."""
    with suppress(OSError, IndexError):
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8", errors="replace")
            .rpartition(")")[2]
            .split()[19]
        )
    if Path("/proc/self").exists():
        return UNKNOWN
    with suppress(OSError, subprocess.SubprocessError):  # macOS
        words = ["ps", "-o", "lstart=", "-p", str(pid)]
        told = subprocess.run(
            words, capture_output=True, text=True, check=True, timeout=_ANSWERS_WITHIN_S
        ).stdout
        return "_".join(told.split()) or UNKNOWN
    return UNKNOWN


@cache
def _machine() -> str:
    """Return what tells this boot of this machine from others."""
    with suppress(OSError):
        return (
            Path("/proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
        )
    return os.uname().nodename


@cache
def _namespace() -> str:
    """Return the pid namespace of this process; UNKNOWN on a system that has none."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return UNKNOWN
