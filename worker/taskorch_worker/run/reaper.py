"""Ends what a killed `worker run` leaves behind, in a process of its own.

The run writes `+GROUP` and `-GROUP` to a pipe whose other end only the reaper has. When
the run ends, in any way, the pipe does. The reaper then terminates the process groups
that are left, and removes the temporary folder. It runs as a script.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, sleep

POLL_S = 0.05
#: The processes of another user cannot be stopped, and may go on to start others.
MOST_LOOKS = 10
#: A folder that cannot exist.
NO_FOLDER = Path("/dev/null/none")
#: A process as its pid and its start time. A pid alone may be used again.
Process = tuple[int, str]


class Reaper:
    """The reaper's process, as the run sees it."""

    def __init__(self, folder: Path, grace_s: float) -> None:
        """Start it. It deletes `folder`; `grace_s` is from SIGTERM to SIGKILL."""
        self._process = subprocess.Popen(
            [sys.executable, "-IS", __file__, str(folder), str(grace_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Register a process group, to be terminated if this process is killed."""
        self._write(f"+{group}\n")

    @contextmanager
    def watching(self, group: int) -> Iterator[None]:
        """Register a process group for a block."""
        self.watch(group)
        try:
            yield
        finally:
            self.forget(group)

    def forget(self, group: int) -> None:
        """Unregister a process group that has ended."""
        self._write(f"-{group}\n")

    def close(self) -> None:
        """End it, when no group is left to watch."""
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _write(self, line: str) -> None:
        # A reaper that was killed is not replaced: the leases still expire.
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.write(line.encode())


@contextmanager
def reaping(grace_s: float) -> Iterator[Reaper]:
    """Start a reaper for a block, without a folder to delete."""
    reaper = Reaper(NO_FOLDER, grace_s)
    try:
        yield reaper
    finally:
        reaper.close()


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return False if there is no such group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def stop_command(
    group: int, known: frozenset[Process] = frozenset()
) -> frozenset[Process]:
    """Stop a command and the processes below it, which are returned; only on Linux.

    They may be in other process groups: agent programs start each shell command in a
    session of its own, and leave it running when they are terminated. `known` are those
    that were below it before. SIGKILL or SIGCONT must follow.

    One that ran could start another one after the look. Linux lets a process that gets
    a signal end no fork: a new process is seen, or is not made.
    """
    below = known
    signal_group(group, signal.SIGSTOP)
    signal_processes(known, signal.SIGSTOP)
    for _ in range(MOST_LOOKS):
        new = _processes_below(group, below) - below
        if not new:
            break
        signal_processes(new, signal.SIGSTOP)
        below |= new
    return below


def terminate_command(group: int) -> frozenset[Process]:
    """Send SIGTERM to a command and the processes below it, which are returned."""
    below = stop_command(group)
    for number in (signal.SIGTERM, signal.SIGCONT):
        signal_group(group, number)
        signal_processes(below, number)
    return below


def kill_command(group: int, known: frozenset[Process] = frozenset()) -> None:
    """Send SIGKILL to a command, and to all processes that are or were below it."""
    below = stop_command(group, known)
    signal_group(group, signal.SIGKILL)
    signal_processes(below, signal.SIGKILL)


def _processes_below(
    group: int, known: frozenset[Process]
) -> frozenset[Process]:
    """Return the children of a command and of known processes, their children, and so on."""
    children: dict[int, list[Process]] = {}
    running: set[Process] = set()
    for process, parent in _processes():
        running.add(process)
        children.setdefault(parent, []).append(process)
    below: set[Process] = set()
    parents = [group, *(pid for pid, _ in known & running)]
    while parents:
        found = children.pop(parents.pop(), [])
        below.update(found)
        parents += [each for each, _ in found]
    return frozenset(below)


def signal_processes(processes: Collection[Process], number: int) -> None:
    """Send a signal to those processes that still exist."""
    if not processes:
        return
    running = {process for process, _ in _processes()}
    for process in running.intersection(processes):
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process[0], number)


def main(folder: str, grace_s: str) -> None:
    """Read process groups until stdin ends, then terminate them and clean up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        sign, group = line[0], int(line[1:])
        if sign == "+":
            groups.add(group)
        else:
            groups.discard(group)
    _terminate(groups, float(grace_s))
    shutil.rmtree(folder, ignore_errors=True)


def _terminate(groups: Collection[int], grace_s: float) -> None:
    deadline = monotonic() + grace_s
    below = {group: terminate_command(group) for group in groups}
    left = list(groups)
    while left and monotonic() < deadline:
        sleep(POLL_S)
        left = [group for group in left if signal_group(group, 0)]
    for group in groups:
        kill_command(group, below[group])


def _processes() -> Iterator[tuple[Process, int]]:
    """Yield each process of this machine with the pid of its parent."""
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            status = (folder / "stat").read_bytes()
            # The name of the command, in parentheses, may have any characters.
            fields = status.rpartition(b")")[2].split()
            parent, started = int(fields[1]), fields[19].decode()
            yield (int(folder.name), started), parent


if __name__ == "__main__":
    main(*sys.argv[1:])
