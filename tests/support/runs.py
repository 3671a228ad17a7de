"""`worker run` as a real process, and what it says while it runs."""

import json
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from support.commands import BIN, TIME_LIMIT_S, Shell, eventually

#: For machines that do much else besides.
SOON_S = 60
#: One item, told in JSON.
ONCE = ("run", "--once", "--json")
#: Runs until the test lets it go.
HELD = "echo >> $TASKORCH_ROOT/begun; until test -e $TASKORCH_ROOT/go; do sleep 0.01; done; echo done"


class Run:
    """A run that was started with --json."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self.pid = process.pid

    def said(self) -> list[dict[str, Any]]:
        """Return what it has said of items so far."""
        lines = (
            (self._folder / "stdout")
            .read_text(encoding="utf-8")
            .splitlines(keepends=True)
        )
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def events(self) -> list[str]:
        """Return the same, by its names."""
        return [each["event"] for each in self.said()]

    def last(self) -> dict[str, Any]:
        """Return what it has said last."""
        return self.said()[-1]

    def talk(self) -> str:
        """Return what stands on stderr; a traceback is never right."""
        talk = (self._folder / "stderr").read_text(encoding="utf-8")
        assert "Traceback" not in talk, talk
        return talk

    def tell(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def is_over(self) -> bool:
        """Return whether it has ended."""
        return self._process.poll() is not None

    def ended(self, *, within_s: float = TIME_LIMIT_S) -> int:
        """Return its exit code."""
        code = self._process.wait(within_s)
        self.talk()
        return code

    def awaits(self, event: str, *, times: int = 1) -> None:
        """Wait until it has said that."""
        eventually(lambda: self.events().count(event) >= times, within_s=SOON_S)


def sh(script: str) -> tuple[str, str, str, str]:
    """Return the words of a command that a shell runs."""
    return ("--", "sh", "-c", script)


@contextmanager
def running(
    shell: Shell, *words: str | Path, below: Sequence[str | Path] = ()
) -> Iterator[Run]:
    """Run `worker run` with these words; what the test has not ended is killed, and its guard ends the rest.

    `below` is a command that becomes `worker run` and takes it as its arguments.
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
