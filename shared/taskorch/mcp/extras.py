"""What is installed only where it is wanted: the extras of the distribution."""

import shlex
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from taskorch.domain import errors

#: The extra [mcp] of pyproject.toml.
MCP = "mcp>=2,<3"


@contextmanager
def needs_mcp() -> Iterator[None]:
    """Raise errors.Usage with the command that installs the extra, in the place of an ImportError."""
    try:
        yield
    except ImportError as error:
        reason = f"This needs the Python package mcp ({error}). Install it: {how_to_install(MCP)}"
        raise errors.Usage(reason=reason) from None


def how_to_install(requirement: str) -> str:
    """Return the command that adds a package to the environment of this process, by the program that has made it."""
    environment = Path(sys.prefix)
    if (environment / "pipx_metadata.json").exists():
        return shlex.join(["pipx", "inject", environment.name, requirement])
    if find_spec("pip"):
        return shlex.join([sys.executable, "-m", "pip", "install", requirement])
    if shutil.which("uv"):
        return shlex.join(
            ["uv", "pip", "install", "--python", sys.executable, requirement]
        )
    return f"add {requirement} to the environment in {environment}"
