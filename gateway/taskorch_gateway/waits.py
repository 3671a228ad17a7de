"""Waits of clients: one thread follows the events for all waits of a process.

An event ends the waits that it may concern, whose clients then look again. So an idle
wait costs Redis nothing.
"""

import os
import time
from asyncio import (
    CancelledError,
    Event,
    Future,
    Task,
    create_task,
    get_running_loop,
    shield,
    sleep,
    timeout,
)
from asyncio import wait as wait_for_tasks
from collections import defaultdict, deque
from collections.abc import (
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Sequence,
)
from contextlib import suppress
from functools import partial
from typing import Protocol, cast
from weakref import WeakSet

from taskorch.config.settings import Settings
from taskorch.domain import errors
from taskorch.domain.access_token import ClientAccess
from taskorch.domain.backoff import Notify
from taskorch.domain.events import FROM_THE_START, Events, position
from taskorch.domain.item import Caller, State
from taskorch.queue import keys, scripts
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.port import CONFINED, Argument, Connection, Reply
from taskorch.queue.queue import Queue
from taskorch.version import __version__

from taskorch_gateway import following
from taskorch_gateway.event_loop import call_from_thread, ends
from taskorch_gateway.pool import NAME, ConnectionPool
from taskorch_gateway.token_changes import TokenChanges

#: The shortest wait, in seconds: Redis returns what is there already.
LOOK_S = 0.001
#: An item in one of these states may be claimed, now or after its delay.
CLAIMABLE = (State.QUEUED, State.DELAYED)
PAUSE_S = 1.0
#: Events that follow each other within this time are read together: each reading costs as
#: much as a call of a client. Half of the time is what they come later on average.
GATHERED_S = 0.01
#: How long a subscription waits for the first connection to Redis.
START_S = 5.0
#: Maximum number of batches that a subscription keeps.
MOST_BATCHES = 100
#: Stands for events that a subscription has lost.
LOST = Events(known=False, newest="", entries=())
#: Proxies end longer waits.
LONGEST_WAIT_S = 55.0

Wait = Future[None]


class ItemWait:
    """A wait for the next item of an agent or of one of its pools."""

    def __init__(self, owners: Sequence[str], project: str) -> None:
        """With a `project`, only its items count."""
        self.owners = owners
        self.project = project
        #: The owner whose item has ended it.
        self.end: Future[str] = get_running_loop().create_future()

    def is_for(self, project: str) -> bool:
        """Return whether it is still open, and an item of a project may end it."""
        may_see = not self.project or project in ("", self.project)
        return may_see and not self.end.done()


#: Tells whether the token of a client is valid.
Admits = Callable[[], Awaitable[bool]]


class OutageListener(Protocol):
    """Receives whether Redis is unreachable."""

    def __call__(self, *, is_away: bool) -> None:
        """Act on the news."""


class Subscription:
    """The newest events, for one reader: it loses some if it is too slow."""

    def __init__(self) -> None:
        self._batches: deque[Events] = deque()
        self._arrived = Event()

    def put(self, batch: Events) -> None:
        """Add a batch of events."""
        if len(self._batches) == MOST_BATCHES:
            self._batches.clear()
            batch = LOST
        self._batches.append(batch)
        self._arrived.set()

    async def next(self, seconds: float) -> Events | None:
        """Return the next batch, or None after some seconds.

        If events before it are lost, it is not `known`.
        """
        if not self._batches:
            self._arrived.clear()
            with suppress(TimeoutError):
                async with timeout(seconds):
                    await self._arrived.wait()
        return self._batches.popleft() if self._batches else None


class ClientWaits:
    """The waits of the clients of one process, in one namespace."""

    def __init__(self, settings: Settings, pool: ConnectionPool) -> None:
        self._settings = settings
        self._pool = pool
        self._is_following = Event()
        #: Owner of a queue -> the waits for its next item, the oldest first.
        self._owners: dict[str, deque[ItemWait]] = defaultdict(deque)
        #: Item -> the waits for a report on it.
        self._items: dict[str, set[Wait]] = defaultdict(set)
        #: The waits for any event, by the project that they are confined to; "" for none.
        self._events: dict[str, set[Wait]] = defaultdict(set)
        #: The waits for a line of the audit log -> their cursors.
        self._audit_lines: dict[Wait, str] = {}
        #: What looks for such lines while there is a wait for one.
        self._looking: Task[None] | None = None
        #: What passes on the wake tokens of clients that have left.
        self._passing: set[Task[None]] = set()
        #: Those that still have a reader.
        self._subscriptions: WeakSet[Subscription] = WeakSet()
        #: The waits and streams of clients, by their tokens.
        self.changes = TokenChanges()
        #: The newest event that is known; "" before the first connection to Redis.
        self.newest = ""
        #: Whether the events cannot be followed, because Redis is unreachable.
        self.is_away = False
        self._outage_listeners: list[OutageListener] = []

    def start(self) -> None:
        """Start the thread that follows the events. It ends with the process."""
        loop, cursor = get_running_loop(), ""
        # what this thread has told the loop last, which may not have handled it yet
        was_away = False

        def follow(queue: Queue, notify: Notify) -> None:
            nonlocal cursor

            def tell(failure: errors.Unavailable | None) -> None:
                nonlocal was_away
                notify(failure)
                is_away = failure is not None
                if is_away != was_away:
                    was_away = is_away
                    call_from_thread(loop, self._note_outage, failure)

            waits = queue.waits(tell)
            cursor = cursor or waits.through_outages(waits.newest_cursor)
            call_from_thread(loop, self._begin, cursor)
            for batch in waits.events(cursor):
                call_from_thread(loop, self._deliver, batch)
                cursor = batch.cursor
                time.sleep(GATHERED_S)

        following.start(self._settings, "events", follow)

    async def end(self) -> None:
        """Wait until the wake tokens of clients that were cut off are passed on."""
        if self._passing:
            await wait_for_tasks(self._passing)

    def on_outage(self, tell: OutageListener) -> None:
        """Call a function when Redis becomes unreachable, and when it answers again."""
        self._outage_listeners.append(tell)

    async def for_item_of(
        self, owners: Sequence[str], seconds: float, project: str = ""
    ) -> bool:
        """Wait until an item of a queue may be ready; return False after `seconds`.

        `owners` are those of the queues: the agent, and then its pools. With a
        `project`, only its items count.
        """
        wait = ItemWait(owners, project)
        for owner in owners:
            self._owners[owner].append(wait)
        try:
            return await self._until(
                wait.end, seconds, partial(self._take_wake_token, owners)
            )
        except CancelledError:
            if (
                wait.end.done()
            ):  # the client has left, and learns nothing of it
                self.wake(wait.end.result())
            raise
        finally:
            self._forget(wait)

    def _forget(self, wait: ItemWait) -> None:
        for owner in wait.owners:
            waits = self._owners[owner]
            with suppress(ValueError):
                waits.remove(wait)
            if not waits:
                del self._owners[owner]

    async def for_report(self, item: str, cursor: str, seconds: float) -> bool:
        """Wait for a report on an item after a cursor; False after `seconds`."""
        key = keys.reports(self._settings.namespace, item)
        waits = self._items[item]

        def look(connection: Connection) -> bool:
            return connection.wait_for_entry(key, cursor, LOOK_S)

        try:
            return await self._until_in(waits, look, seconds)
        finally:
            if not waits:
                self._items.pop(item, None)

    async def for_event(
        self, cursor: str, seconds: float, project: str = ""
    ) -> bool:
        """Wait for an event after a cursor; return False after `seconds`.

        With a `project`, only its events count.
        """
        waits = self._events[project]

        def look(connection: Connection) -> bool:
            if project:
                return self._has_event_of(connection, project, cursor)
            key = keys.events(self._settings.namespace)
            return connection.wait_for_entry(key, cursor, LOOK_S)

        try:
            return await self._until_in(waits, look, seconds)
        finally:
            if not waits:
                self._events.pop(project, None)

    async def for_audit_line(self, cursor: str, seconds: float) -> bool:
        """Wait for a line of the audit log after a cursor; False after `seconds`.

        Only administrators wait for one, and each call of a client writes one. So one
        look a second, for all of them, costs least.
        """
        wait: Wait = get_running_loop().create_future()
        self._audit_lines[wait] = cursor
        if len(self._audit_lines) == 1:
            self._looking = create_task(self._look_for_audit_lines())
        try:
            async with timeout(seconds):
                await wait
        except TimeoutError:
            return False
        else:
            return True
        finally:
            del self._audit_lines[wait]
            if not self._audit_lines and self._looking:
                self._looking.cancel()

    async def _look_for_audit_lines(self) -> None:
        """End all waits for a line as soon as one of them has one: they look again."""
        key = keys.audit_log(self._settings.namespace)
        while True:
            cursor = min(self._audit_lines.values(), key=position)
            with suppress(errors.TaskOrchestratorError):
                if await self._pool.run(
                    partial(_has_entry, key=key, cursor=cursor)
                ):
                    _end(self._audit_lines)
            await sleep(PAUSE_S)

    async def subscribe(self) -> Subscription:
        """Return the events from now on. Raises errors.Unreachable."""
        subscription = Subscription()
        self._subscriptions.add(subscription)
        try:
            async with timeout(START_S):
                await self._is_following.wait()
        except TimeoutError:
            reason = "the gateway does not follow the events yet"
            raise errors.Unreachable(url="", reason=reason) from None
        return subscription

    async def of_client(
        self,
        access: ClientAccess,
        wait: Coroutine[None, None, bool],
        admits: Admits,
    ) -> bool:
        """Return the result of a wait, or True as soon as the client's token changes.

        The client then looks again, and its token is checked. `admits` tells whether the
        token is valid now. Raises errors.TokenRefused.
        """
        try:
            with self.changes.of(access) as change:
                # a change before this line was missed, so the check is behind it
                if not await admits():
                    raise errors.TokenRefused(url="")
                return await _unless_ended(wait, change)
        finally:
            wait.close()  # it may not have begun

    def wake(self, owner: str, project: str = "") -> None:
        """End the oldest wait for an item of a queue, if there is one.

        `owner` is that of the queue, `project` that of the item if it is known.
        """
        for wait in self._owners.get(owner, ()):
            if wait.is_for(project):
                wait.end.set_result(owner)
                return

    def end_all(self) -> None:
        """End all waits, because what they wait for may have been missed."""
        for owner, waiting in self._owners.items():
            for wait in waiting:
                if not wait.end.done():
                    wait.end.set_result(owner)
        for of_a_kind in (self._items, self._events):
            for waits in of_a_kind.values():
                _end(waits)

    async def _until_in(
        self,
        waits: set[Wait],
        look: Callable[[Connection], bool],
        seconds: float,
    ) -> bool:
        wait: Wait = get_running_loop().create_future()
        waits.add(wait)
        try:
            return await self._until(
                wait, seconds, partial(self._pool.run, look)
            )
        finally:
            waits.discard(wait)

    async def _until(
        self,
        wait: Future[None] | Future[str],
        seconds: float,
        look: Callable[[], Coroutine[None, None, bool]],
    ) -> bool:
        """Return True as soon as a wait is over, or a look finds something."""
        with suppress(TimeoutError):
            async with timeout(seconds):
                await self._is_following.wait()
                if not await look():
                    await wait
                return True
        # it may have ended in the same moment as its time, and then no other one has
        return wait.done() and not wait.cancelled()

    async def _take_wake_token(self, owners: Sequence[str]) -> bool:
        """Take a wake token of a queue if there is one.

        If the client leaves meanwhile, another waiter gets it, maybe one at Redis.
        """
        namespace = self._settings.namespace
        lists = [keys.wake(namespace, owner) for owner in owners]
        looking = create_task(
            self._pool.run(
                lambda connection: connection.wait_for_wake(lists, LOOK_S)
            )
        )
        try:
            return await shield(looking)
        except CancelledError:
            passing = create_task(self._pass_on(owners, looking))
            self._passing.add(passing)
            passing.add_done_callback(self._passing.discard)
            raise

    async def _pass_on(
        self, owners: Sequence[str], looking: Task[bool]
    ) -> None:
        agent, *pools = owners
        namespace = self._settings.namespace
        names = tuple(pool.removeprefix(keys.POOL) for pool in pools)
        caller = Caller(agent=agent, pools=names or None)
        with suppress(errors.TaskOrchestratorError):
            if await looking:
                await self._pool.run(
                    lambda connection: AgentQueue(
                        connection, namespace, caller
                    ).pass_wake_on()
                )

    def _has_event_of(
        self, connection: Connection, project: str, cursor: str
    ) -> bool:
        """Return whether a project may have an event after a cursor."""
        key = keys.meta(self._settings.namespace)
        words: Sequence[Argument] = (*confined_caller(project), cursor, 1)
        reply = connection.run_script(scripts.load("events"), key, words)
        known, newest, entries, last = cast(
            "tuple[str, str, list[Reply], str]", reply
        )
        is_lost = not known and cursor != FROM_THE_START
        return is_lost or bool(entries) or last != newest

    def _begin(self, cursor: str) -> None:
        """Note from where the events are followed."""
        self.newest = cursor
        self._is_following.set()

    def _note_outage(self, failure: errors.Unavailable | None) -> None:
        is_away = failure is not None
        if is_away == self.is_away:
            return
        self.is_away = is_away
        for tell in self._outage_listeners:
            tell(is_away=is_away)

    def _deliver(self, batch: Events) -> None:
        """End the waits that a batch of events may concern."""
        self.newest = batch.cursor
        for subscription in self._subscriptions:
            subscription.put(batch)
        for event in batch.entries:
            if event.state in CLAIMABLE:
                owner = keys.of_pool(event.pool) if event.pool else event.agent
                self.wake(owner, event.project)
            _end(self._items.get(event.item, ()))
            _end(self._events.get(event.project, ()))
        _end(self._events.get("", ()))
        if not batch.known:  # some events are lost
            self.end_all()


def confined_caller(project: str) -> tuple[str, ...]:
    """Return the words of a gateway's own call that is confined to a project."""
    request = f"{os.urandom(8).hex()}{CONFINED}{project}"
    return (request, NAME, "", "", "", __version__)


def _has_entry(connection: Connection, *, key: str, cursor: str) -> bool:
    return connection.wait_for_entry(key, cursor, LOOK_S)


async def _unless_ended(
    wait: Coroutine[None, None, bool], change: Future[None]
) -> bool:
    """Return the result of a wait, or True as soon as a token changes."""
    try:
        async with timeout(None) as unchanged:
            change.add_done_callback(ends(unchanged))
            return await wait
    except TimeoutError:
        if not unchanged.expired():
            raise
        return True


def _end(waits: Iterable[Wait]) -> None:
    for wait in waits:
        if not wait.done():
            wait.set_result(None)
