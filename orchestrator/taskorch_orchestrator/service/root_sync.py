"""Who keeps one root's files in the service: passes of the mirror, and an eye on the folder."""

import logging
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from taskorch.config import root_folder
from watchfiles import Change, watch

from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.mirror.sync_pass import MIRRORED_FILE
from taskorch_orchestrator.service.scheduler import Bell, Wish

INTERVAL_S = 6.0
#: Changes within so many seconds are one wish.
GATHER_S = 0.1
#: A pass works no longer than this at a stretch, so that the service can end.
SLICE_S = 2.0
#: What a pass could not settle, because somebody was writing, is looked at again after this.
AGAIN_S = 0.5
#: Looking through all files takes no more than this part of the time.
SCAN_SHARE = 0.005
WATCH_MS = 5000
STEP_MS = 20
#: A folder that cannot be watched is tried again after no more than this.
UNWATCHED_S = 60.0

log = logging.getLogger(__name__)


class Keeper:
    """The keeper of one root."""

    def __init__(self, mirror: Mirror, root: Path, bell: Bell) -> None:
        self._mirror = mirror
        self._folder = root / root_folder.NAME / "handoffs"
        self._bell = bell
        self._scan_at = 0.0
        self._troubles: dict[str, str] = {}
        self._failures = 0
        self._unwatched = ""
        self.duty = f"sync-{mirror.root_id()}"

    def wake(self, after_s: float = GATHER_S) -> None:
        """Wish for a pass soon; the changes until then are gathered."""
        self._bell.ring(Wish(self.duty, GATHER_S), after_s)

    def sync(self) -> None:
        """Do a pass, and wish for the next one where something is left."""
        ends, scan = monotonic() + SLICE_S, monotonic() >= self._scan_at
        done = self._mirror.sync(
            scan=scan, wait=False, stop=lambda: self._bell.stopped or monotonic() > ends
        )
        if done is None:
            self.wake()
            return
        if done.set_aside:
            log.warning("%s", done.set_aside)
        if scan:
            self._scan_at = monotonic() + max(
                INTERVAL_S - GATHER_S, done.scan_s / SCAN_SHARE
            )
        if done.left:
            self.wake()
        elif done.again:
            self.wake(AGAIN_S)
        for name, message in done.troubles.items():
            if self._troubles.get(name) != message:
                log.warning("%s: %s", name, message)
        self._troubles = dict(done.troubles)

    def watch(self) -> None:
        """Wish for a pass whenever a worker has written a file, until the service ends.

        While that cannot be done, the passes of each interval look through the files, in their part of the time.
        """
        while not self._bell.stopped:
            scan_at = self._scan_at
            try:
                with _opened(self._folder) as descriptor:
                    self._watch(os.fstat(descriptor))
            except (OSError, RuntimeError, sqlite3.Error) as error:
                self._scan_at = scan_at
                self._failures += 1
                self._say(error)
            self.wake()
            self._bell.back_off(self._failures, UNWATCHED_S)

    def _watch(self, watched: os.stat_result) -> None:
        """Watch the folder for as long as it is the same one."""
        self._scan_at = 0.0
        self.wake(AGAIN_S)  # for what was written before the watch began
        for changes in watch(
            self._folder,
            watch_filter=self._concerns_us,
            debounce=round(GATHER_S * 1000),
            step=STEP_MS,
            rust_timeout=WATCH_MS,
            yield_on_timeout=True,
            recursive=False,
            raise_interrupt=False,
        ):
            self._failures, self._unwatched = 0, ""
            if self._bell.stopped or not os.path.samestat(watched, self._folder.stat()):
                return
            if changes and self._mirror.mark_changed(
                {Path(path).name for _, path in changes}
            ):
                self.wake()

    def _say(self, error: Exception) -> None:
        """Log why the folder cannot be watched, once; one that is not there is made by the next pass."""
        if str(error) != self._unwatched and not isinstance(error, FileNotFoundError):
            log.warning(
                "%s cannot be watched, and is looked through now and then: %s",
                self._folder,
                error,
            )
        self._unwatched = str(error)

    def _concerns_us(self, _: Change, path: str) -> bool:
        return (
            path == str(self._folder)
            or MIRRORED_FILE.fullmatch(Path(path).name) is not None
        )


@contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Hold a folder open: no other one gets its number meanwhile."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
