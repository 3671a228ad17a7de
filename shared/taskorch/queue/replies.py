"""Turns the replies of scripts (flat lists of text) into the frozen objects of `item`.

What stands in Redis was written by others. So every id, name, number and JSON field is checked here: a row in which one
is wrong is errors.Damaged, and in a list it is skipped and kept in the `damage` of the scripts.
"""

import json
import re
from collections.abc import Callable, Iterable
from typing import TypeVar, cast

from taskorch.domain import errors, limits
from taskorch.domain.events import Event, Events
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    Assignment,
    Assignments,
    Claim,
    Discovery,
    HeldDependent,
    Holder,
    Item,
    Lease,
    Note,
    Package,
    Project,
    ProjectProgress,
    Receipt,
    Report,
    Requeued,
    State,
)
from taskorch.domain.mirror_record import MirrorRecord, MirrorStatus
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Damage

Fields = dict[str, str]
Row = TypeVar("Row")

#: What a field of an item is that its hash does not have.
LEFT_OUT = {
    "priority": str(DEFAULT_PRIORITY),
    "token": "0",
    "attempts": "0",
    "max_attempts": str(DEFAULT_MAX_ATTEMPTS),
    "lease_ms": str(DEFAULT_LEASE_MS),
    "not_before": "0",
}

#: The field that counts the items in a state.
COUNTS = {state: f"n_{state}" for state in State}
#: What stands for the title of a project that is damaged.
DAMAGED_TITLE = "(damaged)"

#: What is wrong with a project that is listed, and not there.
GONE = "it is gone"

_NUMBER = re.compile(r"[0-9]{1,16}")
_WORD = re.compile(r"[a-z_]{1,32}")
_SURROGATE = re.compile("[\ud800-\udfff]")


def rows(reply: Reply) -> list[list[Reply]]:
    """Return a reply that is a list of lists as just that."""
    return cast("list[list[Reply]]", reply)


def texts(reply: Reply) -> list[str]:
    """Return a reply that is a list of text as just that."""
    return cast("list[str]", reply)


def sound(
    read: Callable[[Reply], Row], views: Iterable[Reply], damage: Damage
) -> tuple[Row, ...]:
    """Read rows; one that is damaged is left out, and put into `damage`."""
    found = []
    for view in views:
        try:
            found.append(read(view))
        except errors.Damaged as wrong:
            note_damage(wrong, damage)
    return tuple(found)


def note_damage(wrong: errors.Damaged, damage: Damage) -> None:
    """Keep what is wrong with a row that was skipped."""
    damage[str(wrong.details["kind"]), str(wrong.details["id"])] = str(
        wrong.details["reason"]
    )


def item(view: Reply) -> Item:
    """Read an item view: `{id, fields, lease expiry or ''}`."""
    id_, flat, expires = cast("tuple[str, Reply, str]", view)
    return _checked(
        "item", id_, lambda: _item(id_, LEFT_OUT | fields_of(flat), expires)
    )


def items(views: Reply, damage: Damage) -> tuple[Item, ...]:
    """Read a list of item views."""
    return sound(item, cast("list[Reply]", views), damage)


def project(view: Reply) -> Project:
    """Read a project view: `{id, fields}`."""
    id_, flat = cast("tuple[str, Reply]", view)
    return _checked("project", id_, lambda: _project(id_, fields_of(flat)))


def package(view: Reply, damage: Damage) -> Package:
    """Read a package: `{item view, project view, {dependency …}, {newest report …}}`."""
    item_view, project_view, dependencies, reports = cast("list[Reply]", view)
    return Package(
        item=item(item_view),
        project_context=_project_of(project_view, damage),
        dependencies=items(dependencies, damage),
        history=tuple(reversed(_entries(report, reports, damage))),
    )


def project_progress(view: Reply, damage: Damage) -> ProjectProgress:
    """Read `{project view, {{item view, {newest report}} …}}`."""
    project_view, reported = cast("tuple[Reply, list[list[Reply]]]", view)
    listed = sound(
        lambda row: (item(cast("list[Reply]", row)[0]), row),
        cast("list[Reply]", reported),
        damage,
    )
    newest = {
        one.id: _entries(report, cast("list[Reply]", row)[1], damage)
        for one, row in listed
    }
    return ProjectProgress(
        project=project(project_view),
        items=tuple(one for one, _ in listed),
        last_reports={id_: entries[0] for id_, entries in newest.items() if entries},
    )


def claim(view: Reply, damage: Damage) -> Claim:
    """Read `{item id, token that may act or '', lease expiry or '', package}`."""
    id_, token, expires, package_view = cast("tuple[str, str, str, Reply]", view)
    number, claim_id = _shown(token)
    read = package(package_view, damage)
    lease = (
        Lease(item=read.item.id, token=number, claim=claim_id, expires_at=_int(expires))
        if token
        else None
    )
    if read.item.id != id_:
        raise errors.Damaged(
            kind="item",
            id=limits.shortened(id_),
            reason="its package is that of another item",
        )
    return Claim(lease=lease, package=read)


def receipt(view: Reply) -> Receipt:
    """Read `{item id, token, lease expiry or '', state, remark, entry}`."""
    id_, token, expires, state, remark, entry = texts(view)
    number, claim_id = _shown(token)
    return Receipt(
        id=id_,
        state=State(state),
        token=number,
        claim=claim_id,
        lease_expires_at=_int(expires),
        remark=remark,
        entry=entry,
    )


def report(entry: Reply) -> Report:
    """Read an entry of an item's stream of reports."""
    id_, fields = _entry(entry)
    return _checked("report", id_, lambda: _report(id_, fields))


def discovery(entry: Reply) -> Discovery:
    """Read an entry of a project's stream of discoveries."""
    id_, fields = _entry(entry)
    return _checked("discovery", id_, lambda: _discovery(id_, fields))


def note(entry: Reply) -> Note:
    """Read an entry of an agent's private notes."""
    id_, fields = _entry(entry)
    return _checked("note", id_, lambda: _note(id_, fields))


def record(view: Reply, damage: Damage) -> MirrorRecord:
    """Read `{item view, project view, {report …}, {discovery …}, token of the session that asks or ''}`."""
    item_view, project_view, reports, discoveries, token = cast("list[Reply]", view)
    read = item(item_view)
    fields = fields_of(cast("list[Reply]", item_view)[1])
    number, claim_id = _shown(str(token))
    return _checked(
        "item",
        read.id,
        lambda: MirrorRecord(
            item=read,
            project=_project_of(project_view, damage),
            reports=_entries(report, reports, damage),
            discoveries=_entries(discovery, discoveries, damage),
            sequence=_number(fields, "seq"),
            event=_cursor(fields, "event"),
            session=fields.get("holder_session", ""),
            lease=Lease(item=read.id, token=number, claim=claim_id),
        ),
    )


def events(view: Reply, damage: Damage) -> Events:
    """Read `{'1' or '', newest id, {stream entry …}}`."""
    known, newest, entries = cast("tuple[str, str, list[Reply]]", view)
    last = str(cast("list[Reply]", entries[-1])[0]) if entries else ""
    return Events(
        known=bool(known),
        newest=newest,
        entries=sound(_event, entries, damage),
        last=last,
    )


def mirror_status(view: Reply) -> MirrorStatus:
    """Read `{root, ms of the last pass, status or '', events behind, service or '', ms when it was seen or ''}`."""
    root, at, status, behind, service, service_at = cast(
        "tuple[str, str, str, int, str, str]", view
    )
    return _checked(
        "mirror",
        root,
        lambda: MirrorStatus(
            root=root,
            at=int(float(at)),
            status=_mirrored(status, "status"),
            behind=behind,
            service=_mirrored(service, "service"),
            service_at=_int(service_at),
        ),
    )


def assignments(agent: str, view: Reply, damage: Damage) -> Assignments:
    """Read `{count, assigned but not ready, {item view …}}`."""
    count, later, views = cast("tuple[int, int, Reply]", view)
    return Assignments(
        agent=agent, count=count, later=later, items=items(views, damage)
    )


def assigned(view: Reply) -> tuple[Assignment, ...]:
    """Read `{{item id, project, agent, state, previous agent or ''} …}`."""
    listed = cast("list[tuple[str, str, str, str, str]]", view)
    return tuple(
        Assignment(
            id=id_, project=project, agent=agent, state=State(state), previous=previous
        )
        for id_, project, agent, state, previous in listed
    )


def requeued(view: Reply) -> tuple[Requeued, int]:
    """Read `{item id, state, agent, waiting again, {{held item, agent} …}, left}`; return the number left, too."""
    id_, state, _, waiting, held, left = cast(
        "tuple[str, str, str, int, list[tuple[str, str]], int]", view
    )
    dependents = tuple(
        HeldDependent(id=item_id, agent=agent) for item_id, agent in held
    )
    return Requeued(id=id_, state=State(state), waiting=waiting, held=dependents), left


def item_or_none(id_: str) -> str:
    """Return an id that a script has found among others; "" where it cannot be the id of an item."""
    return id_ if limits.is_item_id(id_) else ""


def fields_of(flat: Reply) -> Fields:
    """Return the fields of a hash, or of an entry of a stream."""
    words = iter(texts(flat))
    return dict(zip(words, words, strict=True))


def counts_of(fields: Fields) -> dict[State, int]:
    """Return how many items are in each state, by the counts of a project or an agent; ValueError for what is none."""
    return {state: _count(fields, name) for state, name in COUNTS.items()}


def checked_agent(name: str, read: Callable[[], Row]) -> Row:
    """Read what Redis holds of an agent; raises errors.Damaged."""
    return _checked("agent", name, lambda: _named(name, read))


def _checked(kind: str, id_: str, read: Callable[[], Row]) -> Row:
    try:
        return read()
    except KeyError as missing:
        reason = f"its {missing.args[0]} is missing"
    except (ValueError, TypeError, ArithmeticError, RecursionError) as wrong:
        reason = str(wrong)
    raise errors.Damaged(kind=kind, id=id_, reason=limits.shortened(reason))


def _named(name: str, read: Callable[[], Row]) -> Row:
    if not limits.is_name(name):
        raise _Wrong("name")
    return read()


class _Wrong(ValueError):
    """The field of that name is wrong."""

    def __str__(self) -> str:
        return f"its {self.args[0]} cannot be right"


def _item(id_: str, fields: Fields, expires: str) -> Item:
    if not limits.is_item_id(id_):
        raise _Wrong("id")
    if not limits.is_project_id(fields["project"]):
        raise _Wrong("project")
    state = _state(fields, "state")
    for name in ("seq", "lease_ms"):
        _number(fields, name)
    return Item(
        id=id_,
        project=fields["project"],
        title=fields["title"],
        description=fields.get("description", ""),
        requirements=_list(fields, "requirements"),
        context=_map(fields, "context"),
        resources=_list(fields, "resources"),
        deliverables_expected=_list(fields, "deliverables_expected"),
        criteria=_list(fields, "criteria"),
        priority=_number(fields, "priority"),
        state=state,
        agent=_name(fields, "agent"),
        holder=_holder(fields)
        if state in (State.IN_PROGRESS, State.BLOCKED) and "live_token" in fields
        else None,
        token=_number(fields, "token"),
        attempts=_number(fields, "attempts"),
        max_attempts=_number(fields, "max_attempts"),
        lease_expires_at=_int(expires),
        depends_on=_ids(fields, "depends_on"),
        percent=_number(fields, "percent", "0"),
        summary=fields.get("summary", ""),
        deliverables=_map(fields, "deliverables"),
        blocker=fields.get("blocker", ""),
        needs=fields.get("needs", ""),
        assigned_by=_name(fields, "assigned_by", ""),
        not_before_at=_number(fields, "not_before"),
        created_at=_number(fields, "created_at"),
        assigned_at=_number(fields, "assigned_at", "0"),
        started_at=_number(fields, "started_at", "0"),
        completed_at=_number(fields, "completed_at", "0"),
    )


def _project(id_: str, fields: Fields) -> Project:
    if not fields:
        raise ValueError(GONE)
    if not limits.is_project_id(id_):
        raise _Wrong("id")
    if fields["status"] not in ("active", "completed"):
        raise _Wrong("status")
    return Project(
        id=id_,
        title=fields["title"],
        description=fields["description"],
        status=fields["status"],
        orchestrator=_name(fields, "orchestrator"),
        created_at=_number(fields, "created_at"),
        completed_at=_number(fields, "completed_at", "0"),
        counts=counts_of(fields),
    )


def _project_of(view: Reply, damage: Damage) -> Project:
    """Return the project of an item, or what stands for one that is damaged: the item can be worked on all the same."""
    try:
        return project(view)
    except errors.Damaged as wrong:
        note_damage(wrong, damage)
    id_ = str(cast("list[Reply]", view)[0])
    return Project(
        id=id_ if limits.is_project_id(id_) else "",
        title=DAMAGED_TITLE,
        description="",
        status="active",
        orchestrator="",
        created_at=0,
        completed_at=0,
        counts=dict.fromkeys(State, 0),
    )


def _report(id_: str, fields: Fields) -> Report:
    return Report(
        id=id_,
        at=_made_at(id_, fields),
        kind=_word(fields, "kind"),
        agent=_name(fields, "agent"),
        attempt=_number(fields, "attempt"),
        token=_number(fields, "token"),
        text=fields.get("text", ""),
        percent=_number(fields, "percent", "0") if fields.get("percent") else None,
        needs=fields.get("needs", ""),
        request=fields.get("request", ""),
        written_at=fields.get("written_at", ""),
    )


def _discovery(id_: str, fields: Fields) -> Discovery:
    if not limits.is_item_id(fields["item"]):
        raise _Wrong("item")
    return Discovery(
        cursor=id_,
        at=_made_at(id_, fields),
        item=fields["item"],
        agent=_name(fields, "agent"),
        text=fields["text"],
        impact=fields["impact"],
        request=fields.get("request", ""),
        written_at=fields.get("written_at", ""),
    )


def _note(id_: str, fields: Fields) -> Note:
    return Note(
        at=_made_at(id_, fields),
        text=fields["text"],
        written_at=fields.get("written_at", ""),
    )


def _event(entry: Reply) -> Event:
    id_, fields = _entry(entry)
    return _checked("event", id_, lambda: _read_event(id_, fields))


def _read_event(id_: str, fields: Fields) -> Event:
    if fields["item"] and not limits.is_item_id(fields["item"]):
        raise _Wrong("item")
    if fields["project"] and not limits.is_project_id(fields["project"]):
        raise _Wrong("project")
    return Event(
        cursor=id_,
        at=_made_at(id_, fields),
        verb=_word(fields, "verb"),
        item=fields["item"],
        project=fields["project"],
        agent=_name(fields, "agent"),
        state=_word(fields, "state") if fields["state"] else "",
    )


def _entries(
    read: Callable[[Reply], Row], entries: Reply, damage: Damage
) -> tuple[Row, ...]:
    return sound(read, cast("list[Reply]", entries), damage)


def _entry(entry: Reply) -> tuple[str, Fields]:
    id_, flat = cast("tuple[str, Reply]", entry)
    return id_, fields_of(flat)


def _shown(token: str) -> tuple[int, str]:
    number, _, claim_id = token.partition(":")
    return _int(number), claim_id


def _made_at(id_: str, fields: Fields) -> int:
    return _number(fields, "made_at", "0") or int(id_.partition("-")[0])


def _int(value: str | int) -> int:
    return int(float(value)) if value else 0


def _number(fields: Fields, name: str, missing: str = "") -> int:
    """Return a number; `missing` stands for one that is not there, or is empty."""
    value = (fields.get(name) or missing) if missing else fields[name]
    if not _NUMBER.fullmatch(value) or int(value) > limits.LARGEST:
        raise _Wrong(name)
    return int(value)


def _count(fields: Fields, name: str) -> int:
    if not re.fullmatch("-?[0-9]{1,16}", fields.get(name, "0")):
        raise _Wrong(name)
    return int(fields.get(name, "0"))


def _state(fields: Fields, name: str) -> State:
    if fields[name] not in list(State):
        raise _Wrong(name)
    return State(fields[name])


def _name(fields: Fields, name: str, missing: str | None = None) -> str:
    """Return the name of an agent, or "" for none."""
    value = fields[name] if missing is None else fields.get(name, missing)
    if value and not limits.is_name(value):
        raise _Wrong(name)
    return value


def _word(fields: Fields, name: str) -> str:
    if not _WORD.fullmatch(fields[name]):
        raise _Wrong(name)
    return fields[name]


def _cursor(fields: Fields, name: str) -> str:
    value = fields.get(name, "")
    if value and not limits.is_cursor(value):
        raise _Wrong(name)
    return value


def _list(fields: Fields, name: str) -> tuple[str, ...]:
    listed = _json(fields, name) if name in fields else []
    if listed == {}:  # an empty list of Lua
        return ()
    if not isinstance(listed, list) or not all(map(_is_text, listed)):
        raise _Wrong(name)
    return tuple(listed)


def _ids(fields: Fields, name: str) -> tuple[str, ...]:
    ids = _list(fields, name)
    if not all(map(limits.is_item_id, ids)):
        raise _Wrong(name)
    return ids


def _map(fields: Fields, name: str) -> dict[str, str]:
    mapped = _json(fields, name) if name in fields else {}
    if mapped == []:  # an empty table of Lua
        return {}
    if not isinstance(mapped, dict) or not all(
        map(_is_text, (*mapped, *mapped.values()))
    ):
        raise _Wrong(name)
    return mapped


def _json(fields: Fields, name: str) -> object:
    try:
        return json.loads(fields[name])
    except (ValueError, RecursionError):
        raise _Wrong(name) from None


def _mirrored(text: str, name: str) -> dict[str, object]:
    said = _json({name: text or "{}"}, name)
    troubles = said.get("troubles", {}) if isinstance(said, dict) else None
    if (
        not isinstance(said, dict)
        or not isinstance(troubles, dict)
        or not all(map(_is_text, troubles.values()))
    ):
        raise _Wrong(name)
    return said


def _is_text(value: object) -> bool:
    """Return whether a value of JSON is text that has bytes: half of a pair of surrogates has none."""
    return isinstance(value, str) and not _SURROGATE.search(value)


def _holder(fields: Fields) -> Holder:
    return Holder(
        agent=fields["agent"],
        host=fields["holder_host"],
        pid=_number(fields, "holder_pid", "0"),
        session=fields["holder_session"],
        since=_number(fields, "holder_since", "0"),
    )
