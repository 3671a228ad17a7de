"""Repeated audits with repair during work find nothing and break nothing."""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from time import monotonic

import pytest
from support import servers
from support.builders import Bench
from taskorch_orchestrator.doctor.audit import audit

pytestmark = pytest.mark.parametrize(
    "lane", list(servers.binaries()), indirect=True, scope="session"
)

WORKER = Path(__file__).parents[1] / "support" / "worker_under_audit.py"
WORKERS, FOR_S, TIME_LIMIT_S = 4, 3.0, 60.0


def test_repair_under_load_breaks_nothing(bench: Bench) -> None:
    audits = []
    with ExitStack() as stack:
        workers = [
            stack.enter_context(
                subprocess.Popen(
                    [
                        sys.executable,
                        str(WORKER),
                        bench.url,
                        bench.namespace,
                        str(seed),
                    ],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
            )
            for seed in range(WORKERS)
        ]
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "ready\n"
        deadline = monotonic() + FOR_S
        while monotonic() < deadline:
            audits.append(audit(bench.queue, fix=True))
        for worker in workers:
            assert worker.stdout is not None
            assert worker.stdout.readline() == "enough\n"
            worker.communicate("stop\n", timeout=TIME_LIMIT_S)

    last = audit(bench.queue, fix=False)

    assert [worker.returncode for worker in workers] == [0] * WORKERS
    assert [
        found for found in audits if found.findings or found.repaired
    ] == []
    assert (last.findings, last.counted) == ((), True)
    assert bench.inconsistencies() == []
