"""Shells of agents whose commands reach a gateway only through a proxy."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from support import connect_proxy, lone_network
from support.commands import Argument, CommandResult, Shell

OWN_NETWORK = ("unshare", "-rn")


def has_own_network() -> bool:
    """Return whether processes can have a network of their own here."""
    if shutil.which(OWN_NETWORK[0]) is None:
        return False
    words = [*OWN_NETWORK, "true"]
    return (
        subprocess.run(words, capture_output=True, check=False).returncode == 0
    )


@dataclass(frozen=True)
class Sandbox(Shell):
    """A shell whose commands each have a network of their own, where that is allowed."""

    #: The Unix socket of the proxy.
    proxy: Path
    has_own_network: bool

    def run(
        self, *words: Argument | Path, stdin: bytes = b""
    ) -> CommandResult:
        """Run any command to its end."""
        return super().run(*self._inside(), *words, stdin=stdin)

    def start(self, *words: Argument | Path) -> "subprocess.Popen[str]":
        """Start any command."""
        return super().start(*self._inside(), *words)

    def _inside(self) -> tuple[Argument | Path, ...]:
        network = OWN_NETWORK if self.has_own_network else ()
        inside = (lone_network.__file__, self.proxy, connect_proxy.USER)
        return (*network, sys.executable, *inside)


def sandbox(shell: Shell, proxy: Path) -> Sandbox:
    """Return a sandbox with the folder and the variables of a shell, and its own HOME."""
    home = shell.folder / "home"
    home.mkdir(exist_ok=True)
    return Sandbox(
        shell.folder,
        {**shell.variables, "HOME": str(home)},
        proxy,
        has_own_network(),
    )
