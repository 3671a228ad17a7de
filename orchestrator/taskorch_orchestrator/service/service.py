"""`orchestrate service`: keeps the files of its roots, and the queue in order, until it is told to stop.

events in Redis --.                  .--> a job of RQ, once per interval --.
changed files ----+--> bell --> loop +                                     +--> sync a root, maintain the queue
intervals --------'                  '--> without RQ: at once -------------'
"""

import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING

from redis.exceptions import RedisError
from taskorch.bundled.server import Beside
from taskorch.domain import errors
from taskorch.queue.queue import Queue

from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.service import root_sync
from taskorch_orchestrator.service.root_sync import Keeper
from taskorch_orchestrator.service.scheduler import Bell, Wish

if TYPE_CHECKING:
    from taskorch_orchestrator.service.rq_jobs import Jobs

MAINTAIN = "maintain"
MAINTAIN_INTERVAL_S = 10.0
FOLLOW_S = 60.0
#: A Redis that does not answer is asked again after no more than this.
AWAY_S = 2.0
#: The service beside the bundled server ends when that was stopped, or has been gone for this long.
ALONE_S = 10.0
#: What that server has appended is on the disk after so long.
SYNC_S = 1.0

log = logging.getLogger(__name__)


class Service:
    """The service of some roots that share a namespace."""

    def __init__(
        self,
        queue: Queue,
        roots: Sequence[Path],
        *,
        runs_on: str,
        server: Beside | None,
    ) -> None:
        """`runs_on` is how its duties are run, for those who look; it ends with the bundled `server` beside it."""
        self._queue = queue
        self._bell = Bell()
        self._server = server
        mirrors = [Mirror(queue, root, service=runs_on) for root in roots]
        self._keepers = [
            Keeper(mirror, root, self._bell)
            for mirror, root in zip(mirrors, roots, strict=True)
        ]
        self._intervals = {
            each.duty: root_sync.INTERVAL_S for each in self._keepers
        } | {MAINTAIN: MAINTAIN_INTERVAL_S}
        self._duties: Mapping[str, Callable[[], None]] = {
            **{each.duty: each.sync for each in self._keepers},
            MAINTAIN: self._maintain,
        }
        self._failures: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Return a name that services of the same roots share."""
        return sha256(
            " ".join(sorted(self._duties)).encode(), usedforsecurity=False
        ).hexdigest()[:8]

    @property
    def duties(self) -> frozenset[str]:
        """Return the names of its duties."""
        return frozenset(self._duties)

    def run(self, jobs: "Jobs | None") -> None:
        """Do the duties until a signal says stop: as jobs, or without RQ in a loop of its own."""
        self._obey_signals()
        log.info("started, pid %d", os.getpid())
        for duty, interval_s in self._intervals.items():
            self._bell.ring(Wish(duty, interval_s))
        for watcher in [
            self._follow,
            self._sync_disk,
            *(each.watch for each in self._keepers),
        ]:
            Thread(target=watcher, daemon=True).start()
        if jobs is None:
            self._loop(lambda wish: self._do(wish.duty))
        else:
            Thread(target=self._loop, args=[self._enqueuing(jobs)], daemon=True).start()
            self._work(jobs)
        log.info("stopped")

    def _enqueuing(self, jobs: "Jobs") -> Callable[[Wish], None]:
        return lambda wish: self._try("RQ", lambda: jobs.enqueue(*wish))

    def _loop(self, act: Callable[[Wish], None]) -> None:
        """Act on each wish, and wish for each duty again after its interval; all ends where the server is lost."""
        while wishes := self._bell.wait():
            if self._server and self._server.is_lost():
                log.warning("The folder of the server is gone, or another one.")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            for wish in wishes:
                if wish.interval_s == self._intervals[wish.duty]:
                    self._bell.ring(wish, wish.interval_s)
                act(wish)

    def _work(self, jobs: "Jobs") -> None:
        """Do jobs; RQ's worker gives up when Redis goes away, and another takes its place."""
        failures = 0
        while not self._bell.stopped:
            began = monotonic()
            self._try("RQ's worker", lambda: jobs.work(self._do, self._bell))
            self._obey_signals()
            failures = failures + 1 if monotonic() - began < ALONE_S else 1
            self._bell.back_off(failures, AWAY_S)

    def _follow(self) -> None:
        """Wake the keepers whenever something happens in the namespace."""
        cursor, failures, lost_at = "", 0, 0.0
        while not self._bell.stopped:
            try:
                if not cursor or self._queue.views.wait_for_event(cursor, FOLLOW_S):
                    cursor = self._queue.views.events(limit=1).newest
                    for each in self._keepers:
                        each.wake()
                    self._bell.pause(root_sync.GATHER_S)
                if failures:
                    log.info("Redis answers again.")
                failures = 0
            except errors.TaskOrchestratorError as error:
                failures, lost_at = failures + 1, lost_at if failures else monotonic()
                if failures == 1:
                    log.warning("%s", error)
                if self._server and (
                    self._server.was_stopped() or monotonic() - lost_at > ALONE_S
                ):
                    os.kill(os.getpid(), signal.SIGTERM)
                self._bell.back_off(failures, AWAY_S)

    def _sync_disk(self) -> None:
        """Have the disk keep what the bundled server appends, once a second."""
        while self._server and not self._bell.stopped:
            self._server.sync()
            self._bell.pause(SYNC_S)

    def _maintain(self) -> None:
        """Reap and promote, as claims do in passing."""
        self._queue.reap()

    def _do(self, duty: str) -> None:
        self._try(duty, self._duties[duty])

    def _try(self, what: str, action: Callable[[], None]) -> None:
        """Do what may fail, for the service goes on; a failure is logged once, until another comes or it has worked."""
        try:
            action()
        except (errors.TaskOrchestratorError, RedisError) as error:
            if self._is_news(what, error):
                log.warning("%s: %s", what, error)
        except Exception as error:
            if self._is_news(what, error):
                log.exception("%s", what)
        else:
            self._failures.pop(what, None)

    def _is_news(self, what: str, error: Exception) -> bool:
        before, self._failures[what] = self._failures.get(what), str(error)
        return before != str(error)

    def _obey_signals(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _signal, _frame: self._bell.stop())
