"""`worker run`: a pool of slots, each of which runs a command on one item at a time.

thread of a slot   claim -> attempt -> claim -> attempt ... until nothing is left
main thread        wait for an event -> handle it -> ... until all slots have ended

The first signal stops the claims. The second one stops the attempts, too, and limits
the time that the slots have to end: a Redis that hangs must not hold up the end.
"""

import os
import signal
from contextlib import suppress
from enum import Enum
from functools import partial
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from threading import Lock, Thread
from time import monotonic

from taskorch.cli.output import CommandOutput
from taskorch.cli.text import counted
from taskorch.config.settings import Settings
from taskorch.connections import open_lasting_connection
from taskorch.domain import errors, limits
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Caller, Claim
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.transport.retry import ConnectionClosed, OutageNotice

from taskorch_worker.lease_store import Workspace
from taskorch_worker.run import stop_signals
from taskorch_worker.run.attempt import Attempt
from taskorch_worker.run.claims import Claims
from taskorch_worker.run.context import PoolContext
from taskorch_worker.run.log import RunLog
from taskorch_worker.run.options import RunOptions
from taskorch_worker.run.output_log import OutputLogs
from taskorch_worker.run.paused_connection import PausedConnection
from taskorch_worker.run.reaper import Reaper
from taskorch_worker.run.settle import Settled
from taskorch_worker.run.tee import Tee
from taskorch_worker.run.worktrees import Worktrees

STOPPING = (
    "Stopping: no more items are claimed, and running commands finish."
    " A second signal terminates them and releases their items."
)
FAILING = "No more items are claimed, and running commands finish."
UNANSWERED_CLAIMS = (
    "Redis has not answered all claims. Items that it may have handed out are left"
    " until their leases expire."
)
#: The interval at which the waits of slots that must end are broken off.
REPEAT_S = 0.5
#: Time to release the items after the grace period of their commands.
RELEASE_S = 2.0
#: Time to print the last lines.
LAST_LINES_S = 1.0
#: What to do after a run that found no item.
IDLE_ONCE = "Wait for work: worker run --once --wait 300 -- COMMAND"
IDLE = "To wait until the run is stopped, leave out --wait."
#: The exit codes of `--once`, the worst first.
EXIT_CODES = {
    AttemptEnd.FAILED: errors.Invalid.exit_code,
    AttemptEnd.LOST: errors.Conflict.exit_code,
    AttemptEnd.CANCELLED: errors.Conflict.exit_code,
    AttemptEnd.RELEASED: errors.NothingToDo.exit_code,
    AttemptEnd.BLOCKED: errors.NothingToDo.exit_code,
}


class PoolEvent(Enum):
    """An event for the main thread, besides the error that ended a slot."""

    SIGNAL = "a signal asks the run to stop"
    ALL_IDLE = "no slot has an item, and the idle time is over"
    SLOT_ENDED = "a slot has ended"


class WorkerPool:
    """The pool of one `worker run`."""

    def __init__(
        self, settings: Settings, output: CommandOutput, options: RunOptions
    ) -> None:
        """Check the options and start the reaper; the errors are those of `check`.

        Raises errors.Invalid, too, if there is no folder for temporary files, and the
        errors of `Worktrees`.
        """
        options.check()
        self._options = options
        self._log = RunLog(output)
        worktrees = self._open_worktrees(settings)
        self._pauses = ClaimPauses()
        connect = partial(
            open_lasting_connection,
            settings,
            output.notify,
            notify=OutageNotice(self._log.notify),
        )
        caller = Caller(
            agent=settings.agent,
            host=os.uname().nodename,
            pid=os.getpid(),
            session=settings.session,
            pools=settings.pools,
        )
        folder = temporary_folder()
        connection = connect(patience_s=inf)
        self._context = PoolContext(
            settings=settings,
            options=options,
            caller=caller,
            connection=connection,
            queue=AgentQueue(connection, settings.namespace, caller),
            workspace=Workspace(
                settings.folder_path, settings.agent, settings.session
            ),
            pauses=self._pauses,
            reaper=Reaper(folder, options.grace_s),
            log=self._log,
            logs=OutputLogs(settings.folder_path, caller, self._log.notify),
            tee=Tee(self._log, several_slots=options.pool > 1)
            if options.tee
            else None,
            worktrees=worktrees,
            folder=folder,
        )
        #: The queue of the agent for one short call at the end.
        self._own = AgentQueue(
            connect(patience_s=0), settings.namespace, caller
        )
        self._events: SimpleQueue[PoolEvent | Exception] = SimpleQueue()
        self._claims = Claims(
            self._context,
            looking=PausedConnection(
                connect(patience_s=options.idle_s), self._pauses
            ),
            resting=PausedConnection(connect(patience_s=inf), self._pauses),
            on_idle=partial(self._events.put, PoolEvent.ALL_IDLE),
        )
        self._signals = 0
        #: The number of slots that have not ended.
        self._slots = options.pool
        self._failure: Exception | None = None
        #: For how many more seconds slots are waited for. Time in which this process stands
        #: still does not count: the slots stand still, too.
        self._left_s = inf
        #: Guards the attempts, and whether they are stopped.
        self._lock = Lock()
        self._attempts: set[Attempt] = set()
        self._ends: set[AttemptEnd] = set()

    def work(self) -> int:
        """Work on items until a signal or the idle time ends the run.

        Return the exit code. Raises errors.NothingToDo if there was no item,
        errors.OverBudget if a budget was the reason, and the error of a slot that could
        not go on.
        """
        # If our starter ignores SIGCHLD, the exit statuses of commands would be lost.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        stop_signals.listen(partial(self._events.put, PoolEvent.SIGNAL))
        for _ in range(self._options.pool):
            slot = Thread(target=self._run_slot, daemon=True)
            slot.start()
        while self._slots and (self._left_s > 0 or not self._events.empty()):
            self._handle_next_event()
        self._abandon_slots()
        self._pass_wake_on()
        if self._context.tee:
            self._context.tee.close()
        if self._failure:
            raise self._failure
        return self._exit_code()

    def _open_worktrees(self, settings: Settings) -> Worktrees | None:
        """Clean up after killed runs, and report worktrees that they have left."""
        if not self._options.worktree:
            return None
        worktrees = Worktrees(settings, Path.cwd())
        for work in worktrees.clean_up():
            self._log.notify(f"An earlier run was killed. {work.sentence()}")
        return worktrees

    def _run_slot(self) -> None:
        """Work on one item after the other, in the thread of a slot."""
        event: PoolEvent | Exception = PoolEvent.SLOT_ENDED
        try:
            claim = self._claims.next()
            while claim:
                following = self._work_on(claim)
                if self._options.once:
                    break
                if following and self._claims.stopped:
                    self._claims.give_back(following)
                    following = None
                claim = following or self._claims.next()
        except ConnectionClosed:
            pass
        except Exception as error:  # noqa: BLE001  the main thread reports it
            event = error
        self._events.put(event)

    def _work_on(self, claim: Claim) -> Claim | None:
        """Make an attempt at an item, and pause the claims if it did not succeed.

        Return what was claimed in the step that completed the item.
        """
        assert claim.lease  # noqa: S101  every claim of this agent has one
        attempt = Attempt(self._context, self._claims, claim, claim.lease)
        with self._lock:
            self._attempts.add(attempt)
            if self._signals > 1:
                attempt.stop()
        try:
            settled = attempt.execute()
        finally:
            with self._lock:
                self._attempts.discard(attempt)
        self._ends.add(settled.end)
        self._pause_claims(settled)
        return attempt.next_claim

    def _pause_claims(self, settled: Settled) -> None:
        """Pause the claims after a release, and after several failures in a row.

        The items are not affected: their attempts and retry delays are as always.
        Raises errors.CommandFails after `max_failures`.
        """
        if settled.end is AttemptEnd.RELEASED:
            self._pauses.pause_after_release()
        self._pauses.count(settled.end)
        if settled.end is not AttemptEnd.FAILED:
            return
        failed, limit = self._pauses.failed, self._options.max_failures
        if limit is not None and failed >= limit:
            reason = limits.shortened(settled.text)
            raise errors.CommandFails(failures=failed, reason=reason)
        seconds = self._pauses.pause_after_failure()
        if seconds and not self._claims.stopped:
            items = counted(failed, "item has", "items in a row have")
            self._log.notify(
                f"{items} failed. Claiming pauses for {seconds:.1f} s."
            )

    def _handle_next_event(self) -> None:
        """Wait for an event and handle it.

        Return without one if waits may have to be broken off again.
        """
        must_repeat = self._claims.break_off_waits()
        began_at = monotonic()
        try:
            event = self._events.get(timeout=REPEAT_S if must_repeat else None)
        except Empty:
            return
        finally:
            self._left_s -= min(monotonic() - began_at, REPEAT_S)
        match event:
            case PoolEvent.SIGNAL:
                self._signals += 1
                self._stop()
            case PoolEvent.ALL_IDLE:
                self._claims.stop_resting()
            case PoolEvent.SLOT_ENDED:
                self._slots -= 1
            case error:
                self._slots -= 1
                if self._slots and not self._failure:
                    self._log.notify(f"{error} {FAILING}")
                self._failure = self._failure or error
                self._stop()

    def _stop(self) -> None:
        """Claim nothing more; after a second signal, stop the attempts as well."""
        if self._signals == 1 and not self._claims.stopped:
            self._log.notify(STOPPING)
        self._claims.stop()
        if self._signals > 1:
            self._stop_attempts()

    def _stop_attempts(self) -> None:
        """Stop the attempts, and limit the time that the slots have to end."""
        with self._lock:
            left_s = RELEASE_S
            if self._attempts:
                left_s += self._options.grace_s
            self._left_s = min(self._left_s, left_s)
            for attempt in self._attempts:
                attempt.stop()

    def _pass_wake_on(self) -> None:
        """Wake another session of the agent, if there is an item.

        A wait that was broken off may have taken the wake token. A Redis that hangs
        does not hold up the end.
        """
        if not self._claims.has_broken_off:
            return

        def wake() -> None:
            with suppress(errors.TaskOrchestratorError):
                self._own.pass_wake_on()

        thread = Thread(target=wake, daemon=True)
        thread.start()
        thread.join(RELEASE_S)

    def _abandon_slots(self) -> None:
        """Log the items of the slots that have not ended.

        If the log's reader blocks that, end the process.
        """
        thread = Thread(target=self._log_abandoned, daemon=True)
        thread.start()
        thread.join(LAST_LINES_S)
        if thread.is_alive():
            os._exit(errors.Unavailable.exit_code)

    def _log_abandoned(self) -> None:
        with self._lock:
            if self._slots > len(self._attempts):
                self._ends.add(AttemptEnd.UNSAID)
                self._log.notify(UNANSWERED_CLAIMS)
            for attempt in self._attempts:
                settled = attempt.abandon()
                self._ends.add(settled.end)

    def _exit_code(self) -> int:
        """Return 0, or with `once` the exit code of the worst end of an attempt."""
        if AttemptEnd.UNSAID in self._ends:
            return errors.Unavailable.exit_code
        if not self._ends and not self._signals:
            if self._claims.over_budget:
                raise self._claims.over_budget
            raise errors.NothingToDo(IDLE_ONCE if self._options.once else IDLE)
        if self._options.once:
            for end, code in EXIT_CODES.items():
                if end in self._ends:
                    return code
        return 0


def temporary_folder() -> Path:
    """Make the folder for the files of the commands. Raises errors.Invalid."""
    try:
        return Path(mkdtemp(prefix="taskorch-run-"))
    except OSError as error:
        reason = (
            f"Cannot create a temporary folder: {error.strerror or error}."
        )
        raise errors.Invalid(
            reason=f"{reason} Set TMPDIR to a folder that is writable."
        ) from None
