"""The process that works on an item: started, read to its end, and stopped with everything that it has started."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from threading import Event, Thread
from time import monotonic
from typing import IO, cast

from taskorch_worker import gate, guard
from taskorch_worker.guard import Guard
from taskorch_worker.outcome import Ended
from taskorch_worker.papers import Papers

PIECE_BYTES = 65536
#: What is kept of its output.
STDOUT_BYTES, STDERR_BYTES = 65536, 8192
#: How long output may still come when the process has ended, of what it left in the background.
DRAIN_S = 0.5


class Child:
    """A process in a session of its own."""

    def __init__(self, command: Sequence[str], papers: Papers, watch: Guard, ended: Callable[[], object]) -> None:
        """Start it; `ended` is called in another thread when it has. Raises OSError when it cannot be started."""
        pipe = subprocess.PIPE
        words = [sys.executable, "-IS", gate.__file__, str(papers.item), *command]
        self._process = subprocess.Popen(
            words, stdin=pipe, stdout=pipe, stderr=pipe, env=papers.environment, bufsize=0, start_new_session=True
        )
        self._guard = watch
        self._guard.watch(self._process.pid)
        with suppress(BrokenPipeError), cast("FileIO", self._process.stdin) as waits:  # it may have been killed
            waits.write(b"!")
        self._stdout = Tail(self._process.stdout, STDOUT_BYTES)
        self._stderr = Tail(self._process.stderr, STDERR_BYTES)
        self._over = Event()
        #: What the command has started may clean up as long as it may itself.
        self._graced_until = 0.0
        Thread(target=self._await, args=[ended], daemon=True).start()

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM to it and all that it started, and SIGKILL when it has not ended after so long."""
        self._graced_until = monotonic() + grace_s
        guard.send(self._process.pid, signal.SIGTERM)
        if not self._over.wait(grace_s):
            guard.send(self._process.pid, signal.SIGKILL)
            self._over.wait()

    def ended(self) -> Ended:
        """Return how it has ended. What it left in the background may write for a moment, and is killed then."""
        self._drain(max(DRAIN_S, self._graced_until - monotonic()))
        guard.send(self._process.pid, signal.SIGKILL)
        self._drain(DRAIN_S)
        self._guard.forget(self._process.pid)
        status = self._process.wait()
        return Ended(status=status, stdout=self._stdout.text(), stderr=self._stderr.text())

    def _drain(self, within_s: float) -> None:
        deadline = monotonic() + within_s
        for tail in (self._stdout, self._stderr):
            tail.drain(max(0.0, deadline - monotonic()))

    def _await(self, ended: Callable[[], object]) -> None:
        """Wait for its end, and leave it a zombie where that can be done: nobody else gets its number so."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._over.set()
        ended()


class Tail:
    """The last bytes of a stream, which is read as long as anybody writes to it."""

    def __init__(self, stream: IO[bytes] | None, most_bytes: int) -> None:
        self._stream = cast("FileIO", stream)
        self._most_bytes = most_bytes
        self._kept = b""
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def drain(self, within_s: float) -> None:
        """Wait for its end."""
        self._thread.join(within_s)

    def text(self) -> str:
        """Return what there is of it."""
        return self._kept.decode(errors="replace")

    def _read(self) -> None:
        with self._stream as stream:
            while piece := stream.read(PIECE_BYTES):
                self._kept = (self._kept + piece)[-self._most_bytes :]
