"""What grows while the bundled server and its service work: keys, memory, descriptors, files.

    python -m benchmarks.soak --rate 200 --minutes 60 --keep 2

Each item is created, claimed and completed. Each minute has a project of its own, which is
completed at the end of that minute and purged `--keep` minutes later, as `retention` does.
So every figure must become level after that time.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import click
import redis
from rich.console import Console
from taskorch.cli.text import counted
from taskorch.config.settings import resolve
from taskorch.connections import connect
from taskorch.domain.item import Caller, NewItem
from taskorch.queue import keys
from taskorch.queue.queue import Queue
from taskorch.transport import address

from benchmarks import page
from benchmarks.figures import Comparison, Figure, Round, markdown, table
from benchmarks.queues import cpu_s
from benchmarks.report import machine

NAMESPACE = "default"
AGENTS = 10
MINUTE_S = 60.0
MB = 1024 * 1024
#: The most frequent kinds of keys that are shown.
KINDS_SHOWN = 24


@dataclass(frozen=True, kw_only=True)
class Root:
    """A root with its server and its service."""

    folder: Path
    url: str
    server: int
    service: int

    @property
    def home(self) -> Path:
        """The folder with everything that the root keeps."""
        return self.folder / ".task-orchestrator"


@dataclass(kw_only=True)
class Load:
    """The items that are created, claimed and completed."""

    queue: Queue
    rate: float
    keep: int
    projects: list[str] = field(default_factory=list)
    done: int = 0

    def run_for_a_minute(self) -> None:
        """Work on the project of a minute, and purge the oldest one."""
        project = self.queue.project(f"Minute {len(self.projects)}")
        self.projects.append(project)
        begin, number = monotonic(), 0
        while (elapsed := monotonic() - begin) < MINUTE_S:
            if number < elapsed * self.rate:
                self._work_on_an_item(project, number)
                number += 1
            else:
                sleep(1 / self.rate)
        self.done += number
        self.queue.complete_project(project)
        if self.keep and len(self.projects) > self.keep:
            self._purge(self.projects[-1 - self.keep])

    def _work_on_an_item(self, project: str, number: int) -> None:
        name = f"agent-{number % AGENTS}"
        self.queue.create(
            project,
            NewItem(title="An item", description="x" * 300, agent=name),
        )
        agent = self.queue.agent_queue(name)
        claim = agent.claim()
        if claim and claim.lease:
            agent.complete(claim.lease, "All of it is done")

    def _purge(self, project: str) -> None:
        left = 1
        while left:
            left, _, _ = self.queue.purge(project)


@contextmanager
def served(retention: str) -> Iterator[Root]:
    """Run the bundled server and its service, as a first command starts them."""
    with TemporaryDirectory(prefix="soak-") as folder:
        variables = {"TASKORCH_ROOT": folder, "TASKORCH_RETENTION": retention}
        command = [str(Path(sys.executable).parent / "orchestrate"), "server"]
        subprocess.run(
            [*command, "start"], env=variables, capture_output=True, check=True
        )
        try:
            settings = resolve({}, variables, Path(folder))
            url = address.url_of(settings)
            yield Root(
                folder=Path(folder),
                url=url,
                server=_pid_of_server(url),
                service=_pid_of_service(command, variables),
            )
        finally:
            subprocess.run(
                [*command, "stop"],
                env=variables,
                capture_output=True,
                check=True,
            )


def figures(root: Root, queue: Queue) -> dict[str, float]:
    """Return what a row of the table shows."""
    with redis.Redis.from_url(root.url) as client:
        number = int(client.dbsize())
        memory = int(client.info("memory")["used_memory"])
    handoffs = root.home / "handoffs"
    behind = [mirror.behind for mirror in queue.views.mirrors()]
    return {
        "keys": number,
        "data, MB": memory / MB,
        "server, MB": _rss_mb(root.server),
        "service, MB": _rss_mb(root.service),
        "server, descriptors": _descriptors(root.server),
        "service, descriptors": _descriptors(root.service),
        "handoffs": sum(1 for _ in handoffs.rglob("*")),
        "other files": sum(
            1 for path in root.home.rglob("*") if handoffs not in path.parents
        ),
        "state.db, MB": _size_mb(root.home / "sync" / "state.db"),
        "orchestration.db, MB": _size_mb(root.home / "orchestration.db"),
        "logs, MB": sum(map(_size_mb, root.home.rglob("*.log"))),
        "append-only, MB": sum(map(_size_mb, root.home.rglob("*.aof"))),
        "events behind": max(behind, default=0),
    }


def keys_by_kind(url: str) -> Counter[str]:
    """Count the keys by their kind: the words of a key without ids."""
    counted: Counter[str] = Counter()
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in client.scan_iter(count=10_000):
            _, _, name = str(key).partition("}:")
            kind = name.split(":")[0]
            is_rq = str(key).startswith(keys.of_rq(NAMESPACE))
            counted[f"RQ {kind}" if is_rq else kind] += 1
    return counted


def _pid_of_server(url: str) -> int:
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def _pid_of_service(command: list[str], variables: dict[str, str]) -> int:
    deadline = monotonic() + MINUTE_S
    while monotonic() < deadline:
        shown = subprocess.run(
            [*command, "status", "--json"],
            env=variables,
            capture_output=True,
            check=True,
        )
        pid = json.loads(shown.stdout)["data"]["service_pid"]
        if pid:
            return int(pid)
        sleep(0.2)
    raise SystemExit("The service did not start.")


def _rss_mb(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208  a name is enough


def _size_mb(path: Path) -> float:
    return path.stat().st_size / MB if path.exists() else 0.0


@click.command()
@click.option(
    "--rate", default=20.0, show_default=True, help="Items per second."
)
@click.option(
    "--minutes", default=3, show_default=True, help="Duration in minutes."
)
@click.option(
    "--keep",
    default=1,
    show_default=True,
    help="Minutes until a project is purged; 0 keeps all.",
)
@click.option(
    "--retention",
    default="off",
    show_default=True,
    help="Age of projects that the service archives, such as 1m; use it with --keep 0.",
)
@click.option("--docs", is_flag=True, help="Write the table into docs/.")
def main(
    rate: float, minutes: int, keep: int, retention: str, *, docs: bool
) -> None:
    """Print what is there after each minute of work."""
    console, rows = Console(width=200), []
    with served(retention) as root:
        queue = Queue(connect(root.url), NAMESPACE, Caller(agent="planner"))
        load = Load(queue=queue, rate=rate, keep=keep)
        for minute in range(1, minutes + 1):
            done, busy_s = load.done, cpu_s(root.service)
            load.run_for_a_minute()
            busy_s = cpu_s(root.service) - busy_s
            rows.append(
                {
                    "items a second": (load.done - done) / MINUTE_S,
                    "service, % of a core": busy_s / MINUTE_S * 100,
                    **figures(root, queue),
                }
            )
            console.print(minute, rows[-1])
        kinds = keys_by_kind(root.url).most_common(KINDS_SHOWN)
        comparison = Comparison(
            name="soak",
            rows="after minute",
            figures={
                str(minute): Figure(title=str(minute), digits=1)
                for minute in _shown(minutes)
            },
            rounds=[_by_figure(rows)],
            remarks=(
                f"{rate:g} items a second, purged after {counted(keep, 'minute', 'minutes')}; retention {retention}.",
                f"Keys at the end: {', '.join(f'{kind} {number:,}' for kind, number in kinds)}.",
                f"On {machine()}; load {os.getloadavg()[0]:.1f} at the end.",
            ),
        )
    console.print(table(comparison), *comparison.remarks, sep="\n")
    if docs:
        page.write("soak", markdown(comparison))


def _shown(minutes: int) -> list[int]:
    """Return the minutes that the table shows: about six, and the last one."""
    step = max(1, minutes // 6)
    return sorted({*range(1, minutes + 1, step), minutes})


def _by_figure(rows: list[dict[str, float]]) -> Round:
    return {
        name: {str(minute): row[name] for minute, row in enumerate(rows, 1)}
        for name in rows[0]
    }


if __name__ == "__main__":
    main()
