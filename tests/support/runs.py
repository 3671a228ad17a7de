"""`worker run` as a real process, and its log while it is running.

Used by the acceptance tests of `worker run`.
"""

import json
import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.builders import Bench
from support.commands import BIN, TIME_LIMIT_S, Shell, eventually, state_of

#: One item, with the log as JSON.
ONCE = ("run", "--once", "--json")
#: A shell command that runs until the test creates the file `go` in the root.
UNTIL_GO = (
    "echo >> $TASKORCH_ROOT/begun; "
    "until test -e $TASKORCH_ROOT/go; do sleep 0.01; done; echo done"
)


class Run:
    """A `worker run` that was started with --json."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.pid = process.pid

    def entries(self) -> list[dict[str, Any]]:
        """Return the complete lines of its log so far."""
        text = (self._folder / "stdout").read_text(encoding="utf-8")
        lines = text.splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[str]:
        """Return the `event` of each entry."""
        return [entry["event"] for entry in self.entries()]

    def last_entry(self) -> dict[str, Any]:
        """Return the newest entry."""
        return self.entries()[-1]

    def stderr(self) -> str:
        """Return its stderr so far, and fail if there is a traceback."""
        text = (self._folder / "stderr").read_text(encoding="utf-8")
        assert "Traceback" not in text, text
        return text

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def suspend(self, bench: Bench) -> None:
        """Stop the process, and wait until Redis has read what it has sent.

        A renewal that Redis reads later would undo what the test does to the lease.
        """
        self.send(signal.SIGSTOP)
        eventually(self._is_suspended)
        bench.now_ms()

    def has_ended(self) -> bool:
        """Return whether the process has ended."""
        return self._process.poll() is not None

    def exit_code(self, *, within_s: float = TIME_LIMIT_S) -> int:
        """Wait for its end, and return the exit code."""
        code = self._process.wait(within_s)
        self.stderr()
        return code

    def wait_for(self, event: str, *, times: int = 1) -> None:
        """Wait until it has logged an event."""
        eventually(lambda: self.events().count(event) >= times)

    def _is_suspended(self) -> bool:
        threads = Path(f"/proc/{self.pid}/task").iterdir()
        return all(state_of(int(each.name)) == "T" for each in threads)


def sh(script: str) -> tuple[str, str, str, str]:
    """Return the arguments that make a shell script the command."""
    return ("--", "sh", "-c", script)


def log_file(shell: Shell, item: str, name: str = "1") -> Path:
    """Return the path of the log of an attempt, in the root of the shell."""
    logs = shell.folder / ".task-orchestrator" / "logs"
    return logs / item / f"{name}.log"


def log_line(shell: Shell, item: str) -> str:
    """Return the last line of the report of a failed first attempt."""
    return f"Log on {os.uname().nodename}: {log_file(shell, item)}"


@contextmanager
def running(
    shell: Shell, *words: str | Path, below: Sequence[str | Path] = ()
) -> Iterator[Run]:
    """Start `worker run` with these arguments, and kill it at the end of the block.

    `below` is a command that takes `worker run` as its arguments and becomes it.
    """
    with TemporaryDirectory() as place:
        folder = Path(place)
        with (
            (folder / "stdout").open("wb") as stdout,
            (folder / "stderr").open("wb") as stderr,
        ):
            process = subprocess.Popen(
                [*below, BIN / "worker", "run", "--json", *words],
                cwd=shell.folder,
                env=shell.environment(),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
            )
        try:
            yield Run(process, folder)
        finally:
            process.kill()
            process.wait(TIME_LIMIT_S)
