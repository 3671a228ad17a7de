"""The process of one check: bounded in time and output, and never left behind."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from io import FileIO
from time import monotonic, sleep
from typing import cast

from taskorch.config import password, token
from taskorch.domain.acceptance_rules import TAIL_BYTES
from taskorch.output_reader import OutputReader

#: From SIGTERM to SIGKILL.
GRACE_S = 2.0
#: The longest pause between two looks at the process.
LONGEST_PAUSE_S = 0.05
#: Time for background processes to write output after the command has ended.
DRAIN_S = 0.5
#: The variables that a check does not inherit: secrets, and the lease of the item.
NOT_INHERITED = frozenset((
    password.VARIABLE, password.FILE_VARIABLE, token.VARIABLE, token.FILE_VARIABLE,
    "TASKORCH_REDIS_URL", "TASKORCH_RQ_URL", "TASKORCH_LEASE",
))  # fmt: skip
#: The address of the queue, unless one of OF_QUEUE names it: then it is that of the work.
SHARED, OF_QUEUE = "REDIS_URL", ("TASKORCH_REDIS_URL", "TASKORCH_URL")


class CheckProcess:
    """The process of a command, in a session and process group of its own."""

    def __init__(self, command: Sequence[str], folder: str) -> None:
        """Start it in a folder. Raises OSError if it cannot be started."""
        self._process = subprocess.Popen(
            command,
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            bufsize=0,
            start_new_session=True,
        )
        self.group = self._process.pid
        self._end = b""
        self._reader = OutputReader(
            {cast("FileIO", self._process.stdout): self._keep}
        )

    def wait(self, timeout_s: float, is_stopped: Callable[[], bool]) -> bool:
        """Wait until the command ends; return False if the time is over.

        Also return False when `is_stopped` does, within a tenth of a second.
        """
        deadline, pause_s = monotonic() + timeout_s, 0.001
        while not self._has_ended():
            if is_stopped() or monotonic() >= deadline:
                return False
            sleep(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return True

    def terminate(self) -> None:
        """Send SIGTERM to the process group, and SIGKILL after the grace period."""
        self._signal(signal.SIGTERM)
        self.wait(GRACE_S, lambda: False)

    def collect(self) -> tuple[int, str]:
        """Kill what is left of the group; return the exit status and the last output."""
        try:
            self._reader.wait_for_end(DRAIN_S)
        finally:
            self._signal(signal.SIGKILL)
        status = self._process.wait()
        self._reader.wait_for_end(DRAIN_S)
        self._reader.stop()
        return status, self._end.decode(errors="replace")

    def _has_ended(self) -> bool:
        """Return whether the command has ended; it keeps its number, for signals."""
        if not hasattr(os, "waitid"):
            return self._process.poll() is not None
        options = os.WEXITED | os.WNOWAIT | os.WNOHANG
        return os.waitid(os.P_PID, self.group, options) is not None

    def _signal(self, number: int) -> None:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.group, number)

    def _keep(self, piece: bytes) -> None:
        """Keep the end of the output, however long it is."""
        self._end = (self._end + piece)[-TAIL_BYTES:]


def _environment(folder: str) -> Mapping[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in NOT_INHERITED
    }
    if not any(os.environ.get(name) for name in OF_QUEUE):
        kept.pop(SHARED, None)
    return {**kept, "PWD": folder}
