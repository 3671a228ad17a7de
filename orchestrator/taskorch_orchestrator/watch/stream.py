"""What happens, told as it happens: discoveries, and events as lines of JSON, each with its cursor."""

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
#: What a stream says beside the verbs: where it began, and that events before this are not known any more.
BEGIN, GAP = "begin", "gap"


def discoveries(
    context: "OrchestratorContext", project: str, since: str, limit: int | None
) -> None:
    """Tell what is found in a project, as it is found, until the project is closed or so many were told."""
    waiting, cursor = context.waiting(), limits.cursor(since)
    _end_with_reader()
    context.output.hint(NOTICE)
    try:
        for found in islice(
            _discoveries(context, waiting, limits.project_id(project), cursor), limit
        ):
            cursor = found.cursor
            context.output.show_entry(found, tables.discovery)
    finally:
        if cursor != FROM_THE_START:
            context.output.hint(f"Go on with --since {cursor}")


def _discoveries(
    context: "OrchestratorContext", waiting: Waits, project: str, cursor: str
) -> Iterator[Discovery]:
    standing = waiting.standing(project)
    batches = waiting.events(standing.cursor)
    while True:
        while page := waiting.through_outages(
            partial(context.queue.views.discoveries, project, since=cursor, limit=PAGE)
        ):
            yield from page
            cursor = page[-1].cursor
        if standing.is_closed:
            return
        for batch in batches:
            if _is_turn(batch, project):
                standing = waiting.through_outages(lambda: waiting.standing(project))
                break
            if any(
                event.verb == "discover" and event.is_of(project)
                for event in batch.entries
            ):
                break


def events(context: "OrchestratorContext", project: str, since: str) -> None:
    """Tell the events of a project, or of all (""), as lines of JSON; until the project is closed."""
    waiting = context.waiting()
    _end_with_reader()
    standing = waiting.standing(limits.project_id(project)) if project else None
    newest = standing.cursor if standing else waiting.newest_cursor()
    cursor = limits.cursor(since) if since else newest
    if not since:
        _tell(
            context,
            _note(BEGIN, cursor, project, standing.project.status if standing else ""),
        )
    batches = waiting.events(cursor)
    while (
        standing is None
        or not standing.is_closed
        or _place(cursor) < _place(standing.cursor)
    ):
        batch = next(batches)
        if not batch.known:
            _tell(context, _note(GAP, cursor, project))
        for event in batch.entries:
            if event.is_of(project):
                _tell(context, event)
        cursor = batch.cursor
        if standing and _is_turn(batch, project):
            standing = waiting.through_outages(lambda: waiting.standing(project))


def _end_with_reader() -> None:
    """End the command when its reader goes away, as after `head`, even if there is nothing to write for hours.

    SIGPIPE alone proves nothing: a write to a Redis that was killed raises it, too.
    """

    def look() -> None:
        _reader_is_gone(None)
        signal.pthread_kill(main_thread().ident or 0, signal.SIGPIPE)

    def end(_number: int, _frame: object) -> None:
        if _reader_is_gone(0):
            signal.signal(
                signal.SIGPIPE, lambda _number, _frame: None
            )  # a failed write and the thread both raise it
            sys.exit(0)

    if sys.stdout is not None:
        signal.signal(signal.SIGPIPE, end)
        Thread(target=look, daemon=True).start()


def _reader_is_gone(timeout_ms: int | None) -> bool:
    """Return whether stdout is broken, after at most `timeout_ms` milliseconds; None waits until it is."""
    output = select.poll()
    output.register(
        sys.stdout, 0
    )  # poll reports a broken pipe without being asked for it
    return bool(output.poll(timeout_ms))


def _note(verb: str, cursor: str, project: str, state: str = "") -> Event:
    at, _ = _place(cursor)
    return Event(
        cursor=cursor, at=at, verb=verb, item="", project=project, agent="", state=state
    )


def _tell(context: "OrchestratorContext", event: Event) -> None:
    context.output.show_entry(event, json_output.line)


def _is_turn(batch: Events, project: str) -> bool:
    """Return whether the project may have been closed by what happened."""
    turns = ("complete_project", "restore")
    return not batch.known or any(
        event.verb in turns and event.is_of(project) for event in batch.entries
    )


def _place(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition("-")
    return int(at), int(number)
