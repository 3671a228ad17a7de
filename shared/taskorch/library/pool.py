"""The claims of a pool, of threads or of coroutines, and how they end."""

import logging
from collections.abc import Iterable, Sequence
from threading import Lock

from taskorch.domain import errors, limits
from taskorch.domain.attempt_end import AttemptEnd
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Claim
from taskorch.library.agent import LEASE_MS, Agent
from taskorch.library.queue import Queue
from taskorch.library.stoppable import StoppableConnection
from taskorch.library.task import Task
from taskorch.library.worker_connections import ClaimConnection, lasting
from taskorch.queue.claim_pauses import ClaimPauses
from taskorch.queue.port import Connection
from taskorch.transport.retry import OutageNotice

MOST_SLOTS = 1000
MOST_PREFETCHED = 10
STOPPING = "Stopping: no more items are claimed."
STOPPED = "The worker was stopped."

_log = logging.getLogger(__name__)


class PoolOptions(Frozen):
    """How a worker claims: the number of its slots, and the claims of each."""

    concurrency: int
    lease_ms: int = LEASE_MS
    #: Maximum number of items that a slot claims in one call.
    prefetch: int = 1

    def check(self, agent: str, handler: object) -> None:
        """Check the arguments of a worker. Raises errors.Invalid."""
        limits.agent_name(agent)
        limits.number(self.concurrency, "concurrency", 1, MOST_SLOTS)
        limits.number(self.lease_ms, "lease in ms", 1, limits.LONGEST_MS)
        limits.number(self.prefetch, "prefetch", 1, MOST_PREFETCHED)
        if not callable(handler):
            raise errors.Invalid(
                reason=f"handler must be a function, not {handler!r}."
            )


class Pool:
    """The connections and the claimed items of a worker.

    A slot claims some items and begins one after the other. Those that it has not begun
    are ready: their leases are renewed, and a stop releases them.
    """

    def __init__(self, queue: Queue, agent: str, options: PoolOptions) -> None:
        """Claim and work over connections that wait out an outage of Redis."""
        self.options = options
        self._pauses = ClaimPauses()
        self._notice = OutageNotice(_log.warning)
        self._claiming = ClaimConnection(queue.connection, self._pauses)
        self._working = StoppableConnection(queue.connection)
        #: The queue of the agent over the connection of the worker's queue.
        self.own = queue.agent(agent).queue
        #: The agent over the connection of its steps.
        self.agent = Agent(self.own.over(self._lasting(self._working)))
        #: Guards the ready tasks.
        self._lock = Lock()
        self._ready: set[Task] = set()

    @property
    def claiming(self) -> Connection:
        """The connection of the claims, which wait for the end of a pause."""
        return self._lasting(self._claiming)

    @property
    def is_stopped(self) -> bool:
        """Return whether nothing more is claimed."""
        return self._claiming.is_stopped

    def stop_claims(self) -> bool:
        """Claim nothing more; return whether this is the first call.

        A wait that is just beginning may miss it: repeat this.
        """
        with self._lock:
            is_first = not self.is_stopped
            self._claiming.stop()
        if is_first:
            _log.info(STOPPING)
        return is_first

    def stop_steps(self) -> None:
        """Break off the steps that wait for the end of an outage."""
        self._working.stop()

    def prepare(self, claims: Iterable[Claim]) -> list[Task]:
        """Return the tasks of claims, which are ready from now on.

        If the worker was stopped in the meantime, a slot calls `release_ready`.
        """
        tasks = [self.agent.task(claim) for claim in claims]
        with self._lock:
            self._ready.update(tasks)
        return tasks

    def begin(self, task: Task) -> bool:
        """Return whether a slot may begin a ready task: it still holds the item."""
        with self._lock:
            is_ready = task in self._ready
            self._ready.discard(task)
        return is_ready and not task.lost

    def release_ready(self) -> None:
        """Release the items that no slot has begun."""
        while True:
            with self._lock:
                if not self._ready:
                    return
                task = self._ready.pop()
            task.take_away(STOPPED)

    def count_of_next(self, ready: Sequence[Task]) -> int:
        """Return how many items a slot may claim with the completion of its task."""
        must_wait = self.is_stopped or self._pauses.left_s > 0
        return 0 if ready or must_wait else self.options.prefetch

    def note_end(self, end: AttemptEnd, *, is_lost: bool) -> None:
        """Pause the claims after a release, and after several failures in a row."""
        self._pauses.pause_after(AttemptEnd.LOST if is_lost else end)

    def _lasting(self, connection: Connection) -> Connection:
        return lasting(connection, self._notice)
