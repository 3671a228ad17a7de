"""The service as real processes, and the files that it keeps."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import redis
from support.builders import Bench
from support.commands import BIN, TIME_LIMIT_S, Shell, eventually
from taskorch.connect import connect
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

#: For machines that do much else besides: what the service does within a second as a rule.
SOON_S = 60


class Service:
    """A service that was started."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self._process = process
        self._log = log
        self.pid = process.pid

    def log(self) -> str:
        """Return what it has said so far."""
        return self._log.read_text(encoding="utf-8")

    def said(self, words: str) -> bool:
        """Return whether it has said that; one that has ended without is a failure."""
        assert words in self.log() or self._process.poll() is None, self.log()
        return words in self.log()

    def told(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send it a signal, and return its exit code."""
        self._process.send_signal(number)
        return self.ended()

    def ended(self) -> int:
        """Return its exit code; a traceback in its log is never right."""
        code = self._process.wait(TIME_LIMIT_S)
        assert "Traceback" not in self.log(), self.log()
        return code

    def killed(self) -> None:
        """Kill it, if it lives."""
        self._process.kill()
        self._process.wait(TIME_LIMIT_S)


@contextmanager
def running(shell: Shell, *arguments: str, number: int = 1) -> Iterator[list[Service]]:
    """Run services; those that the test has not ended are killed."""
    with TemporaryDirectory() as logs:
        services = [
            _started(shell, arguments, Path(logs, str(n))) for n in range(number)
        ]
        try:
            for service in services:
                soon(partial(service.said, "started"))
            yield services
        finally:
            for service in services:
                service.killed()


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


def soon(true: Callable[[], object]) -> None:
    """Look again until something is true."""
    eventually(true, within_s=SOON_S)


def handoffs(root: Path) -> Path:
    """Return the folder that file-based workers see."""
    return root / ".task-orchestrator" / "handoffs"


def published(root: Path) -> set[str]:
    """Return the items that have a handoff."""
    return {
        path.name.removesuffix("_handoff.json")
        for path in handoffs(root).glob("item_*_handoff.json")
    }


def filed(root: Path, item: str) -> list[str]:
    """Return the updates that an item's progress file has; none while there is no such file, or half of one."""
    try:
        document = json.loads((handoffs(root) / f"{item}_progress.json").read_bytes())
    except (OSError, ValueError):
        return []
    return [update["message"] for update in document["updates"]]


def temporaries(root: Path) -> list[str]:
    """Return what a pass that was cut off would leave behind."""
    return [
        path.name for path in handoffs(root).iterdir() if path.name.endswith(".tmp")
    ]


def status(shell: Shell) -> list[dict[str, Any]]:
    """Return what `orchestrate sync status` says of each root."""
    mirrors: list[dict[str, Any]] = shell.orchestrate("sync", "status", "--json").data()
    return mirrors


class OwnRedis:
    """A server that nobody else uses: whatever is in it, the test and its services have put there."""

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
            key.decode() for key in cast(Any, self.raw).scan_iter(pattern, count=1000)
        }

    def rq(self, kind: str) -> set[str]:
        """Return RQ's keys of a kind."""
        start = f"taskorch-rq:{{{self.namespace}}}:{kind}:"
        return {key.removeprefix(start) for key in self.keys(f"taskorch-rq:*:{kind}:*")}

    def jobs_done(self) -> int:
        """Return how many jobs all workers together have done."""
        workers = [
            f"taskorch-rq:{{{self.namespace}}}:worker:{name}"
            for name in self.rq("worker")
        ]
        return sum(
            int(cast(Any, self.raw).hget(worker, "successful_job_count") or 0)
            for worker in workers
        )
