"""Everything that the page of metrics shows of a namespace, read at most every few seconds."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock, Thread
from time import monotonic

from taskorch.config.settings import Settings
from taskorch.connections import connect_to
from taskorch.domain import errors
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import Caller, State
from taskorch.queue.metrics import (
    AgentFigures,
    AgentUsage,
    Counters,
    PoolFigures,
)
from taskorch.queue.queue import Queue
from taskorch.queue.stuck import WHYS
from taskorch.transport.retry import OutageNotice

#: How long figures are served before they are read again, in seconds.
FRESH_S = 5.0
#: The same after a failure.
RETRY_S = 1.0
#: Reading may take one part of so many of the time: 5 %.
SHARE = 20
#: How long a page waits for Redis, in seconds.
WAIT_S = 3.0
#: Figures that are due are served for this long while Redis takes its time, in seconds.
LONGEST_S = 60.0
#: Maximum number of stalled items that are counted, and of calls that look for them.
STUCK_ITEMS, STUCK_CALLS = 1000, 100

_log = logging.getLogger(__name__)


class Figures(Frozen):
    """The figures of a namespace at about one moment."""

    counters: Counters
    items: Mapping[State, int]
    agents: tuple[AgentFigures, ...]
    pools: tuple[PoolFigures, ...]
    usage: tuple[AgentUsage, ...]
    #: Reason -> number of stalled items.
    stuck: Mapping[str, int]


def reader_of(settings: Settings, caller: Caller) -> "FigureReader":
    """Return a reader with a connection of its own.

    It does not start the bundled server. Raises errors.Usage for an invalid address.
    """
    connection = connect_to(settings)
    queue = Queue(connection, settings.namespace, caller)
    return FigureReader(partial(read_figures, queue), connection.close)


def read_figures(queue: Queue) -> Figures:
    """Read the figures, in calls of a few milliseconds each."""
    views = queue.views
    stuck = views.stuck(limit=STUCK_ITEMS, most_calls=STUCK_CALLS)
    whys = Counter(each.why for each in stuck.items)
    queue.damage.clear()
    return Figures(
        counters=views.counters(),
        items=views.item_counts(),
        agents=views.agent_figures(),
        pools=views.pool_figures(),
        usage=views.agent_usage(),
        stuck={why: whys[why] for why in WHYS},
    )


class FigureReader:
    """Keeps the newest figures. A thread reads them, so that a slow Redis stops no page."""

    def __init__(
        self,
        read: Callable[[], Figures],
        close: Callable[[], object] = lambda: None,
    ) -> None:
        """Read nothing yet.

        `read` is called by one thread at a time, and `close` at the end.
        """
        self._read = read
        self._close = close
        self._notify = OutageNotice(_log.warning)
        self._turn = Lock()
        self._reading: Thread | None = None
        self._figures: Figures | None = None
        self._due_at = 0.0

    def newest(self) -> Figures | None:
        """Return the newest figures, or None if Redis is unreachable."""
        with self._turn:
            is_reading = self._reading and self._reading.is_alive()
            if not is_reading and monotonic() >= self._due_at:
                self._reading = Thread(target=self._read_again, daemon=True)
                self._reading.start()
            reading = self._reading
        if reading:
            reading.join(WAIT_S)
        is_too_old = monotonic() - self._due_at > LONGEST_S
        return None if is_too_old else self._figures

    def close(self) -> None:
        """Close the connection to Redis, after a call that is under way."""
        if self._reading:
            self._reading.join(WAIT_S)
        self._close()

    def _read_again(self) -> None:
        started = monotonic()
        figures, failure = None, None
        try:
            figures = self._read()
        except errors.Unavailable as error:
            failure = error
        except Exception:  # noqa: BLE001
            # a page without figures is better than none, and the log says why
            _log.exception("The figures could not be read.")
        self._notify(failure)
        ended = monotonic()
        pause = max(FRESH_S, SHARE * (ended - started)) if figures else RETRY_S
        self._figures, self._due_at = figures, ended + pause
