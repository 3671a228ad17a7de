"""Environments with Python packages of other versions than ours.

Each is made once, in `.programs` of the checkout.
"""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from programs.installed import PROGRAMS

INSTALL_LIMIT_S = 600


def python_with(name: str, requirements: Sequence[str]) -> str:
    """Return the Python of an environment with packages.

    Skip the test if they cannot be installed.
    """
    version = hashlib.sha256("\n".join(requirements).encode()).hexdigest()[:12]
    folder = PROGRAMS / f"{name}-{version}"
    PROGRAMS.mkdir(exist_ok=True)
    with (PROGRAMS / f"{name}.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            shutil.rmtree(folder, ignore_errors=True)
            failure = _made(folder, requirements)
            if failure:
                pytest.skip(f"{name} cannot be installed: {failure}")
            (folder / "complete").touch()
    return str(folder / "bin" / "python")


def _made(folder: Path, requirements: Sequence[str]) -> str:
    """Make an environment with packages, and return the error, or ""."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    pip = (folder / "bin" / "python", "-m", "pip", "install", "--quiet")
    options = ("--disable-pip-version-check", "--only-binary", ":all:")
    done = subprocess.run(
        [*pip, *options, *requirements],
        capture_output=True,
        text=True,
        timeout=INSTALL_LIMIT_S,
        check=False,
    )
    return done.stderr.strip()[-300:] if done.returncode else ""
