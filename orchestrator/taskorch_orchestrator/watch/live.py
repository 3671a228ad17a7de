"""`watch` on a terminal: a screen that is drawn anew when something happens, and once a second while ages run."""

import signal
import sys
from contextlib import redirect_stderr
from io import StringIO
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep
from typing import TYPE_CHECKING

from rich.live import Live
from taskorch.domain import errors, limits
from taskorch.domain.events import Event, Events
from taskorch.queue.waits import Waits

from taskorch_orchestrator.render import console, tables
from taskorch_orchestrator.watch.dashboard import MOST, Frame, Snapshot

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

#: Ages are told in seconds.
AGING_S = 1.0
#: A busy namespace is drawn ten times a second at most.
SHORTEST_S = 0.1
EVENTS = 100
TERMINATED = 143

#: What happened; an outage of Redis, None for its end; an error that ends it; or that the terminal has another size.
News = Events | Exception | str | None


def watch(context: "OrchestratorContext", project: str, since: str) -> None:
    """Show a project, or all of them (""), until the project is closed."""
    news: SimpleQueue[News] = SimpleQueue()
    waiting = context.queue.waits(news.put)
    cursor = (
        waiting.standing(limits.project_id(project)).cursor
        if project
        else waiting.newest_cursor()
    )
    cursor = limits.cursor(since) if since else cursor
    shown = _Shown(context, project, news)
    signal.signal(signal.SIGWINCH, lambda _number, _frame: news.put("another size"))
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED))
    Thread(target=_follow, args=(waiting, cursor, news), daemon=True).start()
    unseen = redirect_stderr(
        StringIO()
    )  # that the bundled server was started: a line would tear the screen
    with (
        unseen,
        Live(
            console=console.console(),
            screen=True,
            auto_refresh=False,
            redirect_stderr=False,
        ) as live,
    ):
        while True:
            shown.look()
            live.update(shown.frame(), refresh=True)
            if shown.is_over:
                break
            shown.take()
    if shown.snapshot and shown.snapshot.progress:
        context.output.show(shown.snapshot.progress, tables.project_progress)


def _follow(waiting: Waits, cursor: str, news: "SimpleQueue[News]") -> None:
    try:
        for batch in waiting.events(cursor):
            news.put(batch)
            sleep(SHORTEST_S)  # what comes meanwhile comes in one batch
    except Exception as error:  # noqa: BLE001  whatever it is, it ends the command
        news.put(error)


class _Shown:
    """What is on the screen."""

    def __init__(
        self, context: "OrchestratorContext", project: str, news: "SimpleQueue[News]"
    ) -> None:
        self.snapshot: Snapshot | None = None
        self._views = context.queue.views
        self._project = project
        self._news = news
        self._events: list[Event] = []
        self._trouble = ""
        self._is_stale = True
        self._drawn_at = self._looked_at = 0.0

    @property
    def is_over(self) -> bool:
        """Return whether the project is closed."""
        progress = self.snapshot.progress if self.snapshot else None
        return progress is not None and progress.project.status == "completed"

    def look(self) -> None:
        """Read from Redis what may have changed; while it is away, what was known stays on the screen."""
        if not self._is_stale:
            return
        try:
            progress = self._views.progress(self._project) if self._project else None
            projects = () if self._project else self._views.projects(limit=MOST)
            agents = self._views.agents(limit=MOST)
        except errors.Unavailable as away:
            if not away.retryable or self.snapshot is None:
                raise
            self._trouble = str(away)
            return
        self.snapshot = Snapshot(progress=progress, projects=projects, agents=agents)
        self._trouble, self._is_stale, self._looked_at = "", False, monotonic()

    def frame(self) -> Frame:
        """Return what to draw."""
        assert self.snapshot is not None  # noqa: S101  the first look raises where there is nothing to show
        self._drawn_at = monotonic()
        age_ms = round((self._drawn_at - self._looked_at) * 1000)
        return Frame(self.snapshot, tuple(self._events), self._trouble, age_ms=age_ms)

    def take(self) -> None:
        """Block until there is something new to draw, and take all of it."""
        assert self.snapshot is not None  # noqa: S101  as above
        try:
            self._note(
                self._news.get(
                    timeout=AGING_S if self.snapshot.ages or self._trouble else None
                )
            )
            sleep(max(0.0, self._drawn_at + SHORTEST_S - monotonic()))
            while True:
                self._note(self._news.get_nowait())
        except Empty:
            pass

    def _note(self, news: News) -> None:
        match news:
            case Events():
                mine = [event for event in news.entries if event.is_of(self._project)]
                self._events = [*self._events, *mine][-EVENTS:]
                self._is_stale = self._is_stale or bool(mine) or not news.known
            case errors.Unavailable(retryable=True):
                self._trouble = str(news)
            case Exception():
                raise news
            case None:
                self._is_stale = True
