"""Turns the replies of scripts (flat lists of text) into the frozen objects of `item`."""

import json
from typing import cast

from taskorch.item import (
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
from taskorch.record import Event, Events, MirrorStatus, Record
from taskorch.script import Reply

Fields = dict[str, str]

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


def rows(reply: Reply) -> list[list[Reply]]:
    """Return a reply that is a list of lists as just that."""
    return cast("list[list[Reply]]", reply)


def texts(reply: Reply) -> list[str]:
    """Return a reply that is a list of text as just that."""
    return cast("list[str]", reply)


def item(view: Reply) -> Item:
    """Read an item view: `{id, fields, lease expiry or ''}`."""
    id_, flat, expires = cast("tuple[str, Reply, str]", view)
    fields = LEFT_OUT | fields_of(flat)
    state = State(fields["state"])
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
        priority=int(fields["priority"]),
        state=state,
        agent=fields["agent"],
        holder=_holder(fields) if state in (State.IN_PROGRESS, State.BLOCKED) and "live_token" in fields else None,
        token=int(fields["token"]),
        attempts=int(fields["attempts"]),
        max_attempts=int(fields["max_attempts"]),
        lease_expires_at=_int(expires),
        depends_on=_list(fields, "depends_on"),
        percent=_int(fields.get("percent", "")),
        summary=fields.get("summary", ""),
        deliverables=_map(fields, "deliverables"),
        blocker=fields.get("blocker", ""),
        needs=fields.get("needs", ""),
        assigned_by=fields.get("assigned_by", ""),
        not_before_at=_int(fields["not_before"]),
        created_at=_int(fields["created_at"]),
        assigned_at=_int(fields.get("assigned_at", "")),
        started_at=_int(fields.get("started_at", "")),
        completed_at=_int(fields.get("completed_at", "")),
    )


def items(views: Reply) -> tuple[Item, ...]:
    """Read a list of item views."""
    return tuple(item(view) for view in rows(views))


def project(view: Reply) -> Project:
    """Read a project view: `{id, fields}`."""
    id_, flat = cast("tuple[str, Reply]", view)
    fields = fields_of(flat)
    return Project(
        id=id_,
        title=fields["title"],
        description=fields["description"],
        status=fields["status"],
        orchestrator=fields["orchestrator"],
        created_at=_int(fields["created_at"]),
        completed_at=_int(fields.get("completed_at", "")),
        counts=counts_of(fields),
    )


def package(view: Reply) -> Package:
    """Read a package: `{item view, project view, {dependency …}, {newest report …}}`."""
    item_view, project_view, dependencies, reports = rows(view)
    return Package(
        item=item(cast("Reply", item_view)),
        project_context=project(cast("Reply", project_view)),
        dependencies=items(cast("Reply", dependencies)),
        history=tuple(reversed([report(entry) for entry in reports])),
    )


def project_progress(view: Reply) -> ProjectProgress:
    """Read `{project view, {{item view, {newest report}} …}}`."""
    project_view, reported = cast("tuple[Reply, list[tuple[Reply, list[Reply]]]]", view)
    listed = [(item(item_view), entries) for item_view, entries in reported]
    return ProjectProgress(
        project=project(project_view),
        items=tuple(one for one, _ in listed),
        last_reports={one.id: report(entries[0]) for one, entries in listed if entries},
    )


def claim(view: Reply) -> Claim:
    """Read `{item id, token or '', lease expiry or '', package}`.

    The package is of now, what stands before it may be the reply to a request of some time ago: a token that died
    since is no lease.
    """
    id_, token, expires, package_view = cast("tuple[str, str, str, list[tuple[str, Reply]]]", view)
    number, claim_id = _shown(token)
    fields = fields_of(package_view[0][1])
    lives = token == f"{fields.get('live_token', '')}:{fields.get('claim', '')}"
    lease = Lease(item=id_, token=number, claim=claim_id, expires_at=_int(expires)) if lives else None
    return Claim(lease=lease, package=package(cast("Reply", package_view)))


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
    percent = fields.get("percent", "")
    return Report(
        id=id_,
        at=_made_at(id_, fields),
        kind=fields["kind"],
        agent=fields["agent"],
        attempt=int(fields["attempt"]),
        token=int(fields["token"]),
        text=fields.get("text", ""),
        percent=int(percent) if percent else None,
        needs=fields.get("needs", ""),
        request=fields.get("request", ""),
        written_at=fields.get("written_at", ""),
    )


def discovery(entry: Reply) -> Discovery:
    """Read an entry of a project's stream of discoveries."""
    id_, fields = _entry(entry)
    return Discovery(
        cursor=id_,
        at=_made_at(id_, fields),
        item=fields["item"],
        agent=fields["agent"],
        text=fields["text"],
        impact=fields["impact"],
        request=fields.get("request", ""),
        written_at=fields.get("written_at", ""),
    )


def note(entry: Reply) -> Note:
    """Read an entry of an agent's private notes."""
    id_, fields = _entry(entry)
    return Note(at=_made_at(id_, fields), text=fields["text"], written_at=fields.get("written_at", ""))


def record(view: Reply) -> Record:
    """Read `{item view, project view, {report …}, {discovery …}}`."""
    item_view, project_view, reports, discoveries = rows(view)
    fields = fields_of(item_view[1])
    return Record(
        item=item(cast("Reply", item_view)),
        project=project(cast("Reply", project_view)),
        reports=tuple(report(entry) for entry in reports),
        discoveries=tuple(discovery(entry) for entry in discoveries),
        sequence=int(fields["seq"]),
        event=fields.get("event", ""),
        session=fields.get("holder_session", ""),
        live_token=_int(fields.get("live_token", "")),
        claim=fields.get("claim", ""),
    )


def events(view: Reply) -> Events:
    """Read `{'1' or '', newest id, {stream entry …}}`."""
    known, newest, entries = cast("tuple[str, str, list[Reply]]", view)
    return Events(known=bool(known), newest=newest, entries=tuple(_event(entry) for entry in entries))


def mirror_status(view: Reply) -> MirrorStatus:
    """Read `{root, ms of the last pass, status or '', events behind, service or '', ms when it was seen or ''}`."""
    root, at, status, behind, service, service_at = cast("tuple[str, str, str, int, str, str]", view)
    return MirrorStatus(
        root=root,
        at=int(float(at)),
        status=json.loads(status or "{}"),
        behind=behind,
        service=json.loads(service or "{}"),
        service_at=_int(service_at),
    )


def assignments(agent: str, view: Reply) -> Assignments:
    """Read `{count, assigned but not ready, {item view …}}`."""
    count, later, views = cast("tuple[int, int, Reply]", view)
    return Assignments(agent=agent, count=count, later=later, items=items(views))


def assigned(view: Reply) -> tuple[Assignment, ...]:
    """Read `{{item id, project, agent, state, previous agent or ''} …}`."""
    listed = cast("list[tuple[str, str, str, str, str]]", view)
    return tuple(
        Assignment(id=id_, project=project, agent=agent, state=State(state), previous=previous)
        for id_, project, agent, state, previous in listed
    )


def requeued(view: Reply) -> tuple[Requeued, int]:
    """Read `{item id, state, agent, waiting again, {{held item, agent} …}, left}`; return the number left, too."""
    id_, state, _, waiting, held, left = cast("tuple[str, str, str, int, list[tuple[str, str]], int]", view)
    dependents = tuple(HeldDependent(id=item_id, agent=agent) for item_id, agent in held)
    return Requeued(id=id_, state=State(state), waiting=waiting, held=dependents), left


def fields_of(flat: Reply) -> Fields:
    """Return the fields of a hash, or of an entry of a stream."""
    words = iter(texts(flat))
    return dict(zip(words, words, strict=True))


def counts_of(fields: Fields) -> dict[State, int]:
    """Return how many items are in each state, by the counts of a project or an agent."""
    return {state: int(fields.get(name, 0)) for state, name in COUNTS.items()}


def _event(entry: Reply) -> Event:
    id_, fields = _entry(entry)
    return Event(
        cursor=id_,
        at=_made_at(id_, fields),
        verb=fields["verb"],
        item=fields["item"],
        project=fields["project"],
        agent=fields["agent"],
        state=fields["state"],
    )


def _entry(entry: Reply) -> tuple[str, Fields]:
    id_, flat = cast("tuple[str, Reply]", entry)
    return id_, fields_of(flat)


def _shown(token: str) -> tuple[int, str]:
    number, _, claim_id = token.partition(":")
    return _int(number), claim_id


def _made_at(id_: str, fields: Fields) -> int:
    return int(fields.get("made_at") or id_.partition("-")[0])


def _int(value: str | int) -> int:
    return int(value) if value else 0


def _list(fields: Fields, name: str) -> tuple[str, ...]:
    return tuple(json.loads(fields[name])) if name in fields else ()


def _map(fields: Fields, name: str) -> dict[str, str]:
    return dict(json.loads(fields[name])) if name in fields else {}


def _holder(fields: Fields) -> Holder:
    return Holder(
        agent=fields["agent"],
        host=fields["holder_host"],
        pid=_int(fields["holder_pid"]),
        session=fields["holder_session"],
        since=_int(fields["holder_since"]),
    )
