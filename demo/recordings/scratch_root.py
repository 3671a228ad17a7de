"""A temporary folder with a queue of its own, and commands that run in it unseen."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BIN = Path(sys.executable).parent


@contextmanager
def scratch_root() -> Iterator["ScratchRoot"]:
    """Make a root with its bundled server; all of it is gone after the block."""
    # A Unix socket in it has a path of at most 103 bytes on macOS.
    home = Path(tempfile.mkdtemp(prefix="rec-"))
    root = ScratchRoot(home)
    try:
        root.run("orchestrate", "server", "start")
        yield root
    finally:
        root.run("orchestrate", "server", "stop")
        shutil.rmtree(home)


class ScratchRoot:
    """A root in a temporary home: the user's settings and files are not used."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "root"
        self.folder.mkdir()
        self.environment = {
            "PATH": os.pathsep.join(
                [str(BIN), os.environ.get("PATH", os.defpath)]
            ),
            "HOME": str(home),
            "LANG": "C.UTF-8",
            "TASKORCH_ROOT": str(self.folder),
        }

    def put(self, file: Path) -> None:
        """Copy a file into the folder."""
        shutil.copy(file, self.folder)

    def run(self, *words: str, agent: str = "") -> str:
        """Run a command that the recording does not show; return its output."""
        environment = self.environment | ({"AGENT_ID": agent} if agent else {})
        return subprocess.run(
            words,
            cwd=self.folder,
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        ).stdout
