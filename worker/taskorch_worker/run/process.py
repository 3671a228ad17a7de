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
from taskorch_worker.run.attempt_output import AttemptOutput
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.outcome import CommandExit
from taskorch_worker.run.reaper import (
    Process,
    Reaper,
    processes_below,
    signal_group,
    signal_processes,
)
from taskorch_worker.run.stream import Stream

READ_BYTES = 65536
#: Time for background processes to write output after the command has ended.
DRAIN_S = 0.5


class CommandProcess:
    """The process of a command, in a session and process group of its own."""

    def __init__(
        self,
        command: Sequence[str],
        files: JobFiles,
        reaper: Reaper,
        output: AttemptOutput,
        on_exit: Callable[[], object],
    ) -> None:
        """Start it. Raises OSError if it cannot be started.

        `output` gets what it prints, and `on_exit` is called
        when it has ended: each in another thread.
        """
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-IS",
                launcher.__file__,
                str(files.stdin),
                *command,
            ],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=files.environment,
            cwd=files.working_folder,
            bufsize=0,
            start_new_session=True,
        )
        self._group = self._process.pid
        self._reaper = reaper
        self._reaper.watch(self._group)
        # The launcher may have been killed.
        with suppress(BrokenPipeError):
            start = cast("FileIO", self._process.stdin)
            with start:
                start.write(b"!")
        self._output = output
        self._reader = OutputReader(self._process, output)
        self._exited = Event()
        #: The end of the grace period, for all processes of the group.
        self._grace_ends_at = 0.0
        #: The processes below a terminated command.
        self._below: frozenset[Process] = frozenset()
        waiter = Thread(
            target=self._wait_for_exit, args=[on_exit], daemon=True
        )
        waiter.start()

    def terminate(self, grace_s: float) -> None:
        """Send SIGTERM to the process group, and SIGKILL after `grace_s` seconds.

        Processes below the command that have left its group get the same signals.
        """
        self._grace_ends_at = monotonic() + grace_s
        self._below = processes_below(self._process.pid)
        signal_group(self._group, signal.SIGTERM)
        signal_processes(self._below, signal.SIGTERM)
        if not self._exited.wait(grace_s):
            signal_group(self._group, signal.SIGKILL)
            self._exited.wait()

    def collect(self) -> CommandExit:
        """Kill the rest of the process group, and return how the command ended.

        Background processes in the group first get a moment to write their output.
        Processes that have left the group of a command that ended by itself keep running,
        but their output is not read.
        """
        grace_left_s = self._grace_ends_at - monotonic()
        self._reader.wait_for_end(max(DRAIN_S, grace_left_s))
        signal_group(self._group, signal.SIGKILL)
        signal_processes(self._below, signal.SIGKILL)
        self._reader.wait_for_end(DRAIN_S)
        self._reader.stop_reading()
        self._reaper.forget(self._group)
        return CommandExit(
            status=self._process.wait(),
            stdout=self._output.stdout.text(),
            stdout_is_whole=self._output.stdout.is_whole,
            printed=self._output.end.text(),
            log=self._output.log_path,
        )

    def _wait_for_exit(self, on_exit: Callable[[], object]) -> None:
        # As a zombie, the process keeps its number, which signals need.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._exited.set()
        on_exit()


class OutputReader:
    """Reads what a process writes to stdout and to stderr.

    A thread reads until no process can write any more, or until it is stopped.
    """

    def __init__(
        self, process: "subprocess.Popen[bytes]", output: AttemptOutput
    ) -> None:
        self._stdout = cast("FileIO", process.stdout)
        self._stderr = cast("FileIO", process.stderr)
        self._output = output
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

    def _read(self) -> None:
        with DefaultSelector() as selector:
            selector.register(self._stop_reader, EVENT_READ)
            selector.register(self._stdout, EVENT_READ, Stream.STDOUT)
            selector.register(self._stderr, EVENT_READ, Stream.STDERR)
            while len(selector.get_map()) > 1:
                for ready, _ in selector.select():
                    if ready.fileobj == self._stop_reader:
                        return
                    file = cast("FileIO", ready.fileobj)
                    piece = file.read(READ_BYTES)
                    self._output.write(ready.data, piece)
                    if not piece:
                        selector.unregister(file)
