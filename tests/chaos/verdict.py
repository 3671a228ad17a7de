"""The invariants of a run: acknowledged calls in the ledgers, compared with Redis.

All functions are pure.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from taskorch.domain.item import Item, Report, State
from taskorch.domain.mirror_record import MirrorRecord
from taskorch.domain.usage import ModelUsage
from taskorch.queue.metrics import Counters

from chaos.ledger import Call
from chaos.worker import POISON

#: Reports that only a holder makes, and those that give the item up.
BY_HOLDER = ("progress", "complete", "fail", "release", "blocker")
GIVES_UP = ("complete", "fail", "release")
REPEAT = "repeat"
#: Calls whose text is in the history of the item.
REPORTED = ("progress", "discover", "fail", "release", "send_back")
#: The refusals of a holder whose item has another holder.
REFUSALS = ("LEASE_LOST", "HELD", "WRONG_STATE", "NOT_YOURS", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """Everything that is known about a run at its end."""

    calls: Sequence[Call]
    #: Every item that exists, by id.
    records: Mapping[str, MirrorRecord]
    #: Items that have a lease.
    held: Sequence[str] = ()
    #: Inconsistencies between keys in Redis.
    inconsistencies: Sequence[str] = ()
    #: Processes that ended unexpectedly.
    broken: Sequence[str] = ()
    #: The counters of the namespace, if they were read.
    counters: Counters | None = None
    #: What the namespace has counted as the cost of everything, in microdollars.
    spent: int = 0

    def of_item(self) -> Mapping[str, list[Call]]:
        """Return the acknowledged calls by item."""
        found: defaultdict[str, list[Call]] = defaultdict(list)
        for call in self.done():
            found[call.item].append(call)
        return found

    def done(self, *verbs: str) -> Iterator[Call]:
        """Return the acknowledged calls of these verbs, or of all.

        A claim that found no item does not count.
        """
        done = (
            call
            for call in self.calls
            if call.done and (call.verb != "claim" or call.got_token)
        )
        return (call for call in done if not verbs or call.verb in verbs)


@dataclass(frozen=True, kw_only=True)
class Violations:
    """The violations of one invariant: items, or whatever else it was found on."""

    invariant: str
    found: tuple[str, ...]
    #: Whether a failover of Redis may cause them: then they are only measured.
    is_tolerated: bool = False
    #: The number of acknowledged calls that could have violated it.
    of: int = 0

    @property
    def is_failure(self) -> bool:
        """Return whether the queue has broken a guarantee."""
        return bool(self.found) and not self.is_tolerated


@dataclass(frozen=True, kw_only=True)
class Invariant:
    """An invariant, named for its violation, and the function that finds violations."""

    name: str
    find: Callable[[Evidence], Iterable[str]]
    #: The verbs whose acknowledgements are counted.
    verbs: tuple[str, ...] = ()
    #: Whether a failover may cause it, because Redis loses acknowledged steps then.
    by_failover: bool = field(default=False)


def check_invariants(
    evidence: Evidence, *, failover: bool
) -> list[Violations]:
    """Return the violations of each invariant."""
    verdict = []
    for invariant in INVARIANTS:
        found = set(invariant.find(evidence))
        acknowledged = (
            list(evidence.done(*invariant.verbs)) if invariant.verbs else []
        )
        verdict.append(
            Violations(
                invariant=invariant.name,
                found=tuple(sorted(found)),
                is_tolerated=failover and invariant.by_failover,
                of=len(acknowledged),
            )
        )
    return verdict


def creates_lost(evidence: Evidence) -> Iterator[str]:
    """Return items that do not exist although their creation was acknowledged."""
    return (
        call.item
        for call in evidence.done("create")
        if call.item not in evidence.records
    )


def created_twice(evidence: Evidence) -> Iterator[str]:
    """Return items that one call created twice; a title contains the call's id."""
    titles = Counter(record.item.title for record in evidence.records.values())
    return (
        id_
        for id_, record in evidence.records.items()
        if titles[record.item.title] > 1
    )


def assigns_lost(evidence: Evidence) -> Iterator[str]:
    """Return assigned items that have no agent."""
    items = [
        evidence.records[call.item].item
        for call in evidence.done("assign")
        if call.item in evidence.records
    ]
    return (item.id for item in items if item.state is State.PENDING)


def completes_lost(evidence: Evidence) -> Iterator[str]:
    """Return items that are not completed although a completion was acknowledged."""
    for call in evidence.done("complete"):
        record = evidence.records.get(call.item)
        if record is None or record.item.state is not State.COMPLETED:
            yield call.item


def acceptances_lost(evidence: Evidence) -> Iterator[str]:
    """Return items that are not completed although their acceptance was acknowledged."""
    for call in evidence.done("accept"):
        record = evidence.records.get(call.item)
        if record is None or record.item.state is not State.COMPLETED:
            yield call.item


def reports_lost(evidence: Evidence) -> Iterator[str]:
    """Return items without a report that was acknowledged."""
    for call in evidence.done(*REPORTED):
        record = evidence.records.get(call.item)
        if record is None or call.id not in _texts(record):
            yield call.item


def completed_twice(evidence: Evidence) -> Iterator[str]:
    """Return items with two completions, acknowledged or in their history.

    Repeats do not count. An item that was sent back is completed again.
    """
    returns = {
        id_: sum(report.kind == "send_back" for report in record.reports)
        for id_, record in evidence.records.items()
    }
    acknowledged = Counter(
        call.item
        for call in evidence.done("complete")
        if call.remark != REPEAT
    )
    for item, times in acknowledged.items():
        if times > 1 + returns.get(item, 0):
            yield item
    for id_, record in evidence.records.items():
        delivered = sum(report.kind == "complete" for report in record.reports)
        if delivered > 1 + returns[id_]:
            yield id_


def reported_twice(evidence: Evidence) -> Iterator[str]:
    """Return items with two entries in their history from one request."""
    for id_, record in evidence.records.items():
        made = Counter(
            report.request
            for report in record.reports
            if report.kind in BY_HOLDER and report.request
        )
        if any(times > 1 for times in made.values()):
            yield id_


def token_given_twice(evidence: Evidence) -> Iterator[str]:
    """Return items that gave two claims the same token number."""
    given = Counter(
        (call.item, call.got_token) for call in evidence.done("claim")
    )
    return (item for (item, _), times in given.items() if times > 1)


def lease_given_twice(evidence: Evidence) -> Iterator[str]:
    """Return items that gave two processes the same token and claim id."""
    given = {
        (call.item, call.got_token, call.got_claim, call.who)
        for call in evidence.done("claim")
    }
    holders = Counter((item, token, claim) for item, token, claim, _ in given)
    return (item for (item, _, _), times in holders.items() if times > 1)


def held_by_two(evidence: Evidence) -> Iterator[str]:
    """Return items that were claimed before the earlier lease expired or was given up."""
    for id_, calls in evidence.of_item().items():
        given_up = _given_up(evidence.records.get(id_)) | {
            call.token for call in calls if call.verb in GIVES_UP
        }
        until: defaultdict[int, int] = defaultdict(int)
        for call in calls:
            until[call.got_token] = max(until[call.got_token], call.expires_at)
        for claim in calls:
            if claim.verb != "claim" or not claim.since:
                continue
            earlier = claim.got_token - 1
            if earlier not in given_up and until[earlier] > claim.since:
                yield id_


def stale_writes_accepted(evidence: Evidence) -> Iterator[str]:
    """Return items that accepted a report under an old token or one that was given up.

    An entry of the history has the newest token of that moment, a ledger the token that
    was shown; a receipt has the number and the claim of the newest one.
    """
    shown = {call.id: call for call in evidence.calls if call.token}
    for call in evidence.done():
        if call.token and (call.got_token, call.got_claim) != (
            call.token,
            call.claim,
        ):
            yield call.item
    for id_, record in evidence.records.items():
        if any(
            _is_stale(report, shown) for report in record.reports
        ) or _is_out_of_order(record.reports):
            yield id_


def poison_not_stopped(evidence: Evidence) -> Iterator[str]:
    """Return poison items that are not dead letters or had too many claims."""
    claims = Counter(call.item for call in evidence.done("claim"))
    for id_, record in evidence.records.items():
        item = record.item
        is_dead = (
            item.state is State.FAILED and item.attempts == item.max_attempts
        )
        was_bounded = max(item.token, claims[id_]) <= item.max_attempts
        if is_poison(item) and not (is_dead and was_bounded):
            yield id_


def not_finished(evidence: Evidence) -> Iterator[str]:
    """Return ordinary items that are not completed, unless their attempts are spent."""
    for id_, record in evidence.records.items():
        item = record.item
        spent = (
            item.state is State.FAILED and item.attempts >= item.max_attempts
        )
        if (
            not is_poison(item)
            and item.state is not State.COMPLETED
            and not spent
        ):
            yield id_


def held_forever(evidence: Evidence) -> Iterable[str]:
    """Return items that are still held after all processes have ended."""
    held = (State.IN_PROGRESS, State.BLOCKED)
    return [
        *evidence.held,
        *(
            id_
            for id_, record in evidence.records.items()
            if record.item.state in held
        ),
    ]


def miscounted(evidence: Evidence) -> Iterator[str]:
    """Return counters that differ from what happened to the items."""
    counters = evidence.counters
    if counters is None:
        return
    items = [record.item for record in evidence.records.values()]
    completed = sum(item.state is State.COMPLETED for item in items)
    happened = {
        "create": (counters.events.get("create", 0), len(items)),
        "claim": (counters.claims, sum(item.token for item in items)),
        "complete": (counters.events.get("complete", 0), completed),
    }
    for verb, (counted, number) in happened.items():
        if counted != number:
            yield f"{verb}: {counted} counted, {number} happened"


def costs_wrong(evidence: Evidence) -> Iterator[str]:
    """Return items whose cost is not that of their reports, and a wrong sum of all."""
    total = 0
    for id_, record in evidence.records.items():
        cost = _cost(record.item.usage)
        total += cost
        if cost != sum(_cost(report.usage) for report in record.reports):
            yield id_
    if evidence.spent != total:
        yield f"{evidence.spent} counted, {total} spent"


def _cost(used: ModelUsage | None) -> int:
    return used.cost_micros if used else 0


def unexpected_errors(evidence: Evidence) -> Iterator[str]:
    """Return calls that ended in an unexpected error."""
    return (
        f"{call.verb} {call.item} of {call.who}"
        for call in evidence.calls
        if call.answer == "UNEXPECTED"
    )


def is_poison(item: Item) -> bool:
    """Return whether an item kills its workers."""
    return item.title.startswith(POISON)


def stale_writes_refused(evidence: Evidence) -> int:
    """Return the number of calls that were refused because of an old token."""
    return sum(
        bool(call.token) and call.answer in REFUSALS for call in evidence.calls
    )


INVARIANTS = (
    Invariant(
        name="acknowledged creates lost",
        find=creates_lost,
        verbs=("create",),
        by_failover=True,
    ),
    Invariant(
        name="items created twice", find=created_twice, verbs=("create",)
    ),
    Invariant(
        name="acknowledged assignments lost",
        find=assigns_lost,
        verbs=("assign",),
        by_failover=True,
    ),
    Invariant(
        name="acknowledged completions lost",
        find=completes_lost,
        verbs=("complete",),
        by_failover=True,
    ),
    Invariant(
        name="acknowledged acceptances lost",
        find=acceptances_lost,
        verbs=("accept",),
        by_failover=True,
    ),
    Invariant(
        name="items with acknowledged reports lost",
        find=reports_lost,
        verbs=REPORTED,
        by_failover=True,
    ),
    Invariant(
        name="items completed twice",
        find=completed_twice,
        verbs=("complete",),
        by_failover=True,
    ),
    Invariant(
        name="items reported on twice by one request", find=reported_twice
    ),
    Invariant(
        name="leases given to two processes",
        find=lease_given_twice,
        verbs=("claim",),
    ),
    Invariant(
        name="token numbers given twice",
        find=token_given_twice,
        verbs=("claim",),
        by_failover=True,
    ),
    Invariant(
        name="items held by two at a time",
        find=held_by_two,
        verbs=("claim",),
        by_failover=True,
    ),
    Invariant(name="stale writes accepted", find=stale_writes_accepted),
    Invariant(
        name="poison items not stopped",
        find=poison_not_stopped,
        by_failover=True,
    ),
    Invariant(name="items not finished", find=not_finished),
    Invariant(name="items held forever", find=held_forever),
    Invariant(
        name="inconsistencies in Redis",
        find=lambda evidence: evidence.inconsistencies,
    ),
    Invariant(name="wrong counters", find=miscounted),
    Invariant(name="wrong costs", find=costs_wrong),
    Invariant(name="unexpected errors", find=unexpected_errors),
    Invariant(
        name="processes that failed", find=lambda evidence: evidence.broken
    ),
)


def _texts(record: MirrorRecord) -> set[str]:
    return {report.text for report in record.reports} | {
        found.text for found in record.discoveries
    }


def _given_up(record: MirrorRecord | None) -> set[int]:
    return (
        {report.token for report in record.reports if report.kind in GIVES_UP}
        if record
        else set()
    )


def _is_stale(report: Report, shown: Mapping[str, Call]) -> bool:
    call = shown.get(report.text)
    return (
        report.kind in BY_HOLDER
        and call is not None
        and call.token != report.token
    )


def _is_out_of_order(reports: Sequence[Report]) -> bool:
    """Return whether tokens descend, or a report follows under a given-up token."""
    if any(
        later.token < earlier.token for earlier, later in pairwise(reports)
    ):
        return True
    given_up: set[int] = set()
    for report in reports:
        if report.kind in BY_HOLDER and report.token in given_up:
            return True
        if report.kind in GIVES_UP:
            given_up.add(report.token)
    return False
