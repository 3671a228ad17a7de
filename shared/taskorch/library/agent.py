"""An agent of a Python program, which claims its items as tasks."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import wraps
from math import inf
from typing import Concatenate, ParamSpec, TypeVar, overload

from taskorch.domain import errors
from taskorch.domain.item import Claim, Lease, Package
from taskorch.library.stoppable import StoppableCall, StoppableConnection
from taskorch.library.task import Task, working
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import Connection, WaitBrokenOff

P = ParamSpec("P")
R = TypeVar("R")

#: The lease of a task. It is renewed, so it only says how soon another session gets the
#: item of a process that was killed.
LEASE_MS = 60_000
NOT_WANTED = "The wait for the item was cancelled."


def _verb(
    step: Callable[Concatenate[AgentQueue, P], R],
) -> Callable[Concatenate["Agent", P], R]:
    """Return a verb of the agent that needs no lease."""

    @wraps(step)
    def verb(agent: "Agent", /, *arguments: P.args, **options: P.kwargs) -> R:
        return step(agent.queue, *arguments, **options)

    return verb


class Agent:
    """An agent: what is assigned to it, and the claims of its items.

    Threads may share it.
    """

    check = _verb(AgentQueue.check)
    discoveries = _verb(AgentQueue.discoveries)
    new_discoveries = _verb(AgentQueue.new_discoveries)
    reviews = _verb(AgentQueue.reviews)
    accept = _verb(AgentQueue.accept)
    send_back = _verb(AgentQueue.send_back)

    def __init__(self, queue: AgentQueue) -> None:
        #: The queue of the agent, whose verbs take a lease.
        self.queue = queue

    @overload
    def claim(
        self, *, wait_s: None = None, lease_ms: int = LEASE_MS
    ) -> AbstractContextManager[Task]: ...

    @overload
    def claim(
        self, *, wait_s: float, lease_ms: int = LEASE_MS
    ) -> AbstractContextManager[Task | None]: ...

    def claim(
        self, *, wait_s: float | None = None, lease_ms: int = LEASE_MS
    ) -> AbstractContextManager[Task | None]:
        """Claim the agent's next item for a block.

        Wait for one, as long as it takes or for `wait_s` seconds; then the block gets
        None. How the block ends settles the item, unless it has done that itself: see
        `Task.end`. An interrupted wait claims nothing. Raises errors.Unavailable, and
        at the end of the block the error of a lost lease.
        """
        return self._claim(wait_s, lease_ms)

    @contextmanager
    def get(
        self, item: str, *, takeover: bool = False, lease_ms: int = LEASE_MS
    ) -> Iterator[Task]:
        """Claim a queued item of the agent by its id, for a block as in `claim`.

        `takeover` takes it from another session of the agent. Raises errors.WrongState
        for an item that cannot be claimed now, and errors.Held.
        """
        call = self.get_call(item, takeover=takeover, lease_ms=lease_ms)
        with working(self.task(call.result())) as task:
            yield task

    def claim_call(
        self,
        *,
        wait_s: float | None,
        lease_ms: int,
        count: int = 1,
        over: Connection | None = None,
    ) -> StoppableCall[tuple[Claim, ...]]:
        """Return the claim of the next items, at most `count`, for a thread.

        They are claimed over the connection of the queue, or another one. A claim that
        is abandoned is given back over that of the queue.
        """

        def claim(connection: StoppableConnection) -> tuple[Claim, ...]:
            waiting = self.queue.over(connection)
            try:
                return waiting.claim_many(
                    count,
                    wait_s=inf if wait_s is None else wait_s,
                    lease_ms=lease_ms,
                )
            except WaitBrokenOff:
                with suppress(errors.Unavailable):
                    self.queue.pass_wake_on()
                raise

        connection = over or self.queue.connection
        return StoppableCall(connection, claim, undo=self.give_back)

    def get_call(
        self, item: str, *, takeover: bool, lease_ms: int
    ) -> StoppableCall[Claim]:
        """Return the claim of an item by its id, for a thread."""

        def get(_: StoppableConnection) -> Claim:
            return self.queue.get(
                Lease(item=item), takeover=takeover, lease_ms=lease_ms
            )

        return StoppableCall(
            self.queue.connection,
            get,
            undo=lambda claim: self.give_back((claim,)),
        )

    def task(self, claim: Claim) -> Task:
        """Return a claimed item as a task, and begin to renew its lease.

        Raises errors.WrongState for an item that the agent does not hold.
        """
        if claim.lease is None:
            raise not_claimed(claim.package)
        return Task(self.queue, claim.package, claim.lease)

    @contextmanager
    def _claim(
        self, wait_s: float | None, lease_ms: int
    ) -> Iterator[Task | None]:
        claims = self.claim_call(wait_s=wait_s, lease_ms=lease_ms).result()
        if not claims:
            yield None
            return
        with working(self.task(claims[0])) as task:
            yield task

    def give_back(self, claims: tuple[Claim, ...]) -> None:
        """Release claims whose caller no longer waits."""
        for claim in claims:
            if claim.lease:
                with suppress(errors.TaskOrchestratorError, WaitBrokenOff):
                    self.queue.release(
                        claim.lease, reason=NOT_WANTED, asks=True
                    )


def not_claimed(package: Package) -> errors.WrongState:
    """Return the error for an item that cannot be claimed in its state."""
    item = package.item
    return errors.WrongState(item=item.id, state=item.state, verb="claim")
