"""Isolation of tests from this machine: its variables, user files and checkouts.

`tests/conftest.py` calls `isolate` once, before any test.
"""

import os
import signal
import sys
import tempfile
from pathlib import Path

from taskorch.config.settings import resolve
from taskorch.domain.errors import TaskOrchestratorError

#: Variables that tests and their processes inherit: for programs and pytest itself.
KEPT = ("PATH", "TERM", "USER", "LOGNAME", "SHELL", "CI", "REQUESTS_CA_BUNDLE")
KEPT_PREFIXES = (
    "PYTEST_",
    "COV_",
    "COVERAGE_",
    "MODEL_",
    "PIP_",
    "UV_",
    "SSL_CERT_",
    "LD_",
    "DYLD_",
)
KEPT_SUFFIXES = ("_proxy", "_PROXY")
#: git reads no configuration of the user or the machine.
SET = {
    "LANG": "C.UTF-8",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}
ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)
#: Folders for temporary files, if that of the environment is unsuitable.
PLACES = ("/tmp", "/var/tmp", "/dev/shm")
#: A longer path leaves too little room for a Unix socket: 103 bytes on macOS.
LONGEST_PLACE = 40
#: A variable of all processes that these tests start, with the folder of homes.
MARK = "PYTEST_HOMES"


def isolate() -> Path:
    """Remove all variables except the kept ones; return the folder for homes of tests.

    The folder is HOME until a test has its own. The new TMPDIR has no checkout and no
    queue above it. Raises RuntimeError if there is no such folder.
    """
    inherited = dict(os.environ)
    os.environ.clear()
    os.environ.update(
        {name: value for name, value in inherited.items() if _is_kept(name)}
        | SET
    )
    _restore_signals()
    if "PYTEST_SABOTAGED" in inherited:
        # The commands run from the source that tests/sabotage.py has changed.
        os.environ["PYTHONPATH"] = inherited["PYTHONPATH"]
    # Without bytecode, each command that a test runs would compile the whole project.
    sys.dont_write_bytecode = False
    if "PYTEST_XDIST_WORKER" in inherited:
        # The controller has already chosen the folder.
        place, homes = (
            inherited["TMPDIR"],
            tempfile.mkdtemp(dir=inherited["HOME"]),
        )
    else:
        place, homes = _find_temporary_folder(inherited.get("TMPDIR", ""))
    os.environ.update({"TMPDIR": place, "HOME": homes, MARK: homes})
    tempfile.tempdir = None  # tempfile remembers the previous one
    return Path(homes)


def _is_kept(name: str) -> bool:
    return (
        name in KEPT
        or name.startswith(KEPT_PREFIXES)
        or name.endswith(KEPT_SUFFIXES)
    )


def _restore_signals() -> None:
    """Let signals end the tests' processes, even if nohup or `&` has them ignored."""
    for number in ENDING:
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(
                number,
                signal.default_int_handler
                if number is signal.SIGINT
                else signal.SIG_DFL,
            )


def _find_temporary_folder(preferred: str) -> tuple[str, str]:
    """Return a folder without a checkout or queue above it, and a new folder in it."""
    for place in (preferred, *PLACES):
        if (
            os.access(place, os.W_OK)
            and Path(place).is_absolute()
            and len(place) <= LONGEST_PLACE
        ):
            new = tempfile.mkdtemp(prefix="taskorch-tests-", dir=place)
            if _is_root(Path(new, "probe")):
                return place, new
            Path(new).rmdir()
    raise RuntimeError(
        "Every folder for temporary files has a .git or a .task-orchestrator above it. "
        "Set TMPDIR."
    )


def _is_root(folder: Path) -> bool:
    """Make a folder, and return whether a command in it would use it as the root."""
    folder.mkdir()
    try:
        return resolve({}, {"HOME": str(folder.parent)}, folder).root == folder
    except TaskOrchestratorError:  # such as a broken config.toml above it
        return False
    finally:
        folder.rmdir()
