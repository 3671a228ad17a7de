"""Waiting without polling: look, block until something may have changed, look again.

Each look returns a cursor, out of the same script as its result. The block starts from
that cursor, so a change between the two ends it immediately and nothing is missed.
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
from taskorch.queue import fields as read
from taskorch.queue import keys, replies
from taskorch.queue.fields import readable
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts
from taskorch.queue.wait_results import Answered, Goal, Standing, Waited

#: Maximum duration of one block. A broken connection without an error is noticed then.
PERIOD_S = 60.0
#: Events that one call returns; scripts/events.lua has the same.
MOST_EVENTS = 100
#: Between two searches of a large project for the dead item that holds it up.
SEARCH_PERIOD_S = 10.0
#: The states of items whose progress depends on other items.
MAY_WAIT = (State.PENDING, State.WAITING)

Found = TypeVar("Found")
Done = TypeVar("Done")


class _Look(NamedTuple, Generic[Found]):
    """The result of a look, whether it ends the wait, and from where to block."""

    found: Found
    is_over: bool
    stream: str
    cursor: str


class Waits:
    """The waits of a namespace.

    A wait survives an outage of Redis that ends before its timeout. Only its first look
    fails immediately, with errors.Unavailable.
    """

    def __init__(
        self, scripts: Scripts, notify: Notify = lambda _: None
    ) -> None:
        """`notify` receives each failure in an outage, and None after each success."""
        self._scripts = scripts
        self._notify = notify
        self._events = keys.events(scripts.namespace)

    def answer(
        self,
        lease: Lease,
        *,
        timeout_s: float,
        question: int = 0,
        notice: Callable[[float], object] = lambda _: None,
    ) -> Answered:
        """Wait until a question on an item is no longer open, or for a comment.

        An item in review is waited for until its reviewer has decided. Without a
        `question`, wait for all of them. If there is something to wait for,
        `notice` receives the seconds that the wait may take.

        Return the item as it is then, or after `timeout_s` seconds; immediately if no
        question is open. Raises errors.NoQuestion for a number that was not asked;
        errors.Cancelled, errors.LeaseLost, errors.NotYours or errors.Held as soon as
        the holder could no longer work on the item.
        """
        number = limits.question(question)
        limits.seconds(timeout_s, "timeout_s")
        stream = keys.reports(
            self._scripts.namespace, limits.item_id(lease.item)
        )

        def look() -> _Look[Answered]:
            view = self._scripts.run_script(
                "wait", lease.item, lease.shown(), number
            )
            cursor, item_view, answers, comments = cast(
                "tuple[str, Reply, list[Reply], list[Reply]]", view
            )
            item, damage = replies.item(item_view), self._scripts.damage
            answered = Answered(
                item=item,
                answers=readable(replies.report, answers, damage),
                unanswered=tuple(
                    each.number
                    for each in item.questions
                    if question in (0, each.number)
                ),
                comments=readable(replies.report, comments, damage),
            )
            return _Look(
                found=answered,
                is_over=_is_over(answered),
                stream=stream,
                cursor=cursor,
            )

        first = look()
        if not first.is_over:
            notice(timeout_s)
        return self._wait(first, look, timeout_s)

    def until(
        self,
        id_: str,
        goals: Collection[Goal],
        *,
        timeout_s: float,
        since: str = "",
    ) -> Waited:
        """Wait until a project or an item has reached one of the goals.

        Any event after the cursor `since`, or else from now on, reaches Goal.ANY. After
        `timeout_s` seconds the result has no goal. Raises errors.DeadEnd when no goal
        can be reached without help, errors.Usage for `since` without Goal.ANY.
        """
        if since and Goal.ANY not in goals:
            raise errors.Usage(
                reason="since needs until any: other goals ignore events."
            )
        limits.seconds(timeout_s, "timeout_s")
        wait = _GoalWait(self._scripts, id_, frozenset(goals), since)
        return self._wait(wait.look(), wait.look, timeout_s)

    def standing(self, id_: str) -> Standing:
        """Return the current state of a project or an item, and the cursor of it."""
        standing, _ = _standing(self._scripts, id_)
        return standing

    def through_outages(self, read_once: Callable[[], Done]) -> Done:
        """Return the result of a read; repeat it while Redis is unreachable."""
        return self._retry(lambda _: read_once(), inf)

    def newest_cursor(self) -> str:
        """Return the cursor of the newest event."""
        return _events(self._scripts, FROM_THE_START, limit=1).newest

    def page(self, since: str) -> Events:
        """Return the events after a cursor, at most 100."""
        return _events(self._scripts, limits.cursor(since), limit=MOST_EVENTS)

    def events(self, since: str) -> Iterator[Events]:
        """Yield the events after a cursor as they happen, through every outage.

        It never ends. If events after the cursor are lost, the first batch is not
        `known`.
        """
        cursor = limits.cursor(since)
        batch = self.through_outages(
            lambda: _events(self._scripts, cursor, limit=MOST_EVENTS)
        )
        while True:
            # a caller that is confined to a project may be past events of others
            if not batch.known or batch.entries or batch.cursor != cursor:
                yield batch
            cursor = batch.cursor
            batch = self._events_after(cursor)

    def _events_after(self, cursor: str) -> Events:
        """Block until there are events after a cursor, and return them."""

        def result(found: Events) -> _Look[Events]:
            is_over = not found.known or found.cursor != cursor
            return _Look(
                found=found,
                is_over=is_over,
                stream=self._events,
                cursor=cursor,
            )

        def look() -> _Look[Events]:
            return result(_events(self._scripts, cursor, limit=MOST_EVENTS))

        none_yet = Events(known=True, newest=cursor, entries=())
        return self._wait(result(none_yet), look, inf)

    def _wait(
        self,
        first: _Look[Found],
        look: Callable[[], _Look[Found]],
        timeout_s: float,
    ) -> Found:
        """Block and look until the wait ends or times out; return the last result."""
        deadline = monotonic() + timeout_s
        latest = first
        while not latest.is_over:
            left_s = deadline - monotonic()
            if left_s <= 0:
                break
            # a random period, so that waiters do not all look at the same time
            period_s = uniform(0.75, 1) * PERIOD_S  # noqa: S311
            latest = self._next(latest, look, min(left_s, period_s), deadline)
        return latest.found

    def _next(
        self,
        latest: _Look[Found],
        look: Callable[[], _Look[Found]],
        block_s: float,
        deadline: float,
    ) -> _Look[Found]:
        """Block from where the latest look ended, and look again."""

        def block_and_look(failures: int) -> _Look[Found]:
            # after an outage it looks first: Redis may have lost the newest entries
            if not failures:
                self._scripts.wait_for_entry(
                    latest.stream, latest.cursor, block_s
                )
            return look()

        return self._retry(block_and_look, deadline)

    def _retry(
        self, read_once: Callable[[int], Done], deadline: float
    ) -> Done:
        """Repeat a read while Redis is unavailable and the time is not over.

        `read_once` receives the number of failures so far.
        """
        patience = Patience(
            may_pass=lambda failure: failure.retryable,
            seconds=deadline - monotonic(),
        )
        return retry(read_once, patience, notify=self._notify)


class _GoalWait:
    """A wait for goals: each look checks whether one is reached."""

    def __init__(
        self, scripts: Scripts, id_: str, goals: frozenset[Goal], since: str
    ) -> None:
        self._scripts = scripts
        self._id = id_
        self._goals = goals
        #: The cursor of the last event that was checked, if events count.
        self._cursor = limits.cursor(since) if since else ""
        self._expects = False
        #: When it may search a large project again.
        self._searches_at = 0.0
        #: Whether it blocks on the events, because it could not make a stream.
        self._follows_events = False

    def look(self) -> _Look[Waited]:
        """Check the current state and, if they count, the new events."""
        standing = self._stands()
        if Goal.ANY in self._goals and self._cursor:
            waited = self._with_events(standing)
        else:
            self._cursor = standing.cursor
            reached = self._reached(standing)
            waited = Waited(
                reached=reached, standing=standing, cursor=standing.cursor
            )
        is_over = waited.reached is not None
        if not is_over:
            self._refuse_dead_end(standing)
        item = standing.item
        if item and item.state not in MAY_WAIT and Goal.ANY not in self._goals:
            if not is_over and self._expect(standing):
                return self.look()
            if not self._follows_events:
                stream = keys.reports(self._scripts.namespace, item.id)
                return _Look(waited, is_over, stream, standing.report)
        stream = keys.events(self._scripts.namespace)
        return _Look(waited, is_over, stream, waited.cursor)

    def _stands(self) -> Standing:
        """Return the current state; not every look searches a large project."""
        searches = monotonic() >= self._searches_at
        standing, calls = _standing(self._scripts, self._id, searches=searches)
        if calls > 1:
            self._searches_at = monotonic() + SEARCH_PERIOD_S
        return standing

    def _expect(self, standing: Standing) -> bool:
        """Make a stream for the reports of an item without one, once.

        A completion writes its report there only if there is a stream. Return whether
        this may have changed something. If Redis cannot write now, or the caller may
        not, the wait blocks on the events.
        """
        if self._expects or standing.report != FROM_THE_START:
            return False
        self._expects = True
        try:
            self._scripts.run_script("expect", self._id)
        except (errors.Unavailable, errors.NotAllowed):
            self._follows_events = True
        return True

    def _with_events(self, standing: Standing) -> Waited:
        """Return the result with the events after the cursor; each reaches Goal.ANY."""
        found = _events(self._scripts, self._cursor, limit=MOST_EVENTS)
        own = tuple(event for event in found.entries if event.is_of(self._id))
        self._cursor = found.cursor
        reached = self._reached(standing)
        if reached is None and (own or not found.known):
            reached = Goal.ANY
        return Waited(
            reached=reached,
            standing=standing,
            events=own,
            cursor=found.cursor,
            gap=not found.known,
        )

    def _reached(self, standing: Standing) -> Goal | None:
        """Return the goal that the current state reaches, or None."""
        if Goal.COMPLETED in self._goals and standing.is_completed:
            return Goal.COMPLETED
        if Goal.BLOCKED in self._goals and standing.is_blocked:
            return Goal.BLOCKED
        if Goal.REVIEW in self._goals and standing.is_in_review:
            return Goal.REVIEW
        return None

    def _refuse_dead_end(self, standing: Standing) -> None:
        if Goal.ANY in self._goals or not all(
            map(standing.is_over, self._goals)
        ):
            return
        goal = " or ".join(sorted(self._goals))
        raise errors.DeadEnd(
            id=self._id,
            state=_dead_state(standing),
            goal=goal,
            dead=standing.dead,
            reopens=standing.reopens if standing.dead else standing.is_closed,
        )


def _is_over(answered: Answered) -> bool:
    """Return whether a wait for answers, or for the decision of a reviewer, ends."""
    if answered.item.state is State.REVIEW:
        return answered.comments != ()
    return not answered.unanswered or answered.comments != ()


def _dead_state(standing: Standing) -> str:
    """Return what keeps a project or an item from going on, for the error."""
    if standing.dead:
        return f"held up by {standing.dead}"
    if standing.item:
        return standing.item.state
    if standing.is_completed:
        return "completed"
    return f"held up by dead letters ({standing.project.counts[State.FAILED]})"


def _standing(
    scripts: Scripts, id_: str, *, searches: bool = True
) -> tuple[Standing, int]:
    """Return the state of a project or an item, and the number of calls that it took.

    Each call reads `{event, report, {item view} or {}, project, dead, moves, asks,
    reopens, skip}`, and looks for a dead item among some of the project's items, unless
    it is not to search: then something may move.
    """
    known = (
        limits.item_id(id_)
        if id_.startswith("item_")
        else limits.project_id(id_)
    )
    *shown, skip = _stands(scripts, known, "0" if searches else "")
    cursor, report, items, project, dead, moves, asks, reopens = shown
    calls = 1
    while skip and not (dead and moves):
        *more, skip = _stands(scripts, known, str(skip))
        if not dead:
            dead, reopens = more[4], more[7]
        moves = moves or more[5]
        calls += 1
    item_views = cast("list[Reply]", items)
    standing = Standing(
        cursor=str(cursor),
        report=str(report),
        item=replies.item(item_views[0]) if item_views else None,
        project=replies.project(project),
        dead=read.item_id(str(dead)),
        moves=bool(moves) or not searches,
        asks=bool(asks),
        reopens=bool(reopens),
    )
    return standing, calls


def _stands(scripts: Scripts, known: str, skip: str) -> list[Reply]:
    return cast("list[Reply]", scripts.run_script("standing", known, skip))


def _events(scripts: Scripts, since: str, *, limit: int) -> Events:
    """Return the events after a cursor; those from the start are always known."""
    found = replies.events(
        scripts.run_script("events", since, limit), scripts.damage
    )
    known = found.known or since == FROM_THE_START
    return Events(
        known=known,
        newest=found.newest,
        entries=found.entries,
        last=found.last,
    )
