"""Streams of discoveries and events, one entry per line, each with its cursor."""

import select
import signal
import sys
from collections.abc import Iterator
from functools import partial
from math import inf
from threading import Thread, main_thread
from typing import TYPE_CHECKING

from taskorch.cli import json_output
from taskorch.cli.quoting import NOTICE
from taskorch.domain import limits
from taskorch.domain.audit_line import AuditFilter
from taskorch.domain.events import FROM_THE_START, Event, Events, position
from taskorch.domain.item import Discovery, DiscoveryPage
from taskorch.queue.audit_log import AuditLines
from taskorch.queue.requests import KeptRequest, Requests
from taskorch.queue.wait_results import Standing
from taskorch.queue.waits import Waits

from taskorch_orchestrator.render import audit, tables

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

PAGE = 1000
#: Verbs of entries that are not events: the stream starts here; older events are lost.
BEGIN, GAP = "begin", "gap"


class DiscoveryReader:
    """Reads the discoveries of a project, or of all (""), page by page.

    It continues after a cursor, or where this orchestrator has stopped to read. It
    survives outages of Redis.
    """

    def __init__(
        self,
        context: "OrchestratorContext",
        project: str,
        since: str,
        *,
        new: bool,
    ) -> None:
        self.project = limits.project_id(project) if project else ""
        #: The cursor of the last discovery; of new ones, if there was any.
        self.cursor = "" if new else limits.discovery_cursor(since)
        self.waits = context.waits()
        self._context = context
        self._new = new

    def page(self, limit: int) -> DiscoveryPage:
        """Return the next discoveries, at most `limit`."""
        read = partial(
            self._context.queue.views.discoveries,
            self.project,
            since=self.cursor,
            limit=limit,
        )
        if self._new:
            read = partial(self._new_page, KeptRequest(), limit)
        return self.waits.through_outages(read)

    def hint(self) -> str:
        """Return how to continue, or "" if nothing was read."""
        if self._new or self.cursor == FROM_THE_START:
            return ""
        return f"Continue with --since {self.cursor}"

    def _new_page(self, kept: KeptRequest, limit: int) -> DiscoveryPage:
        """Read new discoveries; a repeat after an outage reads the same."""
        queue = self._context.queue_of(requests=Requests(store=kept))
        return queue.new_discoveries(self.project, limit=limit)


def discoveries(
    context: "OrchestratorContext", reader: DiscoveryReader, limit: int | None
) -> None:
    """Print discoveries as they are made, until the project is closed.

    Ends after `limit` discoveries, if it is given. All projects are never closed.
    """
    _exit_without_reader()
    context.output.hint(NOTICE)
    render = partial(tables.discovery, with_project=not reader.project)
    try:
        for discovery in _discoveries(reader, limit):
            reader.cursor = discovery.cursor
            context.output.show_entry(discovery, render)
    finally:
        if hint := reader.hint():
            context.output.hint(hint)


def _discoveries(
    reader: DiscoveryReader, limit: int | None
) -> Iterator[Discovery]:
    waits, project = reader.waits, reader.project
    standing = waits.standing(project) if project else None
    batches = waits.events(
        standing.cursor if standing else waits.newest_cursor()
    )
    left = limit or inf
    while True:
        has_more = True
        while has_more:
            page = reader.page(int(min(PAGE, left)))
            yield from page.discoveries
            left -= len(page.discoveries)
            if not left:
                return
            has_more = page.more
        if standing and standing.is_closed:
            return
        for batch in batches:
            if not batch.known or (project and _may_close(batch, project)):
                standing = _standing(waits, project)
                break
            if any(
                event.verb == "discover" and event.is_of(project)
                for event in batch.entries
            ):
                break


def _standing(waits: Waits, project: str) -> Standing | None:
    if not project:
        return None
    return waits.through_outages(partial(waits.standing, project))


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
        or position(cursor) < position(standing.cursor)
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


def audit_lines(
    context: "OrchestratorContext", log: AuditLines, wanted: AuditFilter
) -> None:
    """Print lines of the audit log, and then new ones, until Ctrl-C."""
    _exit_without_reader()
    for line in log.follow(wanted, context.waits().through_outages):
        context.output.show_entry(line, audit.entry)


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
    at, _ = position(cursor)
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
