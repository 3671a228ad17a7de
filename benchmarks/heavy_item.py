"""Memory and time of the sync job for an item with a thousand long reports.

As a program it is the sync job, in a process of its own:

    python -m benchmarks.heavy_item URL NAMESPACE FOLDER

It makes the first pass, and then, for each line that it reads, another one. It prints
the milliseconds of each pass, those of the processor, and its peak in MB above the memory
before the first pass.
"""

import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time

import click
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue
from taskorch_orchestrator.mirror.mirror import Mirror

from benchmarks.figures import Comparison, Figure
from benchmarks.queues import server

NAMESPACE = "heavy"
REPORTS, REPORT_BYTES = 1000, 65_000
DISCOVERIES, OTHERS_DISCOVERIES = 100, 3000
REQUIREMENTS = tuple(f"{number} {'r' * 4000}" for number in range(200))
MORE_REPORTS = 10
FIGURES = {
    "ms": Figure(title="ms"),
    "cpu_ms": Figure(title="processor time, ms"),
    "mb": Figure(title="peak memory above idle, MB"),
}


def measure() -> Iterator[Comparison]:
    """Measure the first pass, and the one after each of some more reports."""
    with (
        server() as url,
        TemporaryDirectory(prefix="heavy-") as folder,
    ):
        agent, lease = _filled(url)
        with _sync_job(url, folder) as job:
            rounds = [{"the first pass": _next_pass(job)}]
            for _ in range(MORE_REPORTS):
                cost = _report(job, agent, lease)
                rounds.append({"the pass after one more report": cost})
    yield Comparison(
        name="heavy_item", rows="what", figures=FIGURES, rounds=rounds
    )


def _filled(url: str) -> tuple[AgentQueue, Lease]:
    """Make the item and the discoveries of others; return its holder."""
    planner = Queue(connect(url), NAMESPACE, Caller(agent="planner"))
    project = planner.project("Heavy")
    for name in ("ada", "bob"):
        planner.create(
            project,
            NewItem(title="Heavy", agent=name, requirements=REQUIREMENTS),
        )
    ada, lease = _claimed(planner, "ada")
    for _ in range(REPORTS):
        ada.progress(lease, "x" * REPORT_BYTES)
    for _ in range(DISCOVERIES):
        ada.discover(lease, "x" * (REPORT_BYTES // 10))
    bob, other = _claimed(planner, "bob")
    for _ in range(OTHERS_DISCOVERIES):
        bob.discover(other, "x" * 500)
    return ada, lease


def _claimed(planner: Queue, name: str) -> tuple[AgentQueue, Lease]:
    agent = planner.agent_queue(name)
    claim = agent.claim()
    if claim is None or claim.lease is None:
        raise RuntimeError("the item was not claimed")
    return agent, claim.lease


@contextmanager
def _sync_job(url: str, folder: str) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-m", "benchmarks.heavy_item"]
    with subprocess.Popen(
        [*words, url, NAMESPACE, folder],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as job:
        yield job
        if job.stdin:
            job.stdin.close()


def _report(
    job: subprocess.Popen[str], agent: AgentQueue, lease: Lease
) -> dict[str, float]:
    """Report once more; return what the pass after it costs."""
    agent.progress(lease, "y" * REPORT_BYTES)
    click.echo("pass", file=job.stdin)
    return _next_pass(job)


def _next_pass(job: subprocess.Popen[str]) -> dict[str, float]:
    cost: dict[str, float] = json.loads(
        job.stdout.readline() if job.stdout else ""
    )
    return cost


def _cost(mirror: Mirror, idle_mb: float) -> dict[str, float]:
    """Make a pass; return its cost by the names of FIGURES."""
    gc.collect()
    # From here on, the kernel measures the peak again.
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
    began, busy_s = perf_counter(), process_time()
    mirror.sync(scan=False)
    taken_s, busy_s = perf_counter() - began, process_time() - busy_s
    return {
        "ms": taken_s * 1000,
        "cpu_ms": busy_s * 1000,
        "mb": _memory_mb("VmHWM") - idle_mb,
    }


def _memory_mb(name: str) -> float:
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition(f"{name}:")[2].split()[0]) / 1024


def main(url: str, namespace: str, folder: str) -> None:
    """Make passes, and print what each costs."""
    queue = Queue(connect(url), namespace, Caller(agent="planner"))
    mirror = Mirror(queue, Path(folder))
    idle_mb = _memory_mb("VmRSS")
    click.echo(json.dumps(_cost(mirror, idle_mb)))
    for _ in sys.stdin:
        click.echo(json.dumps(_cost(mirror, idle_mb)))


if __name__ == "__main__":
    main(*sys.argv[1:])
