"""The mirror of Redis in the files of a root, kept in sync by one writer at a time."""

import os
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from time import monotonic

from taskorch.config import files, root_folder
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror import (
    file_names,
    gone_queue,
    handoff_folder,
    handoff_writer,
    sync_state,
)
from taskorch_orchestrator.mirror.handoff_folder import FolderNotWritable
from taskorch_orchestrator.mirror.pass_context import PassContext
from taskorch_orchestrator.mirror.sqlite_copy import SqliteCopy
from taskorch_orchestrator.mirror.sync_pass import SyncPass
from taskorch_orchestrator.mirror.sync_state import SyncState

LEASE_MS = 30_000
TROUBLES_SHOWN = 100
#: The owner of the troubles with the archive.
ARCHIVE = "archive"


class PassResult(Frozen):
    """The result of one pass."""

    written: int
    imported: int
    #: Name of an item, a file or a report -> the trouble with it.
    troubles: Mapping[str, str]
    #: Whether a worker was writing, so that another pass is needed soon.
    again: bool
    #: The number of items and projects that were left because the pass had to stop.
    left: int
    #: How long it took to look through the files.
    scan_s: float
    #: A sentence on the files of a gone queue that were moved; "" if there were none.
    set_aside: str


class Mirror:
    """The mirror in one root."""

    def __init__(
        self, queue: Queue, root: Path, *, source: str = "", service: str = ""
    ) -> None:
        """Sync the files below `root`.

        `source` names the queue for `HandoffWriter`. `service` says how a service makes
        the passes, for example "RQ"; "" without one.
        """
        self._queue = queue
        self._root = root
        self._home = root / root_folder.NAME
        self._source = source
        self._copy = SqliteCopy(self._home)
        self._host = os.uname().nodename
        #: The id of the root, once it is known. A folder that is made again keeps it.
        self._id = ""
        self._leased_at = 0.0
        self._set_aside = ""
        #: The last pass, for `orchestrate sync status`.
        self._status: dict[str, object] = {
            "path": str(root),
            "host": self._host,
            "pid": os.getpid(),
        }
        self._service: dict[str, object] = {}
        if service:
            self._service = {
                "host": self._host,
                "pid": os.getpid(),
                "runs_on": service,
            }

    def sync(
        self,
        *,
        full: bool = False,
        scan: bool = True,
        wait: bool = True,
        stop: Callable[[], bool] = lambda: False,
    ) -> PassResult | None:
        """Make one pass, and return what it did.

        `full` looks at everything. `scan` looks at all files, otherwise only at those
        that were marked. `stop` is called between batches; if it returns True, the rest
        is left for the next pass. Return None if another process of this machine makes
        a pass, unless `wait` is set. Raises errors.RootNotWritable, errors.SyncBusy
        (another machine makes a pass), errors.Unavailable.
        """
        try:
            wait_s = None if wait else 0
            with handoff_folder.locked(self._home, wait_s=wait_s) as has_lock:
                if not has_lock:
                    return None
                return self._sync(full=full, scan=scan, stop=stop)
        except FolderNotWritable as error:
            refusal = files.root_not_writable(self._root, error.cause)
        except OSError as error:
            refusal = files.root_not_writable(self._root, error)
        except sqlite3.DatabaseError as error:
            reason = f"sync/state.db: {error}"
            refusal = errors.RootNotWritable(
                root=str(self._root), reason=reason
            )
        self._release(error=str(refusal))
        raise refusal

    def root_id(self) -> str:
        """Return the id of the root, the same on all machines that share the folder.

        Raises errors.RootNotWritable if the root does not exist.
        """
        try:
            root_folder.create(self._home)
            files.make_private_folder(self._home / "sync")
            with (
                suppress(sqlite3.Error),
                sync_state.opened(self._home) as state,
            ):
                self._find_id(state)
            return self._id or self._new_id(str(self._home.stat().st_ino))
        except OSError as error:
            raise files.root_not_writable(self._root, error) from None

    def session(self) -> str:
        """Return the session under which file-based workers hold their leases."""
        return _session(self.root_id())

    def report_archive(self, troubles: Mapping[str, str]) -> bool:
        """Report why projects cannot be archived, in place of an earlier report.

        `troubles` has a message for each project. The next pass publishes them. Return
        whether they could be saved.
        """
        with (
            suppress(sqlite3.Error),
            sync_state.opened(self._home) as state,
            state.transaction(),
        ):
            state.clear_troubles(ARCHIVE)
            for project, message in troubles.items():
                state.add_trouble(ARCHIVE, project, message)
            return True
        return False

    def mark_changed(self, names: Iterable[str]) -> bool:
        """Mark the owners of changed files for the next pass.

        `names` are those of files that may have changed. Return whether any has, or
        whether that is not known.
        """
        with (
            suppress(OSError, FolderNotWritable),
            handoff_folder.opened(self._home) as folder,
            sync_state.opened(self._home) as state,
        ):
            saved = state.signatures(names)
            changed = {
                file_names.owner(name)
                for name in names
                if file_names.MIRRORED_FILE.fullmatch(name)
                and folder.signature(name) != saved.get(name)
            }
            with state.transaction():
                state.mark(changed)
            return bool(changed)
        return True

    def _sync(
        self, *, full: bool, scan: bool, stop: Callable[[], bool]
    ) -> PassResult:
        try:
            return self._make_pass(full=full, scan=scan, stop=stop)
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError:
            # The memory was damaged and is removed by now: start over without it.
            return self._make_pass(full=True, scan=scan, stop=stop)

    def _make_pass(
        self, *, full: bool, scan: bool, stop: Callable[[], bool]
    ) -> PassResult:
        with (
            handoff_folder.opened(self._home) as folder,
            sync_state.opened(self._home) as state,
        ):
            self._find_id(state)
            created = self._take_lease()
            if self._source:
                handoff_writer.save_source(self._home, self._source)
            context = PassContext(
                queue=self._queue,
                folder=folder,
                state=state,
                session=_session(self._id),
            )
            if self._service:
                moved = gone_queue.set_files_aside(
                    context, self._home, created
                )
                if moved:
                    self._set_aside, full = moved, True
            sync_pass = SyncPass(context, self._copy)
            sync_pass.sync(
                full=full, scan=scan, may_go_on=lambda: self._may_go_on(stop)
            )
            return self._finish(sync_pass, state)

    def _may_go_on(self, stop: Callable[[], bool]) -> bool:
        """Renew the lease in time; return whether the pass may sync another batch."""
        if monotonic() - self._leased_at > LEASE_MS / 3000:
            self._take_lease()
        return not stop()

    def _finish(self, sync_pass: SyncPass, state: SyncState) -> PassResult:
        """Count and publish what a pass did, and release the lease."""
        with state.transaction():
            state.add_to_fact("written", sync_pass.written)
            state.add_to_fact("imported", sync_pass.imported)
        left, troubles = state.number_marked(), state.troubles()
        self._status |= {
            "cursor": state.fact("cursor"),
            "changed": left,
            "written": int(state.fact("written")),
            "imported": int(state.fact("imported")),
            "troubles": dict(islice(troubles.items(), TROUBLES_SHOWN)),
            "in_trouble": len(troubles),
        }
        set_aside, self._set_aside = self._set_aside, ""
        self._release(error="")
        return PassResult(
            written=sync_pass.written,
            imported=sync_pass.imported,
            troubles=troubles,
            again=sync_pass.again,
            left=left if sync_pass.stopped else 0,
            scan_s=sync_pass.scan_s,
            set_aside=set_aside,
        )

    def _find_id(self, state: SyncState) -> None:
        """Find the id of the root.

        All machines that share the folder have the same id, and a copy of the folder
        has another one. Without a memory, the same folder gets the same id again.
        """
        inode = str(self._home.stat().st_ino)
        if state.fact("inode") == inode:
            self._id = state.fact("root")
            return
        self._id = self._id or self._new_id(inode)
        with state.transaction():
            state.set_fact("inode", inode)
            state.set_fact("root", self._id)

    def _new_id(self, inode: str) -> str:
        text = f"{self._host}:{self._root}:{inode}"
        return sha256(text.encode(), usedforsecurity=False).hexdigest()[:8]

    def _take_lease(self) -> str:
        """Lock out other machines; return when the namespace was created, in ms.

        Only the lock keeps off processes of this machine, so a killed one blocks no
        other. Raises errors.SyncBusy if another machine has the lease.
        """
        self._leased_at = monotonic()
        has_lease, holder, created = self._queue.mirror_take(
            self._id, self._host, LEASE_MS
        )
        if not has_lease:
            raise errors.SyncBusy(root=str(self._root), writer=holder)
        return created

    def _release(self, *, error: str) -> None:
        """Release the lease, and publish how the pass went."""
        self._queue.mirror_give(
            self._id or self._new_id(""),
            self._host,
            {**self._status, "error": error},
            self._service,
        )


def _session(root_id: str) -> str:
    return f"files-{root_id}"
