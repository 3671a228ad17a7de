"""The audit of a namespace: find inconsistent records page by page, and repair them."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen, replace
from taskorch.domain.item import State
from taskorch.queue import replies
from taskorch.queue.audit import AuditPage, Finding, OpenDependency
from taskorch.queue.queue import Queue

#: The namespace is audited again after a repair, and if the counts have changed.
MOST_ROUNDS = 5
#: Projects and agents per request.
OWNERS = 70
MOST_AGENTS = 5000
MOST_PROJECTS = 5000
#: Items per request.
PAGE = 500
#: Kinds of damaged records that are moved aside.
MOVED = ("item", "project", "agent")
INDEXES = (
    "unassigned",
    "waiting",
    "leases",
    "blocked",
    "reviews",
    "delayed",
    "dead",
    "questions",
    "unfinished",
)

#: Owner ("project:<id>", "agent:<name>" or "pool:<name>") -> state -> number of items; of a
#: project also what its items have used, such as tokens_in -> their number.
Counts = Mapping[str, Mapping[str, int]]


class Audit(Frozen):
    """The result of an audit."""

    #: Problems that remain.
    findings: tuple[Finding, ...] = ()
    repaired: tuple[Finding, ...] = ()
    open_dependencies: tuple[OpenDependency, ...] = ()
    #: The number of items.
    items: int = 0
    #: False if the counts could not be compared because the namespace kept changing.
    counted: bool = False


def audit(queue: Queue, *, fix: bool) -> Audit:
    """Audit a namespace; with `fix`, repair it until nothing is wrong."""
    unreadable = dict.fromkeys(damaged(queue, fix=fix))
    repaired: dict[Finding, None] = dict(unreadable) if fix else {}
    result = Audit()
    for _ in range(MOST_ROUNDS):
        try:
            result = _audit_once(queue, fix=fix)
        except errors.NoProject:  # it was purged during the audit
            continue
        if fix:
            repaired |= dict.fromkeys(result.findings)
            if any(finding.word == "step" for finding in result.findings):
                queue.reap()  # tries again: one that stops again is found again
        if result.counted and not (fix and result.findings):
            break
    unreadable_ids = {finding.id for finding in unreadable}
    findings = [
        finding
        for finding in result.findings
        if finding.word != "damaged" or finding.id not in unreadable_ids
    ]
    if not fix:
        findings = [*unreadable, *findings]
    remaining = set(findings)
    return replace(
        result,
        findings=tuple(findings),
        repaired=tuple(
            finding for finding in repaired if finding not in remaining
        ),
    )


def damaged(queue: Queue, *, fix: bool) -> tuple[Finding, ...]:
    """Return the records that cannot be read.

    With `fix`, move them aside, so that the audit can repair the references to them.
    """
    queue.damage.clear()
    queue.views.projects(limit=MOST_PROJECTS)
    queue.views.agents(limit=MOST_AGENTS)
    cursor = queue.views.list(limit=PAGE).cursor
    while cursor:
        cursor = queue.views.list(cursor=cursor, limit=PAGE).cursor
    found = {
        (kind, id_): reason
        for (kind, id_), reason in queue.damage.items()
        if kind in MOVED and reason != replies.GONE
    }
    queue.damage.clear()
    if fix:
        for (kind, id_), reason in found.items():
            queue.quarantine(kind, id_, reason)
    return tuple(
        Finding(id=id_, word="damaged", detail=reason)
        for (_, id_), reason in found.items()
    )


def _audit_once(queue: Queue, *, fix: bool) -> Audit:
    pages = list(_pages(queue, fix=fix))
    counts = {
        f"agent:{agent.name}": Counter[str]()
        for agent in queue.views.agents(limit=MOST_AGENTS)
    }
    counts |= {
        f"pool:{pool.name}": Counter[str]()
        for pool in queue.views.pool_figures()
    }
    for page in pages:
        for owner, state, number in page.counts:
            counts.setdefault(owner, Counter())[state] += number
    findings = dict.fromkeys(
        finding for page in pages for finding in page.findings
    )
    for index in _indexes(counts):
        findings |= dict.fromkeys(queue.audit_index(index, fix=fix))
    wrong_counts = None
    # Repairs change the counts, so they are compared in the next round.
    if not (fix and findings):
        wrong_counts = _wrong_counts(queue, pages[0].event, counts, fix=fix)
    items = sum(
        number
        for owner, states in counts.items()
        if owner.startswith("project:")
        for state, number in states.items()
        if state in list(State)
    )
    return Audit(
        findings=(*findings, *(wrong_counts or ())),
        open_dependencies=tuple(
            edge for page in pages for edge in page.waiting
        ),
        items=items,
        counted=wrong_counts is not None,
    )


def _pages(queue: Queue, *, fix: bool) -> Iterator[AuditPage]:
    page = queue.audit(fix=fix)
    yield page
    while page.cursor:
        page = queue.audit(cursor=page.cursor, fix=fix)
        yield page


def _indexes(counts: Counts) -> Iterator[str]:
    """Yield the names of all indexes: the common ones, those of each agent and pool."""
    yield from INDEXES
    for owner in counts:
        kind, _, name = owner.partition(":")
        if kind == "agent":
            yield f"queue:{name}"
            yield f"held:{name}"
        elif kind == "pool":
            yield f"queue:{owner}"


def _wrong_counts(
    queue: Queue, event: str, counts: Counts, *, fix: bool
) -> tuple[Finding, ...] | None:
    """Return the wrong counts, or None if something happened since `event`."""
    wrong: list[Finding] = []
    owners = iter(counts.items())
    while batch := dict(islice(owners, OWNERS)):
        found = queue.recount(event, batch, fix=fix)
        if found is None:
            return None
        wrong += found
    return tuple(wrong)
