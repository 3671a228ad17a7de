"""The agent program on this machine: whether it is found, and whether it is too old."""

import re
import shutil
from collections.abc import Mapping

from taskorch.domain.frozen import Frozen

from taskorch_orchestrator.setup.commands import output_of

#: A program of Node.js needs some seconds to print its version on a busy machine.
VERSION_LIMIT_S = 10.0
#: The command of each program, and the oldest version that reads all of our files.
#: Older ones start with these files, and ignore a part of them.
COMMANDS = {
    "claude": ("claude", "2.1.0"),
    "codex": ("codex", "0.118.0"),
    "gemini": ("gemini", "0.26.0"),
    "cursor": ("cursor", "1.7.0"),
    "opencode": ("opencode", "1.0.0"),
    "qwen": ("qwen", "0.15.0"),
}


class Installed(Frozen):
    """A program as it is installed here."""

    command: str
    #: The path of the command; "" if it is not on PATH.
    path: str
    #: What it calls its version; "" if that is unknown.
    version: str
    minimum: str

    @property
    def is_too_old(self) -> bool:
        """Whether it is known to be older than the minimum."""
        if not self.version:
            return False
        return _numbers(self.version) < _numbers(self.minimum)


def find(program: str, environment: Mapping[str, str]) -> Installed:
    """Return what PATH leads to, and its version."""
    command, minimum = COMMANDS[program]
    path = shutil.which(command, path=environment.get("PATH"))
    version = ""
    if path:
        output = output_of([path, "--version"], environment, VERSION_LIMIT_S)
        found = re.search(r"\d+\.\d+(?:\.\d+)?", output)
        version = found[0] if found else ""
    return Installed(
        command=command, path=path or "", version=version, minimum=minimum
    )


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]
