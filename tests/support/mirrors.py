"""A root with its sync job, and the content of its files.

Used by the tests of the file mirror, mostly through the fixture `root`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from time import time
from typing import Any

import pytest
from support.builders import Bench
from support.file_worker import FileWorker
from taskorch.domain.item import Lease, Report
from taskorch_orchestrator.mirror import item_sync, report_import
from taskorch_orchestrator.mirror.mirror import Mirror, PassResult


@dataclass(frozen=True)
class Root:
    """A root and its mirror."""

    bench: Bench
    path: Path
    mirror: Mirror

    @property
    def home(self) -> Path:
        return self.path / ".task-orchestrator"

    @property
    def handoffs(self) -> Path:
        return self.home / "handoffs"

    def sync(self, *, full: bool = False) -> PassResult:
        """Make a pass."""
        result = self.mirror.sync(full=full)
        assert result is not None
        return result

    def worker(self, agent: str = "ada") -> FileWorker:
        """Return a file-based worker of this root."""
        return FileWorker(self.home, agent)

    def file(self, item: str, kind: str) -> Path:
        """Return the path of one of an item's files."""
        return self.handoffs / f"{item}_{kind}.json"

    def document(self, item: str, kind: str) -> Any:
        """Return the content of one of an item's files."""
        return json.loads(self.file(item, kind).read_bytes())

    def put(self, item: str, kind: str, document: Any) -> None:
        """Write one of an item's files as a worker does."""
        self.handoffs.mkdir(parents=True, exist_ok=True)
        self.file(item, kind).write_text(
            json.dumps(document, indent=2), encoding="utf-8"
        )

    def updates(self, item: str) -> list[str]:
        """Return the messages of an item's progress file."""
        return [
            update["message"]
            for update in self.document(item, "progress")["updates"]
        ]

    def pending(self, agent: str = "ada") -> list[str] | None:
        """Return the items in an agent's pending file; None if it does not exist."""
        path = self.handoffs / f"pending_{agent}.txt"
        return (
            path.read_text(encoding="utf-8").splitlines()
            if path.exists()
            else None
        )

    def visible_files(self) -> dict[str, bytes]:
        """Return the files that file-based workers see, by name."""
        return {
            path.name: path.read_bytes()
            for path in sorted(self.handoffs.iterdir())
            if path.name[0] != "." and path.is_file()
        }

    def hidden_files(self) -> list[str]:
        """Return the names of the files that file-based workers ignore."""
        return sorted(
            path.name
            for path in self.handoffs.iterdir()
            if path.name[0] == "."
        )

    def state(self) -> dict[str, tuple[int, bytes]]:
        """Return the time and content of each file, without those of the sync job."""
        paths = (
            path for path in self.home.rglob("*") if "sync" not in path.parts
        )
        files = [
            path
            for path in paths
            if path.is_file() and path.suffix != ".db-shm"
        ]
        return {
            path.name: (path.stat().st_mtime_ns, path.read_bytes())
            for path in files
        }

    def reports(self, item: str) -> list[Report]:
        """Return the reports on an item in Redis."""
        return list(self.bench.queue.views.records([item])[0].reports)

    def history(self, item: str) -> list[tuple[str, str]]:
        """Return the kind and the text of each report on an item."""
        return [(report.kind, report.text) for report in self.reports(item)]

    def discoveries(self, item: str) -> list[str]:
        """Return the discoveries on an item in Redis."""
        (record,) = self.bench.queue.views.records([item])
        return [discovery.text for discovery in record.discoveries]


def root_at(bench: Bench, path: Path) -> Root:
    """Return a root whose files were never synced."""
    path.mkdir(exist_ok=True)
    return Root(bench, path, Mirror(bench.queue, path))


def skip_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Move the clock of the sync job past the wait for the rest of a file."""
    for module in (item_sync, report_import):
        monkeypatch.setattr(module, "time", time_after_wait)


def time_after_wait() -> float:
    """Return a time after the wait for the rest of a file."""
    return time() + report_import.WAIT_S + 1


def update(
    message: str,
    percentage: float | None = None,
    at: str = "2026-01-02T03:04:05.678901",
) -> dict[str, Any]:
    """Return an update as a file-based worker writes it."""
    return {"timestamp": at, "message": message, "percentage": percentage}


def progress(item: str, *updates: Any, agent: str = "ada") -> dict[str, Any]:
    """Return a progress file as a file-based worker writes it."""
    return {"item_id": item, "agent_id": agent, "updates": list(updates)}


def discovery(
    item: str, text: str, impact: str | None = None, agent: str = "ada"
) -> dict[str, Any]:
    """Return a discovery as a file-based worker writes it."""
    at = "2026-01-02T03:04:05.678901"
    return {
        "timestamp": at,
        "agent_id": agent,
        "discovery": text,
        "impact": impact,
        "item_id": item,
    }


def completion(item: str, summary: str, agent: str = "ada") -> dict[str, Any]:
    """Return a completion as a file-based worker writes it."""
    return {
        "item_id": item,
        "agent_id": agent,
        "completed_at": "2026-01-02T03:05:05.678901",
        "summary": summary,
        "deliverables": {"report": "a.md"},
        "final_status": "completed",
    }


def published_item(root: Root, **fields: object) -> str:
    """Return an item of ada's that has a handoff file."""
    item = root.bench.item(**fields)  # type: ignore[arg-type]
    root.sync()
    return item


def restarted_item(root: Root) -> str:
    """Return an item of ada's with all files: completed, requeued and claimed."""
    item, me = root.bench.item(), root.bench.agent()
    lease = me.discover(
        me.progress(Lease(item=item), "begun").lease, "found"
    ).lease
    me.complete(lease, "done")
    root.bench.queue.requeue(item)
    me.progress(Lease(item=item), "over again")
    root.sync()
    return item


def reported_item(root: Root) -> str:
    """Return an item with a report of each kind, all by commands."""
    item, me = root.bench.item(), root.bench.agent()
    lease = me.progress(Lease(item=item), "begun", percent=10).lease
    lease = me.discover(lease, "It leaks.", impact="high").lease
    lease = me.discover(lease, "It stinks.").lease
    root.bench.wait_for_next_ms()
    lease = me.blocker(lease, "Which one?", needs="a word").lease
    root.bench.queue.answer(item, "This one.")
    lease = me.blocker(lease, "And now?").lease
    root.bench.queue.answer(item, "Go on.")
    lease = me.blocker(lease, "Which key?").lease
    me.withdraw(lease)
    me.complete(lease, "All of it.", deliverables={"report": "a.md"})
    return item
