"""A bash in which a test types what a page shows."""

import os
import pty
import subprocess
from pathlib import Path

from support.commands import TIME_LIMIT_S

END = "--end-of-command--"


class Terminal:
    """A bash whose output goes to a pseudo-terminal."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        os.set_blocking(self._ours, True)
        self._bash = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)

    def type(self, command: str) -> list[str]:
        """Run a command to its end, and return the lines of its output."""
        assert self._bash.stdin is not None
        self._bash.stdin.write(f"{command}\necho {END}\n".encode())
        self._bash.stdin.flush()
        screen = b""
        # Read the line end too: otherwise the next output would begin with it.
        while f"{END}\r\n".encode() not in screen:
            screen += os.read(self._ours, 65536)
        return (
            screen.decode()
            .replace("\r\n", "\n")
            .partition(END)[0]
            .splitlines()
        )

    def close(self) -> None:
        assert self._bash.stdin is not None
        self._bash.stdin.close()
        self._bash.wait(timeout=TIME_LIMIT_S)
        os.close(self._ours)
