"""The Python examples of a page: each is a program, checked and run on its own."""

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from support.commands import TIME_LIMIT_S, Shell, eventually

REPOSITORY = Path(__file__).parents[2]


def python_blocks(page: str) -> list[str]:
    """Return the Python examples of a page."""
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    return re.findall(
        r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )


def check_types(
    program: Path, python: str = sys.executable
) -> subprocess.CompletedProcess[str]:
    """Check a program with `mypy --strict`, as the user of an installed package does."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "mypy", "--strict", "--no-incremental"),
            *("--python-executable", python),
            *("--config-file", "", str(program)),
        ],
        cwd=program.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def run_until(
    shell: Shell,
    program: Path,
    is_over: Callable[[], object],
    python: str = sys.executable,
) -> tuple[int, str, str]:
    """Run a program to its end, or a worker until a condition; then SIGTERM stops it.

    Return the exit code and the output.
    """
    running = subprocess.Popen(
        [python, str(program)],
        cwd=shell.folder,
        env=shell.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        eventually(lambda: running.poll() is not None or is_over())
        if running.poll() is None and ".run()" in program.read_text():
            running.send_signal(signal.SIGTERM)
        stdout, stderr = running.communicate(timeout=TIME_LIMIT_S)
    finally:
        running.kill()
        running.wait()
    return running.returncode, stdout, stderr
