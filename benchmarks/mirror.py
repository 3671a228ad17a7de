"""Cost of the sync job: after one change, at first, for a heavy item, and the time from a report to the file."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from tempfile import TemporaryDirectory
from time import monotonic, perf_counter, process_time, sleep

from taskorch.domain.item import Lease, NewItem
from taskorch.queue.queue import Queue
from taskorch_orchestrator.mirror.mirror import Mirror

from benchmarks import heavy_item
from benchmarks.figures import Comparison, Figure
from benchmarks.queues import cpu_s, filled, server
from benchmarks.report import report

FEW = 100
MANY = int(os.environ.get("BENCH_MIRRORED", "10000"))
FIRST = 3_000
ROUNDS = 3
PACKAGE_BYTES = 1200
CHANGES = 201
CHANGING = 20
REPORTS = 150
IDLE_S = 15.0
FIGURES = {"value": Figure(title="measured", digits=2)}


def measure() -> Iterator[Comparison]:
    """Measure the job alone, and as the service runs it."""
    with server() as url, TemporaryDirectory(prefix="mirror-") as folder:
        found = {
            **_changes(url, Path(folder)),
            **_first(url, Path(folder)),
            **_service(url, Path(folder)),
        }
    number = max(map(len, found.values()))
    rounds = [
        {name: {"value": of[at]} for name, of in found.items() if at < len(of)}
        for at in range(number)
    ]
    yield Comparison(
        name="mirror", rows="what", figures=FIGURES, rounds=rounds
    )
    yield from heavy_item.measure()


def _changes(url: str, folder: Path) -> dict[str, list[float]]:
    """Time the sync after one report, in turns with few and with many items."""
    mirrors = {
        size: _mirrored(url, folder / str(size), size) for size in (FEW, MANY)
    }
    medians: dict[int, list[float]] = {size: [] for size in mirrors}
    for first in range(0, CHANGES, CHANGES // ROUNDS):
        cpu: dict[int, list[float]] = {size: [] for size in mirrors}
        for number in range(first, first + CHANGES // ROUNDS):
            for size, (queue, mirror, leases) in mirrors.items():
                queue.agent_queue("ada").progress(
                    leases[number % CHANGING],
                    f"Report {number}",
                    percent=number % 100,
                )
                start = process_time()
                mirror.sync(scan=False)
                cpu[size].append((process_time() - start) * 1000)
        for size, taken in cpu.items():
            medians[size].append(median(taken))
    named = {
        f"a pass after one change, processor time, ms, {size:,} items": medians[
            size
        ]
        for size in mirrors
    }
    ratios = [
        many / few
        for few, many in zip(medians[FEW], medians[MANY], strict=True)
    ]
    return {**named, "the latter to the former": ratios}


def _mirrored(
    url: str, root: Path, size: int
) -> tuple[Queue, Mirror, list[Lease]]:
    """Return a namespace with items that are all mirrored, and a few that are held."""
    queue = filled(url, f"mirrored-{size}", size)
    root.mkdir()
    mirror, project = Mirror(queue, root), queue.project("Some more")
    for _ in range(CHANGING):
        queue.create(project, NewItem(title="Changing", agent="ada"))
    claims = [queue.agent_queue("ada").claim() for _ in range(CHANGING)]
    mirror.sync(full=True)
    return (
        queue,
        mirror,
        [claim.lease for claim in claims if claim and claim.lease],
    )


def _first(url: str, folder: Path) -> dict[str, list[float]]:
    """Time first full syncs, each between two bare loops that write, sync and rename equal files."""
    queue = filled(url, "first", FIRST)
    ratios = []
    for number in range(ROUNDS):
        root = folder / f"first-{number}"
        root.mkdir()
        before = _bare(folder / f"before-{number}", [PACKAGE_BYTES] * FIRST)
        start = perf_counter()
        Mirror(queue, root).sync(full=True)
        mirrored = perf_counter() - start
        files = [
            file.stat().st_size
            for file in (root / ".task-orchestrator" / "handoffs").glob(
                "*_handoff.json"
            )
        ]
        bare = (before + _bare(folder / f"after-{number}", files)) / 2
        ratios.append(mirrored / bare)
    return {f"a full first mirror of {FIRST:,} items, a bare loop = 1": ratios}


def _bare(folder: Path, sizes: list[int]) -> float:
    folder.mkdir()
    start = perf_counter()
    for number, size in enumerate(sizes):
        with (folder / f".{number}.tmp").open("wb") as file:
            file.write(b"x" * size)
            file.flush()
            os.fsync(file.fileno())
        (folder / f".{number}.tmp").rename(folder / f"{number}.json")
    return perf_counter() - start


def _service(url: str, folder: Path) -> dict[str, list[float]]:
    """Time the way from a report to the file, and the cost of an idle service."""
    root = folder / "served"
    root.mkdir()
    queue = filled(url, "served", FEW)
    item = queue.create(
        queue.project("Served"), NewItem(title="Reported", agent="ada")
    )
    with _running(url, root) as process:
        file = (
            root / ".task-orchestrator" / "handoffs" / f"{item}_progress.json"
        )
        ways = [
            _way(queue, item, file, f"Report {number} of {REPORTS}") * 1000
            for number in range(REPORTS)
        ]
        size = REPORTS // ROUNDS
        points = [
            quantiles(ways[first : first + size], n=100)
            for first in range(0, REPORTS, size)
        ]
        before = cpu_s(process.pid)
        sleep(IDLE_S)
        share = (cpu_s(process.pid) - before) / IDLE_S
        return {
            "from a report to the file, p50, ms": [
                each[49] for each in points
            ],
            "from a report to the file, p99, ms": [
                each[98] for each in points
            ],
            "the idle service, % of a core": [share * 100],
            "the idle service, MB": [_rss_mb(process.pid)],
        }


@contextmanager
def _running(url: str, root: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **os.environ,
        "TASKORCH_ROOT": str(root),
        "TASKORCH_REDIS_URL": url,
        "TASKORCH_NAMESPACE": "served",
    }
    command = [str(Path(sys.executable).parent / "orchestrate"), "service"]
    process = subprocess.Popen(
        command, env=environment, stderr=subprocess.DEVNULL
    )
    try:
        while not any(
            (root / ".task-orchestrator" / "handoffs").glob("*_handoff.json")
        ):
            sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait()


def _way(queue: Queue, item: str, file: Path, text: str) -> float:
    queue.agent_queue("ada").progress(_lease(queue, item), text)
    start = monotonic()
    while not file.exists() or text not in file.read_text():
        sleep(0.002)
    return monotonic() - start


def _lease(queue: Queue, item: str) -> Lease:
    (record,) = queue.views.records([item])
    return queue.views.records([item], session=record.session)[0].lease


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


if __name__ == "__main__":
    report(measure)
