"""Servers and filled queues for the measurements."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic, sleep

import redis
from taskorch.config.settings import resolve
from taskorch.connections import connect
from taskorch.domain import limits
from taskorch.domain.item import Caller, NewItem
from taskorch.queue import keys
from taskorch.queue.queue import Queue
from taskorch.transport import address

BATCH = limits.BATCH_ITEMS
AGENT = "specialist"
TEXT_BYTES = 300
REWRITTEN_WITHIN_S = 60


@contextmanager
def rooted() -> Iterator[tuple[Path, str]]:
    """Run the bundled server, as a first command starts it, in a temporary folder; yield both."""
    with TemporaryDirectory(prefix="bench-") as folder:
        variables = {"TASKORCH_ROOT": folder, "TASKORCH_SERVICE": "off"}
        command = [str(Path(sys.executable).parent / "orchestrate"), "server"]
        subprocess.run(
            [*command, "start"], env=variables, capture_output=True, check=True
        )
        try:
            yield (
                Path(folder),
                address.url_of(resolve({}, variables, Path(folder))),
            )
        finally:
            subprocess.run(
                [*command, "stop"],
                env=variables,
                capture_output=True,
                check=True,
            )


@contextmanager
def server() -> Iterator[str]:
    """Run the bundled server and yield its address."""
    with rooted() as (_, url):
        yield url


def filled(url: str, namespace: str, size: int, *, agents: int = 1) -> Queue:
    """Return a queue with items of one agent, or of several in turns."""
    planner = Queue(connect(url), namespace, Caller(agent="planner"))
    fill(planner, planner.project("Many items"), size, agents=agents)
    settle(url, namespace)
    return planner


def fill(planner: Queue, project: str, size: int, *, agents: int = 1) -> None:
    """Create items in batches, because a million takes a while."""
    for done in range(0, size, BATCH):
        numbers = range(done, min(done + BATCH, size))
        planner.create_many(
            project, [new(agent(number % agents)) for number in numbers]
        )


def new(name: str) -> NewItem:
    """Return an item for an agent."""
    return NewItem(title="An item", description="x" * TEXT_BYTES, agent=name)


def agent(number: int) -> str:
    """Return the name of one of several agents."""
    return f"{AGENT}-{number}" if number else AGENT


def settle(url: str, namespace: str) -> None:
    """Finish the work that filling leaves behind, so that it does not fall into the measurement.

    The replies that are kept for ten minutes would be swept up; the file of appended
    changes is rewritten.
    """
    with redis.Redis.from_url(url) as client:
        for key in client.scan_iter(
            f"{keys.tag(namespace)}req:*", count=10000
        ):
            client.unlink(key)
        deadline = monotonic() + REWRITTEN_WITHIN_S
        while (
            client.info("persistence")["aof_rewrite_in_progress"]
            and monotonic() < deadline
        ):
            sleep(0.1)


def pid(url: str) -> int:
    """Return the process id of a server."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("server")["process_id"])


def memory(url: str) -> int:
    """Return the memory of a server's data in bytes."""
    with redis.Redis.from_url(url) as client:
        return int(client.info("memory")["used_memory"])


def cpu_s(process: int) -> float:
    """Return the processor time of a process in seconds."""
    fields = (
        Path(f"/proc/{process}/stat")
        .read_text(encoding="utf-8")
        .rpartition(")")[2]
        .split()
    )
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main_thread_s(process: int) -> float:
    """Return the processor time of the main thread of a process in seconds."""
    return _scheduled_s(process)[0]


def queued_s(process: int) -> float:
    """Return the seconds that the main thread of a process waited for a core."""
    return _scheduled_s(process)[1]


def _scheduled_s(process: int) -> tuple[float, float]:
    """Return what the kernel counts of a main thread; zeros if it counts nothing."""
    try:
        counts = Path(f"/proc/{process}/schedstat").read_text(encoding="utf-8")
    except OSError:
        return 0.0, 0.0
    ran, waited, _ = counts.split()
    return int(ran) / 1e9, int(waited) / 1e9
