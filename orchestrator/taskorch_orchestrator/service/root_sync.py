"""The sync of one root in the service: passes of the mirror, a watch on the folder."""

import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from taskorch.config import root_folder
from watchfiles import Change, watch

from taskorch_orchestrator.mirror.file_names import MIRRORED_FILE
from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.service.scheduler import DueJob, Scheduler

INTERVAL_S = 6.0
#: Changes within this time are handled by one pass.
GATHER_S = 0.1
#: A pass stops after this time, so that a signal can end the service.
SLICE_S = 2.0
#: The delay of the next pass when a file was being written during this one.
RETRY_S = 0.5
#: The largest share of the time that is spent on scanning all files.
SCAN_SHARE = 0.005
WATCH_MS = 5000
STEP_MS = 20
#: The longest pause before another attempt to watch a folder.
UNWATCHED_S = 60.0

log = logging.getLogger(__name__)


class RootSync:
    """Keeps the files of one root in sync with Redis."""

    def __init__(
        self, mirror: Mirror, root: Path, scheduler: Scheduler
    ) -> None:
        self._mirror = mirror
        self._folder = root / root_folder.NAME / "handoffs"
        self._scheduler = scheduler
        #: The time of the next scan of all files, on the monotonic clock.
        self._scan_at = 0.0
        self._troubles: dict[str, str] = {}
        #: Attempts to watch the folder that failed in a row, and the last reason.
        self._failures = 0
        self._failure = ""
        self.duty = f"sync-{mirror.root_id()}"

    def request(self, after_s: float = GATHER_S) -> None:
        """Schedule a pass in `after_s` seconds; it handles all changes until then."""
        job = DueJob(self.duty, GATHER_S)
        self._scheduler.schedule(job, after_s)

    def sync(self) -> None:
        """Do one pass, and schedule the next one if this one left something."""
        deadline = monotonic() + SLICE_S
        scan = monotonic() >= self._scan_at

        def must_stop() -> bool:
            return self._scheduler.stopped or monotonic() > deadline

        done = self._mirror.sync(scan=scan, wait=False, stop=must_stop)
        if done is None:
            self.request()
            return
        if done.set_aside:
            log.warning("%s", done.set_aside)
        if scan:
            pause_s = max(INTERVAL_S - GATHER_S, done.scan_s / SCAN_SHARE)
            self._scan_at = monotonic() + pause_s
        if done.left:
            self.request()
        elif done.again:
            self.request(RETRY_S)
        self._log_troubles(done.troubles)

    def watch(self) -> None:
        """Request a pass for each change in the folder, until the service ends.

        While the folder cannot be watched, the regular passes scan all files, within
        their share of the time.
        """
        while not self._scheduler.stopped:
            scan_at = self._scan_at
            try:
                self._watch_folder()
            except (OSError, RuntimeError, sqlite3.Error) as error:
                self._scan_at = scan_at
                self._failures += 1
                self._log_failure(error)
            self.request()
            self._scheduler.back_off(self._failures, UNWATCHED_S)

    def _log_troubles(self, troubles: Mapping[str, str]) -> None:
        """Log the files in trouble, each once per reason."""
        for name, reason in troubles.items():
            if self._troubles.get(name) != reason:
                log.warning("%s: %s", name, reason)
        self._troubles = dict(troubles)

    def _watch_folder(self) -> None:
        """Watch the folder until it is deleted or replaced, or the service ends."""
        with _opened(self._folder) as descriptor:
            watched = os.fstat(descriptor)
            # Scan for changes from before the watch began.
            self._scan_at = 0.0
            self.request(RETRY_S)
            for changes in watch(
                self._folder,
                watch_filter=self._is_relevant,
                debounce=round(GATHER_S * 1000),
                step=STEP_MS,
                rust_timeout=WATCH_MS,
                yield_on_timeout=True,
                recursive=False,
                raise_interrupt=False,
            ):
                self._failures, self._failure = 0, ""
                is_same = os.path.samestat(watched, self._folder.stat())
                if self._scheduler.stopped or not is_same:
                    return
                names = {Path(path).name for _, path in changes}
                if names and self._mark_changed(names):
                    self.request()

    def _mark_changed(self, names: Iterable[str]) -> bool:
        """Mark changed files for the next pass; return whether one is needed."""
        try:
            return self._mirror.mark_changed(names)
        except sqlite3.OperationalError:
            # A pass that writes many files keeps the memory for itself. The next one
            # looks for the changes.
            self._scan_at = 0.0
            return True

    def _log_failure(self, error: Exception) -> None:
        """Log why the folder cannot be watched, once per reason.

        A missing folder is not logged: the next pass creates it.
        """
        reason = str(error)
        if reason != self._failure and not isinstance(
            error, FileNotFoundError
        ):
            log.warning(
                "Cannot watch %s: %s. Scanning it periodically instead.",
                self._folder,
                reason,
            )
        self._failure = reason

    def _is_relevant(self, _: Change, path: str) -> bool:
        return (
            path == str(self._folder)
            or MIRRORED_FILE.fullmatch(Path(path).name) is not None
        )


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Keep a folder open, so that its inode number is not used for another one."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
