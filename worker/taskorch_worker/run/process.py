"""The process of a command: its start, its output and its end."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import FileIO
from threading import Event, Thread
from time import monotonic
from typing import cast

from taskorch.output_reader import OutputReader

from taskorch_worker.run import launcher
from taskorch_worker.run.attempt_output import AttemptOutput
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.outcome import CommandExit
from taskorch_worker.run.reaper import (
    Process,
    Reaper,
    kill_command,
    signal_group,
    terminate_command,
)
from taskorch_worker.run.stream import Stream

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
        self._reader = OutputReader(
            {
                cast("FileIO", self._process.stdout): partial(
                    output.write, Stream.STDOUT
                ),
                cast("FileIO", self._process.stderr): partial(
                    output.write, Stream.STDERR
                ),
            }
        )
        self._exited = Event()
        #: The end of the grace period, for all processes of the group.
        self._grace_ends_at = 0.0
        #: The processes below a terminated command; None until it is terminated.
        self._below: frozenset[Process] | None = None
        waiter = Thread(
            target=self._wait_for_exit, args=[on_exit], daemon=True
        )
        waiter.start()

    def terminate(self, grace_s: float) -> None:
        """Send SIGTERM to the process group, and SIGKILL after `grace_s` seconds.

        Processes below the command that have left its group get the same signals.
        """
        self._grace_ends_at = monotonic() + grace_s
        self._below = terminate_command(self._group)
        if not self._exited.wait(grace_s):
            self._kill()
            self._exited.wait()

    def collect(self) -> CommandExit:
        """Kill the rest of the process group, and return how the command ended.

        Background processes in the group first get a moment to write their output.
        Processes that have left the group of a command that ended by itself keep running,
        but their output is not read.
        """
        grace_left_s = self._grace_ends_at - monotonic()
        self._reader.wait_for_end(max(DRAIN_S, grace_left_s))
        self._kill()
        self._reader.wait_for_end(DRAIN_S)
        self._reader.stop()
        self._reaper.forget(self._group)
        return CommandExit(
            status=self._process.wait(),
            stdout=self._output.stdout.text(),
            stdout_is_whole=self._output.stdout.is_whole,
            printed=self._output.end.text(),
            log=self._output.log_path,
        )

    def _kill(self) -> None:
        if self._below is None:
            signal_group(self._group, signal.SIGKILL)
        else:
            kill_command(self._group, self._below)

    def _wait_for_exit(self, on_exit: Callable[[], object]) -> None:
        # As a zombie, the process keeps its number, which signals need.
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        else:
            self._process.wait()
        self._exited.set()
        on_exit()
