"""Performs verbs for clients: each step in a thread of the pool, and waits in none."""

from asyncio import (
    CancelledError,
    Event,
    Future,
    Semaphore,
    Task,
    create_task,
    shield,
)
from asyncio import wait as wait_for_tasks
from collections import defaultdict
from collections.abc import Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import Lease
from taskorch.mcp.call import ToolCall
from taskorch.mcp.tool import ToolArguments, ToolResult
from taskorch.queue import keys
from taskorch.queue.fields import Damage
from taskorch.queue.port import REPEAT, Connection
from taskorch.queue.requests import Requests

from taskorch_gateway.audit_log import AuditLog
from taskorch_gateway.client_connection import (
    Client,
    ClientConnection,
    WaitNeeded,
)
from taskorch_gateway.client_leases import ClientLeases
from taskorch_gateway.pool import SIZE, ConnectionPool
from taskorch_gateway.waits import LONGEST_WAIT_S, Admits, ClientWaits

#: Steps of verbs at the same time. A large project takes seconds to close, so others have
#: connections left: checks of tokens, `/call`, and verbs of another token.
TURNS = SIZE - 2
TURNS_OF_TOKEN = TURNS // 2


class Performed(Frozen):
    """What a verb has done for a client."""

    result: ToolResult
    #: The damaged rows that the result lacks.
    damage: Damage
    #: Item -> the token of the lease that the call has claimed, for later calls.
    tokens: Mapping[str, str]
    #: Gives back what the call has claimed, if the client never gets the result.
    undo: Callable[[], None] | None = None


class Performer:
    """Performs the verbs of clients of one namespace.

    A verb that has to wait raises WaitNeeded, and is performed again when something has
    happened: so it must not act before it waits.
    """

    def __init__(
        self,
        settings: Settings,
        pool: ConnectionPool,
        waits: ClientWaits,
        audit: AuditLog,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._waits = waits
        self._audit = audit
        self._turns = Semaphore(TURNS)
        #: Token -> its turns.
        self._turns_of_token: dict[str, Semaphore] = defaultdict(
            lambda: Semaphore(TURNS_OF_TOKEN)
        )
        #: The number of verbs that are being performed.
        self._performing = 0
        self._is_idle = Event()
        self._is_idle.set()
        #: The calls of clients that are gone, which are being undone.
        self._undoing: set[Task[None]] = set()

    async def perform(
        self,
        client: Client,
        verb: ToolArguments,
        *,
        lease: Lease | None = None,
        key: str = "",
        admits: Admits | None = None,
    ) -> Performed:
        """Perform a verb under the lease that the client has shown.

        Calls of a verb with the same `key` act once; "" is no key. Of a wait, only the
        step that ends it is kept. A wait takes at most 55 s. `admits` tells whether the
        token of the client is still valid.
        Raises errors.TaskOrchestratorError.
        """
        self._performing += 1
        self._is_idle.clear()
        try:
            return await self._perform(
                client, verb, lease=lease, key=key, admits=admits
            )
        finally:
            self._performing -= 1
            if not self._performing:
                self._is_idle.set()

    async def end(self) -> None:
        """Wait until what clients that were cut off have claimed is given back."""
        await self._is_idle.wait()
        if self._undoing:
            await wait_for_tasks(self._undoing)

    async def _perform(
        self,
        client: Client,
        verb: ToolArguments,
        *,
        lease: Lease | None,
        key: str,
        admits: Admits | None,
    ) -> Performed:
        seconds = getattr(verb, verb.waits_for) if verb.waits_for else 0.0
        # the verb refuses what is less than 0; an integer may be beyond all floats
        deadline = monotonic() + min(max(seconds, 0), LONGEST_WAIT_S)
        if seconds > LONGEST_WAIT_S:
            verb = verb.after_wait(LONGEST_WAIT_S, getattr(verb, "since", ""))
        is_waiting = seconds > 0
        while True:
            call = ClientCall(
                self._settings,
                client,
                _requests(verb, key, is_waiting=is_waiting),
                ClientLeases(lease),
            )
            try:
                return await self._step(client, call, verb, is_kept=bool(key))
            except WaitNeeded as wait:
                left_s = max(0.0, deadline - monotonic())
                seconds_left = min(wait.seconds, left_s)
                await self._wait(
                    client, wait, seconds_left, admits or _admits_all
                )
                if admits and not await self._may_go_on(wait, admits):
                    raise errors.TokenRefused(url="") from None
                left_s = max(0.0, deadline - monotonic())
                verb = verb.after_wait(left_s, wait.cursor)
            except errors.WaitOver as over:
                shown = f"{min(seconds, LONGEST_WAIT_S):g}"
                raise errors.WaitOver(
                    **{**over.details, "seconds": shown}
                ) from None

    async def _may_go_on(self, wait: WaitNeeded, admits: Admits) -> bool:
        """Return whether the token of a client is still valid after its wait.

        Otherwise, and if the client leaves or Redis fails meanwhile, another waiter looks
        at what has ended the wait.
        """
        is_admitted = False
        try:
            is_admitted = await admits()
        finally:
            if not is_admitted:
                for owner in self._owners(wait):
                    self._waits.wake(owner)
        return is_admitted

    async def _step(
        self,
        client: Client,
        call: "ClientCall",
        verb: ToolArguments,
        *,
        is_kept: bool,
    ) -> Performed:
        """Perform a verb once, up to its wait.

        If the client goes meanwhile, what it has claimed is given back, unless its
        reply is kept for a repeat.
        """
        step: Future[Performed] = create_task(
            self._in_turn(
                client,
                lambda connection: call.perform(verb, connection, self._audit),
            )
        )

        def undo() -> None:
            undoing = create_task(self._undo(call, step))
            self._undoing.add(undoing)
            undoing.add_done_callback(self._undoing.discard)

        try:
            performed = await shield(step)
        except CancelledError:
            if not is_kept:
                undo()
            raise
        else:
            return performed if is_kept else replace(performed, undo=undo)

    async def _in_turn(
        self, client: Client, use: Callable[[Connection], Performed]
    ) -> Performed:
        async with self._turns_of_token[client.access.token], self._turns:
            return await self._pool.run(use)

    async def _undo(
        self, call: "ClientCall", step: "Future[Performed]"
    ) -> None:
        with suppress(errors.TaskOrchestratorError, WaitNeeded):
            await step
        await self._pool.run(
            lambda connection: call.give_back(connection, self._audit)
        )

    def _owners(self, wait: WaitNeeded) -> list[str]:
        """Return the owners of the queues that a client waits for an item of."""
        prefix = keys.wake(self._settings.namespace, "")
        return [each.removeprefix(prefix) for each in wait.keys]

    async def _wait(
        self,
        client: Client,
        wait: WaitNeeded,
        seconds: float,
        admits: Admits,
    ) -> None:
        """Wait until something may have happened, at most some seconds.

        Raises errors.TokenRefused.
        """
        reports = keys.reports(self._settings.namespace, "")
        access = client.access
        if not wait.cursor:
            waited = self._waits.for_item_of(
                self._owners(wait), seconds, access.project
            )
        elif wait.keys[0].startswith(reports):
            item = wait.keys[0].removeprefix(reports)
            waited = self._waits.for_report(item, wait.cursor, seconds)
        else:
            waited = self._waits.for_event(
                wait.cursor, seconds, access.project
            )
        await self._waits.of_client(access, waited, admits)


class ClientCall(ToolCall):
    """One call of a verb for a client, over a shared connection."""

    leases: ClientLeases

    def __init__(
        self,
        settings: Settings,
        client: Client,
        requests: Requests,
        leases: ClientLeases,
    ) -> None:
        """Act under the name of the client's token. It is connected by `perform`."""
        name = client.access.name
        own = replace(
            settings,
            agent=name,
            orchestrator=name,
            session="",
            pools=client.access.pools or None,
        )
        super().__init__(own, requests, leases)
        self.client = client
        self._gateway = settings
        self.takes_tasks = client.takes_tasks

    def perform(
        self, verb: ToolArguments, connection: Connection, audit: AuditLog
    ) -> Performed:
        """Perform a verb over a connection. Raises WaitNeeded."""
        self.connection = ClientConnection(self.client, connection, audit)
        result = verb.perform(self)
        tokens = {lease.item: lease.shown() for lease in self.leases.claimed}
        return Performed(result=result, damage=self.damage, tokens=tokens)

    def give_back(self, connection: Connection, audit: AuditLog) -> None:
        """Give back what the call has claimed."""
        self.connection = ClientConnection(self.client, connection, audit)
        if self.undo:
            self.undo()

    def close(self) -> None:
        """Leave the shared connection open."""

    def raise_if_cancelled(self) -> None:
        """Raise nothing: a step of a client that is gone is undone when it has ended."""

    def new_call(self) -> "ClientCall":
        """Return another call over the same connection."""
        call = ClientCall(
            self._gateway, self.client, Requests(), ClientLeases()
        )
        call.connection = self.connection
        return call


class KeyedRequests(Requests):
    """The request ids of a verb with a key: all of its steps are repeats.

    So the replies of all are kept, whatever they are. A repeat of the verb gets them in
    the same order, and goes on behind the last one.
    """

    def __init__(self, words: str) -> None:
        """`words` are the verb and its key."""
        super().__init__()
        self.is_repeatable = True
        self._words = words
        self._steps = 0

    def next(self, step: tuple[str, ...], *, acts: bool) -> str:
        """Return the id of the next step that acts, or one for a step that reads."""
        if not acts:
            return super().next(step, acts=acts)
        self._steps += 1
        return self.numbered(self._steps)

    def numbered(self, step: int) -> str:
        """Return the id of a step, from 1 on."""
        numbered = f"{self._words} {step}"
        return sha256(numbered.encode()).hexdigest()[:16] + REPEAT


async def _admits_all() -> bool:
    return True


def _requests(verb: ToolArguments, key: str, *, is_waiting: bool) -> Requests:
    """Return the request ids of a verb; one that waits with a key has one request."""
    if not key:
        return Requests()
    requests = KeyedRequests(f"{type(verb).__module__} {verb.name} {key}")
    return Requests(same=requests.numbered(1)) if is_waiting else requests
