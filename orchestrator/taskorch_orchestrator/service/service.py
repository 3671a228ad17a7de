"""`orchestrate service`: keeps the files of its roots in sync, and the queue in order.

events in Redis --.
changed files ----+--> scheduler --> loop --> an RQ job, once per interval --.
intervals --------'                    '----> without RQ -------------------+--> duty

The duties are the sync of each root, the maintenance of the queue, and the removal of
unused libraries of functions. Beside them, a thread archives old projects and forgets
agents, and one for each target sends notifications.
"""

import logging
import os
import signal
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from taskorch.bundled.server import ServerHandle
from taskorch.domain import errors
from taskorch.queue import libraries
from taskorch.queue.queue import Queue
from taskorch.transport.retry import OutageNotice

from taskorch_orchestrator.mirror.mirror import Mirror
from taskorch_orchestrator.notify.notifier import Notifier
from taskorch_orchestrator.service import retention, root_sync
from taskorch_orchestrator.service.retention import Retention
from taskorch_orchestrator.service.root_sync import RootSync
from taskorch_orchestrator.service.scheduler import DueJob, Scheduler

if TYPE_CHECKING:
    from taskorch_orchestrator.service.rq_jobs import JobQueue

MAINTAIN = "maintain"
MAINTAIN_INTERVAL_S = 10.0
#: Starts the runs of schedules that are due.
SCHEDULES = "schedules"
SCHEDULES_INTERVAL_S = 10.0
#: Removes the libraries of functions that only old versions have called.
REMOVE_LIBRARIES = "remove-libraries"
REMOVE_LIBRARIES_INTERVAL_S = 3600.0
FOLLOW_S = 60.0
#: The longest pause before another call to an unreachable Redis.
LONGEST_PAUSE_S = 2.0
#: The service ends when the bundled server has been unreachable for this long.
SERVER_LOST_S = 10.0
#: An RQ worker that ran for this long did not fail at its start.
LONG_RUN_S = 10.0
#: The interval at which the appended data of the bundled server is synced to the disk.
DISK_SYNC_S = 1.0

log = logging.getLogger(__name__)


class Duty(NamedTuple):
    """A duty of the service: its action and its interval."""

    action: Callable[[], object]
    interval_s: float


class Service:
    """The service of some roots that share a namespace."""

    def __init__(
        self,
        queue: Queue,
        roots: Sequence[Path],
        *,
        source: str,
        runs_on: str,
        server: ServerHandle | None,
    ) -> None:
        """Serve `roots`.

        `source` names the queue for `HandoffWriter`. `runs_on` says how the duties are
        run, for `orchestrate sync status`. `server` is the bundled server that the
        service ends with, if it belongs to one.
        """
        self._queue = queue
        self._notifiers: Sequence[Notifier] = ()
        self._scheduler = Scheduler()
        self._server = server
        self._duties = {
            MAINTAIN: Duty(queue.reap, MAINTAIN_INTERVAL_S),
            SCHEDULES: Duty(self._run_schedules, SCHEDULES_INTERVAL_S),
            REMOVE_LIBRARIES: Duty(
                self._remove_libraries, REMOVE_LIBRARIES_INTERVAL_S
            ),
        }
        self._root_syncs: list[RootSync] = []
        for root in roots:
            mirror = Mirror(queue, root, source=source, service=runs_on)
            each = RootSync(mirror, root, self._scheduler)
            self._root_syncs.append(each)
            self._duties[each.duty] = Duty(each.sync, root_sync.INTERVAL_S)
        #: What failed last, with the reason.
        self._failures: dict[str, str] = {}

    @property
    def name(self) -> str:
        """Return the name that services of the same roots share."""
        duties = " ".join(sorted(self._duties))
        digest = sha256(duties.encode(), usedforsecurity=False)
        return digest.hexdigest()[:8]

    @property
    def duties(self) -> frozenset[str]:
        """Return the names of the duties."""
        return frozenset(self._duties)

    def leave_libraries(self) -> None:
        """Remove no libraries: a gateway does not pass on the commands for that."""
        del self._duties[REMOVE_LIBRARIES]

    def serve(
        self,
        job_queue: "JobQueue | None",
        keeper: Retention | None = None,
        notifiers: Sequence[Notifier] = (),
    ) -> None:
        """Do the duties until a signal stops the service.

        They run as jobs of `job_queue`, or without one in a loop of this process.
        `keeper` and each of the `notifiers` take too long for a job, so they have loops
        of their own.
        """
        self._notifiers = notifiers
        self._stop_on_signals()
        log.info("Service started, pid %d", os.getpid())
        for name, duty in self._duties.items():
            self._scheduler.schedule(DueJob(name, duty.interval_s))
        self._start(self._follow_events)
        for each in self._root_syncs:
            self._start(each.watch)
        if self._server:
            self._start(partial(self._sync_disk, self._server))
        if keeper:
            self._start(partial(self._keep, keeper))
        for notifier in self._notifiers:
            self._start(partial(self._notify, notifier))
        if job_queue:
            self._start(partial(self._handle_due_jobs, job_queue))
            self._work(job_queue)
        else:
            self._handle_due_jobs(None)
        log.info("Service stopped")

    def _stop_on_signals(self) -> None:
        def stop(_number: int, _frame: object) -> None:
            self._scheduler.stop()

        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def _start(self, loop: Callable[[], object]) -> None:
        thread = Thread(target=loop, daemon=True)
        thread.start()

    def _handle_due_jobs(self, job_queue: "JobQueue | None") -> None:
        """Do or enqueue each due job, and schedule it again after its interval."""
        while jobs := self._scheduler.next_due():
            if self._server and self._server.is_lost():
                log.warning(
                    "The folder of the bundled server was deleted or replaced."
                )
                self._end()
                return
            for job in jobs:
                is_regular = (
                    job.interval_s == self._duties[job.duty].interval_s
                )
                if is_regular:
                    self._scheduler.schedule(job, job.interval_s)
                if job_queue:
                    enqueue = partial(
                        job_queue.enqueue, job.duty, job.interval_s
                    )
                    self._try("RQ", enqueue)
                else:
                    self._do(job.duty)

    def _work(self, job_queue: "JobQueue") -> None:
        """Work on RQ jobs. RQ's worker ends if Redis is unreachable; start another."""
        work = partial(job_queue.work, self._do, self._scheduler)
        failures = 0
        while not self._scheduler.stopped:
            started_at = monotonic()
            self._try("RQ worker", work)
            self._stop_on_signals()
            if monotonic() - started_at > LONG_RUN_S:
                failures = 0
            failures += 1
            self._scheduler.back_off(failures, LONGEST_PAUSE_S)

    def _follow_events(self) -> None:
        """Request a pass for each root when the namespace has new events."""
        notify = OutageNotice(log.warning)
        cursor, failures, failed_at = "", 0, 0.0
        while not self._scheduler.stopped:
            try:
                cursor = self._handle_new_events(cursor)
            except errors.TaskOrchestratorError as error:
                failures += 1
                if failures == 1:
                    failed_at = monotonic()
                if isinstance(error, errors.Unavailable):
                    notify(error)
                elif failures == 1:
                    log.warning("%s", error)
                if self._has_lost_server(since=failed_at):
                    self._end()
                self._scheduler.back_off(failures, LONGEST_PAUSE_S)
            else:
                notify(None)
                failures = 0

    def _handle_new_events(self, cursor: str) -> str:
        """Block until there are events after `cursor`, and return the newest one.

        A wait that ends without one may have been broken off, so it looks anyway. That
        raises errors.Unavailable if Redis is still unreachable.
        """
        if cursor:
            self._queue.views.wait_for_event(cursor, FOLLOW_S)
        newest = self._queue.views.events(limit=1).newest
        if newest == cursor:
            return cursor
        for each in self._root_syncs:
            each.request()
        for notifier in self._notifiers:
            notifier.wake()
        self._scheduler.pause(root_sync.GATHER_S)
        return newest

    def _has_lost_server(self, *, since: float) -> bool:
        """Return whether the bundled server was stopped, or unreachable for too long.

        `since` is when it became unreachable, on the monotonic clock.
        """
        if not self._server:
            return False
        return (
            self._server.was_stopped() or monotonic() - since > SERVER_LOST_S
        )

    def _sync_disk(self, server: ServerHandle) -> None:
        """Sync the appended data of the bundled server to the disk, every second."""
        while not self._scheduler.stopped:
            server.sync()
            self._scheduler.pause(DISK_SYNC_S)

    def _keep(self, keeper: Retention) -> None:
        """Archive old projects and forget agents, every few minutes."""
        make_pass = partial(keeper.make_pass, lambda: self._scheduler.stopped)
        while not self._scheduler.stopped:
            self._try("retention", make_pass)
            self._scheduler.pause(retention.INTERVAL_S)

    def _notify(self, notifier: Notifier) -> None:
        """Send the notifications for one target, however long it takes to answer."""
        while not self._scheduler.stopped:
            self._try(f"notify {notifier.target.host}", notifier.make_pass)
            notifier.wait()

    def _run_schedules(self) -> None:
        # pydantic, yaml and cronsim take 10 MB, which a service without schedules saves
        if not self._queue.schedules().due().schedules:
            return
        from taskorch_orchestrator.schedule import runs

        runs.run_due(self._queue)

    def _remove_libraries(self) -> None:
        removed = libraries.remove_unused(
            self._queue.connection, self._queue.namespace
        )
        for name in removed:
            log.info("Removed the unused library of functions %s", name)

    def _end(self) -> None:
        """End the service. Only a signal interrupts RQ's wait for a job."""
        os.kill(os.getpid(), signal.SIGTERM)

    def _do(self, duty: str) -> None:
        self._try(duty, self._duties[duty].action)

    def _try(self, name: str, action: Callable[[], object]) -> None:
        """Call an action that may fail, and keep the service running if it does.

        A failure is logged once, until the action succeeds or fails differently.
        """
        try:
            action()
        except errors.TaskOrchestratorError as error:
            if self._is_new_failure(name, error):
                log.warning("%s: %s", name, error)
        except Exception as error:
            if self._is_new_failure(name, error):
                log.exception("%s", name)
        else:
            self._failures.pop(name, None)

    def _is_new_failure(self, name: str, error: Exception) -> bool:
        reason = str(error)
        before = self._failures.get(name)
        self._failures[name] = reason
        return before != reason
