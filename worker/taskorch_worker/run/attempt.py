"""One attempt at an item: from the claim until the item is settled.

thread of the slot   start the command -> wait for an event -> terminate -> settle
renewal thread       renew the lease; a lost lease is an event
"""

import os
import shutil
from collections.abc import Mapping
from enum import Enum
from functools import partial
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic

from taskorch.acceptance.runner import CheckRunner
from taskorch.config import work_folder
from taskorch.domain import errors
from taskorch.domain.acceptance import CheckEvidence
from taskorch.domain.acceptance_rules import refuse_failed
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import replace
from taskorch.domain.item import Claim, Delivery, Lease, Receipt
from taskorch.queue.renewal import Renewal

from taskorch_worker.git import GitFailed, Work
from taskorch_worker.inherited_lease import handed_down
from taskorch_worker.run import job_files, outcome
from taskorch_worker.run.attempt_output import AttemptOutput
from taskorch_worker.run.claims import Claims
from taskorch_worker.run.context import PoolContext
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.outcome import Outcome
from taskorch_worker.run.own_claims import release_own_claims
from taskorch_worker.run.process import CommandProcess
from taskorch_worker.run.settle import (
    REFUSALS,
    Settled,
    awaits_completion,
    renew_lease,
    settle,
    settled_by_refusal,
)
from taskorch_worker.run.tee import TeeLines
from taskorch_worker.run.worktrees import Worktree


class AttemptEvent(Enum):
    """An event that ends the wait for a command, besides a lost lease."""

    EXITED = "the command has ended"
    TIMED_OUT = "the command has reached its time limit"
    STOPPED = "the worker must end now"


class Attempt:
    """One attempt at a claimed item."""

    def __init__(
        self, context: PoolContext, claims: Claims, claim: Claim, lease: Lease
    ) -> None:
        self._context = context
        self._claims = claims
        self._claim = claim
        self._lease = lease
        #: What was claimed for the slot in the step that completed the item.
        self.next_claim: Claim | None = None
        self._events: SimpleQueue[
            AttemptEvent | errors.TaskOrchestratorError
        ] = SimpleQueue()
        self._began_at = monotonic()
        self._settled: Settled | None = None
        #: The path of the log with the command's output, or "".
        self._log_path = ""
        #: What the command has left in its worktree.
        self._work: Work | None = None

    def execute(self) -> Settled:
        """Run the command, settle the item, and return how."""
        # The log may block, if its reader does: the lease must be renewed even then.
        renewal = Renewal(
            partial(renew_lease, self._context.queue, self._lease),
            interval_s=self._context.options.renewal_s,
            on_lost=self._events.put,
            on_failure=self._log_failed_renewal,
        )
        self._context.log.claimed(self._claim)
        try:
            result = self._run_command(renewal)
        except REFUSALS as refusal:
            settled = settled_by_refusal(refusal)
        else:
            settled = self._settle(result)
        if settled.end is not AttemptEnd.UNSAID:
            release_own_claims(self._context, self._lease)
            self._forget_lease()
        self._settled = settled
        self._log(settled)
        return settled

    def stop(self) -> None:
        """Terminate the command, and release the item."""
        self._events.put(AttemptEvent.STOPPED)

    def abandon(self) -> Settled:
        """Give up waiting for the attempt, and return how its item was settled."""
        if self._settled:
            return self._settled
        settled = Settled(
            end=AttemptEnd.UNSAID,
            state="",
            text="Redis is unreachable; the item is left until its lease expires",
        )
        self._log(settled)
        return settled

    def _run_command(self, renewal: Renewal) -> Outcome:
        """Run the command to its end, and return the outcome for the item.

        The lease is renewed until then.

        Raises one of REFUSALS if the lease is lost before that.
        """
        output = self._begin_output()
        try:
            worktrees = self._context.worktrees
            if worktrees:
                worktree = worktrees.open(self._lease.item)
                return self._run_in_worktree(worktree, output)
            return self._run_with_files(None, output)
        except GitFailed as error:
            return outcome.of_worktree_failure(error)
        except OSError as error:
            return outcome.of_start_failure(error)
        finally:
            output.close()
            renewal.stop()

    def _begin_output(self) -> AttemptOutput:
        """Begin the log, before the worktree is made: a reader may look for it."""
        logs, tee = self._context.logs, self._context.tee
        output = AttemptOutput(
            logs,
            logs.begin(self._claim),
            TeeLines(tee, self._lease.item) if tee else None,
        )
        self._log_path = output.log_path
        return output

    def _run_in_worktree(
        self, worktree: Worktree, output: AttemptOutput
    ) -> Outcome:
        """Run the command in a worktree, and report what it has left there."""
        deliverables: Mapping[str, str] = {}
        try:
            result = self._run_with_files(worktree, output)
            deliverables = result.deliverables
        finally:
            self._work = worktree.close(deliverables)
        return outcome.with_work(result, self._work) if self._work else result

    def _run_with_files(
        self, worktree: Worktree | None, output: AttemptOutput
    ) -> Outcome:
        context = self._context
        files = job_files.prepare(
            self._claim,
            self._lease,
            context.settings,
            context.folder,
            worktree,
        )
        for name in files.left_out:
            context.log.notify(
                f"{self._lease.item}: {name} is not set: the item is too long for a"
                f" variable. {name}_FILE has all of it."
            )
        command = context.options.command
        if worktree:
            command = worktree.command(command)
        try:
            result = self._run_process(command, files, output)
            return self._checked(result, worktree)
        finally:
            shutil.rmtree(files.folder, ignore_errors=True)

    def _run_process(
        self,
        command: tuple[str, ...],
        files: JobFiles,
        output: AttemptOutput,
    ) -> Outcome:
        options = self._context.options
        process = CommandProcess(
            command,
            files.reading(options.stdin),
            self._context.reaper,
            output,
            on_exit=partial(self._events.put, AttemptEvent.EXITED),
        )
        try:
            event = self._events.get(timeout=options.timeout_s)
        except Empty:
            event = AttemptEvent.TIMED_OUT
        if event is not AttemptEvent.EXITED:
            process.terminate(options.grace_s)
        command_exit = process.collect()
        match event:
            case AttemptEvent.EXITED:
                result = outcome.of_exit(command_exit, files.result)
            case AttemptEvent.TIMED_OUT:
                result = outcome.of_timeout(
                    command_exit, options.timeout_ms or 0
                )
            case AttemptEvent.STOPPED:
                result = outcome.of_stop()
            case lost:
                raise lost
        return outcome.with_usage(result, command_exit)

    def _checked(self, result: Outcome, worktree: Worktree | None) -> Outcome:
        """Run the acceptance checks of an item that is to be completed.

        They run after the command, which cannot change their results any more. Raises
        one of REFUSALS if the lease is lost in the meantime.
        """
        context, checks = self._context, self._claim.package.item.checks
        if not checks or result.end is not AttemptEnd.COMPLETED:
            return result
        if not awaits_completion(context.queue, self._lease):
            return result
        folder = work_folder.find(os.environ, context.settings.root_path)
        runner = CheckRunner(
            str(worktree.folder) if worktree else folder,
            source="run",
            watching=context.reaper.watching,
        )
        results: list[CheckEvidence] = []

        def run() -> None:
            try:
                results.extend(runner.results(checks))
            finally:
                self._events.put(AttemptEvent.EXITED)

        thread = Thread(target=run, daemon=True)
        thread.start()
        event = self._events.get()
        runner.stop()
        thread.join()
        if event is AttemptEvent.STOPPED:
            return replace(outcome.of_stop(), usage=result.usage)
        if isinstance(event, errors.TaskOrchestratorError):
            raise event
        try:
            refuse_failed(self._lease.item, results)
        except errors.ChecksFailed as refusal:
            failed = outcome.of_refusal(refusal, self._log_path)
            return replace(failed, usage=result.usage)
        return replace(result, evidence=tuple(results))

    def _settle(self, result: Outcome) -> Settled:
        context = self._context
        if result.remark:
            context.log.notify(f"{self._lease.item}: {result.remark}")
        if result.end is AttemptEnd.RELEASED:
            # Before the release: it wakes an idle slot before its own reply arrives.
            context.pauses.pause_after_release()
        return settle(context.queue, self._lease, result, self._complete)

    def _complete(self, lease: Lease, delivery: Delivery) -> Receipt:
        receipt, self.next_claim = self._claims.complete_and_claim(
            lease, delivery
        )
        return receipt

    def _log_failed_renewal(self, error: errors.TaskOrchestratorError) -> None:
        self._context.log.notify(
            f"{self._lease.item}: the lease could not be renewed: {error}"
        )

    def _forget_lease(self) -> None:
        """Remove the token, unless another session of this root has a newer one."""
        workspace = self._context.workspace
        item = self._lease.item
        kept = workspace.lease(item)
        own = handed_down(self._lease, self._claim.package.item)
        if kept.shown() == own.shown():
            workspace.forget(item)

    def _log(self, settled: Settled) -> None:
        work = self._work
        if work and work.sentence() not in settled.text:
            self._context.log.notify(f"{self._lease.item}: {work.sentence()}")
        self._context.log.settled(
            self._claim,
            settled,
            took_s=monotonic() - self._began_at,
            log=self._log_path,
            work=work,
        )
