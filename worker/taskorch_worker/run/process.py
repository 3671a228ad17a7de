"""The process of a command: its start, its output and its end."""

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

from taskorch_worker.run import launcher
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.outcome import CommandExit
from taskorch_worker.run.reaper import Reaper, signal_group

READ_BYTES = 65536
#: The amount of output that is kept: its end.
STDOUT_BYTES, STDERR_BYTES = 65536, 8192
#: Time for background processes to write output after the command has ended.
DRAIN_S = 0.5


class CommandProcess:
    """The process of a command, in a session and process group of its own."""

    def __init__(
        self,
        command: Sequence[str],
        files: JobFiles,
        reaper: Reaper,
        on_exit: Callable[[], object],
    ) -> None:
        """Start it. Raises OSError if it cannot be started.

        `on_exit` is called in another thread when it has ended.
        """
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-IS",
                launcher.__file__,
                str(files.item),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=files.environment,
            bufsize=0,
            start_new_session=True,
        )
        self._group = self._process.pid
        self._reaper = reaper
        self._reaper.watch(self._group)
        # The launcher may have been killed.
        with suppress(BrokenPipeError):
            stdin = cast("FileIO", self._process.stdin)
            with stdin:
                stdin.write(b"!")
        self._output = OutputTail(self._process)
        self._exited = Event()
        #: The end of the grace period, for all processes of the group.
        self._grace_ends_at = 0.0
        waiter = Thread(
            target=self._wait_for_exit, args=[on_exit], daemon=True
        )
        waiter.start()

    def terminate(self, grace_s: float) -> None:
        """Send SIGTERM to the process group, and SIGKILL after `grace_s` seconds."""
        self._grace_ends_at = monotonic() + grace_s
        signal_group(self._group, signal.SIGTERM)
        if not self._exited.wait(grace_s):
            signal_group(self._group, signal.SIGKILL)
            self._exited.wait()

    def collect(self) -> CommandExit:
        """Kill the rest of the process group, and return how the command ended.

        Background processes in the group first get a moment to write their output.
        Processes that have left the group keep running, but their output is not read.
        """
        grace_left_s = self._grace_ends_at - monotonic()
        self._output.wait_for_end(max(DRAIN_S, grace_left_s))
        signal_group(self._group, signal.SIGKILL)
        self._output.wait_for_end(DRAIN_S)
        self._output.stop_reading()
        self._reaper.forget(self._group)
        stdout, stderr = self._output.texts()
        return CommandExit(
            status=self._process.wait(),
            stdout=stdout,
            stderr=stderr,
        )

    def _wait_for_exit(self, on_exit: Callable[[], object]) -> None:
        # As a zombie, the process keeps its number, which signals need.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._exited.set()
        on_exit()


class OutputTail:
    """The last bytes that a process writes to stdout and to stderr.

    A thread reads them until no process can write any more, or until it is stopped.
    """

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._stdout = cast("FileIO", process.stdout)
        self._stderr = cast("FileIO", process.stderr)
        self._tails = {self._stdout: b"", self._stderr: b""}
        self._stop_reader, self._stop_writer = os.pipe()
        self._thread = Thread(target=self._read, daemon=True)
        self._thread.start()

    def wait_for_end(self, timeout_s: float) -> None:
        """Wait until no process can write any more."""
        self._thread.join(timeout_s)

    def stop_reading(self) -> None:
        """Stop the thread, even if a process can still write, and close the pipes."""
        os.close(self._stop_writer)
        self._thread.join()
        self._stdout.close()
        self._stderr.close()
        os.close(self._stop_reader)

    def texts(self) -> tuple[str, str]:
        """Return the ends of stdout and of stderr."""
        stdout = self._tails[self._stdout].decode(errors="replace")
        stderr = self._tails[self._stderr].decode(errors="replace")
        return stdout, stderr

    def _read(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._stop_reader, EVENT_READ)
            selector.register(self._stdout, EVENT_READ, STDOUT_BYTES)
            selector.register(self._stderr, EVENT_READ, STDERR_BYTES)
            while len(selector.get_map()) > 1:
                for ready, _ in selector.select():
                    if ready.fileobj == self._stop_reader:
                        return
                    stream = cast("FileIO", ready.fileobj)
                    if not self._read_piece(stream, kept_bytes=ready.data):
                        selector.unregister(stream)

    def _read_piece(self, stream: FileIO, *, kept_bytes: int) -> bool:
        """Read once, and keep the last bytes. Return False at the end of the stream."""
        piece = stream.read(READ_BYTES)
        output = self._tails[stream] + piece
        self._tails[stream] = output[-kept_bytes:]
        return bool(piece)
