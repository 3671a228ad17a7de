"""Connections of one test: all that it opens are closed at its end, also those that an error's traceback holds."""

from contextlib import suppress
from typing import Any

from taskorch import connect as connection
from taskorch.domain import errors
from taskorch.queue.port import Connection

_opened: list[Connection] = []


def connect(url: str, **settings: Any) -> Connection:
    """Return a connection of the running test; the settings are those of `taskorch.connect.connect`."""
    opened = connection.connect(url, **settings)
    _opened.append(opened)
    return opened


def close_all() -> None:
    """Close what the test has opened."""
    while _opened:
        with suppress(errors.TaskOrchestratorError):
            _opened.pop().close()
