"""The service follows the events of its namespace through outages."""

import logging
import os
import signal
from collections.abc import Iterator
from typing import cast

import pytest
from taskorch.domain import errors
from taskorch.domain.events import Events
from taskorch.queue.queue import Queue
from taskorch_orchestrator.service.service import Service

MOST_WAITS = 20


class BrokenOffQueue:
    """A queue behind a failover: each wait breaks off, and Redis is unreachable.

    It stops the service after the third look for events, or after too many waits.
    """

    def __init__(self) -> None:
        self.views = self
        self.looks = self.waits = 0

    def reap(self) -> None:
        """Do nothing."""

    def wait_for_event(self, _since: str, _timeout_s: float) -> bool:
        self.waits += 1
        if self.waits == MOST_WAITS:
            os.kill(os.getpid(), signal.SIGTERM)
        return False

    def events(self, *, limit: int) -> Events:
        self.looks += limit
        if self.looks == 1:
            return Events(known=True, newest="1-0", entries=())
        if self.looks == 3:
            os.kill(os.getpid(), signal.SIGTERM)
        raise errors.Unreachable(
            url="redis+sentinel://there", reason="refused"
        )


@pytest.fixture
def restored_signals() -> Iterator[None]:
    """The service sets handlers for these signals."""
    numbers = (signal.SIGTERM, signal.SIGINT)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("restored_signals")
def test_broken_wait_reports_the_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:
    queue = BrokenOffQueue()
    service = Service(
        cast(Queue, queue), [], source="", runs_on="loop", server=None
    )

    with caplog.at_level(logging.WARNING):
        service.serve(None)

    assert queue.looks == 3
    assert caplog.text.count("Redis is unreachable") == 1
