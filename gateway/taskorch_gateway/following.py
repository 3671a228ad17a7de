"""Threads that follow a stream of the queue for a process, through every outage of Redis."""

import logging
from collections.abc import Callable
from threading import Thread
from time import sleep

from taskorch.config.settings import Settings
from taskorch.connections import open_connection
from taskorch.domain import errors
from taskorch.domain.access import Access
from taskorch.domain.backoff import Notify
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue

from taskorch_gateway.pool import NAME

_log = logging.getLogger(__name__)
PAUSE_S = 1.0

Follow = Callable[[Queue, Notify], None]


class OutageLog:
    """Logs an outage when it begins and when it ends, however often it is met."""

    def __init__(self, step: str) -> None:
        """`step` is what is not possible in an outage, such as "follow the events"."""
        self._step = step
        self._is_out = False

    def note(self, failure: errors.TaskOrchestratorError | None) -> None:
        """Note a failure of the step, or None for a success."""
        if failure and not self._is_out:
            _log.warning("Cannot %s: %s", self._step, failure)
        elif self._is_out and not failure:
            _log.info("Can %s again", self._step)
        self._is_out = failure is not None


def start(settings: Settings, stream: str, follow: Follow) -> None:
    """Start the thread that follows a stream. It ends with the process.

    `follow` never returns; it notes each failure and each success. After an error that
    it does not survive, it is called again.
    """
    Thread(
        target=_follow_forever, args=(settings, stream, follow), daemon=True
    ).start()


def _follow_forever(settings: Settings, stream: str, follow: Follow) -> None:
    connection = open_connection(settings, _log.info, Access.CREATE)
    queue = Queue(connection, settings.namespace, Caller(agent=NAME))
    log = OutageLog(f"follow the {stream}")
    while True:
        try:
            follow(queue, log.note)
        except errors.TaskOrchestratorError as error:
            log.note(error)
            sleep(PAUSE_S)
