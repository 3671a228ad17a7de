"""`watch` on a terminal: redraws at each event, and every second while ages change.

No event tells that a budget was changed, or that a day has begun: budgets are read again
after a while.
"""

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
from taskorch.domain.frozen import replace
from taskorch.queue.budgets import Budget, owner_of
from taskorch.queue.waits import Waits

from taskorch_orchestrator.render import console, tables
from taskorch_orchestrator.watch.dashboard import MOST, Dashboard, Snapshot

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

#: Pools whose waiting items the headline may name.
POOLS_SHOWN = 20
#: Seconds between two redraws that only change ages.
AGE_S = 1.0
#: Seconds between two looks at the budgets.
BUDGETS_S = 5.0
#: Minimum seconds between two redraws.
SHORTEST_S = 0.1
EVENTS = 100
TERMINATED = 143

#: Events; a failure, None after a read that succeeded; or that the terminal was
#: resized.
Update = Events | Exception | str | None


def watch(context: "OrchestratorContext", project: str, since: str) -> None:
    """Show a project until it is closed, or all projects ("") until Ctrl-C.

    `since` is the cursor after which the events start; "" for the newest.
    """
    updates: SimpleQueue[Update] = SimpleQueue()
    waits = context.queue.waits(updates.put)
    newest = (
        waits.standing(limits.project_id(project)).cursor
        if project
        else waits.newest_cursor()
    )
    cursor = limits.cursor(since) if since else newest
    view = _View(context, project, updates)
    signal.signal(
        signal.SIGWINCH, lambda _number, _frame: updates.put("resized")
    )
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(TERMINATED))
    Thread(
        target=_read_events, args=(waits, cursor, updates), daemon=True
    ).start()
    # A message, such as that the bundled server was started, would tear the screen.
    with (
        redirect_stderr(StringIO()),
        Live(
            console=console.console(),
            screen=True,
            auto_refresh=False,
            redirect_stderr=False,
        ) as live,
    ):
        while True:
            view.refresh()
            live.update(view.dashboard(), refresh=True)
            if view.is_over:
                break
            view.wait_for_updates()
    if view.snapshot and view.snapshot.progress:
        context.output.show(view.snapshot.progress, tables.project_progress)


def _read_events(
    waits: Waits, cursor: str, updates: "SimpleQueue[Update]"
) -> None:
    try:
        for batch in waits.events(cursor):
            updates.put(batch)
            sleep(SHORTEST_S)  # collect the next events in one batch
    except Exception as error:  # noqa: BLE001  the main thread raises it
        updates.put(error)


class _View:
    """The data on the screen."""

    def __init__(
        self,
        context: "OrchestratorContext",
        project: str,
        updates: "SimpleQueue[Update]",
    ) -> None:
        self.snapshot: Snapshot | None = None
        self._views = context.queue.views
        self._project = project
        self._updates = updates
        self._events: list[Event] = []
        self._outage = ""
        self._is_stale = True
        self._drawn_at = self._read_at = self._budgets_at = 0.0

    @property
    def is_over(self) -> bool:
        """Whether the project is closed."""
        progress = self.snapshot.progress if self.snapshot else None
        return progress is not None and progress.project.status == "completed"

    def refresh(self) -> None:
        """Read what may have changed; keep the old snapshot in an outage."""
        try:
            if self._is_stale or self.snapshot is None:
                self.snapshot = self._read()
                self._outage = ""
                self._is_stale = False
                self._read_at = monotonic()
            elif monotonic() >= self._budgets_at:
                self.snapshot = replace(self.snapshot, used_up=self._used_up())
        except errors.Unavailable as error:
            if not error.retryable or self.snapshot is None:
                raise
            self._outage = str(error)

    def _read(self) -> Snapshot:
        progress = (
            self._views.progress(self._project) if self._project else None
        )
        return Snapshot(
            progress=progress,
            projects=() if self._project else self._views.projects(limit=MOST),
            agents=self._views.agents(limit=MOST),
            inbox=self._views.questions(project=self._project, limit=MOST),
            pools=()
            if self._project
            else self._views.pools(limit=POOLS_SHOWN),
            used_up=self._used_up(),
        )

    def _used_up(self) -> tuple[Budget, ...]:
        """Return the budgets that are used up, without those of other projects."""
        self._budgets_at = monotonic() + BUDGETS_S
        own = owner_of(self._project) if self._project else ""
        return tuple(
            each
            for each in self._views.budgets()
            if each.used_up
            and (
                not own
                or each.owner == own
                or not each.owner.startswith("project:")
            )
        )

    def dashboard(self) -> Dashboard:
        """Return the picture to draw now."""
        assert self.snapshot is not None  # noqa: S101  the first refresh raises instead
        self._drawn_at = monotonic()
        age_ms = round((self._drawn_at - self._read_at) * 1000)
        events = tuple(self._events)
        return Dashboard(self.snapshot, events, self._outage, age_ms=age_ms)

    def wait_for_updates(self) -> None:
        """Block until there is something new to draw, and take all of it."""
        assert self.snapshot is not None  # noqa: S101  as above
        shows_ages = self.snapshot.shows_ages or self._outage
        try:
            self._take(
                self._updates.get(timeout=AGE_S if shows_ages else BUDGETS_S)
            )
            sleep(max(0.0, self._drawn_at + SHORTEST_S - monotonic()))
            while True:
                self._take(self._updates.get_nowait())
        except Empty:
            pass

    def _take(self, update: Update) -> None:
        match update:
            case Events():
                new = [
                    event
                    for event in update.entries
                    if event.is_of(self._project)
                ]
                self._events = [*self._events, *new][-EVENTS:]
                if new or not update.known:
                    self._is_stale = True
            case errors.Unavailable(retryable=True):
                self._outage = str(update)
            case Exception():
                raise update
            case None if self._outage:
                self._is_stale = True
