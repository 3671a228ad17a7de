"""Streams of discoveries and events, one entry per line, each with its cursor."""

import select
import signal
import sys
from collections.abc import Iterator
from functools import partial
from itertools import islice
from threading import Thread, main_thread
from typing import TYPE_CHECKING

from taskorch.cli import json_output
from taskorch.cli.quoting import NOTICE
from taskorch.domain import limits
from taskorch.domain.events import FROM_THE_START, Event, Events
from taskorch.domain.item import Discovery
from taskorch.queue.waits import Waits

from taskorch_orchestrator.render import tables

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

PAGE = 1000
#: Verbs of entries that are not events: the stream starts here; older events are lost.
BEGIN, GAP = "begin", "gap"


def discoveries(
    context: "OrchestratorContext", project: str, since: str, limit: int | None
) -> None:
    """Print discoveries as they are made, until the project is closed.

    Starts after the cursor `since`; ends after `limit` discoveries, if it is given.
    """
    waits, cursor = context.waits(), limits.cursor(since)
    _exit_without_reader()
    context.output.hint(NOTICE)
    found = _discoveries(context, waits, limits.project_id(project), cursor)
    try:
        for discovery in islice(found, limit):
            cursor = discovery.cursor
            context.output.show_entry(discovery, tables.discovery)
    finally:
        if cursor != FROM_THE_START:
            context.output.hint(f"Continue with --since {cursor}")


def _discoveries(
    context: "OrchestratorContext", waits: Waits, project: str, cursor: str
) -> Iterator[Discovery]:
    standing = waits.standing(project)
    batches = waits.events(standing.cursor)
    read = partial(context.queue.views.discoveries, project, limit=PAGE)
    while True:
        while page := waits.through_outages(partial(read, since=cursor)):
            yield from page
            cursor = page[-1].cursor
        if standing.is_closed:
            return
        for batch in batches:
            if _may_close(batch, project):
                standing = waits.through_outages(
                    partial(waits.standing, project)
                )
                break
            events = [event for event in batch.entries if event.is_of(project)]
            if any(event.verb == "discover" for event in events):
                break


def events(context: "OrchestratorContext", project: str, since: str) -> None:
    """Print the events of a project, or of all (""), until the project is closed.

    Starts after the cursor `since`; "" starts now, with an entry that has the cursor.
    """
    waits = context.waits()
    _exit_without_reader()
    standing = waits.standing(limits.project_id(project)) if project else None
    newest = standing.cursor if standing else waits.newest_cursor()
    cursor = limits.cursor(since) if since else newest
    if not since:
        status = standing.project.status if standing else ""
        _show(context, _marker(BEGIN, cursor, project, status))
    batches = waits.events(cursor)
    while (
        standing is None
        or not standing.is_closed
        or _position(cursor) < _position(standing.cursor)
    ):
        batch = next(batches)
        if not batch.known:
            _show(context, _marker(GAP, cursor, project))
        for event in batch.entries:
            if event.is_of(project):
                _show(context, event)
        cursor = batch.cursor
        if standing and _may_close(batch, project):
            standing = waits.through_outages(partial(waits.standing, project))


def _exit_without_reader() -> None:
    """Exit 0 when the reader of stdout exits, as `head` does, even without output.

    SIGPIPE alone is no proof: writing to a Redis that was killed raises it too.
    """
    if sys.stdout is None:
        return

    def wait_for_end() -> None:
        _reader_is_gone(None)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGPIPE)

    def end(_number: int, _frame: object) -> None:
        if _reader_is_gone(0):
            # The failed write and the thread both raise the signal.
            signal.signal(signal.SIGPIPE, lambda _number, _frame: None)
            sys.exit(0)

    signal.signal(signal.SIGPIPE, end)
    Thread(target=wait_for_end, daemon=True).start()


def _reader_is_gone(timeout_ms: int | None) -> bool:
    """Wait up to `timeout_ms` (None: forever) for stdout to break; return if it did."""
    output = select.poll()
    output.register(sys.stdout, 0)  # poll always reports a broken pipe
    return bool(output.poll(timeout_ms))


def _marker(verb: str, cursor: str, project: str, state: str = "") -> Event:
    at, _ = _position(cursor)
    return Event(
        cursor=cursor,
        at=at,
        verb=verb,
        item="",
        project=project,
        agent="",
        state=state,
    )


def _show(context: "OrchestratorContext", event: Event) -> None:
    context.output.show_entry(event, json_output.line)


def _may_close(batch: Events, project: str) -> bool:
    """Return whether the events may have closed or reopened the project."""
    if not batch.known:
        return True
    events = [event for event in batch.entries if event.is_of(project)]
    return any(
        event.verb in ("complete_project", "restore") for event in events
    )


def _position(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition("-")
    return int(at), int(number)
