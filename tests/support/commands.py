"""The two commands as real processes, in a folder and an environment of the test."""

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

BIN = Path(sys.executable).parent
#: Limits for machines under load: of a command, and of changes that usually take less
#: than a second.
TIME_LIMIT_S = 90
SOON_S = 60.0
LOOK_AGAIN_S = 0.01

Argument = str | bytes


@dataclass(frozen=True)
class CommandResult:
    """The exit code and the output of a command."""

    code: int
    stdout: str
    stderr: str

    def json(self) -> dict[str, Any]:
        """Return the one document on stdout."""
        document: dict[str, Any] = json.loads(self.stdout.encode())
        assert self.stdout.count("\n") == 1, self.stdout
        assert document["schema_version"] == 1
        return document

    def data(self) -> Any:
        """Return the data of the document of a successful command."""
        assert self.code == 0, self.stderr
        document = self.json()
        assert set(document) == {"schema_version", "data", "meta"}
        return document["data"]

    def error(self) -> dict[str, Any]:
        """Return the error of the document of a failed command."""
        document = self.json()
        assert set(document) == {"schema_version", "error"}
        error: dict[str, Any] = document["error"]
        assert set(error) == {"code", "message", "hint", "retryable", "details"}
        return error


@dataclass(frozen=True)
class Shell:
    """A current folder, and environment variables."""

    folder: Path
    variables: Mapping[str, str]

    def having(self, **variables: str) -> "Shell":
        """Return a shell with more variables."""
        return replace(self, variables={**self.variables, **variables})

    def lacking(self, *names: str) -> "Shell":
        """Return a shell without some variables."""
        return replace(
            self,
            variables={
                name: value
                for name, value in self.variables.items()
                if name not in names
            },
        )

    def within(self, folder: Path) -> "Shell":
        """Return a shell in another folder."""
        return replace(self, folder=folder)

    def orchestrate(self, *arguments: Argument, stdin: bytes = b"") -> CommandResult:
        """Run `orchestrate`."""
        return self.run(BIN / "orchestrate", *arguments, stdin=stdin)

    def worker(self, *arguments: Argument, stdin: bytes = b"") -> CommandResult:
        """Run `worker`."""
        return self.run(BIN / "worker", *arguments, stdin=stdin)

    def python(self, code: str, *arguments: Argument) -> CommandResult:
        """Run Python code in a new process."""
        return self.run(sys.executable, "-c", code, *arguments)

    def run(self, *words: Argument | Path, stdin: bytes = b"") -> CommandResult:
        """Run any command to its end. It must not print a traceback."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        ran = CommandResult(
            done.returncode,
            *(
                stream.decode(errors="surrogateescape")
                for stream in (done.stdout, done.stderr)
            ),
        )
        assert "Traceback" not in ran.stderr, ran.stderr
        return ran

    def start(self, *words: Argument | Path) -> subprocess.Popen[str]:
        """Start any command, which the test has to end."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            words,
            cwd=self.folder,
            env=self.environment(),
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            text=True,
        )

    def on_terminal(
        self, *words: Argument | Path, width: int = 120, typed: str = ""
    ) -> tuple[int, str]:
        """Run any command on a pseudo-terminal and type the answers; return exit code and screen."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0))
        environment = {**self.environment(), "TERM": "xterm-256color"}
        process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
        )
        os.close(theirs)
        os.write(ours, typed.encode())
        screen = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
        return process.wait(TIME_LIMIT_S), screen.decode(
            errors="surrogateescape"
        ).replace("\r\n", "\n")

    def environment(self) -> dict[str, str]:
        """Return the variables of this process and of this shell."""
        return os.environ | dict(self.variables)


def result_of(process: subprocess.Popen[str]) -> CommandResult:
    """Wait for the end of a started command."""
    try:
        stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    finally:
        process.kill()
    assert "Traceback" not in stderr, stderr
    return CommandResult(process.returncode, stdout, stderr)


def eventually(true: Callable[[], object], *, within_s: float = SOON_S) -> None:
    """Wait until a condition is true; fail after `within_s` seconds."""
    deadline = monotonic() + within_s
    while not true():
        assert monotonic() < deadline, "it never became true"
        sleep(LOOK_AGAIN_S)


def discard(folder: Path, root: Path) -> None:
    """Delete a root, or a folder in it, at one moment for processes that still write there."""
    aside = root.with_name(f"{root.name}-gone")
    folder.rename(aside)
    eventually(lambda: _is_removed(aside))


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie."""
    try:
        return (
            Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8")
            .rpartition(")")[2]
            .split()[0]
            != "Z"
        )
    except OSError:
        return False


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux reports a closed terminal as an error
        return b""
