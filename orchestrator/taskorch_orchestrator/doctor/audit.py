"""The walk through a namespace, part by part: what does not fit together, and what was repaired."""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice

from taskorch.domain import errors
from taskorch.domain.frozen import Frozen, replace
from taskorch.queue import replies
from taskorch.queue.audit import AuditPage, Finding, OpenDependency
from taskorch.queue.queue import Queue

#: How often the namespace is walked through at most: again after each repair, and while others change the counts.
ROUNDS = 5
OWNERS = 200
MOST_AGENTS = 5000
MOST_PROJECTS = 5000
PAGE = 500
#: Kinds of damaged rows that are moved aside.
MOVED = ("item", "project", "agent")
INDEXES = ("unassigned", "waiting", "leases", "blocked", "delayed", "dead")


class Audit(Frozen):
    """What a walk found."""

    #: What is wrong now, and what was repaired.
    left: tuple[Finding, ...] = ()
    repaired: tuple[Finding, ...] = ()
    waiting: tuple[OpenDependency, ...] = ()
    items: int = 0
    #: False where something happened each time, so that the counts could not be compared.
    counted: bool = False


def audit(queue: Queue, *, fix: bool) -> Audit:
    """Walk through the namespace; with `fix` repair what is wrong, and walk again until nothing is."""
    unreadable = dict.fromkeys(damaged(queue, fix=fix))
    repaired: dict[Finding, None] = dict(unreadable) if fix else {}
    walked = Audit()
    for _ in range(ROUNDS):
        try:
            walked = _walk(queue, fix=fix)
        except errors.NoProject:  # it went while its items were looked at
            continue
        if fix:
            repaired |= dict.fromkeys(walked.left)
        if walked.counted and not (fix and walked.left):
            break
    known = {finding.id for finding in unreadable}
    left = [
        each for each in walked.left if each.word != "damaged" or each.id not in known
    ]
    if not fix:
        left = [*unreadable, *left]
    return replace(
        walked,
        left=tuple(left),
        repaired=tuple(each for each in repaired if each not in set(left)),
    )


def damaged(queue: Queue, *, fix: bool) -> tuple[Finding, ...]:
    """Return what cannot be read; with `fix` it is moved aside, so that the audit can repair what names it."""
    queue.damage.clear()
    queue.views.projects(limit=MOST_PROJECTS)
    queue.views.agents(limit=MOST_AGENTS)
    cursor = queue.views.list(limit=PAGE).cursor
    while cursor:
        cursor = queue.views.list(cursor=cursor, limit=PAGE).cursor
    found = {
        key: why
        for key, why in queue.damage.items()
        if key[0] in MOVED and why != replies.GONE
    }
    queue.damage.clear()
    for (kind, id_), reason in found.items() if fix else ():
        queue.quarantine(kind, id_, reason)
    return tuple(
        Finding(id=id_, word="damaged", detail=reason)
        for (_, id_), reason in found.items()
    )


def _walk(queue: Queue, *, fix: bool) -> Audit:
    slices = list(_slices(queue, fix=fix))
    counts = {
        f"agent:{agent.name}": Counter[str]()
        for agent in queue.views.agents(limit=MOST_AGENTS)
    }
    for owner, state, number in (count for part in slices for count in part.counts):
        counts.setdefault(owner, Counter())[state] += number
    found = dict.fromkeys(finding for part in slices for finding in part.findings)
    for index in _indexes(counts):
        found |= dict.fromkeys(queue.audit_index(index, fix=fix))
    drifts = None if fix and found else _drifts(queue, slices[0].event, counts, fix=fix)
    return Audit(
        left=(*found, *(drifts or ())),
        waiting=tuple(waiting for part in slices for waiting in part.waiting),
        items=sum(
            sum(states.values())
            for owner, states in counts.items()
            if owner.startswith("project:")
        ),
        counted=drifts is not None,
    )


def _slices(queue: Queue, *, fix: bool) -> Iterator[AuditPage]:
    part = queue.audit(fix=fix)
    yield part
    while part.cursor:
        part = queue.audit(cursor=part.cursor, fix=fix)
        yield part


def _indexes(owners: Mapping[str, object]) -> Iterator[str]:
    yield from INDEXES
    for kind, _, name in (owner.partition(":") for owner in owners):
        if kind == "agent":
            yield from (f"queue:{name}", f"held:{name}")


def _drifts(
    queue: Queue, event: str, counts: Mapping[str, Mapping[str, int]], *, fix: bool
) -> tuple[Finding, ...] | None:
    """Return the counts that are wrong; None where something happened since the event."""
    drifts: list[Finding] = []
    owners = iter(counts.items())
    while some := dict(islice(owners, OWNERS)):
        found = queue.recount(event, some, fix=fix)
        if found is None:
            return None
        drifts += found
    return tuple(drifts)
