"""A real shell on a pseudo-terminal, driven key by key."""

import os
import pty
import re
import select
import termios
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import Self

import pyte

from demo.recordings.screen import Emulator, Screen

#: Longest wait for a key's echo, for a text or for the prompt, in seconds.
PATIENCE_S = 30
SHELL = ("bash", "--noprofile", "--norc", "-i")
#: The sequence that terminals use to find prompts; it is not visible.
PROMPT_MARK = b"\x1b]133;A\x07"
SHELL_VARIABLES = {
    "PS1": r"\[\e]133;A\a\e[32m\]$\[\e[0m\] ",
    "TERM": "xterm-256color",
    "HISTFILE": os.devnull,
    "INPUTRC": os.devnull,
    "BASH_SILENCE_DEPRECATION_WARNING": "1",
}


class Terminal:
    """A terminal with a shell, which ends with the block."""

    def __init__(
        self,
        folder: Path,
        environment: Mapping[str, str],
        *,
        columns: int,
        rows: int,
    ) -> None:
        self._emulator = Emulator(columns=columns, rows=rows)
        self._stream = pyte.ByteStream(self._emulator)
        self._output = b""
        self._prompts = 0
        self._process, self._terminal = pty.fork()
        if not self._process:
            termios.tcsetwinsize(0, (rows, columns))
            os.chdir(folder)
            os.execvpe(  # noqa: S606  it is the shell
                SHELL[0], SHELL, {**environment, **SHELL_VARIABLES}
            )

    def __enter__(self) -> Self:
        self.await_prompt()
        return self

    def __exit__(self, *_: object) -> None:
        # The shell and the command in it receive SIGHUP.
        os.close(self._terminal)
        os.waitpid(self._process, 0)

    def screen(self) -> Screen:
        """Return what it shows now."""
        return self._emulator.screen()

    def press(self, key: str) -> None:
        """Press a key, and wait until the shell has moved the cursor."""
        before = self._emulator.cursor.x, self._emulator.cursor.y
        os.write(self._terminal, key.encode())
        self._read_until(
            lambda: (
                (self._emulator.cursor.x, self._emulator.cursor.y) != before
            ),
            f"the echo of {key!r}",
        )

    def await_text(self, pattern: str) -> str:
        """Wait until the screen has a match, and return it, or its first group."""
        found: list[str] = []

        def search() -> bool:
            match = re.search(pattern, self.screen().text())
            if match:
                found.append(match[match.re.groups and 1])
            return match is not None

        self._read_until(search, f"a text like {pattern!r}")
        return found[0]

    def await_prompt(self) -> None:
        """Wait until the shell asks for the next command."""
        self._read_until(
            lambda: self._output.count(PROMPT_MARK) > self._prompts,
            "the prompt",
        )
        self._prompts = self._output.count(PROMPT_MARK)

    def _read_until(self, happens: Callable[[], bool], what: str) -> None:
        deadline = monotonic() + PATIENCE_S
        while not happens():
            left_s = deadline - monotonic()
            if left_s < 0 or not self._read(left_s):
                raise TimeoutError(
                    f"There is no sign of {what} on the screen:\n"
                    f"{self.screen().text()}"
                )

    def _read(self, timeout_s: float) -> bool:
        """Read output that arrives in time; return whether the shell lives."""
        if not select.select([self._terminal], [], [], timeout_s)[0]:
            return True
        try:
            written = os.read(self._terminal, 65536)
        except OSError:  # Linux reports a closed terminal as an error
            return False
        self._output += written
        self._stream.feed(written)
        return bool(written)
