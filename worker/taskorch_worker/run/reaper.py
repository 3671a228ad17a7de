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
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from time import monotonic, sleep

POLL_S = 0.05


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

    def forget(self, group: int) -> None:
        """Unregister a process group that has ended."""
        self._write(f"-{group}\n")

    def _write(self, line: str) -> None:
        # A reaper that was killed is not replaced: the leases still expire.
        with suppress(BrokenPipeError):
            if self._process.stdin:
                self._process.stdin.write(line.encode())


def signal_group(group: int, number: int) -> bool:
    """Send a signal to a process group; return False if there is no such group."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


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
    left = _signal_groups(groups, signal.SIGTERM)
    while left and monotonic() < deadline:
        sleep(POLL_S)
        left = _signal_groups(left, 0)
    _signal_groups(left, signal.SIGKILL)


def _signal_groups(groups: Collection[int], number: int) -> list[int]:
    """Send a signal to process groups, and return those that still exist."""
    return [group for group in groups if signal_group(group, number)]


if __name__ == "__main__":
    main(*sys.argv[1:])
