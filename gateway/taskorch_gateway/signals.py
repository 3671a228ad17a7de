"""Follows the signals of all gateways, in one thread of each process."""

from asyncio import get_running_loop

from taskorch.config.settings import Settings
from taskorch.domain.backoff import Notify
from taskorch.queue.queue import Queue
from taskorch.queue.signals import SignalKind, SignalPage

from taskorch_gateway import following
from taskorch_gateway.authentication import Authentication
from taskorch_gateway.board.live import LiveBoards
from taskorch_gateway.event_loop import call_from_thread
from taskorch_gateway.waits import ClientWaits


class SignalReceiver:
    """Acts on the signals of a namespace in one process."""

    def __init__(
        self,
        settings: Settings,
        authentication: Authentication,
        waits: ClientWaits,
        boards: LiveBoards,
    ) -> None:
        self._settings = settings
        self._authentication = authentication
        self._waits = waits
        self._boards = boards

    def start(self) -> None:
        """Start the thread that follows the signals. It ends with the process."""
        loop, cursor = get_running_loop(), ""

        def deliver(page: SignalPage) -> None:
            call_from_thread(loop, self._receive, page)

        def follow(queue: Queue, notify: Notify) -> None:
            nonlocal cursor
            signals = queue.signals(notify)
            if not cursor:
                cursor = signals.newest_cursor()
                # clients that came before may have missed one
                deliver(SignalPage(known=False, cursor=cursor, signals=()))
            for page in signals.follow(cursor):
                deliver(page)
                cursor = page.cursor

        following.start(self._settings, "signals", follow)

    def _receive(self, page: SignalPage) -> None:
        for signal in page.signals:
            if signal.kind == SignalKind.WAKE:
                self._waits.wake(signal.name)
            elif signal.kind == SignalKind.ACCESS_TOKEN and signal.name:
                self._change(signal.name)
            elif signal.kind == SignalKind.VIEW:
                self._boards.read_again()
        if not page.known:  # some signals are lost
            self._change("")
            self._waits.end_all()
            self._boards.read_again()

    def _change(self, token: str) -> None:
        self._authentication.forget(token)
        self._waits.changes.end(token)
