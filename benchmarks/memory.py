"""Memory that an item takes in the server, queued and completed."""

from collections import Counter
from collections.abc import Iterator, Mapping

import redis
from taskorch.connections import connect
from taskorch.domain import limits
from taskorch.domain.item import Caller, NewItem
from taskorch.queue import keys
from taskorch.queue.queue import Queue

from benchmarks.figures import Comparison, Figure
from benchmarks.queues import (
    AGENT,
    BATCH,
    TEXT_BYTES,
    memory,
    server,
    settle,
)
from benchmarks.report import report

ITEMS = 10_000
AT_ONCE = limits.BATCH_STEPS
SUMMARY = "All four tables are there, with their tests"
FIGURES = {
    name: Figure(title=f"{title}, bytes", compared=False)
    for name, title in {
        "used": "memory of the server",
        "item": "its fields",
        "progress": "its reports",
        "events": "its events",
        "other": "its places in indexes",
    }.items()
}


def measure() -> Iterator[Comparison]:
    """Measure items with a title, and items with a text, too."""
    rows: dict[str, Mapping[str, float]] = {}
    for text, described in (("", "a title"), ("x" * TEXT_BYTES, "a text")):
        with server() as url:
            namespace, before = "memory", memory(url)
            queue = Queue(connect(url), namespace, Caller(agent="planner"))
            _create(queue, text)
            rows[f"queued, {described}"] = _per_item(url, namespace, before)
            _complete(queue)
            rows[f"completed, {described}"] = _per_item(url, namespace, before)
    yield Comparison(
        name="memory",
        rows="item",
        figures=FIGURES,
        rounds=[rows],
        remarks=(
            (
                f"{ITEMS:,} items each, without the replies that are kept for repeats. A text has {TEXT_BYTES} bytes, "
                f"the summary of a completed item {len(SUMMARY)}."
            ),
        ),
    )


def _create(queue: Queue, text: str) -> None:
    project = queue.project("Many items")
    new = NewItem(title="Design the tables", description=text, agent=AGENT)
    for _ in range(0, ITEMS, BATCH):
        queue.create_many(project, [new] * BATCH)


def _complete(queue: Queue) -> None:
    worker = queue.agent_queue(AGENT)
    while claims := worker.claim_many(AT_ONCE):
        worker.complete_many(
            [(claim.lease, SUMMARY, {}) for claim in claims if claim.lease]
        )


def _per_item(url: str, namespace: str, before: int) -> dict[str, float]:
    """Return the bytes of each figure for an item."""
    settle(url, namespace)
    found: Counter[str] = Counter(used=memory(url) - before)
    tag = keys.tag(namespace)
    with redis.Redis.from_url(url, decode_responses=True) as client:
        for key in client.scan_iter(f"{tag}*", count=1000):
            kind = str(key).removeprefix(tag).partition(":")[0]
            name = kind if kind in FIGURES else "other"
            found[name] += int(client.memory_usage(key, samples=0) or 0)
    return {name: found[name] / ITEMS for name in FIGURES}


if __name__ == "__main__":
    report(measure)
