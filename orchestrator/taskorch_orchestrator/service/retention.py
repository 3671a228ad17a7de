"""The upkeep of a namespace over weeks: archive old projects, and forget agents."""

from collections.abc import Callable
from pathlib import Path

from taskorch.config import root_folder
from taskorch.domain import errors
from taskorch.queue.agents import FORGOTTEN_MS
from taskorch.queue.queue import Queue

from taskorch_orchestrator.backup.archive import Archive
from taskorch_orchestrator.backup.archive_index import NAME
from taskorch_orchestrator.mirror.mirror import Mirror

INTERVAL_S = 600.0


class Retention:
    """What the service keeps of a namespace, with the archive in one of its roots."""

    def __init__(self, queue: Queue, root: Path, retention_ms: int) -> None:
        """Archive projects that were completed this long ago; 0 archives none."""
        # Its damage is that of one project, so the queue is used by nothing else.
        self._queue = Queue(queue.connection, queue.namespace, queue.caller)
        self._mirror = Mirror(queue, root)
        self._home = root / root_folder.NAME
        self._retention_ms = retention_ms

    def make_pass(self, stop: Callable[[], bool]) -> None:
        """Archive old projects, and forget agents; `stop` may end it early.

        What cannot be archived is a trouble of the root, which the next sync logs and
        publishes. Raises errors.ArchiveNotWritable if the root takes no such report, and
        errors.Unavailable.
        """
        self._queue.forget_agents(unseen_ms=FORGOTTEN_MS)
        if not self._retention_ms:
            return
        archive = Archive(self._queue, self._home, self._mirror.root_id())
        try:
            kept = archive.add_old_projects(self._retention_ms, stop)
        except errors.ArchiveNotWritable as refusal:
            if not self._mirror.report_archive({NAME: str(refusal)}):
                raise
        else:
            self._mirror.report_archive(kept)
