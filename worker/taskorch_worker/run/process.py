"""The process that works on an item: started, read to its end, and stopped with everything that it has started."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from io import FileIO
from selectors import EVENT_READ, DefaultSelector
from threading import Event, Thread
from time import monotonic
from typing import cast

from taskorch_worker.run import launcher, reaper
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.outcome import CommandExit
from taskorch_worker.run.reaper import Reaper

PIECE_BYTES = 65536
#: What is kept of its output.
STDOUT_BYTES, STDERR_BYTES = 65536, 8192
#: How long output may still come when the process has ended, of what it left in the background.
DRAIN_S = 0.5


class CommandProcess:
    """A process in a session of its own."""

    def __init__(
        self,
        command: Sequence[str],
        papers: JobFiles,
        watch: Reaper,
        ended: Callable[[], object],
    ) -> None:
        """Start it; `ended` is called in another thread when it has. Raises OSError when it cannot be started."""
        pipe = subprocess.PIPE
        words = [sys.executable, "-IS", launcher.__file__, str(papers.item), *command]
        self._process = subprocess.Popen(
            words,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            env=papers.environment,
            bufsize=0,
            start_new_session=True,
        )
        self._guard = watch
        self._guard.watch(self._process.pid)
        with (
            suppress(BrokenPipeError),
            cast("FileIO", self._process.stdin) as waits,
        ):  # it may have been killed
            waits.write(b"!")
        self._output = OutputTail(self._process)
        self._over = Event()
        #: What the command has started may clean up as long as it may itself.
        self._graced_until = 0.0
        Thread(target=self._await, args=[ended], daemon=True).start()

    def stop(self, grace_s: float) -> None:
        """Send SIGTERM to it and all that it started, and SIGKILL when it has not ended after so long."""
        self._graced_until = monotonic() + grace_s
        reaper.send(self._process.pid, signal.SIGTERM)
        if not self._over.wait(grace_s):
            reaper.send(self._process.pid, signal.SIGKILL)
            self._over.wait()

    def ended(self) -> CommandExit:
        """Return how it has ended. What it left in the background may write for a moment, and is killed then.

        What is not of its process group goes on, and finds that nobody reads any more.
        """
        self._output.drain(max(DRAIN_S, self._graced_until - monotonic()))
        reaper.send(self._process.pid, signal.SIGKILL)
        self._output.drain(DRAIN_S)
        self._output.close()
        self._guard.forget(self._process.pid)
        stdout, stderr = self._output.texts()
        return CommandExit(status=self._process.wait(), stdout=stdout, stderr=stderr)

    def _await(self, ended: Callable[[], object]) -> None:
        """Wait for its end, and leave it a zombie where that can be done: nobody else gets its number so."""
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._over.set()
        ended()


class OutputTail:
    """The last bytes that a process writes, to stdout and to stderr: until nobody can, or is heard any more."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._streams = cast("FileIO", process.stdout), cast("FileIO", process.stderr)
        self._kept = dict.fromkeys(self._streams, b"")
        self._told, self._tells = os.pipe()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def drain(self, within_s: float) -> None:
        """Wait until nobody can write any more."""
        self._thread.join(within_s)

    def close(self) -> None:
        """Read no more, whoever may write."""
        os.close(self._tells)
        self._thread.join()
        for stream in self._streams:
            stream.close()
        os.close(self._told)

    def texts(self) -> tuple[str, str]:
        """Return what there is of stdout, and of stderr."""
        stdout, stderr = (
            self._kept[stream].decode(errors="replace") for stream in self._streams
        )
        return stdout, stderr

    def _read(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._told, EVENT_READ)
            for stream, most_bytes in zip(
                self._streams, (STDOUT_BYTES, STDERR_BYTES), strict=True
            ):
                selector.register(stream, EVENT_READ, most_bytes)
            while len(selector.get_map()) > 1:
                for ready, _ in selector.select():
                    if ready.fileobj == self._told:
                        return
                    stream = cast("FileIO", ready.fileobj)
                    piece = stream.read(PIECE_BYTES)
                    self._kept[stream] = (self._kept[stream] + piece)[-ready.data :]
                    if not piece:
                        selector.unregister(stream)
