"""Follows the signals of all gateways, in one thread of each process."""

import logging
from asyncio import get_running_loop
from collections.abc import Callable
from threading import Thread
from time import sleep

from taskorch.config.settings import Settings
from taskorch.connections import open_connection
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch.queue.signals import SignalKind, SignalPage

from taskorch_gateway.authentication import Authentication
from taskorch_gateway.event_loop import call_from_thread
from taskorch_gateway.pool import NAME
from taskorch_gateway.waits import ClientWaits

_log = logging.getLogger(__name__)
PAUSE_S = 1.0


class SignalReceiver:
    """Acts on the signals of a namespace in one process."""

    def __init__(
        self,
        settings: Settings,
        authentication: Authentication,
        waits: ClientWaits,
    ) -> None:
        self._settings = settings
        self._authentication = authentication
        self._waits = waits

    def start(self) -> None:
        """Start the thread that follows the signals. It ends with the process."""
        loop = get_running_loop()

        def deliver(page: SignalPage) -> None:
            call_from_thread(loop, self._receive, page)

        Thread(
            target=_follow, args=(self._settings, deliver), daemon=True
        ).start()

    def _receive(self, page: SignalPage) -> None:
        for signal in page.signals:
            if signal.kind == SignalKind.WAKE:
                self._waits.wake(signal.name)
            elif signal.kind == SignalKind.ACCESS_TOKEN and signal.name:
                self._change(signal.name)
        if not page.known:  # some signals are lost
            self._change("")
            self._waits.end_all()

    def _change(self, token: str) -> None:
        self._authentication.forget(token)
        self._waits.changes.end(token)


def _follow(settings: Settings, deliver: Callable[[SignalPage], None]) -> None:
    """Deliver the signals as they are given, through every outage of Redis."""
    connection = open_connection(settings, _log.info, Access.CREATE)
    queue = Queue(connection, settings.namespace, Caller(agent=NAME))
    signals, cursor = queue.signals(), ""
    while True:
        try:
            if not cursor:
                cursor = signals.newest_cursor()
                # clients that came before may have missed one
                deliver(SignalPage(known=False, cursor=cursor, signals=()))
            for page in signals.follow(cursor):
                deliver(page)
                cursor = page.cursor
        except errors.TaskOrchestratorError as error:
            _log.warning("Cannot follow the signals: %s", error)
            sleep(PAUSE_S)
