"""A git checkout in which a person and an agent program work, with a home of its own."""

import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from programs.installed import node
from support.commands import BIN, Shell
from support.hermetic import MARK, SET

#: Variables that a program gets from the test process: nothing else of this machine.
PASSED = (MARK, "PYTEST_CURRENT_TEST", "TMPDIR", "LANG", "SHELL")
SYSTEM = ("/usr/local/bin", "/usr/bin", "/bin")


@dataclass(frozen=True)
class Checkout(Shell):
    """A shell in a checkout, which has no variables but its own."""

    def environment(self) -> dict[str, str]:
        """Return the variables of a command."""
        passed = {
            name: os.environ[name] for name in PASSED if name in os.environ
        }
        return {**passed, **SET, **self.variables}

    def having(self, **variables: str) -> "Checkout":
        """Return a shell that also has these variables."""
        return replace(self, variables={**self.variables, **variables})

    def within(self, folder: Path) -> "Checkout":
        """Return a shell in another folder."""
        return replace(self, folder=folder)

    @property
    def home(self) -> Path:
        """Return the home folder."""
        return Path(self.variables["HOME"])

    def git(self, *arguments: str) -> str:
        """Run git, and return its output."""
        done = self.run("git", *arguments)
        assert done.code == 0, done.stderr
        return done.stdout


def new_checkout(
    folder: Path, programs: Path, variables: Mapping[str, str]
) -> Checkout:
    """Make a checkout with one commit in `folder`, and a home beside it.

    `programs` is the folder with the program's command.
    """
    root, home = folder / "shop", folder / "home"
    root.mkdir(parents=True)
    home.mkdir()
    path = os.pathsep.join(map(str, (BIN, programs, node(), *SYSTEM)))
    checkout = Checkout(root, {"HOME": str(home), "PATH": path, **variables})
    checkout.git("init", "--quiet", "--initial-branch=main")
    checkout.git("config", "user.name", "Ada")
    checkout.git("config", "user.email", "ada@example.com")
    (root / "README.md").write_text("# Shop\n", encoding="utf-8")
    checkout.git("add", ".")
    checkout.git("commit", "--quiet", "--message", "Begin")
    return checkout


def run_program(
    checkout: Checkout, *words: str | Path, timeout_s: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, with an empty standard input."""
    return subprocess.run(
        words,
        cwd=checkout.folder,
        env=checkout.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
    )
