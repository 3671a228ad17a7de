"""The metrics of a namespace for `prometheus_client`; only the modules here import it."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from math import inf
from typing import NamedTuple, TypeVar

from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector
from taskorch.domain.amounts import MICROS
from taskorch.queue.backup import SCHEMA
from taskorch.queue.metrics import (
    ANSWER_WAIT,
    DURATION,
    QUEUE_WAIT,
    AgentFigures,
    AgentUsage,
    Histogram,
)
from taskorch.queue.stuck import SILENT_MS
from taskorch.version import __version__

from taskorch_orchestrator.metrics.figures import FigureReader, Figures

#: Agents, and pools, with an own label; the others share one.
MOST_AGENTS = MOST_POOLS = 50
OTHERS = "other"
GAUGE, COUNTER, HISTOGRAM = "gauge", "counter", "histogram"
WORKING, SILENT, IDLE = "working", "silent", "idle"

Labels = Sequence[str]
Label = TypeVar("Label", bound=str)


class Definition(NamedTuple):
    """A metric: its name as people write it, its type, its labels and its meaning."""

    name: str
    type: str
    labels: Labels
    meaning: str


UP = Definition(
    "taskorch_redis_up",
    GAUGE,
    ("namespace",),
    "1 if Redis answers, else 0: then there are only this, taskorch_build_info and those of the gateway.",
)
BUILD = Definition(
    "taskorch_build_info",
    GAUGE,
    ("version", "schema"),
    "Always 1, with the version of the program and the schema of its keys.",
)
ITEMS = Definition(
    "taskorch_items", GAUGE, ("namespace", "state"), "Items in each state."
)
QUEUED = Definition(
    "taskorch_queue_items",
    GAUGE,
    ("namespace", "agent"),
    "Items in the queue of an agent.",
)
OLDEST_QUEUED = Definition(
    "taskorch_queue_oldest_age_seconds",
    GAUGE,
    ("namespace", "agent"),
    "Time since the oldest item of an agent's queue was queued; 0 if none is. Two of each priority count.",
)
IN_POOL = Definition(
    "taskorch_pool_items",
    GAUGE,
    ("namespace", "pool"),
    "Items that are ready in a pool.",
)
OLDEST_IN_POOL = Definition(
    "taskorch_pool_oldest_age_seconds",
    GAUGE,
    ("namespace", "pool"),
    "Time since the oldest of the items that are ready in a pool was queued; 0 if none is.",
)
MEMBERS = Definition(
    "taskorch_pool_agents",
    GAUGE,
    ("namespace", "pool"),
    "Agents that take items from a pool.",
)
OLDEST_BLOCKED = Definition(
    "taskorch_blocked_oldest_age_seconds",
    GAUGE,
    ("namespace",),
    "Time for which the item that waits longest for an answer is blocked; 0 if none is.",
)
EVENTS = Definition(
    "taskorch_events_total",
    COUNTER,
    ("namespace", "verb"),
    "Events of each verb.",
)
COMPLETED = Definition(
    "taskorch_items_completed_total",
    COUNTER,
    ("namespace",),
    "Items delivered; one that is requeued and delivered again counts twice.",
)
FAILED = Definition(
    "taskorch_attempts_failed_total",
    COUNTER,
    ("namespace",),
    "Attempts that their holder gave up as failed.",
)
EXPIRED = Definition(
    "taskorch_leases_expired_total",
    COUNTER,
    ("namespace",),
    "Leases that expired and were reaped.",
)
WAITED = Definition(
    "taskorch_queue_wait_seconds",
    HISTOGRAM,
    ("namespace",),
    "Time from queued to claimed.",
)
WORKED = Definition(
    "taskorch_item_duration_seconds",
    HISTOGRAM,
    ("namespace",),
    "Time from the claim to its end, delivered or failed.",
)
ASKED = Definition(
    "taskorch_answer_wait_seconds",
    HISTOGRAM,
    ("namespace",),
    "Time from a question to its answer.",
)
AGENTS = Definition(
    "taskorch_agents",
    GAUGE,
    ("namespace", "status"),
    "Agents that hold items (working), that hold some and have not called for an hour (silent), and the others (idle).",
)
STUCK = Definition(
    "taskorch_stuck_items",
    GAUGE,
    ("namespace", "why"),
    "Stalled items by the reason that `orchestrate stuck` gives, among the first 4,500 open items and up to 1,000.",
)
TOKENS = Definition(
    "taskorch_tokens_total",
    COUNTER,
    ("namespace", "agent", "model", "type"),
    "Tokens that agents have reported: in, out, or read from a cache (cache_read).",
)
COST = Definition(
    "taskorch_cost_usd_total",
    COUNTER,
    ("namespace", "agent", "model"),
    "Cost that agents have reported, in dollars.",
)
#: In the order of the page.
DEFINITIONS = (
    UP, BUILD, ITEMS, QUEUED, OLDEST_QUEUED, IN_POOL, OLDEST_IN_POOL, MEMBERS, OLDEST_BLOCKED, EVENTS, COMPLETED,
    FAILED, EXPIRED, WAITED, WORKED, ASKED, AGENTS, STUCK, TOKENS, COST,
)  # fmt: skip


class QueueCollector(Collector):
    """Collects the metrics of a namespace at each scrape."""

    def __init__(self, namespace: str, reader: FigureReader) -> None:
        self._namespace = namespace
        self._reader = reader

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics. If Redis is unreachable, that is one of them."""
        figures = self._reader.newest()
        own = (self._namespace,)
        yield _values(UP, {own: 0 if figures is None else 1})
        yield _values(BUILD, {(__version__, str(SCHEMA)): 1})
        if figures is not None:
            yield from self._of(figures)

    def _of(self, figures: Figures) -> Iterator[Metric]:
        counters, own = figures.counters, (self._namespace,)
        yield _values(ITEMS, self._labelled(figures.items))
        agents = busiest(figures.agents)
        queued = {
            label: sum(each.queued for each in some)
            for label, some in agents.items()
        }
        oldest = {
            label: max(
                _age_s(counters.now, each.queued_since) for each in some
            )
            for label, some in agents.items()
        }
        yield _values(QUEUED, self._labelled(queued))
        yield _values(OLDEST_QUEUED, self._labelled(oldest))
        yield from self._of_pools(figures)
        blocked_s = _age_s(counters.now, counters.blocked_since)
        yield _values(OLDEST_BLOCKED, {own: blocked_s})
        yield _values(EVENTS, self._labelled(counters.events))
        for definition, verb in (
            (COMPLETED, "complete"),
            (FAILED, "fail"),
            (EXPIRED, "expire"),
        ):
            yield _values(definition, {own: counters.events.get(verb, 0)})
        for definition, name in (
            (WAITED, QUEUE_WAIT),
            (WORKED, DURATION),
            (ASKED, ANSWER_WAIT),
        ):
            yield _histogram(definition, own, counters.histograms[name])
        statuses = dict.fromkeys((WORKING, SILENT, IDLE), 0)
        for agent in figures.agents:
            statuses[status_of(agent, counters.now)] += 1
        yield _values(AGENTS, self._labelled(statuses))
        yield _values(STUCK, self._labelled(figures.stuck))
        yield from self._of_usage(figures.usage, agents)

    def _of_usage(
        self, usage: Iterable[AgentUsage], labels: Collection[str]
    ) -> Iterator[Metric]:
        """Yield the tokens and the cost of the agents that have a label."""
        tokens: Counter[Labels] = Counter()
        micros: Counter[Labels] = Counter()
        for each in usage:
            agent = each.agent if each.agent in labels else OTHERS
            own, used = (self._namespace, agent, each.model), each.usage
            tokens[*own, "in"] += used.tokens_in
            tokens[*own, "out"] += used.tokens_out
            tokens[*own, "cache_read"] += used.cache_read
            micros[own] += used.cost_micros
        yield _values(TOKENS, tokens)
        cost = {label: number / MICROS for label, number in micros.items()}
        yield _values(COST, cost)

    def _of_pools(self, figures: Figures) -> Iterator[Metric]:
        now = figures.counters.now
        queued: Counter[str] = Counter()
        oldest: dict[str, float] = {}
        members: Counter[str] = Counter()
        order = sorted(
            figures.pools, key=lambda pool: pool.queued, reverse=True
        )
        for place, pool in enumerate(order):
            label = pool.name if place < MOST_POOLS else OTHERS
            queued[label] += pool.queued
            age_s = _age_s(now, pool.queued_since)
            oldest[label] = max(oldest.get(label, 0.0), age_s)
            members[label] += pool.members
        yield _values(IN_POOL, self._labelled(queued))
        yield _values(OLDEST_IN_POOL, self._labelled(oldest))
        yield _values(MEMBERS, self._labelled(members))

    def _labelled(
        self, values: Mapping[Label, float]
    ) -> Mapping[Labels, float]:
        """Return values by the namespace and another label."""
        return {
            (self._namespace, str(label)): value
            for label, value in values.items()
        }


def registry_of(namespace: str, reader: FigureReader) -> CollectorRegistry:
    """Return a registry with the metrics of a namespace."""
    registry = CollectorRegistry()
    registry.register(QueueCollector(namespace, reader))
    return registry


def busiest(
    agents: Iterable[AgentFigures],
) -> Mapping[str, Sequence[AgentFigures]]:
    """Return the agents by their labels: the busiest have one of their own."""
    order = sorted(
        agents,
        key=lambda each: (each.queued + each.held, each.last_seen_at),
        reverse=True,
    )
    labelled = {each.name: [each] for each in order[:MOST_AGENTS]}
    if others := order[MOST_AGENTS:]:
        # an agent may be called so, too
        labelled[OTHERS] = labelled.get(OTHERS, []) + others
    return labelled


def status_of(agent: AgentFigures, now: int) -> str:
    """Return whether an agent is working, silent or idle."""
    if not agent.held:
        return IDLE
    return SILENT if now - agent.last_seen_at >= SILENT_MS else WORKING


def _age_s(now: int, since: int) -> float:
    return max(0, now - since) / 1000 if since else 0.0


def _values(definition: Definition, values: Mapping[Labels, float]) -> Metric:
    kind = (
        CounterMetricFamily
        if definition.type == COUNTER
        else GaugeMetricFamily
    )
    family = kind(
        definition.name, definition.meaning, labels=definition.labels
    )
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _histogram(
    definition: Definition, labels: Labels, histogram: Histogram
) -> Metric:
    family = HistogramMetricFamily(
        definition.name, definition.meaning, labels=definition.labels
    )
    bounds = [
        "+Inf" if bound == inf else str(bound) for bound in histogram.buckets
    ]
    numbers = accumulate(histogram.buckets.values())
    family.add_metric(
        labels,
        buckets=list(zip(bounds, numbers, strict=True)),
        sum_value=histogram.sum_ms / 1000,
    )
    return family
