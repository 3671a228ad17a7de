"""`orchestrate service` as real processes, and the files that it writes.

Used by the acceptance tests of the service.
"""

import json
import signal
import sqlite3
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import redis
from support.builders import Bench
from support.commands import BIN, TIME_LIMIT_S, Shell, eventually
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue


class Service:
    """A service that was started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def log(self) -> str:
        """Return its log so far."""
        return self._log.read_text(encoding="utf-8")

    def has_logged(self, words: str) -> bool:
        """Return whether the log has these words, and fail if the service has ended."""
        assert words in self.log() or self._process.poll() is None, self.log()
        return words in self.log()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, by default SIGTERM, and return its exit code."""
        self._process.send_signal(number)
        return self.exit_code()

    def exit_code(self) -> int:
        """Wait for its end, and return the exit code; fail if it logged a traceback."""
        code = self._process.wait(TIME_LIMIT_S)
        assert "Traceback" not in self.log(), self.log()
        return code

    def kill(self) -> None:
        """Kill it if it is running."""
        self._process.kill()
        self._process.wait(TIME_LIMIT_S)


@contextmanager
def running(
    shell: Shell, *arguments: str, number: int = 1
) -> Iterator[list[Service]]:
    """Start services, and kill them at the end of the block."""
    with TemporaryDirectory() as logs:
        services = [
            _started(shell, arguments, Path(logs, str(n)))
            for n in range(number)
        ]
        try:
            for service in services:
                eventually(partial(service.has_logged, "started"))
            yield services
        finally:
            for service in services:
                service.kill()


def _started(shell: Shell, arguments: Sequence[str], log: Path) -> Service:
    words: list[str | Path] = [BIN / "orchestrate", "service", *arguments]
    with log.open("wb") as output:
        process = subprocess.Popen(
            words,
            cwd=shell.folder,
            env=shell.environment(),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    return Service(process, log)


def handoffs(root: Path) -> Path:
    """Return the folder of file-based workers."""
    return root / ".task-orchestrator" / "handoffs"


def handoff_items(root: Path) -> set[str]:
    """Return the items whose handoff file the mirror keeps.

    A file that a command has just written counts from the next pass on.
    """
    state = root / ".task-orchestrator" / "sync" / "state.db"
    known: set[str] = set()
    with (
        suppress(sqlite3.Error),
        closing(
            sqlite3.connect(f"{state.as_uri()}?mode=ro", uri=True)
        ) as database,
    ):
        known = {
            name for (name,) in database.execute("SELECT name FROM files")
        }
    return {
        path.name.removesuffix("_handoff.json")
        for path in handoffs(root).glob("item_*_handoff.json")
        if path.name in known
    }


def progress_messages(root: Path, item: str) -> list[str]:
    """Return the messages in an item's progress file, or [] if it is not there yet."""
    try:
        document = json.loads(
            (handoffs(root) / f"{item}_progress.json").read_bytes()
        )
    except (OSError, ValueError):
        return []
    return [update["message"] for update in document["updates"]]


def temporary_files(root: Path) -> list[str]:
    """Return the files that an interrupted pass would leave behind."""
    return [
        path.name
        for path in handoffs(root).iterdir()
        if path.name.endswith(".tmp")
    ]


def sync_status(shell: Shell) -> list[dict[str, Any]]:
    """Return the result of `orchestrate sync status` for each root."""
    mirrors: list[dict[str, Any]] = shell.orchestrate(
        "sync", "status", "--json"
    ).data()
    return mirrors


class OwnRedis:
    """A server that only the test and its services use."""

    def __init__(self, url: str, shell: Shell) -> None:
        self.namespace = shell.variables["TASKORCH_NAMESPACE"]
        self.raw = redis.Redis.from_url(url)
        self.bench = Bench(
            Queue(connect(url), self.namespace, Caller(agent="planner")),
            self.raw,
            "",
            url,
        )
        self.shell = shell.having(TASKORCH_REDIS_URL=url)

    def keys(self, pattern: str = "*") -> set[str]:
        return {
            key.decode()
            for key in cast(Any, self.raw).scan_iter(pattern, count=1000)
        }

    def rq_names(self, kind: str) -> set[str]:
        """Return the names of RQ's keys of a kind, such as "job" or "worker"."""
        start = f"taskorch-rq:{{{self.namespace}}}:{kind}:"
        return {
            key.removeprefix(start)
            for key in self.keys(f"taskorch-rq:*:{kind}:*")
        }

    def jobs_done(self) -> int:
        """Return the number of jobs that all workers have done."""
        workers = [
            f"taskorch-rq:{{{self.namespace}}}:worker:{name}"
            for name in self.rq_names("worker")
        ]
        return sum(
            int(cast(Any, self.raw).hget(worker, "successful_job_count") or 0)
            for worker in workers
        )
