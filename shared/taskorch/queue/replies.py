"""Turns the replies of scripts, nested lists of text, into the objects of `domain`.

A row whose fields cannot be right raises errors.Damaged. In a list, such a row is
skipped and added to the `damage` of the scripts.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from taskorch.domain import errors, limits
from taskorch.domain.acceptance import Check, CheckEvidence
from taskorch.domain.events import Event, Events
from taskorch.domain.frozen import members
from taskorch.domain.item import (
    DEFAULT_LEASE_MS,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_PRIORITY,
    AnsweredItem,
    Assignment,
    Assignments,
    CancelledItem,
    Claim,
    ClosedQuestions,
    Discovery,
    EditedItem,
    FieldChange,
    Findings,
    HeldDependent,
    Holder,
    Item,
    Lease,
    LeftOut,
    NewDiscoveries,
    Note,
    Package,
    Project,
    ProjectProgress,
    Question,
    Receipt,
    Report,
    Requeued,
    Returned,
    ReviewedItem,
    SettledReceipt,
    State,
)
from taskorch.domain.usage import NUMBERS, ModelUsage
from taskorch.queue import fields as read
from taskorch.queue.fields import (
    Damage,
    DamagedField,
    Fields,
    Reading,
    Row,
    readable,
)
from taskorch.queue.keys import POOL
from taskorch.queue.port import Reply

#: The usual values of the fields that an item's hash leaves out.
LEFT_OUT = {
    "priority": str(DEFAULT_PRIORITY),
    "token": "0",
    "attempts": "0",
    "max_attempts": str(DEFAULT_MAX_ATTEMPTS),
    "lease_ms": str(DEFAULT_LEASE_MS),
    "claim_lease_ms": str(DEFAULT_LEASE_MS),
    "not_before": "0",
}

#: The fields with what an item or a report has used; few have any.
USED = (*NUMBERS, "model")

#: The deliverables that are shown as links if they are URLs.
LINKED = ("branch", "pr", "commit")
_URL = r"https?://[!-~]{1,2000}"

#: The title that is shown for a damaged project.
DAMAGED_TITLE = "(damaged)"

#: What is wrong with a project that is listed but does not exist.
GONE = "it is gone"


def item(view: Reply) -> Item:
    """Read an item view: `{id, fields, lease expiry or ''}`."""
    id_, flat, expires = cast("tuple[str, Reply, str]", view)
    with Reading("item", id_):
        return _item(id_, with_defaults(read.fields_of(flat)), expires)


def with_defaults(fields: Fields) -> Fields:
    """Return the fields of an item together with those that its hash leaves out."""
    found = LEFT_OUT | fields
    if "started_at" in found:
        found.setdefault("holder_since", found["started_at"])
    if found.get("agent") or found.get("pool"):
        for of_assignment, of_creation in (
            ("assigned_at", "created_at"),
            ("assigned_by", "created_by"),
        ):
            if of_creation in found:
                found.setdefault(of_assignment, found[of_creation])
    return found


def items(views: Reply, damage: Damage) -> tuple[Item, ...]:
    """Read a list of item views."""
    return readable(item, cast("list[Reply]", views), damage)


def project(view: Reply) -> Project:
    """Read a project view: `{id, fields}`."""
    id_, flat = cast("tuple[str, Reply]", view)
    with Reading("project", id_):
        fields = read.fields_of(flat)
        if not fields:
            raise ValueError(GONE)
        if not limits.is_project_id(id_):
            raise DamagedField("id")
        if fields["status"] not in ("active", "closing", "completed"):
            raise DamagedField("status")
        return Project(
            id=id_,
            title=fields["title"],
            description=fields["description"],
            status=fields["status"],
            orchestrator=read.agent_name(fields, "orchestrator"),
            created_at=read.number(fields, "created_at"),
            completed_at=read.number(fields, "completed_at", 0),
            counts=read.counts(fields),
        )


def package(view: Reply, damage: Damage) -> Package:
    """Read a package.

    Its shape is `{item view, project view, {dependency …}, {newest report …}, findings,
    {number of dependencies that are left out, '1' if older reports are}}`.
    """
    item_view, project_view, dependencies, reports, found, left_out = cast(
        "list[Reply]", view
    )
    others, has_older = cast("tuple[int, str]", left_out)
    newest_first = readable(report, cast("list[Reply]", reports), damage)
    return Package(
        item=item(item_view),
        project_context=project_of_item(project_view, damage),
        dependencies=items(dependencies, damage),
        history=tuple(reversed(newest_first)),
        findings=findings(found, damage),
        left_out=LeftOut(dependencies=others, reports=bool(has_older)),
    )


def findings(view: Reply, damage: Damage) -> Findings:
    """Read `{{discovery of a dependency …}, {discovery of its project …}, '1' or ''}`."""
    of_dependencies, of_project, has_more = cast(
        "tuple[list[Reply], list[Reply], str]", view
    )
    return Findings(
        of_dependencies=readable(discovery, of_dependencies, damage),
        of_project=readable(discovery, of_project, damage),
        more=bool(has_more),
    )


def project_of_item(view: Reply, damage: Damage) -> Project:
    """Read the project of an item.

    If it is damaged, return a substitute, so that agents can still work on the item.
    """
    try:
        return project(view)
    except errors.Damaged as error:
        read.record_damage(error, damage)
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


def project_progress(
    rows: Sequence[Reply], project_view: Reply, new: Reply, damage: Damage
) -> ProjectProgress:
    """Read rows `{item view, {newest report}}`, and `{new discoveries, more}`."""
    newest: dict[str, Report] = {}

    def reported(row: Reply) -> Item:
        item_view, reports = cast("list[Reply]", row)
        found = item(item_view)
        entries = readable(report, cast("list[Reply]", reports), damage)
        if entries:
            newest[found.id] = entries[0]
        return found

    listed = readable(reported, rows, damage)
    return ProjectProgress(
        project=project(project_view),
        items=listed,
        last_reports=newest,
        new_discoveries=new_discoveries(new),
        dropped_discoveries=_dropped(project_view),
    )


def _dropped(project_view: Reply) -> int:
    """Return the number of discoveries that a project has dropped."""
    _, flat = cast("tuple[str, Reply]", project_view)
    return read.number(read.fields_of(flat), "dropped", 0)


def claim(view: Reply, damage: Damage) -> Claim:
    """Read a claim.

    Its shape is `{item id, token that may act or '', lease expiry or '', package,
    {id of a comment that is new to the holder …}}`.
    """
    id_, token, expires, package_view, new = cast(
        "tuple[str, str, str, Reply, Reply]", view
    )
    new_comments = tuple(read.texts(new))
    found = package(package_view, damage)
    if found.item.id != id_:
        raise errors.Damaged(
            kind="item",
            id=limits.shortened(id_),
            reason="its package is that of another item",
        )
    if not token:
        return Claim(lease=None, package=found)
    number, claim_id = token_parts(token)
    expires_at = read.whole(expires)
    lease = Lease(
        item=id_, token=number, claim=claim_id, expires_at=expires_at
    )
    return Claim(lease=lease, package=found, new_comments=new_comments)


def over_budget(words: Sequence[str]) -> errors.OverBudget:
    """Read `{owner, period, 'cost' or 'tokens', used, limit, ms when it begins again}`."""
    owner, period, what, used, limit, ends = words
    return errors.OverBudget(
        owner=owner,
        period=period,
        what=what,
        used=used,
        limit=limit,
        ends=ends,
    )


def usage(fields: Fields) -> ModelUsage | None:
    """Read what an item or a report has used; None if that is nothing."""
    if fields.keys().isdisjoint(USED):
        return None
    used = ModelUsage(
        tokens_in=read.number(fields, "tokens_in", 0),
        tokens_out=read.number(fields, "tokens_out", 0),
        cache_read=read.number(fields, "cache_read", 0),
        cost_micros=read.number(fields, "cost_micros", 0),
        model=_model(fields.get("model", "")),
    )
    return None if used.is_empty else used


def _model(name: str) -> str:
    if not name:
        return ""
    # few items have used anything, and short commands begin sooner without the rules
    from taskorch.domain.usage_rules import is_model

    if not is_model(name):
        raise DamagedField("model")
    return name


def receipt(view: Reply, damage: Damage) -> Receipt:
    """Read the receipt of a step."""
    return Receipt(**_receipt_fields(view, damage))


def completed(view: Reply, damage: Damage) -> SettledReceipt:
    """Read `{receipt's words …, {missing deliverable …}}`."""
    *words, missing = cast("list[Reply]", view)
    return SettledReceipt(
        **_receipt_fields(words, damage),
        missing_deliverables=tuple(read.texts(missing)),
    )


def settled(view: Reply, damage: Damage) -> SettledReceipt:
    """Read the receipt of a step that settles an item."""
    return SettledReceipt(**_receipt_fields(view, damage))


def _receipt_fields(view: Reply, damage: Damage) -> dict[str, Any]:
    """Read the fields of a receipt.

    Its shape is `{item id, token, lease expiry or '', state, remark, entry, percent,
    edited, {new comment …}, number of new comments that are left out, {numbers of open
    questions, of closed ones, of the one that was asked or withdrawn}}`.
    """
    *facts, comments, left, questions = cast("list[Reply]", view)
    id_, token, expires, state, remark, entry, percent, edited = read.texts(
        facts
    )
    still_open, closed, question = read.texts(questions)
    number, claim_id = token_parts(token)
    return {
        "id": id_,
        "state": State(state),
        "token": number,
        "claim": claim_id,
        "lease_expires_at": read.whole(expires),
        "remark": remark,
        "entry": entry,
        "percent": read.whole(percent) if percent else None,
        "edited": tuple(edited.split(",")) if edited else (),
        "comments": readable(report, cast("list[Reply]", comments), damage),
        "comments_left": left,
        "question": read.whole(question),
        "open_questions": read.whole_numbers(still_open),
        "closed_questions": read.whole_numbers(closed),
    }


def token_parts(token: str) -> tuple[int, str]:
    """Return the number of a token such as "3:9f2c", and the id of its claim."""
    number, _, claim_id = token.partition(":")
    return read.whole(number), claim_id


def report(view: Reply) -> Report:
    """Read an entry of an item's reports."""
    id_, fields = read.entry(view)
    with Reading("report", id_):
        percent = (
            read.number(fields, "percent") if fields.get("percent") else None
        )
        changed = _changes(fields) if fields.get("changes") else ()
        return Report(
            id=id_,
            at=read.made_at(id_, fields),
            kind=read.word(fields, "kind"),
            agent=read.agent_name(fields, "agent"),
            attempt=read.number(fields, "attempt"),
            token=read.number(fields, "token"),
            text=fields.get("text", "") or "\n".join(map(str, changed)),
            percent=percent,
            needs=fields.get("needs", ""),
            question=read.number(fields, "question", 0),
            changes=changed,
            request=fields.get("request", ""),
            written_at=fields.get("written_at", ""),
            ended=fields.get("ended", ""),
            reviewer=fields.get("reviewer", ""),
            usage=usage(fields),
        )


def _changes(fields: Fields) -> tuple[FieldChange, ...]:
    """Return the changes of an edit: a JSON list of field, before and after."""
    rows = read.json_value(fields, "changes")
    try:
        found = changes(cast("Reply", rows))
    except (TypeError, ValueError):
        raise DamagedField("changes") from None
    for change in found:
        if not all(read.is_text(text) for _, text in members(change)):
            raise DamagedField("changes")
    return found


def discovery(view: Reply) -> Discovery:
    """Read `{project, entry of its discoveries}`."""
    project, entry = cast("tuple[str, Reply]", view)
    id_, fields = read.entry(entry)
    with Reading("discovery", id_):
        if not limits.is_project_id(project):
            raise DamagedField("project")
        if not limits.is_item_id(fields["item"]):
            raise DamagedField("item")
        return Discovery(
            cursor=id_,
            at=read.made_at(id_, fields),
            project=project,
            item=fields["item"],
            agent=read.agent_name(fields, "agent"),
            text=fields["text"],
            impact=fields["impact"],
            cut=bool(fields.get("cut")),
            request=fields.get("request", ""),
            written_at=fields.get("written_at", ""),
        )


def new_discoveries(view: Reply) -> NewDiscoveries:
    """Read `{number, '1' if there may be more, else ''}`."""
    number, may_be_more = cast("tuple[int, str]", view)
    return NewDiscoveries(count=number, more=bool(may_be_more))


def note(view: Reply) -> Note:
    """Read an entry of an agent's private notes."""
    id_, fields = read.entry(view)
    with Reading("note", id_):
        return Note(
            at=read.made_at(id_, fields),
            text=fields["text"],
            written_at=fields.get("written_at", ""),
        )


def events(view: Reply, damage: Damage) -> Events:
    """Read `{'1' or '', newest id, {stream entry …}, cursor}`."""
    known, newest, entries, last = cast(
        "tuple[str, str, list[Reply], str]", view
    )
    return Events(
        known=bool(known),
        newest=newest,
        entries=readable(event, entries, damage),
        last=last,
    )


def event(view: Reply) -> Event:
    """Read an entry of the events."""
    id_, fields = read.entry(view)
    with Reading("event", id_):
        if fields["item"] and not limits.is_item_id(fields["item"]):
            raise DamagedField("item")
        if fields["project"] and not limits.is_project_id(fields["project"]):
            raise DamagedField("project")
        return Event(
            cursor=id_,
            at=read.made_at(id_, fields),
            verb=read.word(fields, "verb"),
            item=fields["item"],
            project=fields["project"],
            agent=read.agent_name(fields, "agent"),
            state=read.word(fields, "state") if fields["state"] else "",
            pool=read.agent_name(fields, "pool", ""),
        )


def assignments(agent: str, view: Reply, damage: Damage) -> Assignments:
    """Read `{count, assigned but not ready, {item view …}, now, {pool, number …}}`."""
    count, later, views, at, pools = cast(
        "tuple[int, int, Reply, int, Reply]", view
    )
    return Assignments(
        agent=agent,
        at=at,
        count=count,
        later=later,
        items=items(views, damage),
        pools=ready_in_pools(pools),
    )


def ready_in_pools(view: Reply) -> dict[str, int]:
    """Read `{pool, number of items that are ready in it …}`."""
    words = cast("list[str | int]", view)
    return {
        str(pool): int(number)
        for pool, number in zip(words[::2], words[1::2], strict=True)
    }


def assigned(view: Reply, pool: str) -> tuple[Assignment, ...]:
    """Read `{{assignment …}, '1' for a new agent or '', {other agent …}}`.

    An assignment is `{item id, project, agent, state, previous owner or ''}`. With a
    `pool`, '1' is for one without agents, and the others are pools.
    """
    listed, is_new, others = cast(
        "tuple[list[tuple[str, str, str, str, str]], str, list[str]]", view
    )
    names = tuple(filter(limits.is_name, others))
    is_to_pool = bool(pool)
    return tuple(
        Assignment(
            id=id_,
            project=project,
            agent=agent,
            pool=pool,
            state=State(state),
            previous="" if pool_of(previous) else previous,
            previous_pool=pool_of(previous),
            is_new_agent=bool(is_new) and not is_to_pool,
            other_agents=() if is_to_pool else names,
            has_no_agents=bool(is_new) and is_to_pool,
            other_pools=names if is_to_pool else (),
        )
        for id_, project, agent, state, previous in listed
    )


def pool_of(owner: str) -> str:
    """Return the pool that the owner of a queue is; "" for an agent."""
    return owner.removeprefix(POOL) if owner.startswith(POOL) else ""


def edited(view: Reply) -> tuple[EditedItem, ...]:
    """Read `{{item id, state, {change …}} …}`."""
    return tuple(
        EditedItem(id=str(id_), state=State(str(state)), changes=changes(rows))
        for id_, state, rows in read.rows(view)
    )


def changes(view: Reply) -> tuple[FieldChange, ...]:
    """Read `{{field, before, after} …}`."""
    rows = cast("list[list[str]]", view)
    return tuple(
        FieldChange(field=field, before=before, after=after)
        for field, before, after in rows
    )


def answered(view: Reply) -> AnsweredItem:
    """Read `{item id, state, agent, number of the question, numbers still open}`."""
    # Of an earlier version, a repeat has no numbers.
    id_, state, _, *numbers = read.texts(view)
    question, still_open = numbers or ("", "")
    return AnsweredItem(
        id=id_,
        state=State(state),
        question=read.whole(question),
        open_questions=read.whole_numbers(still_open),
    )


def reviewed(view: Reply) -> tuple[ReviewedItem, bool]:
    """Read `{item id, state, agent, remark, '1' or ''}` of a decision.

    The flag says whether some of the items that waited for it are left for `resume`.
    """
    id_, state, agent, remark, is_left = read.texts(view)
    done = ReviewedItem(id=id_, state=State(state), agent=agent, remark=remark)
    return done, bool(is_left)


def cancelled(view: Reply) -> CancelledItem:
    """Read `{item id, state, agent, items that wait for it, questions closed}`."""
    id_, state, _, waiting, *closed = cast("list[str]", view)
    return CancelledItem(
        id=id_,
        state=State(state),
        waiting=int(waiting),
        closed_questions=read.whole_numbers("".join(closed)),
    )


def closed_questions(rows: Reply) -> tuple[ClosedQuestions, ...]:
    """Read `{{item id, numbers of questions} …}`."""
    return tuple(
        ClosedQuestions(item=item, questions=read.whole_numbers(numbers))
        for item, numbers in cast("list[list[str]]", rows)
    )


def requeued(view: Reply) -> tuple[Requeued, int]:
    """Read `{item id, state, agent, waiting again, {{held item, agent} …}, left}`.

    The number is that of the dependents that are left for another call.
    """
    id_, state, _, waiting, held, left = cast(
        "tuple[str, str, str, int, list[tuple[str, str]], int]", view
    )
    dependents = tuple(
        HeldDependent(id=held_id, agent=agent) for held_id, agent in held
    )
    return Requeued(
        id=id_, state=State(state), waiting=waiting, held=dependents
    ), left


def _item(id_: str, fields: Fields, expires: str) -> Item:
    if not limits.is_item_id(id_):
        raise DamagedField("id")
    if not limits.is_project_id(fields["project"]):
        raise DamagedField("project")
    for name in (
        "seq",
        "lease_ms",
    ):  # not part of an Item, but other readers use them
        read.number(fields, name)
    depends_on = read.text_list(fields, "depends_on")
    if not all(map(limits.is_item_id, depends_on)):
        raise DamagedField("depends_on")
    state = read.state(fields)
    is_held = (
        state in (State.IN_PROGRESS, State.BLOCKED) and "live_token" in fields
    )
    deliverables = read.text_map(fields, "deliverables")
    return Item(
        id=id_,
        project=fields["project"],
        title=fields["title"],
        description=fields.get("description", ""),
        requirements=read.text_list(fields, "requirements"),
        context=read.text_map(fields, "context"),
        resources=read.text_list(fields, "resources"),
        deliverables_expected=read.text_list(fields, "deliverables_expected"),
        criteria=read.text_list(fields, "criteria"),
        checks=_checks(fields),
        reviewer=read.agent_name(fields, "reviewer", ""),
        labels=_labels(read.text_list(fields, "labels")),
        priority=read.number(fields, "priority"),
        state=state,
        agent=read.agent_name(fields, "agent"),
        pool=read.agent_name(fields, "pool", ""),
        holder=_holder(fields) if is_held else None,
        token=read.number(fields, "token"),
        attempts=read.number(fields, "attempts"),
        max_attempts=read.number(fields, "max_attempts"),
        lease_expires_at=read.whole(expires),
        depends_on=depends_on,
        percent=read.number(fields, "percent", 0),
        summary=fields.get("summary", ""),
        deliverables=deliverables,
        evidence=_evidence(fields),
        links=_links(deliverables),
        questions=_questions(fields),
        assigned_by=read.agent_name(fields, "assigned_by", ""),
        traceparent=_traceparent(fields.get("traceparent", "")),
        returned=_returned(fields),
        last_host=fields.get("holder_host", ""),
        task=fields.get("task", ""),
        generation=read.number(fields, "generation", 0),
        had_failed=fields.get("had_failed", "") == "1",
        usage=usage(fields),
        not_before_at=read.number(fields, "not_before"),
        created_at=read.number(fields, "created_at"),
        assigned_at=read.number(fields, "assigned_at", 0),
        started_at=read.number(fields, "started_at", 0),
        completed_at=read.number(fields, "completed_at", 0),
        changed_at=int(read.cursor(fields, "event").partition("-")[0] or 0),
    )


def _labels(labels: tuple[str, ...]) -> tuple[str, ...]:
    if not all(map(limits.is_label, labels)):
        raise DamagedField("labels")
    return labels


def _checks(fields: Fields) -> tuple[Check, ...]:
    if "checks" not in fields:
        return ()
    # few items have checks, and short commands begin sooner without their rules
    from taskorch.domain.acceptance_rules import existing_check

    return _listed(existing_check, fields, "checks")


def _evidence(fields: Fields) -> tuple[CheckEvidence, ...]:
    if "evidence" not in fields:
        return ()
    from taskorch.domain.acceptance_rules import result_of

    return _listed(result_of, fields, "evidence")


def _listed(
    parse: Callable[[object], Row], fields: Fields, name: str
) -> tuple[Row, ...]:
    """Return the values of a JSON list, each as `parse` reads it."""
    listed = read.json_value(fields, name)
    if not isinstance(listed, list):
        raise DamagedField(name)
    try:
        return tuple(map(parse, listed))
    except errors.Invalid:
        raise DamagedField(name) from None


def _traceparent(traceparent: str) -> str:
    if traceparent and not limits.is_traceparent(traceparent):
        raise DamagedField("traceparent")
    return traceparent


def _links(deliverables: Mapping[str, str]) -> dict[str, str]:
    """Return the known deliverables that are URLs: printable ASCII, without spaces."""
    return {
        name: deliverables[name]
        for name in LINKED
        if name in deliverables and re.fullmatch(_URL, deliverables[name])
    }


def _questions(fields: Fields) -> tuple[Question, ...]:
    """Return the open questions, with the one that an earlier version asked."""
    listed = read.records(fields, "questions")
    asked = tuple(
        Question(
            number=read.number(each, "number"),
            text=each["text"],
            needs=each["needs"],
            agent=read.agent_name(each, "agent"),
            at=read.number(each, "at"),
        )
        for each in listed
    )
    if not fields.get("blocker"):
        return asked
    earlier = Question(
        number=read.number(fields, "asked", 0) + 1,
        text=fields["blocker"],
        needs=fields.get("needs", ""),
        agent=fields["agent"],
        at=0,
    )
    return (*asked, earlier)


def _returned(fields: Fields) -> Returned | None:
    """Return why an item was sent back or requeued, or None."""
    if not fields.get("returned"):
        return None
    (stored,) = read.records(
        {"returned": f"[{fields['returned']}]"}, "returned"
    )
    return Returned(
        text=stored["text"],
        by=read.agent_name(stored, "by"),
        at=read.number(stored, "at"),
    )


def _holder(fields: Fields) -> Holder:
    return Holder(
        agent=fields["agent"],
        host=fields.get("holder_host", ""),
        pid=read.number(fields, "holder_pid", 0),
        session=fields.get("holder_session", ""),
        since=read.number(fields, "holder_since", 0),
    )
