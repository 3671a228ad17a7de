"""Agent programs from npm, each at the version that its lock file pins.

They are installed once, into `.programs` of the checkout.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import pytest

LOCKS = Path(__file__).parent / "npm"
PROGRAMS = Path(__file__).parents[2] / ".programs"
INSTALL = (
    "npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1",
)  # fmt: skip
TIME_LIMIT_S = 300
#: Error codes of npm without a network.
NO_NETWORK = (
    "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "ERR_SOCKET_TIMEOUT", "ETIMEDOUT",
)  # fmt: skip


def install(name: str) -> Path:
    """Return the folder with the commands of a program, a folder of `npm/`.

    Skip the test without npm, or if its registry cannot be reached.
    """
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = _installed(name)
    if folder is None:
        pytest.skip("the npm registry cannot be reached")
    return folder / "node_modules" / ".bin"


@cache
def _installed(name: str) -> Path | None:
    """Install a program unless it is; return None if the registry cannot be reached.

    Test processes that need the same program wait for the first one, which installs it.
    """
    lock = LOCKS / name / "package-lock.json"
    version = hashlib.sha256(lock.read_bytes()).hexdigest()[:12]
    folder = PROGRAMS / f"{name}-{version}"
    PROGRAMS.mkdir(exist_ok=True)
    with (PROGRAMS / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if folder.exists() or _install_into(folder, lock.parent):
            return folder
    return None


def node() -> Path:
    """Return the folder with the command `node`."""
    found = shutil.which("node")
    assert found, "npm is installed without node"
    return Path(found).parent


def _install_into(folder: Path, packages: Path) -> bool:
    """Install packages beside the folder, and rename: a half installation is not used.

    Return False if the registry cannot be reached.
    """
    beside = folder.with_suffix(".new")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.copytree(packages, beside)
    environment = {
        **os.environ,
        "HOME": str(PROGRAMS),
        "npm_config_cache": str(PROGRAMS / "cache"),
    }
    done = subprocess.run(
        INSTALL,
        cwd=beside,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
        check=False,
    )
    if any(f"code {code}" in done.stderr for code in NO_NETWORK):
        return False
    assert done.returncode == 0, f"npm ci failed: {done.stderr}"
    beside.rename(folder)
    return True
