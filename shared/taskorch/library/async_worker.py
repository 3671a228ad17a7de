"""A pool of asyncio tasks that await a handler for each item of an agent."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from threading import Thread, current_thread, main_thread

from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Claim
from taskorch.library.agent import LEASE_MS, Agent
from taskorch.library.async_call import finished
from taskorch.library.async_queue import AsyncAgent, AsyncQueue, AsyncTask
from taskorch.library.pool import Pool, PoolOptions
from taskorch.library.result import Result, SettledTask
from taskorch.library.stoppable import StoppableCall
from taskorch.library.task import Task
from taskorch.library.worker import GRACE_S, SIGNALS
from taskorch.queue.port import WaitBrokenOff

AsyncHandler = Callable[[AsyncTask], Awaitable[Result]]

#: The interval at which the waits of a stopped worker are broken off.
LOOK_AGAIN_S = 0.5

_log = logging.getLogger(__name__)


class AsyncWorker:
    """Awaits a handler for each item of an agent, `concurrency` items at a time.

        await AsyncWorker("database_specialist", handler, concurrency=4).run()

    It is a `Worker` whose handler is a coroutine function that gets an `AsyncTask`.
    """

    def __init__(  # noqa: PLR0913  those of `Worker`
        self,
        agent: str,
        handler: AsyncHandler,
        *,
        concurrency: int = 1,
        queue: AsyncQueue | None = None,
        lease_ms: int = LEASE_MS,
        prefetch: int = 1,
    ) -> None:
        """Work on the items of `agent` in `queue`; None for `AsyncQueue.open()`.

        `prefetch` is that of `Worker`. Raises errors.Invalid for a bad name or number,
        and the errors of `Queue.open`.
        """
        options = PoolOptions(
            concurrency=concurrency, lease_ms=lease_ms, prefetch=prefetch
        )
        options.check(agent, handler)
        self._handler = handler
        opened = queue or AsyncQueue.open()
        #: The queue, if the worker has opened it itself.
        self._opened = None if queue else opened
        self._pool = Pool(opened.queue, agent, options)
        self._claims = Agent(self._pool.own)
        self._agent = AsyncAgent(self._pool.agent)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: set[asyncio.Task[None]] = set()
        #: Releases the items that no slot has begun.
        self._release = Thread(target=self._pool.release_ready, daemon=True)
        self._stops = 0
        self._failure: BaseException | None = None

    async def run(self) -> None:
        """Work until `stop`, SIGTERM or Ctrl-C. A worker runs once.

        The first one ends the claims, and the handlers finish. The second one cancels
        the handlers, which releases their items; so does cancelling `run`. Signals are
        only handled in the main thread; elsewhere, call `stop`.
        """
        self._loop = asyncio.get_running_loop()
        self._slots = {
            asyncio.create_task(self._run_slot())
            for _ in range(self._pool.options.concurrency)
        }
        try:
            with self._signals(self._loop):
                await self._slots_ended()
        finally:
            await self._end_slots()
            if self._opened:
                await self._opened.close()
        if self._failure:
            raise self._failure

    def stop(self) -> None:
        """Stop claiming items; at the second call, cancel the handlers.

        Any thread may call it.
        """
        self._stops += 1
        self._stop_claims()
        if self._stops > 1 and self._loop:
            with suppress(RuntimeError):  # the loop is closed: all have ended
                self._loop.call_soon_threadsafe(self._cancel_slots)

    @contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        """Let the signals stop the worker, in the main thread, for a block."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                loop.remove_signal_handler(number)
                signal.signal(number, handler or signal.SIG_DFL)

    async def _slots_ended(self) -> None:
        """Wait until all slots have ended; the first error ends the claims."""
        running = self._slots
        while running:
            ended, running = await asyncio.wait(running, timeout=LOOK_AGAIN_S)
            for slot in ended:
                if not slot.cancelled() and (error := slot.exception()):
                    self._failure = self._failure or error
                    self._stop_claims()
            if self._pool.is_stopped:
                self._pool.stop_claims()

    async def _end_slots(self) -> None:
        self._stop_claims()
        self._cancel_slots()
        await asyncio.gather(*self._slots, return_exceptions=True)
        await asyncio.to_thread(self._release.join)
        # a slot may have claimed some in its last step
        await asyncio.to_thread(self._pool.release_ready)

    def _stop_claims(self) -> None:
        if self._pool.stop_claims():
            self._release.start()

    def _cancel_slots(self) -> None:
        """Cancel the handlers; after some time, their releases as well, in an outage."""
        for slot in self._slots:
            slot.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(GRACE_S, self._pool.stop_steps)

    async def _run_slot(self) -> None:
        pool = self._pool
        ready: list[Task] = []
        while True:
            if not ready:
                try:
                    claims = await finished(self._claim_call())
                except WaitBrokenOff:
                    return
                ready = pool.prepare(claims)
            if pool.is_stopped:
                await asyncio.to_thread(pool.release_ready)
            task, *ready = ready
            if pool.begin(task):
                ready += await self._work_on(task, ready)

    def _claim_call(self) -> StoppableCall[tuple[Claim, ...]]:
        options = self._pool.options
        return self._claims.claim_call(
            count=options.prefetch,
            wait_s=None,
            lease_ms=options.lease_ms,
            over=self._pool.claiming,
        )

    async def _work_on(self, of: Task, ready: Sequence[Task]) -> list[Task]:
        """Await the handler and settle the item; return what that step has claimed."""
        settled = SettledTask(end=AttemptEnd.FAILED)
        following: list[Task] = []
        try:
            async with self._agent.working(of) as task:
                result = await self._handler(task)
                settled = await task.settle(
                    result,
                    count=self._pool.count_of_next(ready),
                    lease_ms=self._pool.options.lease_ms,
                )
                # before the next await, at which the slot may be cancelled
                following = self._pool.prepare(settled.claims)
        except Exception:  # noqa: BLE001  the item has failed with it
            _log.exception("%s: the handler failed.", of.id)
        self._pool.note_end(settled.end, is_lost=of.lost is not None)
        return following
