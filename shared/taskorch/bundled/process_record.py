"""The process that a lock file names.

A pid alone may mean another process: later, in another container, or on another host.
So the file holds `<pid> <start time> <boot of the machine> <pid namespace>`. It is
padded to one length, so that it can be replaced on a full disk.
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
PS_TIMEOUT_S = 5


class ProcessRecord(Frozen):
    """A process, and what distinguishes it from others with its pid."""

    pid: int
    #: When it started, on the clock of its machine; UNKNOWN if that cannot be found.
    started: str
    machine: str
    namespace: str

    @property
    def is_here(self) -> bool:
        """Whether the pid is valid here: same machine, same boot, same pid namespace."""
        return (self.machine, self.namespace) == (_machine(), _namespace())

    @property
    def is_running(self) -> bool:
        """Whether the process is proven to be running here."""
        if not self.is_here or self.started == UNKNOWN:
            return False
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> bool:
        """Send a signal if this is proven to be the process; return whether it was."""
        if not self.is_running:
            return False
        try:
            descriptor = (
                os.pidfd_open(self.pid) if hasattr(os, "pidfd_open") else -1
            )
        except OSError:  # it has just ended, or the kernel has no such call
            descriptor = -1
        try:
            # Checked again: another process may have had the pid when it was opened.
            if not self.is_running:
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
    """Make an open file name a process of this machine."""
    words = (str(pid), _started(pid), _machine(), _namespace())
    _replace(descriptor, " ".join(words))


def clear(descriptor: int) -> None:
    """Make an open file name no process."""
    _replace(descriptor, "")


def read(descriptor: int) -> ProcessRecord | None:
    """Return the process that an open file names; None if it names none completely."""
    content = os.pread(descriptor, LENGTH, 0)
    words = content.decode(errors="replace").split()
    try:
        pid, started, machine, namespace = words
    except ValueError:
        return None
    if not pid.isdecimal():
        return None
    return ProcessRecord(
        pid=int(pid), started=started, machine=machine, namespace=namespace
    )


def _replace(descriptor: int, text: str) -> None:
    line = text.ljust(LENGTH - 1) + "\n"
    os.pwrite(descriptor, line.encode(), 0)


def _started(pid: int) -> str:
    """Return when a process started, in one word; UNKNOWN if that cannot be found."""
    with suppress(OSError, IndexError):
        stat = Path(f"/proc/{pid}/stat").read_text(
            encoding="utf-8", errors="replace"
        )
        return stat.rpartition(")")[2].split()[19]
    if Path("/proc/self").exists():
        return UNKNOWN
    # macOS
    with suppress(OSError, subprocess.SubprocessError):
        command = ["ps", "-o", "lstart=", "-p", str(pid)]
        output = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=True,
            timeout=PS_TIMEOUT_S,
        ).stdout
        return "_".join(output.split()) or UNKNOWN
    return UNKNOWN


@cache
def _machine() -> str:
    """Return an id of this boot of this machine."""
    with suppress(OSError):
        boot_id = Path("/proc/sys/kernel/random/boot_id")
        return boot_id.read_text(encoding="utf-8").strip()
    return os.uname().nodename


@cache
def _namespace() -> str:
    """Return the pid namespace of this process; UNKNOWN if the system has none."""
    with suppress(OSError):
        return str(Path("/proc/self/ns/pid").readlink())
    return UNKNOWN
