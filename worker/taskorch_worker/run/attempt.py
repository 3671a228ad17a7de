"""One item in the hands of a command: from the claim to what becomes of it.

the thread of a slot    start the command --> wait for news --> stop it, if it has not ended --> settle the item
another thread          renew the lease, and tell when it is lost
"""

import shutil
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Claim, Lease
from taskorch.queue.agent_queue import AgentQueue

from taskorch_worker.lease_store import Workspace
from taskorch_worker.run import job_files, outcome
from taskorch_worker.run.job_files import JobFiles
from taskorch_worker.run.log import RunLog
from taskorch_worker.run.options import RunOptions
from taskorch_worker.run.outcome import AttemptEnd, Outcome
from taskorch_worker.run.process import CommandProcess
from taskorch_worker.run.reaper import Reaper
from taskorch_worker.run.settle import REFUSALS, Settled, of_refusal, renew, settle


class PoolContext(Frozen):
    """What the attempts of a run share."""

    settings: Settings
    terms: RunOptions
    queue: AgentQueue
    workspace: Workspace
    guard: Reaper
    journal: RunLog
    #: Where the files of the items are.
    folder: Path
    #: Holds back what the run claims next: an item is about to be given back.
    pause: Callable[[], object]


class AttemptEvent(Enum):
    """Why a command need not be waited for any longer; the refusal of a renewal is another reason."""

    ENDED = "it has ended"
    TIMED_OUT = "it takes too long"
    STOPPED = "the run is to end at once"


class Attempt:
    """An item that was claimed."""

    def __init__(self, means: PoolContext, claim: Claim, lease: Lease) -> None:
        self._means = means
        self._claim = claim
        self._lease = lease
        self._news: SimpleQueue[AttemptEvent | errors.TaskOrchestratorError] = (
            SimpleQueue()
        )
        self._over = Event()
        self._began = monotonic()
        self._came_to: Settled | None = None

    def stop(self) -> None:
        """End the command, and give the item back."""
        self._news.put(AttemptEvent.STOPPED)

    def leave(self) -> Settled:
        """Say that nobody waits for its end any more, and return that; what it came to, where that is known already."""
        if self._came_to:
            return self._came_to
        settled = Settled(
            end=AttemptEnd.UNSAID,
            state="",
            text="Redis is away; the lease runs out by itself",
        )
        self._tell(settled)
        return settled

    def run(self) -> Settled:
        """Have the command work on the item, and return what became of it."""
        Thread(
            target=self._keep, daemon=True
        ).start()  # first, for nobody may read what is told
        self._means.journal.claimed(self._claim)
        try:
            end = self._worked()
        finally:
            self._over.set()
        settled = end if isinstance(end, Settled) else self._settled(end)
        if settled.end is not AttemptEnd.UNSAID:
            self._forget()
        self._came_to = settled
        self._tell(settled)
        return settled

    def _worked(self) -> Outcome | Settled:
        """Return what the command's end means, or what became of the item without it."""
        means = self._means
        try:
            found = job_files.prepare(
                self._claim, self._lease, means.settings, means.folder
            )
            for name in found.left_away:
                means.journal.say(
                    f"{self._lease.item}: {name} is left away, for it is too long for a variable."
                )
            try:
                child = CommandProcess(
                    means.terms.command,
                    found,
                    means.guard,
                    lambda: self._news.put(AttemptEvent.ENDED),
                )
                return self._watched(child, found)
            finally:
                shutil.rmtree(found.folder, ignore_errors=True)
        except OSError as error:
            return outcome.of_no_start(error)

    def _watched(self, child: CommandProcess, found: JobFiles) -> Outcome | Settled:
        terms = self._means.terms
        try:
            news = self._news.get(timeout=terms.timeout_s)
        except Empty:
            news = AttemptEvent.TIMED_OUT
        if news is not AttemptEvent.ENDED:
            child.stop(terms.grace_s)
        ended = child.ended()
        match news:
            case AttemptEvent.ENDED:
                return outcome.of_end(ended, found.result)
            case AttemptEvent.TIMED_OUT:
                return outcome.of_timeout(ended, terms.timeout_ms or 0)
            case AttemptEvent.STOPPED:
                return outcome.of_stop()
        return of_refusal(news)

    def _settled(self, end: Outcome) -> Settled:
        if end.remark:
            self._means.journal.say(f"{self._lease.item}: {end.remark}")
        if end.end is AttemptEnd.RELEASED:
            self._means.pause()
        return settle(self._means.queue, self._lease, end)

    def _keep(self) -> None:
        """Renew the lease until the attempt is over; a refusal is news."""
        while not self._over.wait(self._means.terms.renewal_s):
            try:
                renew(self._means.queue, self._lease)
            except REFUSALS as refusal:
                self._news.put(refusal)
                return
            except errors.TaskOrchestratorError as error:
                self._means.journal.say(
                    f"{self._lease.item} could not be renewed: {error}"
                )

    def _tell(self, settled: Settled) -> None:
        self._means.journal.settled(self._claim, settled, monotonic() - self._began)

    def _forget(self) -> None:
        """Remove the token, unless another session of this root has claimed the item since."""
        workspace, item = self._means.workspace, self._lease.item
        if workspace.lease(item).shown() == self._lease.shown():
            workspace.forget(item)
