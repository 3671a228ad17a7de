"""The archive of a root: a compressed export of each old project, which is then purged.

.task-orchestrator/archive/<project>-<time of its completion>.jsonl.gz
.task-orchestrator/archive/items.txt   see `archive_index`
.task-orchestrator/sync/archive.lock   held by the process that writes here
"""

import gzip
import logging
import os
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from time import gmtime, strftime
from typing import BinaryIO, cast

from taskorch.config import files, root_folder
from taskorch.domain import errors
from taskorch.domain.item import Project
from taskorch.queue.queue import Queue

from taskorch_orchestrator.backup import archive_index, export
from taskorch_orchestrator.backup.archive_index import NAME, SUFFIX
from taskorch_orchestrator.backup.restore import ExportContent, expanded

log = logging.getLogger(__name__)


class Archive:
    """The archive in one root, filled by one process at a time."""

    def __init__(self, queue: Queue, home: Path, root_id: str) -> None:
        """Archive projects of the queue in `home`, the folder .task-orchestrator.

        `queue` is used by nothing else: its `damage` is that of the current project.
        `root_id` is the id of the root, which no other root has.
        """
        self._queue = queue
        self._home = home
        self._folder = home / NAME
        self._root_id = root_id
        #: Projects of the current page that this archive has purged.
        self._purged = 0

    def add_old_projects(
        self, older_than_ms: int, stop: Callable[[], bool]
    ) -> Mapping[str, str]:
        """Archive and purge the projects that were completed at least this long ago.

        Return the projects that cannot be archived, with the reason: one is damaged, or
        an open item of another project waits for it. `stop` is called between two
        projects. Raises errors.ArchiveNotWritable, after which nothing more was purged.
        """
        kept: dict[str, str] = {}
        pages = self._pages(older_than_ms)
        first = next(pages, None)
        if not first:
            return kept
        try:
            root_folder.create(self._home)
            files.make_private_folder(self._folder)
            files.make_private_folder(self._home / "sync")
            with self._locked() as has_lock:
                old = chain(first, chain.from_iterable(pages))
                for project in old if has_lock else ():
                    if stop():
                        break
                    reason = self._try(project, older_than_ms)
                    if reason:
                        kept[project.id] = reason
        except OSError as error:
            details = files.root_not_writable(self._home, error).details
            raise errors.ArchiveNotWritable(
                folder=str(self._folder), reason=details["reason"]
            ) from None
        return kept

    def _pages(self, older_than_ms: int) -> Iterator[tuple[Project, ...]]:
        """Yield the old projects, a page at a time; those on a page may be purged."""
        skip: int | None = 0
        while skip is not None:
            self._purged = 0
            page, skip = self._queue.views.finished_page(
                older_than_ms=older_than_ms, skip=skip
            )
            if page:
                yield page
            if skip is not None:
                skip -= self._purged

    def _try(self, project: Project, older_than_ms: int) -> str:
        """Archive and purge a project; return why that is not possible, or ""."""
        try:
            self._queue.check_purge(project.id)
            self._archive(project, older_than_ms)
        except (errors.NoProject, errors.WrongState):
            # It was purged or reopened in the meantime.
            return ""
        except errors.Invalid as error:
            return str(error)
        return ""

    def _archive(self, project: Project, older_than_ms: int) -> None:
        """Archive a project, unless that is done, and purge it.

        From `archive_done` on, the file is complete and is not written again. A process
        that is killed before leaves the project as it was.
        """
        run, file = self._queue.archive_take(
            project.id, self._root_id, older_than_ms
        )
        if not run:
            return
        if not file:
            path = self._folder / file_name(project)
            items = self._write(project, path)
            archive_index.add(self._folder, path.name, items)
            place = f"{os.uname().nodename}:{path}"
            if not self._queue.archive_done(project.id, run, place):
                return
            log.info("Archived %s in %s", project.id, path)
        left = 1
        while left:
            left, _, _ = self._queue.purge(project.id)
        self._purged += 1

    def _write(self, project: Project, path: Path) -> Collection[str]:
        """Write a file, check that it can be imported, and return the ids of its items.

        It is on the disk then. Raises errors.NotArchived for a project with damage, which
        the file would lack.
        """
        damage = self._queue.damage
        damage.clear()
        lines = export.without_damage(
            self._queue.backup.project_lines(project.id), damage
        )
        with (
            files.replacement(path) as opened,
            gzip.GzipFile("", "wb", fileobj=opened, mtime=0) as compressed,
        ):
            export.write(lines, cast(BinaryIO, compressed))
            if damage:
                reason = (
                    "some of it is damaged in Redis. See orchestrate doctor."
                )
                raise errors.NotArchived(project=project.id, reason=reason)
        files.sync_folder(self._folder)
        try:
            with path.open("rb") as opened, expanded(opened) as written:
                return ExportContent.of(written).items
        except (errors.Invalid, EOFError, zlib.error) as error:
            path.unlink()
            raise errors.NotArchived(
                project=project.id, reason=f"it cannot be imported: {error}"
            ) from None

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Lock out the other processes of this machine; yield whether that is done.

        This removes the temporary files of a process that was killed.
        """
        lock = files.open_private(
            self._home / "sync" / "archive.lock", os.O_WRONLY | os.O_CREAT
        )
        try:
            has_lock = files.take_lock(lock)
            for left in self._folder.glob(".*.tmp") if has_lock else ():
                left.unlink()
            yield has_lock
        finally:
            os.close(lock)


def file_name(project: Project) -> str:
    """Return the name of the archive of a project.

    One that is reopened and completed again gets another archive.
    """
    completed_at = gmtime(project.completed_at / 1000)
    return f"{project.id}-{strftime('%Y%m%dT%H%M%SZ', completed_at)}{SUFFIX}"
