"""What an audit of a namespace reads: what does not fit together, the counts, who waits for what, and the server."""

from collections.abc import Mapping
from typing import cast

from taskorch.domain.frozen import Frozen
from taskorch.domain.item import State
from taskorch.queue import replies
from taskorch.queue.port import Reply


class Finding(Frozen):
    """One thing that does not fit together."""

    #: Of the item; of the project or the agent where it is theirs.
    id: str
    #: `index`, `dependency`, `state`, `listed`, `agent`, `lost`, `damaged` or `count`.
    word: str
    detail: str


class OpenDependency(Frozen):
    """An open dependency of a waiting item."""

    item: str
    dependency: str
    state: State


class AuditPage(Frozen):
    """A part of an audit: some items, and what stands beside them."""

    #: Where the next part begins; "" at the end.
    cursor: str
    #: The newest event when the part was looked at.
    event: str
    findings: tuple[Finding, ...]
    #: Owner (`project:<id>` or `agent:<name>`), state and number; a project without items has "" and 0.
    counts: tuple[tuple[str, str, int], ...]
    waiting: tuple[OpenDependency, ...]


class Environment(Frozen):
    """What the server says of itself."""

    #: Its clock, in ms since the epoch.
    at: int
    #: The namespace's; "" when nothing is there yet.
    schema: str
    #: The fields of INFO; empty where it was refused.
    info: Mapping[str, str]
    #: Why INFO was refused, or "".
    refused: str


class Quarantined(Frozen):
    """What was moved aside because it was damaged."""

    #: "item", "project" or "agent".
    kind: str
    id: str
    at: int
    why: str
    #: Its hash as it was.
    fields: Mapping[str, str]


def quarantined(flat: Reply) -> Quarantined:
    """Read the fields of what was moved aside, with `:kind`, `:id`, `:why` and `:at` among them."""
    fields = replies.fields_of(flat)
    about = {name: fields.pop(f":{name}", "") for name in ("kind", "id", "why", "at")}
    at = int(about["at"]) if about["at"].isdecimal() else 0
    return Quarantined(
        kind=about["kind"], id=about["id"], at=at, why=about["why"], fields=fields
    )


def findings(view: Reply) -> tuple[Finding, ...]:
    """Read `{{id, word, detail} …}`."""
    return tuple(
        Finding(id=str(id_), word=str(word), detail=str(detail))
        for id_, word, detail in replies.rows(view)
    )


def drifts(view: Reply) -> tuple[Finding, ...] | None:
    """Read `{'1' or '', {{owner, state, as kept, as counted} …}}`; None where there was an event in between."""
    judged, drifted = replies.rows(view)
    found = [
        (str(owner).partition(":")[2], f"counts {kept} {state}, there are {counted}")
        for owner, state, kept, counted in replies.rows(cast("Reply", drifted))
    ]
    return (
        tuple(Finding(id=owner, word="count", detail=detail) for owner, detail in found)
        if judged
        else None
    )


def audited(view: Reply) -> AuditPage:
    """Read the reply of `audit`."""
    cursor, event, found, numbers, waits = cast(
        "tuple[str, str, Reply, list[str], Reply]", view
    )
    words = iter(numbers)
    return AuditPage(
        cursor=cursor,
        event=event,
        findings=findings(found),
        counts=tuple(
            (owner, state, int(number))
            for owner, state, number in zip(words, words, words, strict=True)
        ),
        waiting=tuple(
            OpenDependency(
                item=str(item), dependency=str(dependency), state=State(str(state))
            )
            for item, dependency, state in replies.rows(waits)
            if state in list(State)  # that of a damaged item is none
        ),
    )


def environment(view: Reply) -> Environment:
    """Read `{ms, schema version or '', INFO or '', '' or why it was refused}`."""
    at, schema, info, refused = cast("tuple[int, str, str, str]", view)
    pairs = (line.partition(":") for line in info.splitlines() if ":" in line)
    return Environment(
        at=at,
        schema=schema,
        info={name: value for name, _, value in pairs},
        refused=refused,
    )
