"""Connections of one test, closed at its end even if a traceback holds them."""

from contextlib import suppress
from typing import Any

from taskorch import connections
from taskorch.domain import errors
from taskorch.queue.port import Connection

_opened: list[Connection] = []


def connect(url: str, **settings: Any) -> Connection:
    """Return a connection of the running test; see `taskorch.connections.connect`."""
    opened = connections.connect(url, **settings)
    _opened.append(opened)
    return opened


def close_all() -> None:
    """Close the connections that the test opened."""
    while _opened:
        with suppress(errors.TaskOrchestratorError):
            _opened.pop().close()
