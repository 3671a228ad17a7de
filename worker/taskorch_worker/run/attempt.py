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
from taskorch_worker.run.job_files import Papers
from taskorch_worker.run.log import Journal
from taskorch_worker.run.options import Terms
from taskorch_worker.run.outcome import End, Meaning
from taskorch_worker.run.process import Child
from taskorch_worker.run.reaper import Guard
from taskorch_worker.run.settle import REFUSALS, Settled, of_refusal, renew, settle


class Means(Frozen):
    """What the attempts of a run share."""

    settings: Settings
    terms: Terms
    queue: AgentQueue
    workspace: Workspace
    guard: Guard
    journal: Journal
    #: Where the files of the items are.
    folder: Path
    #: Holds back what the run claims next: an item is about to be given back.
    pause: Callable[[], object]


class News(Enum):
    """Why a command need not be waited for any longer; the refusal of a renewal is another reason."""

    ENDED = "it has ended"
    TIMED_OUT = "it takes too long"
    STOPPED = "the run is to end at once"


class Attempt:
    """An item that was claimed."""

    def __init__(self, means: Means, claim: Claim, lease: Lease) -> None:
        self._means = means
        self._claim = claim
        self._lease = lease
        self._news: SimpleQueue[News | errors.TaskOrchestratorError] = SimpleQueue()
        self._over = Event()
        self._began = monotonic()
        self._came_to: Settled | None = None

    def stop(self) -> None:
        """End the command, and give the item back."""
        self._news.put(News.STOPPED)

    def leave(self) -> Settled:
        """Say that nobody waits for its end any more, and return that; what it came to, where that is known already."""
        if self._came_to:
            return self._came_to
        settled = Settled(
            end=End.UNSAID, state="", text="Redis is away; the lease runs out by itself"
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
        if settled.end is not End.UNSAID:
            self._forget()
        self._came_to = settled
        self._tell(settled)
        return settled

    def _worked(self) -> Meaning | Settled:
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
                child = Child(
                    means.terms.command,
                    found,
                    means.guard,
                    lambda: self._news.put(News.ENDED),
                )
                return self._watched(child, found)
            finally:
                shutil.rmtree(found.folder, ignore_errors=True)
        except OSError as error:
            return outcome.of_no_start(error)

    def _watched(self, child: Child, found: Papers) -> Meaning | Settled:
        terms = self._means.terms
        try:
            news = self._news.get(timeout=terms.timeout_s)
        except Empty:
            news = News.TIMED_OUT
        if news is not News.ENDED:
            child.stop(terms.grace_s)
        ended = child.ended()
        match news:
            case News.ENDED:
                return outcome.of_end(ended, found.result)
            case News.TIMED_OUT:
                return outcome.of_timeout(ended, terms.timeout_ms or 0)
            case News.STOPPED:
                return outcome.of_stop()
        return of_refusal(news)

    def _settled(self, end: Meaning) -> Settled:
        if end.remark:
            self._means.journal.say(f"{self._lease.item}: {end.remark}")
        if end.end is End.RELEASED:
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
