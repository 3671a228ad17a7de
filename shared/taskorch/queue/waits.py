"""Waiting without polling: look, block until something may have changed, look again; nothing in between is missed.

A look brings with it the cursor up to which it is true, out of one script. So what happens between the look and the
block ends the block at once.
"""

from collections.abc import Callable, Collection, Iterator
from math import inf
from random import uniform
from time import monotonic
from typing import Generic, NamedTuple, TypeVar, cast

from taskorch.domain import errors, limits
from taskorch.domain.backoff import Notify, Patience, retry
from taskorch.domain.events import FROM_THE_START, Events
from taskorch.domain.item import Lease, State
from taskorch.queue import keys, replies
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts
from taskorch.queue.wait_results import Answered, Goal, Standing, Waited

#: A connection that died without a word is found out after this long, and the waiter looks anew.
PERIOD_S = 60.0
MOST_EVENTS = 1000
#: What becomes of these depends on other items.
MAY_WAIT = (State.PENDING, State.WAITING)

Seen = TypeVar("Seen")
Done = TypeVar("Done")


class _Sight(NamedTuple, Generic[Seen]):
    """What a look brought, whether the wait is over with it, and where to block if it is not."""

    seen: Seen
    is_over: bool
    stream: str
    cursor: str


class Waits:
    """The waits of a namespace.

    A wait lasts through an outage of Redis that ends within its time: it comes back with its cursor. Its first look
    does not wait for a Redis that is away. errors.Unavailable, errors.NotFound.
    """

    def __init__(self, scripts: Scripts, notify: Notify = lambda _: None) -> None:
        """`notify` receives each failure in an outage, and None after each success."""
        self._scripts = scripts
        self._notify = notify
        self._events = keys.events(scripts.namespace)

    def answer(self, lease: Lease, *, timeout_s: float) -> Answered:
        """Wait until the question on an item is answered, or closed in another way; it may be open still.

        An item without an open question is returned at once. Raises what a step of the holder would, as soon as it
        would: errors.Cancelled, errors.LeaseLost, errors.NotYours, errors.Held.
        """
        stream = keys.reports(self._scripts.namespace, limits.item_id(lease.item))

        def look() -> _Sight[Answered]:
            view = replies.rows(
                self._scripts.run_script("wait", lease.item, lease.shown())
            )
            cursor, item_view, answers = cast("tuple[str, Reply, list[Reply]]", view)
            answer = next(
                iter(replies.sound(replies.report, answers, self._scripts.damage)), None
            )
            answered = Answered(item=replies.item(item_view), answer=answer)
            return _Sight(
                seen=answered,
                is_over=not answered.is_open,
                stream=stream,
                cursor=cursor,
            )

        return self._wait(look(), look, timeout_s)

    def until(
        self, id_: str, goals: Collection[Goal], *, timeout_s: float, since: str = ""
    ) -> Waited:
        """Wait until a project or an item has reached one of the goals.

        Goal.ANY is reached by any event of it after the cursor `since`, or after now. Raises errors.DeadEnd when it
        will not reach one by itself any more, and errors.Usage for a cursor where no event counts.
        """
        if since and Goal.ANY not in goals:
            raise errors.Usage(reason="since goes with until any.")
        wait = _Goals(self._scripts, id_, frozenset(goals), since)
        return self._wait(wait.look(), wait.look, timeout_s)

    def standing(self, id_: str) -> Standing:
        """Return how a project or an item stands now, and the cursor to follow it from."""
        return _standing(self._scripts, id_)

    def through_outages(self, read: Callable[[], Done]) -> Done:
        """Return what a read brings, however long Redis is away."""
        return self._retry(lambda _: read(), inf)

    def newest_cursor(self) -> str:
        """Return the cursor of the newest event."""
        return _events(self._scripts, FROM_THE_START, limit=1).newest

    def events(self, since: str) -> Iterator[Events]:
        """Yield what happens after a cursor, as it happens: without an end, and through every outage.

        Where the events behind the cursor are gone, the first batch says that it is not `known`.
        """
        cursor = limits.cursor(since)
        found = self.through_outages(
            lambda: _events(self._scripts, cursor, limit=MOST_EVENTS)
        )
        while True:
            cursor = found.cursor
            if not found.known or found.entries:
                yield found
            found = self._batch(cursor)

    def _batch(self, cursor: str) -> Events:
        def sight(found: Events) -> _Sight[Events]:
            is_over = not found.known or found.cursor != cursor
            return _Sight(
                seen=found, is_over=is_over, stream=self._events, cursor=cursor
            )

        def look() -> _Sight[Events]:
            return sight(_events(self._scripts, cursor, limit=MOST_EVENTS))

        return self._wait(
            sight(Events(known=True, newest=cursor, entries=())), look, inf
        )

    def _wait(
        self, sight: _Sight[Seen], look: Callable[[], _Sight[Seen]], timeout_s: float
    ) -> Seen:
        """Block and look until the wait is over, or the time is; return what was seen last."""
        deadline = monotonic() + timeout_s
        while not sight.is_over and (left_s := deadline - monotonic()) > 0:
            period_s = uniform(0.75, 1) * PERIOD_S  # noqa: S311  so that waiters do not look all at once
            sight = self._next(sight, look, min(left_s, period_s), deadline)
        return sight.seen

    def _next(
        self,
        sight: _Sight[Seen],
        look: Callable[[], _Sight[Seen]],
        block_s: float,
        deadline: float,
    ) -> _Sight[Seen]:
        """Block where the sight says, and look again."""

        def act(failures: int) -> _Sight[Seen]:
            if (
                not failures
            ):  # after an outage it looks first: Redis may have come back with less
                self._scripts.wait_for_entry(sight.stream, sight.cursor, block_s)
            return look()

        return self._retry(act, deadline)

    def _retry(self, read: Callable[[int], Done], deadline: float) -> Done:
        """Repeat what only reads while Redis is unavailable and there is time.

        `read` receives the number of failures so far.
        """
        return retry(
            read,
            Patience(
                may_pass=lambda failure: failure.retryable,
                seconds=deadline - monotonic(),
            ),
            notify=self._notify,
        )


class _Goals:
    """A wait for goals: each look says whether one is reached."""

    def __init__(
        self, scripts: Scripts, id_: str, goals: frozenset[Goal], since: str
    ) -> None:
        self._scripts = scripts
        self._id = id_
        self._goals = goals
        #: Up to where the events were looked through, where they count.
        self._cursor = since and limits.cursor(since)

    def look(self) -> _Sight[Waited]:
        """Look at where it stands, and through the events where they count."""
        waited = self._with_events(_standing(self._scripts, self._id))
        standing, over = waited.standing, waited.reached is not None
        if (
            not over
            and Goal.ANY not in self._goals
            and all(map(standing.is_over, self._goals))
        ):
            goal = " or ".join(sorted(self._goals))
            raise errors.DeadEnd(
                id=self._id, state=_state(standing), goal=goal, dead=standing.dead
            )
        if (
            standing.item
            and standing.item.state not in MAY_WAIT
            and Goal.ANY not in self._goals
        ):
            stream = keys.reports(self._scripts.namespace, standing.item.id)
            return _Sight(
                seen=waited, is_over=over, stream=stream, cursor=standing.report
            )
        events = keys.events(self._scripts.namespace)
        return _Sight(seen=waited, is_over=over, stream=events, cursor=waited.cursor)

    def _with_events(self, standing: Standing) -> Waited:
        if Goal.ANY not in self._goals or not self._cursor:
            self._cursor = standing.cursor
            return Waited(
                reached=self._reached(standing),
                standing=standing,
                cursor=standing.cursor,
            )
        found = _events(self._scripts, self._cursor, limit=MOST_EVENTS)
        mine = tuple(event for event in found.entries if event.is_of(self._id))
        self._cursor = found.cursor
        reached = self._reached(standing) or (
            Goal.ANY if mine or not found.known else None
        )
        return Waited(
            reached=reached,
            standing=standing,
            events=mine,
            cursor=self._cursor,
            gap=not found.known,
        )

    def _reached(self, standing: Standing) -> Goal | None:
        if Goal.COMPLETED in self._goals and standing.is_completed:
            return Goal.COMPLETED
        return (
            Goal.BLOCKED
            if Goal.BLOCKED in self._goals and standing.is_blocked
            else None
        )


def _standing(scripts: Scripts, id_: str) -> Standing:
    known = limits.item_id(id_) if id_.startswith("item_") else limits.project_id(id_)
    view = cast(
        "tuple[str, str, Reply, Reply, str, str]", scripts.run_script("standing", known)
    )
    cursor, report, items, project, dead, moves = view
    item = next(iter([replies.item(each) for each in cast("list[Reply]", items)]), None)
    return Standing(
        cursor=cursor,
        report=report,
        item=item,
        project=replies.project(project),
        dead=replies.item_or_none(dead),
        moves=bool(moves),
    )


def _events(scripts: Scripts, since: str, *, limit: int) -> Events:
    found = replies.events(scripts.run_script("events", since, limit), scripts.damage)
    known = found.known or since == FROM_THE_START
    return Events(
        known=known, newest=found.newest, entries=found.entries, last=found.last
    )


def _state(standing: Standing) -> str:
    if standing.dead:
        return f"held up by {standing.dead}"
    if standing.item:
        return standing.item.state
    return (
        "completed"
        if standing.is_completed
        else f"held up by dead letters ({standing.project.counts[State.FAILED]})"
    )
