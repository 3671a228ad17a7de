"""Judges a run: what the ledgers say was acknowledged, against what Redis holds in the end. Pure functions."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from taskorch.domain.item import Item, Report, State
from taskorch.domain.mirror_record import MirrorRecord

from chaos.ledger import Call
from chaos.worker import POISON

#: Reports that only a holder makes, and those with which it gives the item up.
BY_HOLDER = ("progress", "complete", "fail", "release", "blocker")
GIVES_UP = ("complete", "fail", "release")
REPEAT = "repeat"
#: What a holder may be told whose item went to somebody else.
REFUSALS = ("LEASE_LOST", "HELD", "WRONG_STATE", "NOT_YOURS", "CANCELLED")


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """All that is known of a run when it is over."""

    calls: Sequence[Call]
    #: Every item that is there.
    records: Mapping[str, MirrorRecord]
    #: Items that have an entry among the leases or are held.
    held: Sequence[str] = ()
    #: What does not fit together in Redis.
    inconsistencies: Sequence[str] = ()
    #: Processes that ended as no process should.
    broken: Sequence[str] = ()

    def of_item(self) -> Mapping[str, list[Call]]:
        """Return the acknowledged calls on each item."""
        found: defaultdict[str, list[Call]] = defaultdict(list)
        for call in self.done():
            found[call.item].append(call)
        return found

    def done(self, *verbs: str) -> Iterator[Call]:
        """Return the acknowledged calls of some verbs, or of all; a claim that found nothing is none."""
        done = (
            call
            for call in self.calls
            if call.done and (call.verb != "claim" or call.got_token)
        )
        return (call for call in done if not verbs or call.verb in verbs)


@dataclass(frozen=True, kw_only=True)
class Line:
    """One charge: how often it was found true, and the items (or whatever it is) that it was found on."""

    charge: str
    offenders: tuple[str, ...]
    #: Whether a failover of Redis may do that by itself: then it is measured, and nobody is guilty.
    excused: bool = False
    #: Of how many.
    of: int = 0

    @property
    def guilty(self) -> bool:
        """Return whether the queue has broken a promise."""
        return bool(self.offenders) and not self.excused


@dataclass(frozen=True, kw_only=True)
class Charge:
    """What is looked for."""

    words: str
    find: Callable[[Evidence], Iterable[str]]
    #: The verbs whose acknowledgements it is about.
    verbs: tuple[str, ...] = ()
    #: Whether a failover may do it, for Redis then loses what it had acknowledged.
    by_failover: bool = field(default=False)


def judge(evidence: Evidence, *, failover: bool) -> list[Line]:
    """Return a line for each charge."""
    return [
        Line(
            charge=charge.words,
            offenders=tuple(sorted(set(charge.find(evidence)))),
            excused=failover and charge.by_failover,
            of=sum(1 for _ in evidence.done(*charge.verbs)) if charge.verbs else 0,
        )
        for charge in CHARGES
    ]


def creates_lost(evidence: Evidence) -> Iterator[str]:
    """Return items whose creation was acknowledged and that are not there."""
    return (
        call.item
        for call in evidence.done("create")
        if call.item not in evidence.records
    )


def created_twice(evidence: Evidence) -> Iterator[str]:
    """Return items that one call has made two of; a title has the call's id."""
    titles = Counter(record.item.title for record in evidence.records.values())
    return (
        id_ for id_, record in evidence.records.items() if titles[record.item.title] > 1
    )


def assigns_lost(evidence: Evidence) -> Iterator[str]:
    """Return items that were assigned and belong to nobody."""
    items = [
        evidence.records[call.item].item
        for call in evidence.done("assign")
        if call.item in evidence.records
    ]
    return (item.id for item in items if item.state is State.PENDING)


def completes_lost(evidence: Evidence) -> Iterator[str]:
    """Return items whose completion was acknowledged and that are not completed."""
    for call in evidence.done("complete"):
        record = evidence.records.get(call.item)
        if record is None or record.item.state is not State.COMPLETED:
            yield call.item


def reports_lost(evidence: Evidence) -> Iterator[str]:
    """Return items that lack a report that was acknowledged."""
    for call in evidence.done("progress", "discover", "fail", "release"):
        record = evidence.records.get(call.item)
        if record is None or call.id not in _texts(record):
            yield call.item


def completed_twice(evidence: Evidence) -> Iterator[str]:
    """Return items with two acknowledged completions that were no repeats, or with two in their history."""
    acknowledged = Counter(
        call.item for call in evidence.done("complete") if call.remark != REPEAT
    )
    yield from (item for item, times in acknowledged.items() if times > 1)
    for id_, record in evidence.records.items():
        if sum(report.kind == "complete" for report in record.reports) > 1:
            yield id_


def reported_twice(evidence: Evidence) -> Iterator[str]:
    """Return items with two entries in their history that one request has made."""
    for id_, record in evidence.records.items():
        made = Counter(
            report.request
            for report in record.reports
            if report.kind in BY_HOLDER and report.request
        )
        if any(times > 1 for times in made.values()):
            yield id_


def token_given_twice(evidence: Evidence) -> Iterator[str]:
    """Return items of which two claims were given the same number."""
    given = Counter((call.item, call.got_token) for call in evidence.done("claim"))
    return (item for (item, _), times in given.items() if times > 1)


def lease_given_twice(evidence: Evidence) -> Iterator[str]:
    """Return items of which two processes were given the same token, the id of the claim included."""
    given = {
        (call.item, call.got_token, call.got_claim, call.who)
        for call in evidence.done("claim")
    }
    holders = Counter((item, token, claim) for item, token, claim, _ in given)
    return (item for (item, _, _), times in holders.items() if times > 1)


def held_by_two(evidence: Evidence) -> Iterator[str]:
    """Return items that were claimed while the lease of the claim before ran still, and was not given up."""
    for id_, calls in evidence.of_item().items():
        given_up = _given_up(evidence.records.get(id_)) | {
            call.token for call in calls if call.verb in GIVES_UP
        }
        until: defaultdict[int, int] = defaultdict(int)
        for call in calls:
            until[call.got_token] = max(until[call.got_token], call.expires_at)
        for claim in calls:
            before = claim.got_token - 1
            if (
                claim.verb == "claim"
                and claim.since
                and before not in given_up
                and until[before] > claim.since
            ):
                yield id_


def stale_writes_accepted(evidence: Evidence) -> Iterator[str]:
    """Return items where Redis took a report under another token than the newest, or under one that was given up.

    An entry of the history has the newest token of that moment, a ledger the one that was shown; a receipt has both
    the number and the claim of the newest.
    """
    shown = {call.id: call for call in evidence.calls if call.token}
    for call in evidence.done():
        if call.token and (call.got_token, call.got_claim) != (call.token, call.claim):
            yield call.item
    for id_, record in evidence.records.items():
        if any(
            _is_stale(report, shown) for report in record.reports
        ) or _is_out_of_order(record.reports):
            yield id_


def poison_not_stopped(evidence: Evidence) -> Iterator[str]:
    """Return poison items that are no dead letters, or were claimed more often than their attempts allow."""
    claims = Counter(call.item for call in evidence.done("claim"))
    for id_, record in evidence.records.items():
        item = record.item
        if is_poison(item) and (
            item.state is not State.FAILED
            or item.attempts != item.max_attempts
            or max(item.token, claims[id_]) > item.max_attempts
        ):
            yield id_


def not_finished(evidence: Evidence) -> Iterator[str]:
    """Return ordinary items that are not completed, unless their attempts are truly spent."""
    for id_, record in evidence.records.items():
        item = record.item
        spent = item.state is State.FAILED and item.attempts >= item.max_attempts
        if not is_poison(item) and item.state is not State.COMPLETED and not spent:
            yield id_


def held_for_ever(evidence: Evidence) -> Iterable[str]:
    """Return items that are still held when nobody is there any more."""
    held = (State.IN_PROGRESS, State.BLOCKED)
    return [
        *evidence.held,
        *(id_ for id_, record in evidence.records.items() if record.item.state in held),
    ]


def errors_not_foreseen(evidence: Evidence) -> Iterator[str]:
    """Return calls that ended in an error that nobody should ever get here."""
    return (
        f"{call.verb} {call.item} of {call.who}"
        for call in evidence.calls
        if call.answer == "UNEXPECTED"
    )


def is_poison(item: Item) -> bool:
    """Return whether an item kills its workers."""
    return item.title.startswith(POISON)


def stale_writes_refused(evidence: Evidence) -> int:
    """Return how many calls showed a token that was not the newest any more, and changed nothing."""
    return sum(bool(call.token) and call.answer in REFUSALS for call in evidence.calls)


CHARGES = (
    Charge(
        words="acknowledged creates lost",
        find=creates_lost,
        verbs=("create",),
        by_failover=True,
    ),
    Charge(words="items created twice", find=created_twice, verbs=("create",)),
    Charge(
        words="acknowledged assignments lost",
        find=assigns_lost,
        verbs=("assign",),
        by_failover=True,
    ),
    Charge(
        words="acknowledged completions lost",
        find=completes_lost,
        verbs=("complete",),
        by_failover=True,
    ),
    Charge(
        words="items with acknowledged reports lost",
        find=reports_lost,
        verbs=("progress", "discover", "fail", "release"),
        by_failover=True,
    ),
    Charge(
        words="items completed twice",
        find=completed_twice,
        verbs=("complete",),
        by_failover=True,
    ),
    Charge(words="items reported on twice by one request", find=reported_twice),
    Charge(words="leases given to two", find=lease_given_twice, verbs=("claim",)),
    Charge(
        words="numbers of tokens given twice",
        find=token_given_twice,
        verbs=("claim",),
        by_failover=True,
    ),
    Charge(
        words="items held by two at once",
        find=held_by_two,
        verbs=("claim",),
        by_failover=True,
    ),
    Charge(words="stale writes accepted", find=stale_writes_accepted),
    Charge(words="poison items not stopped", find=poison_not_stopped, by_failover=True),
    Charge(words="items not finished", find=not_finished),
    Charge(words="items held for ever", find=held_for_ever),
    Charge(
        words="inconsistencies in Redis", find=lambda evidence: evidence.inconsistencies
    ),
    Charge(words="errors not foreseen", find=errors_not_foreseen),
    Charge(words="processes that broke", find=lambda evidence: evidence.broken),
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
    return report.kind in BY_HOLDER and call is not None and call.token != report.token


def _is_out_of_order(reports: Sequence[Report]) -> bool:
    """Return whether the tokens of a history descend, or a report follows under a token that was given up."""
    if any(later.token < earlier.token for earlier, later in pairwise(reports)):
        return True
    given_up: set[int] = set()
    for report in reports:
        if report.kind in BY_HOLDER and report.token in given_up:
            return True
        if report.kind in GIVES_UP:
            given_up.add(report.token)
    return False
