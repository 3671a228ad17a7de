"""`orchestrate board` as a process, and a person who opens its link."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener

from support.commands import BIN, TIME_LIMIT_S, Shell

TIMEOUT_S = 60


@dataclass(frozen=True)
class Page:
    """The status and the text of a reply."""

    status: int
    text: str


class Person:
    """A browser without a screen: it keeps cookies."""

    def __init__(self) -> None:
        self._opener = build_opener(HTTPCookieProcessor(CookieJar()))

    def get(self, url: str) -> Page:
        """Open an address."""
        try:
            with self._opener.open(url, timeout=TIMEOUT_S) as reply:
                return Page(reply.status, reply.read().decode())
        except HTTPError as error:
            with error:
                return Page(error.code, error.read().decode())


class BoardCommand:
    """A running `orchestrate board`, started with --json."""

    def __init__(self, shell: Shell, *options: str) -> None:
        self.process = shell.start(
            BIN / "orchestrate", "board", "--json", *options
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        self.shown = json.loads(line)["data"] if line else {}

    @property
    def link(self) -> str:
        """The link that signs in."""
        return str(self.shown["link"])

    @property
    def url(self) -> str:
        """The address of the board."""
        return str(self.shown["url"])

    def end(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it wrote to stderr."""
        _, stderr = self.process.communicate(timeout=TIME_LIMIT_S)
        return self.process.returncode, stderr


@contextmanager
def running(shell: Shell, *options: str) -> Iterator[BoardCommand]:
    """Run the command while the block runs."""
    board = BoardCommand(shell, *options)
    try:
        yield board
    finally:
        board.process.kill()
        with suppress(subprocess.TimeoutExpired, ValueError):
            board.process.communicate(timeout=TIME_LIMIT_S)


def browser_that_notes(folder: Path) -> tuple[str, Path]:
    """Return the variable BROWSER of one that writes its address to a file."""
    noted, program = folder / "opened", folder / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >>{noted}\n')
    program.chmod(0o755)
    return str(program), noted
