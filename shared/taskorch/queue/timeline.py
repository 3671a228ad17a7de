"""Builds the timeline of an item from its fields, its reports and its discoveries.

An item stores only its newest assignment and its newest claim. Reports keep the earlier
ones: one of kind `assign` has the assignment that it replaced, and one that ends a claim
has who held the item, where and since when. Reports of earlier versions lack these
fields; the timeline then shows what there is.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from taskorch.domain import limits
from taskorch.domain.events import position
from taskorch.domain.item import Item, Report, State
from taskorch.domain.timeline import (
    REPORTS_KEPT,
    Dependent,
    ItemTimeline,
    TimelineEntry,
)
from taskorch.queue import fields as read
from taskorch.queue import replies
from taskorch.queue.fields import DamagedField, Fields, Reading, readable
from taskorch.queue.keys import of_pool
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: The cursor before which there are no reports.
AT_THE_START = "0-1"
#: The details of an entry that are those of a claim or an assignment.
OF_CLAIM = ("host", "pid", "session")
OF_ASSIGNMENT = ("to", "from")


class _Page(NamedTuple):
    """A page of a timeline, as the script returns it."""

    #: The package of the item on the first page.
    packages: list[Reply]
    #: Newest first.
    reports: list[Reply]
    #: Oldest first, and the number of those that were read.
    discoveries: list[Reply]
    seen: int
    #: "1" if there are older reports, and older discoveries.
    older: str
    more: str
    #: Of the first page: `{id, title, state}` of items that wait for it, and the number
    #: of the others.
    dependents: list[Reply]
    dependents_left_out: int


class _Entries(NamedTuple):
    """The first page of a timeline, and the entries of the pages that were read."""

    first: _Page
    #: Oldest first.
    reports: list[Reply]
    discoveries: list[Reply]
    #: What happened before is on pages that were not read; 0 if all were read.
    read_since: int


class _Recorded(NamedTuple):
    """A report with all fields of its entry."""

    report: Report
    fields: Fields


def read_timeline(
    scripts: Scripts, item: str, *, most_pages: int | None = None
) -> ItemTimeline:
    """Read an item with its timeline: one call, and more for a very long one.

    With `most_pages`, it makes no more calls than that, and lacks the oldest entries.
    """
    entries = _entries(scripts, limits.item_id(item), most_pages)
    damage = scripts.damage
    (page_package,) = entries.first.packages
    package = replies.package(page_package, damage)
    item_view = cast("list[Reply]", page_package)[0]
    stored = read.fields_of(cast("list[Reply]", item_view)[1])
    fields = replies.with_defaults(stored)
    recorded = readable(_recorded, entries.reports, damage)
    discoveries = readable(_discovery, entries.discoveries, damage)
    claims = list(_claims(package.item, fields, recorded))
    made = [
        _created(package.item, fields),
        *_assignments(package.item, recorded),
        *claims,
        *map(_reported, recorded),
        *discoveries,
    ]
    shown = [each for each in made if _stored_at(each) >= entries.read_since]
    return ItemTimeline(
        item=package.item,
        project_context=package.project_context,
        dependencies=package.dependencies,
        timeline=tuple(_in_order(shown, claims)),
        trimmed=len(entries.reports) >= REPORTS_KEPT,
        dependencies_left_out=package.left_out.dependencies,
        dependents=tuple(
            readable(_dependent, entries.first.dependents, damage)
        ),
        dependents_left_out=int(entries.first.dependents_left_out),
        has_older=entries.read_since > 0,
    )


def _entries(scripts: Scripts, item: str, most_pages: int | None) -> _Entries:
    """Read the pages; their number is bounded anyway, because streams are capped."""
    page = first = _page(scripts, item, "", 0)
    (package,) = page.packages
    newest_first = list(cast("list[list[Reply]]", package)[3])
    found, seen, pages = [page.discoveries], page.seen, 1
    while (page.older or page.more) and pages != most_pages:
        before = AT_THE_START
        if page.older:
            before = _id(newest_first[-1])
        page = _page(scripts, item, before, seen)
        newest_first += page.reports
        found.append(page.discoveries)
        seen += page.seen
        pages += 1
    oldest_first = [entry for older in reversed(found) for entry in older]
    read_since = 0
    if page.older:
        read_since = _ms(_id(newest_first[-1]))
    if page.more and oldest_first:
        _, entry = cast("list[Reply]", oldest_first[0])
        read_since = max(read_since, _ms(_id(entry)))
    return _Entries(first, newest_first[::-1], oldest_first, read_since)


def _id(entry: Reply) -> str:
    return str(cast("list[Reply]", entry)[0])


def _ms(entry_id: str) -> int:
    return position(entry_id)[0] if limits.is_cursor(entry_id) else 0


def _stored_at(entry: TimelineEntry) -> int:
    """Return when an entry was written; an imported report has an earlier time."""
    return _ms(entry.report.id) or entry.report.at


def _page(scripts: Scripts, item: str, before: str, seen: int) -> _Page:
    reply = scripts.run_script("timeline", item, before, seen or "")
    return _Page(*cast("list[Any]", reply))


def _dependent(view: Reply) -> Dependent:
    id_, title, state = cast("tuple[str, str, str]", view)
    with Reading("item", id_):
        if not limits.is_item_id(id_):
            raise DamagedField("id")
        return Dependent(id=id_, title=title, state=State(state))


def _recorded(view: Reply) -> _Recorded:
    _, fields = read.entry(view)
    return _Recorded(replies.report(view), fields)


def _discovery(view: Reply) -> TimelineEntry:
    _, entry = cast("list[Reply]", view)
    id_, fields = read.entry(entry)
    with Reading("discovery", id_):
        report = Report(
            id=id_,
            at=read.made_at(id_, fields),
            kind="discover",
            agent=read.agent_name(fields, "agent"),
            attempt=0,
            token=0,
            text=fields["text"],
            written_at=fields.get("written_at", ""),
        )
        return TimelineEntry(
            report=report, details={"impact": fields["impact"]}
        )


def _reported(recorded: _Recorded) -> TimelineEntry:
    kept = OF_ASSIGNMENT if recorded.report.kind == "assign" else ()
    return TimelineEntry(
        report=recorded.report, details=_details(recorded.fields, kept)
    )


def _created(item: Item, fields: Fields) -> TimelineEntry:
    by = read.agent_name(fields, "created_by", "")
    return _derived("create", item.created_at, by)


def _assignments(
    item: Item, recorded: Iterable[_Recorded]
) -> Iterator[TimelineEntry]:
    """Yield the assignment that no report is about: the first one, or the only one."""
    for report, fields in recorded:
        if report.kind == "assign":
            at = _number(fields, "from_at")
            if at:
                by = _name(fields, "from_by")
                first = {"to": fields.get("from", "")}
                yield _derived("assign", at, by, details=first)
            return
    if item.assigned_at:
        only = {"to": of_pool(item.pool) if item.pool else item.agent}
        yield _derived(
            "assign", item.assigned_at, item.assigned_by, details=only
        )


def _claims(
    item: Item, fields: Fields, recorded: Iterable[_Recorded]
) -> Iterator[TimelineEntry]:
    """Yield each claim once: those that reports keep, and the newest of the item."""
    seen: set[int] = set()
    attempts: dict[int, int] = {}
    for report, entry in recorded:
        token = report.token
        attempts.setdefault(token, report.attempt)
        since = _number(entry, "since")
        if since and token not in seen:
            seen.add(token)
            yield _derived(
                "claim",
                since,
                _name(entry, "holder"),
                token=token,
                attempt=attempts[token],
                details=_details(entry, OF_CLAIM),
            )
    since = _number(fields, "holder_since")
    if since and item.token not in seen:
        holder = {name: fields.get(f"holder_{name}", "") for name in OF_CLAIM}
        yield _derived(
            "claim",
            since,
            item.agent,
            token=item.token,
            attempt=attempts.get(item.token, item.attempts),
            details=holder,
        )


def _derived(  # noqa: PLR0913  six, which the house style allows
    kind: str,
    at: int,
    agent: str,
    *,
    token: int = 0,
    attempt: int = 0,
    details: Mapping[str, str] = {},
) -> TimelineEntry:
    """Return an entry that is not a report."""
    report = Report(
        id="", at=at, kind=kind, agent=agent, attempt=attempt, token=token
    )
    return TimelineEntry(report=report, details=details)


def _in_order(
    made: Iterable[TimelineEntry], claims: Sequence[TimelineEntry]
) -> list[TimelineEntry]:
    """Return entries by time.

    Of one ms, a claim is after the reports of the previous claim and before its own. A
    discovery has no token: it belongs to the claim of its time.
    """

    def token_at(at: int) -> int:
        since = (
            claim.report.token for claim in claims if claim.report.at <= at
        )
        return max(since, default=0)

    def place(entry: TimelineEntry) -> tuple[int, int, int]:
        report = entry.report
        token = report.token
        if report.kind == "discover":
            token = token_at(report.at)
        order = ORDER.get(report.kind, len(ORDER))
        return report.at, token, order

    return sorted(made, key=place)


#: The order of entries of one ms and one token; other kinds follow.
ORDER = {"create": 0, "claim": 1}


def _details(fields: Fields, names: Iterable[str]) -> dict[str, str]:
    return {name: fields.get(name, "") for name in names}


def _number(fields: Fields, name: str) -> int:
    """Return a number; 0 if it is missing or damaged: the rest is still worth reading."""
    try:
        return read.number(fields, name, 0)
    except DamagedField:
        return 0


def _name(fields: Fields, name: str) -> str:
    """Return the name of an agent; "" if it is missing or damaged."""
    value = fields.get(name, "")
    return value if limits.is_name(value) else ""
