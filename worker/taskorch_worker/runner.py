"""`worker run`: slots that each claim an item, have a command work on it, and claim the next one.

signals --.                .--> slot: claim --> attempt --> claim …     (a thread each)
          +--> inbox --> loop
slots ----'                '--> after one signal nothing is claimed; after two, what runs is stopped and given back
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from queue import Empty, SimpleQueue
from random import uniform
from tempfile import mkdtemp
from threading import Event, Lock, Thread
from time import monotonic

from taskorch import command, errors, folder
from taskorch.agent_queue import AgentQueue
from taskorch.connection import open_connection
from taskorch.item import Caller, Claim
from taskorch.settings import Settings

from taskorch_worker.attempt import Attempt, Means
from taskorch_worker.guard import Guard
from taskorch_worker.journal import Journal
from taskorch_worker.patient import Closed, Outage, Patient
from taskorch_worker.settling import End
from taskorch_worker.terms import Terms
from taskorch_worker.workspace import Workspace

#: An idle slot may have begun to wait for work while it was told to end: it is told again.
AGAIN_S = 0.5
#: How long it may take, after the commands have ended, to give their items back to a Redis that is away.
GIVEN_BACK_S = 2.0
#: An idle slot waits for so long at least while others are at work: they may make work for it.
BESIDE_S = 1.0
#: An item that was given back is not taken again at once.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 60.0


class Word(Enum):
    """What the loop is told; a slot that fails tells its error."""

    STOP = "a signal"
    DONE = "a slot has ended"


class Runner:
    """A run of a command over the items of an agent's queue."""

    def __init__(self, settings: Settings, output: command.Output, terms: Terms) -> None:
        """Raise errors.Usage for a command that cannot be run."""
        terms.check()
        self._terms = terms
        self._journal = Journal(as_json=output.as_json)
        outage = Outage(self._journal.say)
        self._intake = Patient(open_connection(settings, output.say), outage, patience_s=terms.idle_s)
        self._steps = Patient(open_connection(settings, output.say), outage)
        caller = Caller(agent=settings.agent, host=os.uname().nodename, pid=os.getpid(), session=settings.session)
        self._claims = AgentQueue(self._intake, settings.namespace, caller)
        self._workspace = Workspace(settings.folder_path, settings.agent, settings.session)
        place = Path(mkdtemp(prefix="taskorch-run-"))
        self._means = Means(
            settings=settings,
            terms=terms,
            queue=AgentQueue(self._steps, settings.namespace, caller),
            workspace=self._workspace,
            guard=Guard(place, terms.grace_s),
            journal=self._journal,
            folder=place,
        )
        self._inbox: SimpleQueue[Word | Exception] = SimpleQueue()
        self._signals = 0
        self._stopping = Event()
        self._turn = Lock()
        self._running: set[Attempt] = set()
        self._ends: set[End] = set()

    def run(self) -> int:
        """Work until a signal says stop, or nothing is left to wait for; return the exit code.

        Raises errors.NothingToDo when there was nothing, and what keeps it from going on.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self._inbox.put(Word.STOP))
        for _ in range(self._terms.pool):
            Thread(target=self._slot, daemon=True).start()
        failure = self._loop()
        if failure:
            raise failure
        return self._exit_code()

    def _loop(self) -> Exception | None:
        """Listen until the last slot has ended; return the first error of one."""
        slots, failure, gives_up_at = self._terms.pool, None, 0.0
        while slots:
            try:
                word = self._inbox.get(timeout=AGAIN_S if self._stopping.is_set() else None)
            except Empty:
                self._intake.close()
                if gives_up_at and monotonic() > gives_up_at:
                    self._steps.close()
                continue
            if word is Word.STOP:
                self._signals += 1
                self._stop()
                gives_up_at = monotonic() + self._terms.grace_s + GIVEN_BACK_S if self._signals > 1 else 0.0
            else:
                slots -= 1
            if isinstance(word, Exception):
                failure = failure or word
                self._stop()
        return failure

    def _stop(self) -> None:
        """Claim nothing more; after a second signal stop what runs, too."""
        if self._signals == 1 and not self._stopping.is_set():
            self._journal.say(
                "Stopping: nothing more is claimed, what runs is finished. A second signal stops it and gives it back."
            )
        with self._turn:
            self._stopping.set()
            for attempt in self._running if self._signals > 1 else ():
                attempt.stop()
        self._intake.close()

    def _slot(self) -> None:
        word: Word | Exception = Word.DONE
        try:
            self._work()
        except Closed:
            pass
        except Exception as error:  # noqa: BLE001  the loop ends the others, and tells it
            word = error
        self._inbox.put(word)

    def _work(self) -> None:
        """Take one item after the other."""
        released = 0
        while not self._stopping.is_set():
            claim = self._claimed()
            if claim is None:
                if self._terms.once or not self._running:
                    return
                continue
            with self._attempt(claim) as attempt:
                end = attempt.run().end
            self._ends.add(end)
            if self._terms.once:
                return
            released = released + 1 if end is End.RELEASED else 0
            if released:
                pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(released - 1, 16))
                self._stopping.wait(uniform(0.5, 1) * pause_s)  # noqa: S311  it is no secret

    def _claimed(self) -> Claim | None:
        with self._workspace.room() as room:
            claim = self._claims.claim(wait_s=self._wait_s(), lease_ms=self._terms.lease_ms)
            if claim and claim.lease:
                try:
                    room.keep(claim.lease)
                except OSError as error:
                    self._means.queue.release(claim.lease, reason="its token could not be kept")
                    raise folder.refusal(self._means.settings.root, error) from None
        return claim

    def _wait_s(self) -> float:
        beside = bool(self._running) and not self._terms.once
        return max(self._terms.idle_s, BESIDE_S) if beside else self._terms.idle_s

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
        if End.UNSAID in self._ends:
            return errors.Unavailable.exit_code
        if not self._ends and not self._signals:
            raise errors.NothingToDo
        if not self._terms.once or self._signals:
            return 0
        codes = {
            End.FAILED: errors.Invalid.exit_code,
            End.LOST: errors.Conflict.exit_code,
            End.CANCELLED: errors.Conflict.exit_code,
            End.RELEASED: errors.NothingToDo.exit_code,
            End.BLOCKED: errors.NothingToDo.exit_code,
        }
        return next((code for end, code in codes.items() if end in self._ends), 0)
