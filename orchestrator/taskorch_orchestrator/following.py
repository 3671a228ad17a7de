"""What happens, printed as it happens: discoveries, and events as lines of JSON, each with its cursor."""

import json
from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING

import click
from taskorch import bounds, command, document
from taskorch.item import Discovery
from taskorch.record import Event, Events
from taskorch.waiting import FROM_THE_START, Waiting

from taskorch_orchestrator.waiting_render import happened

if TYPE_CHECKING:
    from taskorch_orchestrator.office import Office

PAGE = 1000
#: What a stream says beside the verbs: where it began, and that events before this are not known any more.
BEGIN, GAP = "begin", "gap"


def discoveries(office: "Office", project: str, since: str) -> None:
    """Print what is found in a project, as it is found, until the project is closed."""
    waiting, cursor = office.waiting(), bounds.cursor(since)
    try:
        for found in _discoveries(office, waiting, bounds.project_id(project), cursor):
            cursor = found.cursor
            _print_discovery(office, found)
    finally:
        if cursor != FROM_THE_START:
            office.output.hint(f"Go on with --since {cursor}")


def _discoveries(office: "Office", waiting: Waiting, project: str, cursor: str) -> Iterator[Discovery]:
    standing = waiting.standing(project)
    batches = waiting.events(standing.cursor)
    while True:
        while page := waiting.lasting(partial(office.queue.views.discoveries, project, since=cursor, limit=PAGE)):
            yield from page
            cursor = page[-1].cursor
        if standing.is_closed:
            return
        for batch in batches:
            if is_turn(batch, project):
                standing = waiting.lasting(lambda: waiting.standing(project))
                break
            if any(event.verb == "discover" for event in batch.entries if is_of(event, project)):
                break


def _print_discovery(office: "Office", found: Discovery) -> None:
    if office.output.as_json:
        _print(_dumped(document.plain(found)))
        return
    from taskorch_orchestrator import render

    _print(render.discoveries([found]))


def events(office: "Office", project: str, since: str) -> None:
    """Print the events of a project, or of all (""), as lines of JSON; until the project is closed."""
    waiting = office.waiting()
    standing = waiting.standing(bounds.project_id(project)) if project else None
    newest = standing.cursor if standing else waiting.newest()
    cursor = bounds.cursor(since) if since else newest
    if not since:
        _print_event(_note(BEGIN, cursor, project, standing.project.status if standing else ""))
    batches = waiting.events(cursor)
    while standing is None or not standing.is_closed or _place(cursor) < _place(standing.cursor):
        batch = next(batches)
        if not batch.known:
            _print_event(_note(GAP, cursor, project))
        for event in batch.entries:
            if is_of(event, project):
                _print_event(event)
        cursor = batch.entries[-1].cursor if batch.entries else batch.newest
        if standing and is_turn(batch, project):
            standing = waiting.lasting(lambda: waiting.standing(project))


def _note(verb: str, cursor: str, project: str, state: str = "") -> Event:
    return Event(cursor=cursor, verb=verb, item="", project=project, agent="", state=state)


def is_of(event: Event, project: str) -> bool:
    """Return whether an event belongs to a project, or to all ("")."""
    return project in ("", event.project) or event.verb == "restore"


def is_turn(batch: Events, project: str) -> bool:
    """Return whether the project may have been closed by what happened."""
    return not batch.known or any(event.verb == "complete_project" and is_of(event, project) for event in batch.entries)


def _print_event(event: Event) -> None:
    _print(_dumped(document.plain(happened(event))))


def _dumped(value: document.Json) -> str:
    return json.dumps(value, ensure_ascii=False)


def _print(text: str) -> None:
    """Print at once; where nobody reads any more, as after `head`, it is over, and nothing is wrong."""
    try:
        click.echo(text)
    except BrokenPipeError:
        command.discard_output()
        raise SystemExit(0) from None


def _place(cursor: str) -> tuple[int, int]:
    at, _, number = cursor.partition("-")
    return int(at), int(number)
