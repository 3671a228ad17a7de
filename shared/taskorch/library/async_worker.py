"""A pool of asyncio tasks that await a handler for each item of an agent."""

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from threading import current_thread, main_thread

from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.item import Claim
from taskorch.library.agent import LEASE_MS, Agent
from taskorch.library.async_call import finished
from taskorch.library.async_queue import AsyncAgent, AsyncQueue, AsyncTask
from taskorch.library.result import Result
from taskorch.library.stoppable import StoppableConnection
from taskorch.library.worker import (
    GRACE_S,
    SIGNALS,
    STOPPING,
    need_worker,
)
from taskorch.library.worker_connections import ClaimConnection, lasting
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import WaitBrokenOff
from taskorch.transport.retry import OutageNotice

AsyncHandler = Callable[[AsyncTask], Awaitable[Result]]

#: The interval at which the waits of a stopped worker are broken off.
LOOK_AGAIN_S = 0.5

_log = logging.getLogger(__name__)


class AsyncWorker:
    """Awaits a handler for each item of an agent, `concurrency` items at a time.

        await AsyncWorker("database_specialist", handler, concurrency=4).run()

    It is a `Worker` whose handler is a coroutine function that gets an `AsyncTask`.
    """

    def __init__(
        self,
        agent: str,
        handler: AsyncHandler,
        *,
        concurrency: int = 1,
        queue: AsyncQueue | None = None,
        lease_ms: int = LEASE_MS,
    ) -> None:
        """Work on the items of `agent` in `queue`; None for `AsyncQueue.open()`.

        Raises errors.Invalid for a bad name or number, and the errors of `Queue.open`.
        """
        need_worker(agent, handler, concurrency, lease_ms)
        self._handler = handler
        self._concurrency = concurrency
        self._lease_ms = lease_ms
        opened = queue or AsyncQueue.open()
        #: The queue, if the worker has opened it itself.
        self._opened = None if queue else opened
        connection = opened.queue.connection
        self._pauses = ClaimPauses()
        self._claiming = ClaimConnection(connection, self._pauses)
        self._working = StoppableConnection(connection)
        self._notice = OutageNotice(_log.warning)
        self._claims = opened.queue.agent(agent)
        steps = lasting(self._working, self._notice)
        self._agent = AsyncAgent(Agent(self._claims.queue.over(steps)))
        self._loop: asyncio.AbstractEventLoop | None = None
        self._slots: set[asyncio.Task[None]] = set()
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
            for _ in range(self._concurrency)
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
        if not self._claiming.is_stopped:
            _log.info(STOPPING)
        self._claiming.stop()
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
                    self._claiming.stop()
            if self._claiming.is_stopped:
                self._claiming.stop()

    async def _end_slots(self) -> None:
        self._claiming.stop()
        self._cancel_slots()
        await asyncio.gather(*self._slots, return_exceptions=True)

    def _cancel_slots(self) -> None:
        """Cancel the handlers; after some time, their releases as well, in an outage."""
        for slot in self._slots:
            slot.cancel()
        loop = asyncio.get_running_loop()
        loop.call_later(GRACE_S, self._working.stop)

    async def _run_slot(self) -> None:
        while True:
            call = self._claims.claim_call(
                wait_s=None,
                lease_ms=self._lease_ms,
                over=lasting(self._claiming, self._notice),
            )
            try:
                claim = await finished(call)
            except WaitBrokenOff:
                return
            if claim and claim.lease:
                await self._work_on(claim)

    async def _work_on(self, claim: Claim) -> None:
        end = AttemptEnd.FAILED
        task: AsyncTask | None = None
        try:
            async with self._agent.working(claim) as task:
                end = await task.settle(await self._handler(task))
        except Exception:  # noqa: BLE001  the item has failed with it
            _log.exception("%s: the handler failed.", claim.package.item.id)
        lost = task is not None and task.lost
        self._pauses.pause_after(AttemptEnd.LOST if lost else end)
