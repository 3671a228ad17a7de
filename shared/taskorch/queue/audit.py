"""The replies of an audit: inconsistencies, counts, quarantine, server."""

from collections.abc import Mapping
from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State
from taskorch.queue import fields as read
from taskorch.queue.port import Reply


class Finding(Frozen):
    """One inconsistency."""

    #: The id of the item, or else of the project or agent.
    id: str
    #: `index`, `dependency`, `state`, `listed`, `agent`, `lost`, `damaged`, `step` or
    #: `count`.
    word: str
    detail: str


class OpenDependency(Frozen):
    """An open dependency of a waiting item."""

    item: str
    dependency: str
    #: The state of the dependency.
    state: State
    #: Whether it is failed or cancelled, and of a completed project.
    reopens: bool = False


class AuditPage(Frozen):
    """The audit of some items."""

    #: Where the next page begins; "" at the end.
    cursor: str
    #: The newest event at the time of the audit.
    event: str
    findings: tuple[Finding, ...]
    #: Owner (`project:<id>` or `agent:<name>`), state and number of items; or a project,
    #: `tokens_in` and so on, and what its items have used. A project
    #: without items has the state "" and the number 0.
    counts: tuple[tuple[str, str, int], ...]
    waiting: tuple[OpenDependency, ...]


class Environment(Frozen):
    """The clock, the schema and the INFO of the server."""

    #: The server's time, in ms since the epoch.
    at: int
    #: The schema version of the namespace; "" if the namespace is empty.
    schema: str
    #: The fields of INFO; empty if INFO was refused.
    info: Mapping[str, str]
    #: Why INFO was refused, or "".
    refused: str


class Quarantined(Frozen):
    """A damaged record that was moved to quarantine."""

    #: "item", "project" or "agent".
    kind: str
    id: str
    #: When it was moved, in ms since the epoch.
    at: int
    why: str
    #: Its hash before it was moved.
    fields: Mapping[str, str]


def findings(view: Reply) -> tuple[Finding, ...]:
    """Read `{{id, word, detail} …}`."""
    return tuple(
        Finding(id=str(id_), word=str(word), detail=str(detail))
        for id_, word, detail in read.rows(view)
    )


def audit_page(view: Reply) -> AuditPage:
    """Read the reply of `audit`.

    Its shape is `{cursor, event, {finding …}, {owner, state, number …},
    {{item, dependency, state, '1' if its requeue reopens a project or ''} …}}`.
    """
    cursor, event, found, numbers, waits = cast(
        "tuple[str, str, Reply, list[str], Reply]", view
    )
    owners, states, counts = numbers[::3], numbers[1::3], numbers[2::3]
    waiting = [
        OpenDependency(
            item=str(item),
            dependency=str(dependency),
            state=State(str(state)),
            reopens=bool(reopens),
        )
        for item, dependency, state, reopens in read.rows(waits)
        if state in list(State)  # a damaged item may have another
    ]
    return AuditPage(
        cursor=cursor,
        event=event,
        findings=findings(found),
        counts=tuple(zip(owners, states, map(int, counts), strict=True)),
        waiting=tuple(waiting),
    )


def wrong_counts(view: Reply) -> tuple[Finding, ...] | None:
    """Read `{'1' or '', {{owner, state, stored count, actual count} …}}`.

    Return None if an event happened since the audit began.
    """
    is_current, drifted = read.rows(view)
    if not is_current:
        return None
    return tuple(
        Finding(
            id=str(owner).partition(":")[2],
            word="count",
            detail=f"counts {stored} {state}, there are {actual}",
        )
        for owner, state, stored, actual in read.rows(cast("Reply", drifted))
    )


def quarantined(flat: Reply) -> Quarantined:
    """Read a record in quarantine: its fields, and `:kind`, `:id`, `:why`, `:at`."""
    fields = read.fields_of(flat)
    kind, id_ = fields.pop(":kind", ""), fields.pop(":id", "")
    why, at = fields.pop(":why", ""), fields.pop(":at", "")
    return Quarantined(
        kind=kind,
        id=id_,
        at=int(at) if at.isdecimal() else 0,
        why=why,
        fields=fields,
    )


def environment(view: Reply) -> Environment:
    """Read `{ms, schema version or '', INFO or '', '' or why INFO was refused}`."""
    at, schema, info, refused = cast("tuple[int, str, str, str]", view)
    found = {}
    for line in info.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            found[name] = value
    return Environment(at=at, schema=schema, info=found, refused=refused)
