"""The mirror of Redis in the files of a root, kept by passes of the sync job: one writer at a time, on any machine."""

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import cast

from taskorch.config import files, root_folder
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror import gone_queue, handoff_folder
from taskorch_orchestrator.mirror.handoff_folder import NoRoom
from taskorch_orchestrator.mirror.item_sync import PassContext
from taskorch_orchestrator.mirror.sqlite_copy import SqliteCopy
from taskorch_orchestrator.mirror.sync_pass import MIRRORED_FILE, SyncPass, owner
from taskorch_orchestrator.mirror.sync_state import SyncState, remembered

LEASE_MS = 30_000
TROUBLES_SHOWN = 100


class PassResult(Frozen):
    """What a pass did."""

    written: int
    imported: int
    #: Items and files in trouble, and what is wrong with each.
    troubles: Mapping[str, str]
    #: Whether somebody was writing, so that some of it must be looked at again soon.
    again: bool
    #: How many items and projects are left because the pass had to stop.
    left: int
    #: How long it took to look through the files.
    scan_s: float
    #: What was done with the files of a queue that is gone, in a sentence; "" if there were none.
    set_aside: str


class Mirror:
    """The mirror in one root."""

    def __init__(self, queue: Queue, root: Path, service: str = "") -> None:
        """Keep the files below `root`; `service` says how the passes are run, where a service runs them."""
        self._queue = queue
        self._root = root
        self._home = root / root_folder.NAME
        self._db = SqliteCopy(self._home)
        self._host = os.uname().nodename
        #: When the namespace was created, and what is to be said of files of another one.
        self._created = self._aside = ""
        #: The root's id, once it is known: it stays the same when the folder is lost meanwhile.
        self._id = ""
        #: What is known of the last pass, for `orchestrate sync status`.
        self._status: dict[str, object] = {
            "path": str(root),
            "host": self._host,
            "pid": os.getpid(),
        }
        self._service = (
            {"host": self._host, "pid": os.getpid(), "runs_on": service}
            if service
            else {}
        )

    def sync(
        self,
        *,
        full: bool = False,
        scan: bool = True,
        wait: bool = True,
        stop: Callable[[], bool] = lambda: False,
        again: bool = True,
    ) -> PassResult | None:
        """Do one pass; None where another process of this machine is at it, and the caller will not `wait`.

        `full` looks at everything; `scan` at all files, not only at those that were marked. `stop` is asked between
        batches: what is left then is for the next pass. A damaged memory is begun `again`, once. Raises
        errors.RootNotWritable, errors.SyncBusy (another machine is at it), errors.Unavailable.
        """
        try:
            with self._alone(wait=wait) as mine:
                return self._run(full=full, scan=scan, stop=stop) if mine else None
        except (NoRoom, OSError) as error:
            cause = error.__cause__ if isinstance(error, NoRoom) else error
            refusal = files.root_not_writable(self._root, cast("OSError", cause))
        except sqlite3.DatabaseError as error:
            if again and not isinstance(
                error, sqlite3.OperationalError
            ):  # it was damaged, and is gone
                return self.sync(
                    full=True, scan=scan, wait=wait, stop=stop, again=False
                )
            refusal = errors.RootNotWritable(
                root=str(self._root), reason=f"sync/state.db: {error}"
            )
        self._tell(error=str(refusal))
        raise refusal

    def root_id(self) -> str:
        """Return the id of the root: the same for all machines that share the folder.

        Raises errors.RootNotWritable for a root that is not there.
        """
        try:
            root_folder.create(self._home)
            files.make_private_folder(self._home / "sync")
            with suppress(sqlite3.Error), remembered(self._home) as state:
                self._know(state)
            return self._id or self._named(str(self._home.stat().st_ino))
        except OSError as error:
            raise files.root_not_writable(self._root, error) from None

    def session(self) -> str:
        """Return the session under which the file-based workers of this root hold their claims."""
        return f"files-{self.root_id()}"

    def mark_changed(self, names: Iterable[str]) -> bool:
        """Mark the items whose files have changed, of files with these names; return whether there are any."""
        with (
            suppress(OSError, NoRoom),
            handoff_folder.opened(self._home) as opened,
            remembered(self._home) as state,
        ):
            before = state.signatures(names)
            changed = [
                name
                for name in names
                if MIRRORED_FILE.fullmatch(name)
                and opened.signature(name) != before.get(name)
            ]
            with state.saved():
                state.mark({owner(name) for name in changed})
            return bool(changed)
        return True

    def _run(self, *, full: bool, scan: bool, stop: Callable[[], bool]) -> PassResult:
        with (
            handoff_folder.opened(self._home) as opened,
            remembered(self._home) as state,
        ):
            self._know(state)
            leased_at = self._lease()
            means = PassContext(
                queue=self._queue,
                folder=opened,
                state=state,
                session=f"files-{self._id}",
                bells={},
            )
            work = SyncPass(means, self._db)
            if (
                aside := gone_queue.set_aside(means, self._home, self._created)
                if self._service
                else ""
            ):
                self._aside, full = aside, True
            work.look(full=full, scan=scan)
            while not work.stopped and work.batch():
                work.stopped = stop()
                if monotonic() - leased_at > LEASE_MS / 3000:
                    leased_at = self._lease()
            with state.saved():
                state.count("written", work.written)
                state.count("imported", work.imported)
            return self._done(work, state)

    def _done(self, work: SyncPass, state: SyncState) -> PassResult:
        left = state.left()
        done = PassResult(
            written=work.written,
            imported=work.imported,
            troubles=state.troubles(),
            again=work.again,
            left=left if work.stopped else 0,
            scan_s=work.scan_s,
            set_aside=self._aside,
        )
        self._aside = ""
        self._status |= {
            "cursor": state.fact("cursor"),
            "changed": left,
            "written": int(state.fact("written")),
            "imported": int(state.fact("imported")),
            "troubles": dict(islice(done.troubles.items(), TROUBLES_SHOWN)),
            "in_trouble": len(done.troubles),
        }
        self._tell(error="")
        return done

    @contextmanager
    def _alone(self, *, wait: bool) -> Iterator[bool]:
        """Keep other processes of this machine off the files."""
        root_folder.create(self._home)
        files.make_private_folder(self._home / "sync")
        with (self._home / "sync" / "lock").open("ab") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError:
                yield False
            else:
                yield True

    def _know(self, state: SyncState) -> None:
        """Learn the id of the root: the same for all machines that share the folder, another one for a copy of it.

        Without a memory it comes out the same again, for as long as the folder is the same.
        """
        inode = str(self._home.stat().st_ino)
        if state.fact("inode") == inode:
            self._id = state.fact("root")
            return
        self._id = self._id or self._named(inode)
        with state.saved():
            state.learn("inode", inode)
            state.learn("root", self._id)

    def _named(self, inode: str) -> str:
        return sha256(
            f"{self._host}:{self._root}:{inode}".encode(), usedforsecurity=False
        ).hexdigest()[:8]

    def _lease(self) -> float:
        """Keep other machines off a folder that they share with this one; return since when, by the monotonic clock.

        Processes of this machine are kept off by the lock, so that one which was killed holds nobody up.
        """
        now = monotonic()
        mine, holder, self._created = self._queue.mirror_take(
            self._id, self._host, LEASE_MS
        )
        if not mine:
            raise errors.SyncBusy(root=str(self._root), writer=holder)
        return now

    def _tell(self, *, error: str) -> None:
        self._queue.mirror_give(
            self._id or self._named(""),
            self._host,
            {**self._status, "error": error},
            self._service,
        )
