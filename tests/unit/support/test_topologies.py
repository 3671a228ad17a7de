"""Servers of tests listen on ports that no other process of the tests has."""

import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parents[2]
NUMBER = 400
CHOOSE = f"""
from support.topologies import free_ports
print(*(free_ports(1)[0] for _ in range({NUMBER})))
"""


def test_processes_of_a_run_have_different_ports() -> None:
    chosen = [chosen_by(worker) for worker in ("gw0", "gw1", "gw2")]

    assert len(set().union(*chosen)) == 3 * NUMBER


def chosen_by(worker: str) -> list[str]:
    """Return the ports that a process of the tests chooses, one after the other."""
    ran = subprocess.run(
        [sys.executable, "-c", CHOOSE],
        cwd=TESTS,
        env={**os.environ, "PYTEST_XDIST_WORKER": worker},
        capture_output=True,
        text=True,
        check=True,
    )
    return ran.stdout.split()
