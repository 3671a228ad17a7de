"""A command on a pseudo-terminal, and its screen as a person sees it.

Used by the tests of `orchestrate watch` and of questions that commands ask.
"""

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from pathlib import Path
from typing import Self

import pyte
from support.commands import TIME_LIMIT_S, Argument, Shell

CTRL_C = b"\x03"


class Screen:
    """A terminal with a running command, which is killed at the end of the block."""

    def __init__(
        self,
        shell: Shell,
        *words: Argument | Path,
        columns: int = 80,
        rows: int = 24,
    ) -> None:
        self._screen = pyte.Screen(columns, rows)
        self._stream = pyte.ByteStream(self._screen)
        #: All output so far.
        self.output = b""
        self._ours, theirs = pty.openpty()
        self._set_size(columns, rows)
        self.process = subprocess.Popen(
            words,
            cwd=shell.folder,
            env={**shell.environment(), "TERM": "xterm-256color"},
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal,  # noqa: PLW1509  nothing in it takes a lock
        )
        os.close(theirs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._ours)

    def lines(self) -> list[str]:
        """Return the lines on the screen, without trailing blanks."""
        self._read()
        text = "\n".join(line.rstrip() for line in self._screen.display)
        return text.rstrip("\n").split("\n")

    def shows(self, text: str) -> bool:
        """Return whether a text is on the screen."""
        return text in "\n".join(self.lines())

    def colours(self) -> set[str]:
        """Return the colours of the characters on the screen."""
        self._read()
        rows = self._screen.buffer.values()
        return {character.fg for row in rows for character in row.values()}

    def resize(self, columns: int, rows: int) -> None:
        """Change the size of the terminal, and clear it."""
        self._read()
        self._screen.reset()
        self._screen.resize(rows, columns)
        self._set_size(columns, rows)

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def exit_code(self) -> int:
        """Wait for the end of the command, and return its exit code."""
        while self.process.poll() is None:
            self._read(TIME_LIMIT_S)
        self._read()
        return self.process.returncode

    def _read(self, timeout_s: float = 0) -> None:
        while select.select([self._ours], [], [], timeout_s)[0]:
            try:
                written = os.read(self._ours, 65536)
            except OSError:  # Linux reports a closed terminal as an error
                self.process.wait(TIME_LIMIT_S)
                return
            self.output += written
            self._stream.feed(written)
            timeout_s = 0

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(
            self._ours,
            termios.TIOCSWINSZ,
            struct.pack("HHHH", rows, columns, 0, 0),
        )


def _take_terminal() -> None:
    """Make it the terminal of the new session, so that Ctrl-C and resizes arrive."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
