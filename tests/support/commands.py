"""`orchestrate` and `worker` as real processes, in the environment of a test.

The acceptance tests use this module. `Shell` runs a command to its end or starts it;
`eventually` waits for a condition.
"""

import fcntl
import json
import os
import pty
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

BIN = Path(sys.executable).parent
#: Time limits of a command, and of a change that usually takes less than a second. They
#: are long because the machine may be busy.
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
        """Return the JSON document on stdout; fail unless it is one line."""
        document: dict[str, Any] = json.loads(self.stdout.encode())
        assert self.stdout.count("\n") == 1, self.stdout
        assert document["schema_version"] == 1
        return document

    def data(self) -> Any:
        """Return `data` of the JSON document; fail unless the command succeeded."""
        assert self.code == 0, self.stderr
        document = self.json()
        assert set(document) == {"schema_version", "data", "meta"}
        return document["data"]

    def error(self) -> dict[str, Any]:
        """Return `error` of the JSON document of a failed command."""
        document = self.json()
        assert set(document) == {"schema_version", "error"}
        error: dict[str, Any] = document["error"]
        assert set(error) == {
            "code",
            "message",
            "hint",
            "retryable",
            "details",
        }
        return error


@dataclass(frozen=True)
class Shell:
    """A current folder and environment variables, in which commands run."""

    folder: Path
    variables: Mapping[str, str]

    def having(self, **variables: str) -> "Shell":
        """Return a shell that also has these variables."""
        return replace(self, variables={**self.variables, **variables})

    def lacking(self, *names: str) -> "Shell":
        """Return a shell without these variables."""
        variables = dict(self.variables)
        for name in names:
            variables.pop(name, None)
        return replace(self, variables=variables)

    def within(self, folder: Path) -> "Shell":
        """Return a shell in another folder."""
        return replace(self, folder=folder)

    def orchestrate(
        self, *arguments: Argument, stdin: bytes = b""
    ) -> CommandResult:
        """Run `orchestrate`."""
        return self.run(BIN / "orchestrate", *arguments, stdin=stdin)

    def worker(
        self, *arguments: Argument, stdin: bytes = b""
    ) -> CommandResult:
        """Run `worker`."""
        return self.run(BIN / "worker", *arguments, stdin=stdin)

    def python(
        self, code: str, *arguments: Argument, stdin: bytes = b""
    ) -> CommandResult:
        """Run Python code in a new process."""
        return self.run(sys.executable, "-c", code, *arguments, stdin=stdin)

    def run(
        self, *words: Argument | Path, stdin: bytes = b""
    ) -> CommandResult:
        """Run any command to its end; fail if it prints a traceback."""
        done = subprocess.run(
            words,
            cwd=self.folder,
            env=self.environment(),
            input=stdin,
            capture_output=True,
            timeout=TIME_LIMIT_S,
            check=False,
        )
        stdout = done.stdout.decode(errors="surrogateescape")
        stderr = done.stderr.decode(errors="surrogateescape")
        assert "Traceback" not in stderr, stderr
        return CommandResult(done.returncode, stdout, stderr)

    def start(self, *words: Argument | Path) -> subprocess.Popen[str]:
        """Start any command; the test must end it, for example by `result_of`."""
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
        """Run any command on a pseudo-terminal, `width` columns wide, and type `typed`.

        Return the exit code and the text on the screen.
        """
        ours, theirs = pty.openpty()
        fcntl.ioctl(
            theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, width, 0, 0)
        )
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
        text = screen.decode(errors="surrogateescape").replace("\r\n", "\n")
        return process.wait(TIME_LIMIT_S), text

    def environment(self) -> dict[str, str]:
        """Return the variables of this process, with those of the shell added."""
        return os.environ | dict(self.variables)


def result_of(process: subprocess.Popen[str]) -> CommandResult:
    """Wait for the end of a started command, and return its result."""
    try:
        stdout, stderr = process.communicate(timeout=TIME_LIMIT_S)
    finally:
        process.kill()
    assert "Traceback" not in stderr, stderr
    return CommandResult(process.returncode, stdout, stderr)


def eventually(
    condition: Callable[[], object], *, within_s: float = SOON_S
) -> None:
    """Poll until a condition is true; fail after `within_s` seconds."""
    deadline = monotonic() + within_s
    while not condition():
        assert monotonic() < deadline, f"still false after {within_s:.0f} s"
        sleep(LOOK_AGAIN_S)


def discard(folder: Path, root: Path) -> None:
    """Delete a folder of a root, or the root, by a rename.

    Processes that still write there see it disappear at one moment.
    """
    aside = root.with_name(f"{root.name}-gone")
    folder.rename(aside)
    eventually(lambda: _is_removed(aside))


def _is_removed(folder: Path) -> bool:
    shutil.rmtree(folder, ignore_errors=True)
    return not folder.exists()


def alive(pid: int) -> bool:
    """Return whether a process exists and is not a zombie.

    A process that ends closes its files, and with them its locks, a moment before it
    becomes a zombie. So a test that has waited for its lock waits for its end, too.
    """
    return state_of(pid) not in ("", "Z")


def processes(mark: str) -> Sequence[str]:
    """Return the command lines of the processes with a variable."""
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            variables = (process / "environ").read_bytes().split(b"\0")
            if mark.encode() in variables:
                words = (process / "cmdline").read_bytes().split(b"\0")
                found.append(b" ".join(words).decode(errors="replace"))
    return found


def state_of(pid: int) -> str:
    """Return the state of a process, such as "T" for stopped; "" if it does not exist."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except OSError:
        return ""
    # The name of the command, in parentheses, may have any characters.
    return status.rpartition(")")[2].split()[0]


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:  # Linux reports a closed terminal as an error
        return b""
