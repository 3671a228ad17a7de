"""A virtual environment per peer, with the packages that the head of its program lists."""

import re
import subprocess
import sys
import tomllib
import venv
from collections.abc import Mapping
from pathlib import Path

from benchmarks.page import REPOSITORY

PROGRAMS = Path(__file__).parent / "queues"
OURS = "taskorch"
#: Our queue again, with 100 items a call.
BATCHED = "taskorch_100"
#: Ours first; each is measured by `queues/<name>.py`.
QUEUES = (
    OURS,
    BATCHED,
    *sorted(
        file.stem
        for file in PROGRAMS.glob("[a-z]*.py")
        if not file.stem.startswith(OURS)
    ),
)
_HEAD = re.compile(r"^# /// script\n((?:# .*\n)+)# ///$", re.MULTILINE)


def program(queue: str) -> Path:
    """Return the program of a queue."""
    return PROGRAMS / f"{queue}.py"


def needs(queue: str) -> list[str]:
    """Return the packages that a queue's program lists, the queue itself first; none for ours."""
    head = _HEAD.search(program(queue).read_text(encoding="utf-8"))
    return (
        list(tomllib.loads(head[1].replace("# ", ""))["dependencies"])
        if head
        else []
    )


def python(queue: str) -> Path:
    """Return the interpreter of a queue's program; it exists once the queue is installed."""
    return (
        Path(sys.executable)
        if queue in (OURS, BATCHED)
        else _folder(queue) / "bin" / "python"
    )


def install(queue: str) -> None:
    """Create the environment of a peer, unless it is up to date."""
    mark, asked = _folder(queue) / "installed", "\n".join(needs(queue))
    if queue in (OURS, BATCHED) or (
        mark.exists() and mark.read_text(encoding="utf-8") == asked
    ):
        return
    venv.create(_folder(queue), with_pip=True, clear=True)
    pip = [
        str(python(queue)),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        *needs(queue),
    ]
    subprocess.run(pip, check=True)
    mark.write_text(asked, encoding="utf-8")


def versions(queues: tuple[str, ...]) -> Mapping[str, str]:
    """Return the version of each queue that is installed."""
    return {
        queue: _version(queue) for queue in queues if python(queue).exists()
    }


def _version(queue: str) -> str:
    package = (
        re.split(r"[\[<>=]", needs(queue)[0])[0]
        if queue not in (OURS, BATCHED)
        else "task-orchestrator"
    )
    ask = (
        f"from importlib.metadata import version; print(version({package!r}))"
    )
    done = subprocess.run(
        [str(python(queue)), "-c", ask],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def _folder(queue: str) -> Path:
    return REPOSITORY / ".venv-peers" / queue
