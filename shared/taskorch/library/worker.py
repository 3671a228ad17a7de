"""A pool of threads that call a handler for each item of an agent.

thread of a slot     claim -> handler -> settle -> claim ... until the worker stops
thread that runs it  wait for an event -> handle it -> ... until all slots have ended

The first `stop` or signal ends the claims. The second one releases the items, too.
"""

import logging
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread, main_thread
from time import monotonic
from types import FrameType

from taskorch.domain import errors, limits
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Claim
from taskorch.library.agent import LEASE_MS, Agent
from taskorch.library.queue import Queue
from taskorch.library.result import Result, settle
from taskorch.library.stoppable import StoppableConnection
from taskorch.library.task import Task, working
from taskorch.library.worker_connections import ClaimConnection, lasting
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import WaitBrokenOff
from taskorch.transport.retry import OutageNotice

Handler = Callable[[Task], Result]

#: The signals that stop a worker.
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The interval at which waits are broken off, and a missed signal is noticed.
LOOK_AGAIN_S = 0.5
#: Time for handlers to end after their items were released.
GRACE_S = 5.0
MOST_SLOTS = 1000
STOPPING = "Stopping: no more items are claimed."
STOPPED = "The worker was stopped."

_log = logging.getLogger(__name__)


class _Event(Enum):
    STOP = "a call or a signal asks the worker to stop"
    SLOT_ENDED = "a slot has ended"


class Worker:
    """Calls a handler for each item of an agent, in `concurrency` threads.

        Worker("database_specialist", handler, concurrency=4).run()

    The handler gets the `Task`. What it returns completes the item: a summary,
    deliverables, a tuple of both, or None. An exception fails the attempt, which is
    retried as the item says. A handler may also settle the item itself, or ask a
    question and return: the answer queues the item again. The worker waits out an
    outage of Redis.
    """

    def __init__(
        self,
        agent: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        queue: Queue | None = None,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """Work on the items of `agent` in `queue`; None for `Queue.open()`.

        Raises errors.Invalid for a bad name or number, and the errors of `Queue.open`.
        """
        need_worker(agent, handler, concurrency, lease_ms)
        self._handler = handler
        self._concurrency = concurrency
        self._lease_ms = lease_ms
        opened = queue or Queue.open()
        #: The queue, if the worker has opened it itself.
        self._opened = None if queue else opened
        notice = OutageNotice(_log.warning)
        connection = opened.connection
        self._pauses = ClaimPauses()
        self._claiming = ClaimConnection(connection, self._pauses)
        self._working = StoppableConnection(connection)
        own = opened.agent(agent).queue
        self._own = own
        self._claims = own.over(lasting(self._claiming, notice))
        self._agent = Agent(own.over(lasting(self._working, notice)))
        self._events: SimpleQueue[_Event | BaseException] = SimpleQueue()
        self._slots = 0
        self._stops = 0
        self._failure: BaseException | None = None
        self._give_up_at = inf
        #: Guards the tasks of the slots, and whether they are released.
        self._lock = Lock()
        self._tasks: set[Task] = set()

    def run(self) -> None:
        """Work until `stop`, SIGTERM or Ctrl-C. A worker runs once.

        The first one ends the claims, and the handlers finish. After a second one,
        their items are released, and it returns within five seconds. Signals are only
        handled in the main thread; elsewhere, call `stop`. Raises an error that no
        retry can help, such as errors.Refused.
        """
        with self._signals():
            self._slots = self._concurrency
            for _ in range(self._concurrency):
                Thread(target=self._run_slot, daemon=True).start()
            while self._slots and monotonic() < self._give_up_at:
                self._handle_next_event()
        self._working.stop()
        if self._opened:
            self._opened.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop claiming items; at the second call, release those in work.

        Any thread may call it, also a handler or a signal handler.
        """
        self._events.put(_Event.STOP)

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Let the signals stop the worker, in the main thread, for a block."""
        if current_thread() is not main_thread():
            yield
            return

        def stop(_number: int, _frame: FrameType | None) -> None:
            self.stop()

        before = {number: signal.signal(number, stop) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler or signal.SIG_DFL)

    def _handle_next_event(self) -> None:
        try:
            # With a time limit: a signal that arrives just before does not wake it.
            event = self._events.get(timeout=LOOK_AGAIN_S)
        except Empty:
            if self._claiming.is_stopped:
                self._claiming.stop()
            return
        match event:
            case _Event.STOP:
                self._stops += 1
                self._stop()
            case _Event.SLOT_ENDED:
                self._slots -= 1
            case error:
                self._slots -= 1
                self._failure = self._failure or error
                self._stop()

    def _stop(self) -> None:
        if not self._claiming.is_stopped:
            _log.info(STOPPING)
        self._claiming.stop()
        if self._stops > 1 and self._give_up_at == inf:
            self._give_up_at = monotonic() + GRACE_S
            with self._lock:
                for task in self._tasks:
                    self._take_away(task)

    def _run_slot(self) -> None:
        event: _Event | BaseException = _Event.SLOT_ENDED
        try:
            while True:
                claim = self._claims.claim(wait_s=inf, lease_ms=self._lease_ms)
                if claim and claim.lease:
                    self._work_on(claim)
        except WaitBrokenOff:
            with suppress(errors.TaskOrchestratorError, WaitBrokenOff):
                self._own.pass_wake_on()
        except BaseException as error:  # noqa: BLE001  run() raises it
            event = error
        self._events.put(event)

    def _work_on(self, claim: Claim) -> None:
        task = self._agent.task(claim)
        with self._lock:
            self._tasks.add(task)
            if self._give_up_at < inf:
                self._take_away(task)
        end = AttemptEnd.FAILED
        try:
            with working(task):
                end = settle(task, self._handler(task))
        except Exception:  # noqa: BLE001  the item has failed with it
            _log.exception("%s: the handler failed.", task.id)
        finally:
            with self._lock:
                self._tasks.discard(task)
        self._pauses.pause_after(AttemptEnd.LOST if task.lost else end)

    def _take_away(self, task: Task) -> None:
        """Release the item of a handler, without waiting for Redis."""
        take = partial(task.take_away, reason=STOPPED)
        Thread(target=take, daemon=True).start()


def need_worker(
    agent: str, handler: object, concurrency: int, lease_ms: int
) -> None:
    """Check the arguments of a worker. Raises errors.Invalid."""
    limits.agent_name(agent)
    limits.number(concurrency, "concurrency", 1, MOST_SLOTS)
    limits.number(lease_ms, "lease in ms", 1, limits.LONGEST_MS)
    if not callable(handler):
        raise errors.Invalid(
            reason=f"handler must be a function, not {handler!r}."
        )
