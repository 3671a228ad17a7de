"""Signals: what gateways tell their waiting clients beside the events.

An agent has got a wake token again, an access token was changed, or a board shows something
else without an event.
"""

from collections.abc import Iterator
from contextlib import suppress
from enum import StrEnum
from math import inf
from typing import cast

from taskorch.domain import errors
from taskorch.domain.backoff import Notify, Patience, retry
from taskorch.domain.frozen import Frozen
from taskorch.queue import keys
from taskorch.queue.scripts import Scripts

#: Maximum duration of one block. A broken connection without an error is noticed then.
PERIOD_S = 60.0


class SignalKind(StrEnum):
    """What a signal is about."""

    WAKE = "wake"
    #: A budget, or the pools of an agent, which open boards show.
    VIEW = "view"
    ACCESS_TOKEN = "access_token"  # noqa: S105  a kind, not a token


class Signal(Frozen):
    """One signal: its kind, and the agent, the owner of a budget or the id of the token."""

    kind: str
    name: str


class SignalPage(Frozen):
    """Signals, the oldest first."""

    #: Whether the signal at the cursor still exists. If not, later ones may be lost too.
    known: bool
    cursor: str
    signals: tuple[Signal, ...]


class Signals:
    """The signals of a namespace."""

    def __init__(
        self, scripts: Scripts, notify: Notify = lambda _: None
    ) -> None:
        """`notify` receives each failure in an outage, and None after each success."""
        self._scripts = scripts
        self._notify = notify

    def newest_cursor(self) -> str:
        """Return the cursor of the newest signal, after an outage of Redis if need be."""
        return self._read("").cursor

    def follow(self, cursor: str) -> Iterator[SignalPage]:
        """Yield the signals after a cursor as they are given, through every outage.

        It never ends.
        """
        stream = keys.signals(self._scripts.namespace)
        while True:
            page = self._read(cursor)
            is_lost = not page.known and not page.signals
            cursor = self.newest_cursor() if is_lost else page.cursor
            if page.signals or not page.known:
                yield page
                continue
            with suppress(errors.Unavailable):  # the next read tells of it
                self._scripts.wait_for_entry(stream, cursor, PERIOD_S)

    def _read(self, cursor: str) -> SignalPage:
        """Return a page of signals; repeat the read while Redis is unreachable."""
        patience = Patience(
            may_pass=lambda failure: failure.retryable, seconds=inf
        )
        return retry(
            lambda _: self._after(cursor), patience, notify=self._notify
        )

    def _after(self, cursor: str) -> SignalPage:
        reply = self._scripts.run_script("signals", cursor)
        known, newest, rows = cast("tuple[str, str, list[list[str]]]", reply)
        signals = tuple(Signal(kind=kind, name=name) for kind, name in rows)
        return SignalPage(known=bool(known), cursor=newest, signals=signals)
