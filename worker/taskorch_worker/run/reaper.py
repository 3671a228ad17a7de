"""Ends what a killed `worker run` leaves behind: a process of its own, which notices the end of its starter.

It reads `+GROUP` and `-GROUP` from a pipe, whose other end only its starter has. However that ends, the pipe does; the
groups of processes that are left then are stopped, and the folder of the run is removed. It runs as a script.
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

LOOK_AGAIN_S = 0.05


class Reaper:
    """The guard of this process, and what it has to end."""

    def __init__(self, folder: Path, grace_s: float) -> None:
        """Remove `folder` at the end; a group has `grace_s` seconds from SIGTERM to SIGKILL."""
        words = [sys.executable, "-IS", __file__, str(folder), str(grace_s)]
        nowhere = subprocess.DEVNULL
        self._process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=nowhere,
            stderr=nowhere,
            cwd="/",
            bufsize=0,
            start_new_session=True,
        )

    def watch(self, group: int) -> None:
        """Let a group of processes end with this process."""
        self._tell(f"+{group}\n")

    def forget(self, group: int) -> None:
        """Leave a group alone from now on: it has ended."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._process.stdin:
            with suppress(
                BrokenPipeError
            ):  # somebody has killed it: then the leases run out, and no more
                self._process.stdin.write(line.encode())


def send(group: int, number: int) -> bool:
    """Send a signal to a group of processes; False when none of it is left that can be told."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def main(folder: str, grace_s: str) -> None:
    """Guard until standard input ends, and clean up."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    _end(groups, float(grace_s))
    shutil.rmtree(folder, ignore_errors=True)


def _end(groups: Collection[int], grace_s: float) -> None:
    deadline = monotonic() + grace_s
    left = [group for group in groups if send(group, signal.SIGTERM)]
    while left and monotonic() < deadline:
        sleep(LOOK_AGAIN_S)
        left = [group for group in left if send(group, 0)]
    for group in left:
        send(group, signal.SIGKILL)


if __name__ == "__main__":
    main(*sys.argv[1:])
