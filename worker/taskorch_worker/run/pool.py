"""`worker run`: slots that each claim an item, have a command work on it, and claim the next one.

signals --.                .--> slot: claim --> attempt --> claim …     (a thread each)
          +--> inbox --> loop
slots ----'                '--> after one signal nothing is claimed; after two, what runs is stopped and given back,
                                and a slot that Redis keeps hanging is left behind
"""

import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from enum import Enum
from math import inf
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import mkdtemp
from threading import Lock, Thread
from time import monotonic

from taskorch.cli.output import CommandOutput
from taskorch.config import files
from taskorch.config.settings import Settings
from taskorch.connect import open_connection
from taskorch.domain import errors, limits
from taskorch.domain.access import Access
from taskorch.domain.item import Caller, Claim
from taskorch.queue.agent_queue import AgentQueue
from taskorch.transport.retry import Closed, Outage, Patient

from taskorch_worker.lease_store import Workspace
from taskorch_worker.run.attempt import Attempt, PoolContext
from taskorch_worker.run.claim_pauses import ClaimPauses
from taskorch_worker.run.log import RunLog
from taskorch_worker.run.options import RunOptions
from taskorch_worker.run.outcome import AttemptEnd
from taskorch_worker.run.reaper import Reaper
from taskorch_worker.run.settle import Settled

STOPPING = "Stopping: nothing more is claimed, what runs is finished. A second signal stops it and gives it back."
FAILING = "Nothing more is claimed, what runs is finished."
ON_ITS_WAY = "Redis has not answered all claims: what they took is left to its lease."
#: How many signals each counts for: whose terminal is closed will not send another one.
STOPS: Mapping[int, int] = {signal.SIGTERM: 1, signal.SIGINT: 1, signal.SIGHUP: 2}
#: An idle slot may have begun to wait for work while it was told to end: it is told again.
AGAIN_S = 0.5
#: How long it may take, after the commands have ended, to give their items back to a Redis that is away.
GIVEN_BACK_S = 2.0
#: So long may somebody take to read the last words.
LAST_WORDS_S = 1.0


class PoolEvent(Enum):
    """What the loop is told; a slot that fails tells its error."""

    STOP = "a signal"
    IDLE = "nothing came for so long, and nobody is at work"
    DONE = "a slot has ended"


class WorkerPool:
    """A run of a command over the items of an agent's queue."""

    def __init__(
        self, settings: Settings, output: CommandOutput, terms: RunOptions
    ) -> None:
        """Raise errors.Usage for a command that cannot be run."""
        terms.check()
        self._terms = terms
        self._journal = RunLog(as_json=output.as_json)
        outage = Outage(self._journal.say)

        def opened(patience_s: float = inf) -> Patient:
            return Patient(
                open_connection(settings, output.notify, Access.USE),
                outage,
                patience_s=patience_s,
            )

        caller = Caller(
            agent=settings.agent,
            host=os.uname().nodename,
            pid=os.getpid(),
            session=settings.session,
        )
        #: Where slots look for work, and where those wait that have found none for so long.
        self._looking, self._resting = opened(terms.idle_s), opened()
        self._looks = AgentQueue(self._looking, settings.namespace, caller)
        self._rests = AgentQueue(self._resting, settings.namespace, caller)
        #: Of these connections, those that nobody may use any more.
        self._closed: Sequence[Patient] = ()
        self._workspace = Workspace(
            settings.folder_path, settings.agent, settings.session
        )
        place = temporary_folder()
        self._means = PoolContext(
            settings=settings,
            terms=terms,
            queue=AgentQueue(opened(), settings.namespace, caller),
            workspace=self._workspace,
            guard=Reaper(place, terms.grace_s),
            journal=self._journal,
            folder=place,
            pause=lambda: self._pause(self._pauses.after_release()),
        )
        self._inbox: SimpleQueue[PoolEvent | Exception] = SimpleQueue()
        self._signals = 0
        self._turn = Lock()
        self._running: set[Attempt] = set()
        self._idle = 0
        #: How many have not ended.
        self._slots = terms.pool
        self._pauses = ClaimPauses()
        self._gives_up_at = inf
        self._ends: set[AttemptEnd] = set()

    def run(self) -> int:
        """Work until a signal says stop, or nothing is left to wait for; return the exit code.

        Raises errors.NothingToDo when there was nothing, and what keeps it from going on.
        """
        self._obey_signals()
        for _ in range(self._terms.pool):
            Thread(target=self._slot, daemon=True).start()
        failure = self._loop()
        self._leave()
        if failure:
            raise failure
        return self._exit_code()

    def _obey_signals(self) -> None:
        """Put a word into the inbox for each signal; its number comes by a pipe, for a handler may run too late.

        Python runs handlers in the main thread, which a signal does not wake when it is just about to wait.
        """
        told, tells = os.pipe()
        os.set_blocking(tells, False)
        signal.set_wakeup_fd(tells, warn_on_full_buffer=False)
        for number in STOPS:
            if (
                number != signal.SIGHUP
                or signal.getsignal(number) is not signal.SIG_IGN
            ):  # as nohup has it
                signal.signal(number, lambda _number, _frame: None)
        signal.signal(
            signal.SIGCHLD, signal.SIG_DFL
        )  # ignored by who started us, it would take away how commands end

        def listen() -> None:
            while number := os.read(told, 1):
                for _ in range(STOPS.get(number[0], 0)):
                    self._inbox.put(PoolEvent.STOP)

        Thread(target=listen, daemon=True).start()

    def _loop(self) -> Exception | None:
        """Listen until the last slot has ended, or is not waited for; return the first error of one."""
        failure = None
        while self._slots and monotonic() < self._gives_up_at:
            match word := self._heard():
                case None:
                    pass
                case PoolEvent.STOP:
                    self._signals += 1
                    self._stop()
                case (
                    PoolEvent.IDLE
                ):  # a claim that is on its way may still bring work to one of them
                    self._closed = self._closed or (self._resting,)
                case PoolEvent.DONE:
                    self._slots -= 1
                case _:
                    self._slots -= 1
                    if self._slots and not failure:
                        self._journal.say(f"{word} {FAILING}")
                    failure = failure or word
                    self._stop()
        return failure

    def _heard(self) -> PoolEvent | Exception | None:
        """Wait for the next word; for a moment only where somebody may still wait for work who should not."""
        for connection in self._closed:
            connection.close()
        try:
            return self._inbox.get(timeout=AGAIN_S if self._closed else None)
        except Empty:
            return None

    def _stop(self) -> None:
        """Claim nothing more; after a second signal stop what runs, too."""
        if self._signals == 1 and self._looking not in self._closed:
            self._journal.say(STOPPING)
        self._closed = (self._looking, self._resting)
        with self._turn:
            if self._signals > 1:
                grace_s = self._terms.grace_s if self._running else 0.0
                self._gives_up_at = min(
                    self._gives_up_at, monotonic() + grace_s + GIVEN_BACK_S
                )
                for attempt in self._running:
                    attempt.stop()

    def _leave(self) -> None:
        """Say of the items that could not be given back that their leases run out; where nobody reads it, end so."""

        def tell() -> None:
            with self._turn:
                if self._slots > len(self._running):
                    self._ends.add(AttemptEnd.UNSAID)
                    self._journal.say(ON_ITS_WAY)
                self._ends |= {attempt.leave().end for attempt in self._running}

        teller = Thread(target=tell, daemon=True)
        teller.start()
        teller.join(LAST_WORDS_S)
        if teller.is_alive():
            os._exit(errors.Unavailable.exit_code)

    def _slot(self) -> None:
        word: PoolEvent | Exception = PoolEvent.DONE
        try:
            self._work()
        except Closed:
            pass
        except Exception as error:  # noqa: BLE001  the loop ends the others, and tells it
            word = error
        self._inbox.put(word)

    def _work(self) -> None:
        """Take one item after the other."""
        while claim := self._next():
            with self._attempt(claim) as attempt:
                settled = attempt.run()
            self._ends.add(settled.end)
            self._hold_back(settled)
            if self._terms.once:
                return

    def _hold_back(self, settled: Settled) -> None:
        """Pause after an item that was given back, or after several that failed; raise errors.CommandFails after more.

        The items themselves are not touched: their attempts and the delays of their retries are as always.
        """
        if settled.end is AttemptEnd.RELEASED:  # perhaps by the command itself
            self._pause(self._pauses.after_release())
        self._pauses.count(settled.end)
        if settled.end is not AttemptEnd.FAILED:
            return
        failed, most = self._pauses.failed, self._terms.max_failures
        if most is not None and failed >= most:
            raise errors.CommandFails(
                failures=failed, reason=limits.shortened(settled.text)
            )
        if seconds := self._pauses.after_failure():
            self._journal.say(
                f"{failed} items in a row have failed. Claiming pauses for {seconds:.1f} s."
            )
            self._pause(seconds)

    def _pause(self, seconds: float) -> None:
        """Let no slot claim anything for a while."""
        until = max(monotonic() + seconds, self._looking.not_before)
        self._looking.not_before = self._resting.not_before = until

    def _next(self) -> Claim | None:
        """Claim an item. Without one for so long, or without Redis, rest: those who are at work may make some."""
        away = None
        try:
            if (
                claim := self._claimed(self._looks, self._terms.idle_s)
            ) or self._terms.once:
                return claim
        except errors.Unavailable as error:
            if self._terms.once:
                raise
            away = error
        with self._rest(away):
            return self._claimed(self._rests, inf)

    @contextmanager
    def _rest(self, away: errors.Unavailable | None) -> Iterator[None]:
        """Count the idle slots; the run is over when all of them are, and fails if it ends because Redis is away."""
        with self._turn:
            if away and self._idle + 1 == self._terms.pool:
                raise away
            self._idle += 1
            if self._idle == self._terms.pool:
                self._inbox.put(PoolEvent.IDLE)
        try:
            yield
        finally:
            with self._turn:
                self._idle -= 1

    def _claimed(self, queue: AgentQueue, wait_s: float) -> Claim | None:
        with self._workspace.reserve() as (slot,):
            claim = queue.claim(wait_s=wait_s, lease_ms=self._terms.lease_ms)
            if claim and claim.lease:
                try:
                    slot.keep(claim.lease)
                except OSError as error:
                    self._means.queue.release(
                        claim.lease, reason="its token could not be kept"
                    )
                    raise files.root_not_writable(
                        self._means.settings.root, error
                    ) from None
        return claim

    @contextmanager
    def _attempt(self, claim: Claim) -> Iterator[Attempt]:
        """Let the loop know of an attempt while it lasts."""
        assert claim.lease  # noqa: S101  a claim of this agent has one
        attempt = Attempt(self._means, claim, claim.lease)
        with self._turn:
            self._running.add(attempt)
            if self._signals > 1:
                attempt.stop()
        try:
            yield attempt
        finally:
            with self._turn:
                self._running.discard(attempt)

    def _exit_code(self) -> int:
        """Return 0 after a run that was stopped or did its work; with `once` the worst that became of an item."""
        if AttemptEnd.UNSAID in self._ends:
            return errors.Unavailable.exit_code
        if not self._ends and not self._signals:
            raise errors.NothingToDo
        if not self._terms.once:
            return 0
        codes = {
            AttemptEnd.FAILED: errors.Invalid.exit_code,
            AttemptEnd.LOST: errors.Conflict.exit_code,
            AttemptEnd.CANCELLED: errors.Conflict.exit_code,
            AttemptEnd.RELEASED: errors.NothingToDo.exit_code,
            AttemptEnd.BLOCKED: errors.NothingToDo.exit_code,
        }
        return next((code for end, code in codes.items() if end in self._ends), 0)


def temporary_folder() -> Path:
    """Make the folder for the files of the commands of a run. Raises errors.Invalid where no folder can be written."""
    try:
        return Path(mkdtemp(prefix="taskorch-run-"))
    except OSError as error:
        reason = f"worker run needs a folder for temporary files: {error.strerror or error}. Set TMPDIR to one."
        raise errors.Invalid(reason=reason) from None
