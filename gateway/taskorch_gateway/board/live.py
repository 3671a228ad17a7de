"""Live updates of open boards, as server-sent events (SSE).

A process has one subscription to the events, for all of its boards. Events are
gathered; then the views are read once for each kind of access, rendered once, and sent
to all boards of that kind: only the fragments that have changed. While nothing happens
nothing is read. A signal stands for what makes no event, such as a new budget. A board
of any other page gets the ids that events name, and reads its own parts again.

    GET /live?fragments=now&have=status:1a2b+agents:3c4d&since=1712-0

`fragments` is "now" for all fragments, "status" for the one in the top bar, or missing.
`have` are the versions that the page shows: the stream begins with those that differ.
`since` is the newest event that the page knows.

    event: fragment   {"name": "agents", "version": "3c4d", "html": "<section id=…"}
    event: touched    {"items": ["item_…"], "projects": ["proj_…"]}, or {"all": true}
    event: state      {"redis": "ok"}, or "away" while Redis is unreachable
    event: alive      {"now": 1712000000000}, every 15 seconds
    event: end        {"why": "token"}: the token is no longer valid. It does not reconnect.

`id:` is the cursor of the newest event. Fragments have no csrf and no key in their forms
(`value=""`): the script fills them in, and the first page has them from the server.
"""

import json
import logging
from asyncio import Event, Lock, Task, create_task, sleep, timeout, to_thread
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from math import inf
from time import monotonic, process_time, time
from typing import NamedTuple, cast

from starlette.responses import Response
from taskorch.domain import errors, limits
from taskorch.domain import events as event_stream
from taskorch.domain.events import FROM_THE_START, Events, position
from taskorch.domain.frozen import Frozen

from taskorch_gateway.api.event_stream import HEADERS
from taskorch_gateway.board import now
from taskorch_gateway.board.now import FRAGMENTS, NowView, reading_for
from taskorch_gateway.board.visit import BoardPage, Visit
from taskorch_gateway.client_connection import Client
from taskorch_gateway.exchange import ClientStream
from taskorch_gateway.performer import Performer
from taskorch_gateway.token_changes import LONGEST_TIMER_S
from taskorch_gateway.waits import ClientWaits, Subscription

_log = logging.getLogger(__name__)
#: For how long events are gathered, in seconds, if the views are read quickly.
GATHER_S = 0.1
LONGEST_GATHER_S = 1.0
#: Events are gathered for this many times the processor time of the last reading, so
#: that boards take at most a tenth of a core on a busy queue; and for as long as it took,
#: so that a slow Redis has as much time for others.
READINGS_APART = 9
#: How often an idle stream tells that its connection is alive, and checks its token.
ALIVE_S = 15.0
#: A view with leases or delays is read again after this time, because the calls of
#: agents that change nothing make no event.
SLOW_S = 30.0
#: The pause between attempts while the views cannot be read.
RETRY_S = 1.0
#: More ids than this in one message stand for all.
MOST_IDS = 200
#: What a page can ask for.
WANTED: Mapping[str, Sequence[str]] = {
    "now": tuple(FRAGMENTS),
    "status": ("status",),
    "": (),
}
#: Makes the loop look at the boards.
LOOK = Events(known=True, newest="", entries=())
END = 'event: end\ndata: {"why": "token"}\n\n'


class AccessKind(NamedTuple):
    """The boards that show the same."""

    #: The project that their tokens are confined to; "" for none.
    project: str
    may_act: bool


class BoardRequest(Frozen):
    """What an open board shows, and to whom."""

    kind: AccessKind
    #: The ids of the fragments that it shows.
    names: tuple[str, ...]
    #: Fragment -> its version in the page.
    have: Mapping[str, str]
    #: The newest event that the page knows; "" for none.
    since: str
    visit: Visit


class RenderedFragment(Frozen):
    """A rendered fragment."""

    #: The part of the view that it shows.
    part: object
    version: str
    #: The server-sent event with it.
    message: str


class Touched:
    """The ids that events have named, up to a bound."""

    def __init__(self) -> None:
        self.items: set[str] = set()
        self.projects: set[str] = set()
        #: Whether anything may have changed.
        self.is_all = False
        #: The newest event.
        self.cursor = ""

    def __bool__(self) -> bool:
        return self.is_all or bool(self.items or self.projects)

    def add(self, event: event_stream.Event) -> None:
        """Add the ids of an event."""
        self.items.update(filter(None, [event.item]))
        self.projects.update(filter(None, [event.project]))
        self._bound()

    def add_all(self) -> None:
        """Add everything."""
        self.is_all = True
        self._bound()

    def merge(self, other: "Touched") -> None:
        """Add all ids of another one."""
        self.is_all = self.is_all or other.is_all
        self.items |= other.items
        self.projects |= other.projects
        self.cursor = other.cursor or self.cursor
        self._bound()

    def message(self) -> str:
        """Return the server-sent event with the ids."""
        found: dict[str, object] = {"all": True}
        if not self.is_all:
            found = {
                "items": sorted(self.items),
                "projects": sorted(self.projects),
            }
        cursor = f"id: {self.cursor}\n" if self.cursor else ""
        return f"event: touched\n{cursor}data: {json.dumps(found)}\n\n"

    def _bound(self) -> None:
        if len(self.items) + len(self.projects) > MOST_IDS:
            self.is_all = True
        if self.is_all:
            self.items.clear()
            self.projects.clear()


class BoardUpdates:
    """An open board: what it has not been sent yet.

    A slow reader gets only the newest version of each fragment, so that nothing piles up
    for it.
    """

    def __init__(self, request: BoardRequest) -> None:
        self.request = request
        #: Fragment -> the version that was sent last.
        self._sent = dict(request.have)
        self._fragments: dict[str, RenderedFragment] = {}
        self._touched = Touched()
        self._state = ""
        self._arrived = Event()

    def show(self, fragments: Mapping[str, RenderedFragment]) -> None:
        """Send fragments, unless the board has them."""
        for name in self.request.names:
            fragment = fragments.get(name)
            if fragment is None:
                continue
            if fragment.version == self._sent.get(name):
                self._fragments.pop(name, None)
            else:
                self._fragments[name] = fragment
                self._arrived.set()

    def touch(self, touched: Touched) -> None:
        """Send the ids that events have named."""
        if touched:
            self._touched.merge(touched)
            self._arrived.set()

    def tell(self, *, is_away: bool) -> None:
        """Send whether Redis is unreachable."""
        redis = "away" if is_away else "ok"
        self._state = f'event: state\ndata: {{"redis": "{redis}"}}\n\n'
        self._arrived.set()

    def wake(self) -> None:
        """End the wait for the next message."""
        self._arrived.set()

    async def has_news(self) -> bool:
        """Wait until there is something to send; return False after some seconds."""
        try:
            async with timeout(ALIVE_S):
                await self._arrived.wait()
        except TimeoutError:
            return False
        return True

    def messages(self) -> str:
        """Return the messages to send, and forget them."""
        self._arrived.clear()
        return "".join(self._taken())

    def _taken(self) -> Iterator[str]:
        for name, fragment in self._fragments.items():
            self._sent[name] = fragment.version
            yield fragment.message
        self._fragments.clear()
        if self._touched:
            yield self._touched.message()
            self._touched = Touched()
        yield self._state
        self._state = ""


class KindViews:
    """What the boards of one kind show."""

    def __init__(self, kind: AccessKind) -> None:
        self.kind = kind
        self.boards: set[BoardUpdates] = set()
        self.is_stale = True
        #: When time alone changes it, by time.monotonic().
        self.due_at = inf
        self.fragments: dict[str, RenderedFragment] = {}
        #: What events have named since the boards were told.
        self.touched = Touched()

    @property
    def names(self) -> frozenset[str]:
        """The fragments that a board of this kind shows."""
        return frozenset(
            name for board in self.boards for name in board.request.names
        )

    def note(self, batch: Events) -> None:
        """Note the events that concern it."""
        for event in batch.entries:
            if event.verb == "restore":  # an import concerns everything
                self.touched.add_all()
            elif self.kind.project in ("", event.project):
                self.touched.add(event)
        if not batch.known:  # some events are lost
            self.touched.add_all()
        self.touched.cursor = batch.cursor or self.touched.cursor
        self.is_stale = self.is_stale or bool(self.touched)

    def tell(self) -> None:
        """Send to the boards what they lack."""
        for board in self.boards:
            board.show(self.fragments)
            board.touch(self.touched)
        self.touched = Touched()

    def take(
        self, view: NowView, names: frozenset[str], namespace: str
    ) -> None:
        """Render what has changed since the last view."""
        for name in self.fragments.keys() - names:
            del self.fragments[name]
        for name in names:
            known = self.fragments.get(name)
            part = now.part_of(name, view)
            if known is None or known.part != part:
                html = self._rendered(name, view, namespace)
                self.fragments[name] = _fragment(name, part, html)
        self.due_at = due_at(view)

    def _rendered(self, name: str, view: NowView, namespace: str) -> str:
        """Return the HTML of a fragment, without what only one reader has."""
        values = {
            "may_act": self.kind.may_act,
            "csrf": "",
            "key": "",
            "namespace": namespace,
        }
        return now.fragment(name, view, values)


def _fragment(name: str, part: object, html: str) -> RenderedFragment:
    version = now.version_of(part)
    data = json.dumps(
        {"name": name, "version": version, "html": html}, ensure_ascii=False
    )
    message = f"event: fragment\ndata: {data}\n\n"
    return RenderedFragment(part=part, version=version, message=message)


def due_at(view: NowView) -> float:
    """Return when a view is to be read again without an event."""
    if not view.due:
        return inf
    left_s = (view.due - view.now) / 1000
    return monotonic() + (min(left_s, SLOW_S) if left_s > 0 else SLOW_S)


class LiveBoards:
    """The open boards of one process, in one namespace."""

    def __init__(
        self, namespace: str, performer: Performer, waits: ClientWaits
    ) -> None:
        self._namespace = namespace
        self._performer = performer
        self._waits = waits
        self._kinds: dict[AccessKind, KindViews] = {}
        self._news: Subscription | None = None
        self._following: Task[None] | None = None
        self._starting = Lock()
        self._gather_s = GATHER_S
        #: Whether the last reading has failed because Redis is unreachable.
        self._is_away = False
        #: How far the clock of Redis is ahead of ours, in ms.
        self._ahead_ms = 0
        waits.on_outage(self._note_outage)

    @property
    def newest(self) -> str:
        """The newest event that is known; "" before the first connection to Redis."""
        return self._waits.newest

    def page(self) -> BoardPage:
        """Return the page that is the stream."""
        return BoardPage(path="/live", show=self.show)

    def read_again(self) -> None:
        """Bring all boards up to date: what they show has changed without an event."""
        for views in self._kinds.values():
            views.is_stale = True
            views.touched.add_all()
        self._look()

    async def show(self, visit: Visit) -> Response:
        """Answer with the stream of a board. Raises errors.Unreachable."""
        request = _request(visit)
        async with self._starting:
            if self._news is None:
                self._news = await self._waits.subscribe()
                self._following = create_task(self._follow(self._news))
        return ClientStream(
            self._parts(BoardUpdates(request)),
            media_type="text/event-stream",
            headers=HEADERS,
        )

    async def _parts(self, board: BoardUpdates) -> AsyncIterator[str]:
        """Yield the stream of a board, until it leaves or its token is not valid."""
        access = board.request.visit.access
        self._join(board)
        try:
            while True:
                # a change after the check ends the stream, however slow the reader is
                with self._waits.changes.of(access) as change:
                    change.add_done_callback(lambda _: board.wake())
                    if not await _is_admitted(board.request):
                        yield END
                        return
                    yield self._alive()
                    while await board.has_news() and not change.done():
                        if text := board.messages():
                            yield text
        finally:
            self._leave(board)

    def _alive(self) -> str:
        data = json.dumps({"now": int(time() * 1000) + self._ahead_ms})
        return f"event: alive\ndata: {data}\n\n"

    def _join(self, board: BoardUpdates) -> None:
        """Begin to send to a board: first what has changed since its page was read."""
        request = board.request
        views = self._kinds.setdefault(request.kind, KindViews(request.kind))
        views.boards.add(board)
        board.tell(is_away=self._is_away or self._waits.is_away)
        newest = self._waits.newest
        since = request.since or FROM_THE_START
        if newest and position(since) < position(newest):
            missed = Touched()
            missed.cursor = newest
            missed.add_all()
            board.touch(missed)
        if views.is_stale or views.names - views.fragments.keys():
            views.is_stale = True
            self._look()
        else:
            board.show(views.fragments)

    def _leave(self, board: BoardUpdates) -> None:
        views = self._kinds[board.request.kind]
        views.boards.discard(board)
        if not views.boards:
            del self._kinds[board.request.kind]

    def _look(self) -> None:
        """Make the loop look at the boards."""
        if self._news:
            self._news.put(LOOK)

    def _note_outage(self, *, is_away: bool) -> None:
        """Tell the boards that Redis is unreachable; read again when it answers."""
        if is_away:
            self._tell(is_away=True)
            return
        for views in self._kinds.values():
            views.is_stale = True
        self._look()

    def _tell(self, *, is_away: bool) -> None:
        if is_away == self._is_away:
            return
        self._is_away = is_away
        for views in self._kinds.values():
            for board in views.boards:
                board.tell(is_away=is_away)

    async def _follow(self, news: Subscription) -> None:
        """Keep the boards up to date, for the life of the process."""
        while True:
            try:
                self._note(await news.next(self._due_s()))
                gathered_at = monotonic() + self._gather_s
                while (left_s := gathered_at - monotonic()) > 0:
                    self._note(await news.next(left_s))
                await self._refresh()
            except errors.TaskOrchestratorError as error:
                _log.warning("Cannot read for the boards: %s", error)
                self._tell(is_away=isinstance(error, errors.Unavailable))
                await sleep(RETRY_S)
                self._look()
            except Exception:  # noqa: BLE001
                # the boards of all go on after a failure of one view
                _log.exception("A board cannot be rendered.")
                await sleep(RETRY_S)

    def _due_s(self) -> float:
        """Return the seconds until time alone changes a view."""
        due_at = min(
            (views.due_at for views in self._kinds.values()), default=inf
        )
        return max(0.0, min(due_at - monotonic(), LONGEST_TIMER_S))

    def _note(self, batch: Events | None) -> None:
        """Note a batch of events for the boards that it concerns."""
        if batch is None or batch is LOOK:
            return
        for views in self._kinds.values():
            views.note(batch)

    async def _refresh(self) -> None:
        """Read the views that may have changed, and send what has."""
        began, cpu_began = monotonic(), process_time()
        for views in tuple(self._kinds.values()):
            if views.is_stale or views.due_at <= began:
                await self._refresh_kind(views)
        took_s = max(
            monotonic() - began,
            READINGS_APART * (process_time() - cpu_began),
        )
        self._gather_s = min(LONGEST_GATHER_S, max(GATHER_S, took_s))
        self._tell(is_away=self._waits.is_away)

    async def _refresh_kind(self, views: KindViews) -> None:
        """Read the views of a kind in the name of one of its boards."""
        if not views.names:
            views.is_stale = False
            views.tell()
            return
        for board in tuple(views.boards):
            views.is_stale = False
            try:
                view = await self._read(board.request.visit.client)
            except errors.TokenRefused:
                views.is_stale = True
                continue  # its stream ends by itself
            except errors.TaskOrchestratorError:
                views.is_stale = True
                raise
            await to_thread(views.take, view, views.names, self._namespace)
            views.tell()
            return

    async def _read(self, client: Client) -> NowView:
        performed = await self._performer.perform(
            client, reading_for(client.access)
        )
        view = cast("NowView", performed.result.data)
        self._ahead_ms = view.now - int(time() * 1000)
        return view


async def _is_admitted(request: BoardRequest) -> bool:
    """Return whether a board may go on. While Redis is unreachable it gets nothing."""
    try:
        return await request.visit.is_admitted()
    except errors.Unavailable:
        return True


def _request(visit: Visit) -> BoardRequest:
    """Return what the page of a request shows. Raises errors.Usage and errors.Invalid."""
    fragments = visit.query("fragments")
    if fragments not in WANTED:
        shown = limits.shortened(fragments)
        raise errors.Usage(reason=f"There are no fragments {shown}.")
    pairs = visit.query("have").split()[: len(FRAGMENTS)]
    cursor = visit.query("since")
    return BoardRequest(
        visit=visit,
        kind=AccessKind(project=visit.access.project, may_act=visit.may_act),
        names=tuple(WANTED[fragments]),
        have=dict(pair.split(":", 1) for pair in pairs if ":" in pair),
        since=limits.cursor(cursor) if cursor else "",
    )
