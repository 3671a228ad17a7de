"""The figures of a namespace: its counters, and the numbers of items and agents now."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from math import inf
from typing import cast

from taskorch.domain import limits
from taskorch.domain.frozen import Frozen
from taskorch.domain.item import HOUR_MS, State
from taskorch.domain.usage import ModelUsage
from taskorch.domain.usage_rules import is_model, summed
from taskorch.queue.fields import Fields, fields_of, whole
from taskorch.queue.port import Reply
from taskorch.queue.scripts import Scripts

#: The histograms of the counters, and the words of the fields that belong to each.
QUEUE_WAIT, DURATION, ANSWER_WAIT = "queue_wait", "duration", "answer_wait"
WORDS = {
    QUEUE_WAIT: ("claim", "queue_wait"),
    DURATION: ("complete", "fail"),
    ANSWER_WAIT: ("answer",),
}
#: Hours that the counters are kept for: 8 days.
HOURS_KEPT = 192
#: The counters with which an hour begins: word, or word and bucket -> number.
Totals = Mapping[str, int]
#: A field: a word, and for some a bucket; if its number was full once, also what it had.
_FIELD = r"([a-z_]{1,32})(?::([a-z0-9]{1,9})(?::(events|ms))?)?"
#: One event in the field of a bucket.
_EVENT = 10**12
#: The bucket without an upper bound.
LAST = "inf"


class Histogram(Frozen):
    """How often a time was in each bucket."""

    #: Upper bound of a bucket in seconds, the last one infinite -> number in it.
    buckets: Mapping[float, int]
    sum_ms: int = 0

    @property
    def count(self) -> int:
        """Return the number of times."""
        return sum(self.buckets.values())

    def quantile(self, part: float) -> float:
        """Return the upper bound in seconds of a part of the times, such as 0.9.

        0 without times; infinite if it is in the last bucket.
        """
        below = 0
        for bound, number in self.buckets.items():
            below += number
            if number and below >= part * self.count:
                return bound
        return 0.0


class Counters(Frozen):
    """Numbers that only increase, since the namespace has counters."""

    #: Verb -> number of its events.
    events: Mapping[str, int]
    #: Claims, by reports and takeovers, too.
    claims: int
    #: Name of a histogram -> how often a time was in each bucket.
    histograms: Mapping[str, Histogram]
    #: Time in ms by the clock of Redis.
    now: int
    #: When the item that is blocked for longest was blocked, in ms; 0 for none.
    blocked_since: int


class AgentFigures(Frozen):
    """What an agent has."""

    name: str
    #: Time of its last call, in ms; 0 if none of its sessions has called.
    last_seen_at: int
    held: int
    queued: int
    #: Since when its oldest item is queued, in ms; 0 for none.
    queued_since: int


class PoolFigures(Frozen):
    """What a pool has."""

    name: str
    #: The number of agents that take items from it.
    members: int
    queued: int
    #: Since when its oldest item is queued, in ms; 0 for none.
    queued_since: int


class AgentUsage(Frozen):
    """What an agent has used of a model."""

    agent: str
    model: str
    #: Tokens in, out and from a cache, and microdollars.
    usage: ModelUsage


class Hour(Frozen):
    """What happened in an hour."""

    #: Its beginning, in ms.
    at: int
    created: int = 0
    claimed: int = 0
    completed: int = 0
    failed: int = 0
    #: How long the claimed items were queued.
    queue_wait: Histogram


def read_counters(scripts: Scripts) -> Counters:
    """Return the counters of the namespace."""
    now, blocked, flat, bounds = cast(
        "tuple[int, str, Reply, list[Reply]]",
        scripts.run_script("metrics", "counters", ""),
    )
    buckets = dict(zip(bounds[::2], bounds[1::2], strict=True))
    events: Counter[str] = Counter()
    counted: Counter[tuple[str, str]] = Counter()
    sums: Counter[str] = Counter()
    for word, bucket, number, ms in _parsed(fields_of(flat)):
        events[word] += number
        counted[word, bucket] += number
        sums[word] += ms
    by_reports = events.pop(QUEUE_WAIT, 0)
    return Counters(
        events=events,
        claims=events["claim"] + by_reports,
        histograms={
            name: Histogram(
                buckets={
                    bound: sum(counted[word, bucket] for word in words)
                    for bucket, bound in _buckets(buckets[name])
                },
                sum_ms=sum(sums[word] for word in words),
            )
            for name, words in WORDS.items()
        },
        now=now,
        blocked_since=whole(blocked),
    )


def read_items(scripts: Scripts) -> Mapping[State, int]:
    """Return the number of items in each state."""
    counts = dict.fromkeys(State, 0)
    for view in _parts(scripts, "projects"):
        words = cast("list[str | int]", view)
        for state, number in zip(words[::2], words[1::2], strict=True):
            counts[State(str(state))] += max(0, int(number))
    return counts


def read_agents(scripts: Scripts) -> tuple[AgentFigures, ...]:
    """Return what each agent has. Names that cannot be one are left out."""
    found = {}
    for view in _parts(scripts, "agents"):
        for row in cast("list[list[str]]", view):
            name, last_seen, held, queued, since = row
            if limits.is_name(name):
                # a walk may come to an agent twice
                found[name] = AgentFigures(
                    name=name,
                    last_seen_at=whole(last_seen),
                    held=int(held),
                    queued=int(queued),
                    queued_since=whole(since),
                )
    return tuple(found.values())


def read_pools(scripts: Scripts) -> tuple[PoolFigures, ...]:
    """Return what each pool has. Names that cannot be one are left out."""
    found = {}
    for view in _parts(scripts, "pools"):
        for row in cast("list[list[str]]", view):
            name, members, queued, since = row
            if limits.is_name(name):
                found[name] = PoolFigures(
                    name=name,
                    members=int(members),
                    queued=int(queued),
                    queued_since=whole(since),
                )
    return tuple(found.values())


def read_usage(scripts: Scripts) -> tuple[AgentUsage, ...]:
    """Return what each agent has used of each model. Damaged rows are left out."""
    found = {}
    for view in _parts(scripts, "usage"):
        for agent, model, used in cast("list[list[str]]", view):
            if limits.is_name(agent) and is_model(model):
                found[agent, model] = AgentUsage(
                    agent=agent, model=model, usage=summed(used)
                )
    return tuple(found.values())


def read_hours(scripts: Scripts, number: int) -> tuple[Hour, ...]:
    """Return what happened in the last hours, this one last: at most 8 days.

    What an older version did is not in them.
    """
    now, newest, flat, bounds = cast(
        "tuple[int, str, Reply, Reply]",
        scripts.run_script("metrics", "hours", ""),
    )
    this = now // HOUR_MS
    starts = {
        int(hour): _totals(text)
        for hour, text in fields_of(flat).items()
        if hour.isdecimal() and this - number < int(hour) <= this
    }
    order = sorted(starts)
    ends = [*(starts[hour] for hour in order[1:]), _totals(newest)]
    happened = {
        hour: _hour(hour, starts[hour], end, bounds)
        for hour, end in zip(order, ends, strict=False)
    }
    return tuple(
        happened.get(hour) or _hour(hour, {}, {}, bounds)
        for hour in range(this - number + 1, this + 1)
    )


def _parts(scripts: Scripts, part: str) -> Iterator[Reply]:
    """Yield the parts of a walk over projects, agents or pools."""
    cursor = "0"
    while True:
        cursor, view = cast(
            "tuple[str, Reply]", scripts.run_script("metrics", part, cursor)
        )
        yield view
        if cursor == "0":
            return


def _hour(hour: int, start: Totals, end: Totals, bounds: Reply) -> Hour:
    def change(name: str) -> int:
        return end.get(name, 0) - start.get(name, 0)

    return Hour(
        at=hour * HOUR_MS,
        created=change("create"),
        claimed=change("claim"),
        completed=change("complete"),
        failed=change("fail"),
        queue_wait=Histogram(
            buckets={
                bound: change(f"{QUEUE_WAIT}:{bucket}")
                for bucket, bound in _buckets(bounds)
            }
        ),
    )


def _totals(text: str) -> Totals:
    """Return the counters that an hour began with; none of damaged ones."""
    with suppress(ValueError):
        totals = json.loads(text)
        if isinstance(totals, dict):
            return {
                name: number
                for name, number in totals.items()
                if isinstance(number, int)
            }
    return {}


def _buckets(bounds: Reply) -> Sequence[tuple[str, float]]:
    """Return the buckets of a histogram, as fields name them, with their bounds."""
    numbers = cast("list[int]", bounds)
    return [*((str(bound), float(bound)) for bound in numbers), (LAST, inf)]


def _parsed(fields: Fields) -> Iterator[tuple[str, str, int, int]]:
    """Yield the word, the bucket or "", the events and the ms of each field.

    A damaged field is left out.
    """
    for field, value in fields.items():
        parts = re.fullmatch(_FIELD, field)
        if not parts or not value.isdecimal():
            continue
        word, bucket, kind = parts.groups("")
        number = int(value)
        if kind == "ms":
            yield word, bucket, 0, number
        elif bucket and not kind:
            yield word, bucket, *divmod(number, _EVENT)
        else:
            yield word, bucket, number, 0
