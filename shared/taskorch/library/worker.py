"""A pool of threads that call a handler for each item of an agent.

thread of a slot     claim -> handler -> complete and claim -> handler -> complete and
                     claim ... until the worker stops
thread that runs it  wait for an event -> handle it -> ... until all slots have ended

The first `stop` or signal ends the claims. The second one releases the items, too.
"""

import logging
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import Enum
from functools import partial
from math import inf
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread, main_thread
from time import monotonic
from types import FrameType

from taskorch.domain import errors
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Claim
from taskorch.library.agent import LEASE_MS
from taskorch.library.pool import STOPPED, Pool, PoolOptions
from taskorch.library.queue import Queue
from taskorch.library.result import Result, SettledTask, settle
from taskorch.library.task import Task, working
from taskorch.queue.port import WaitBrokenOff

Handler = Callable[[Task], Result]

#: The signals that stop a worker.
SIGNALS = (signal.SIGTERM, signal.SIGINT)
#: The interval at which waits are broken off, and a missed signal is noticed.
LOOK_AGAIN_S = 0.5
#: Time for handlers to end after their items were released.
GRACE_S = 5.0

_log = logging.getLogger(__name__)


class _Event(Enum):
    STOP = "a call or a signal asks the worker to stop"
    THREAD_ENDED = "a slot has ended, or the release of claimed items"


class Worker:
    """Calls a handler for each item of an agent, in `concurrency` threads.

        Worker("database_specialist", handler, concurrency=4).run()

    The handler gets the `Task`. What it returns completes the item: a summary,
    deliverables, a tuple of both, or None. An exception fails the attempt, which is
    retried as the item says. A handler may also settle the item itself, or ask a
    question and return: the answer queues the item again. The worker waits out an
    outage of Redis.
    """

    def __init__(  # noqa: PLR0913  six, which the house style allows
        self,
        agent: str,
        handler: Handler,
        *,
        concurrency: int = 1,
        queue: Queue | None = None,
        lease_ms: int = LEASE_MS,
        prefetch: int = 1,
    ) -> None:
        """Work on the items of `agent` in `queue`; None for `Queue.open()`.

        With `prefetch`, a thread claims up to that many items in one call, at most 10,
        and holds those that it has not begun. Raises errors.Invalid for a bad name or
        number, and the errors of `Queue.open`.
        """
        options = PoolOptions(
            concurrency=concurrency, lease_ms=lease_ms, prefetch=prefetch
        )
        options.check(agent, handler)
        self._handler = handler
        opened = queue or Queue.open()
        #: The queue, if the worker has opened it itself.
        self._opened = None if queue else opened
        self._pool = Pool(opened, agent, options)
        self._events: SimpleQueue[_Event | BaseException] = SimpleQueue()
        #: The number of threads that have not ended: of slots, and of a release.
        self._threads = 0
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
            for _ in range(self._pool.options.concurrency):
                self._start(self._run_slot)
            while self._threads and monotonic() < self._give_up_at:
                self._handle_next_event()
        self._pool.stop_steps()
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
            if self._pool.is_stopped:
                self._pool.stop_claims()
            return
        match event:
            case _Event.STOP:
                self._stops += 1
                self._stop()
            case _Event.THREAD_ENDED:
                self._threads -= 1
            case error:
                self._threads -= 1
                self._failure = self._failure or error
                self._stop()

    def _stop(self) -> None:
        if self._pool.stop_claims():
            self._start(self._pool.release_ready)
        if self._stops > 1 and self._give_up_at == inf:
            self._give_up_at = monotonic() + GRACE_S
            with self._lock:
                for task in self._tasks:
                    self._take_away(task)

    def _start(self, work: Callable[[], object]) -> None:
        """Start a thread that `run` waits for."""

        def run() -> None:
            event: _Event | BaseException = _Event.THREAD_ENDED
            try:
                work()
            except BaseException as error:  # noqa: BLE001  run() raises it
                event = error
            self._events.put(event)

        self._threads += 1
        Thread(target=run, daemon=True).start()

    def _run_slot(self) -> None:
        pool = self._pool
        claims = pool.own.over(pool.claiming)
        ready: list[Task] = []
        try:
            while True:
                if not ready:
                    ready = pool.prepare(
                        claims.claim_many(
                            pool.options.prefetch,
                            wait_s=inf,
                            lease_ms=pool.options.lease_ms,
                        )
                    )
                if pool.is_stopped:
                    pool.release_ready()
                task, *ready = ready
                if pool.begin(task):
                    ready += pool.prepare(self._work_on(task, ready))
        except WaitBrokenOff:
            with suppress(errors.TaskOrchestratorError, WaitBrokenOff):
                pool.own.pass_wake_on()

    def _work_on(self, task: Task, ready: Sequence[Task]) -> tuple[Claim, ...]:
        """Call the handler and settle the item; return the claims of that step."""
        with self._lock:
            self._tasks.add(task)
            if self._give_up_at < inf:
                self._take_away(task)
        settled = SettledTask(end=AttemptEnd.FAILED)
        try:
            with working(task):
                result = self._handler(task)
                settled = settle(
                    task,
                    result,
                    count=self._pool.count_of_next(ready),
                    lease_ms=self._pool.options.lease_ms,
                )
        except Exception:  # noqa: BLE001  the item has failed with it
            _log.exception("%s: the handler failed.", task.id)
        finally:
            with self._lock:
                self._tasks.discard(task)
        self._pool.note_end(settled.end, is_lost=task.lost is not None)
        return settled.claims

    def _take_away(self, task: Task) -> None:
        """Release the item of a handler, without waiting for Redis."""
        take = partial(task.take_away, reason=STOPPED)
        Thread(target=take, daemon=True).start()
