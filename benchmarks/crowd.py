"""A large namespace: 100,000 items, as many that wait for one, 10,000 agents, and long histories."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from taskorch.connections import connect
from taskorch.domain import limits
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from benchmarks.queues import AGENT, BATCH, agent, new, settle

ITEMS = int(os.environ.get("BENCH_CROWD", "100000"))
AGENTS = ITEMS // 10
#: Of these many agents each holds an item, and of as many more each has asked.
HOLDERS = AGENTS // 2
PROJECTS = ITEMS // 50
#: Projects with one item and one discovery.
SHARING = ITEMS // 200
PENDING = DELAYED = ITEMS // 20
DEAD = ITEMS // 40
#: Reports, notes and discoveries of one item; discoveries of its project.
HISTORY, DISCOVERIES = 1_000, 5_000
DEPENDENCIES = 1_000
#: Items that depend on as many others each, so that a walk has many edges.
WIDE = 50
HEAVY, HEAVY_BYTES = 200, 60_000
#: Agents with more items than one call handles.
BUSY, HUNDREDS = "busy", "hundreds"
BUSY_ITEMS, HUNDREDS_ITEMS = 4_000, 30_000
LABELS = ("frontend", "urgent")


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """What is in the namespace."""

    namespace: str
    large: str
    #: The project whose items wait for `hub`.
    waiting: str
    hub: str
    #: The project of items with long texts, and of one with a long history.
    heavy: str
    long: Lease
    #: An item that others with many dependencies wait for, and one that waits for them.
    bottom: str
    wide: tuple[str, ...]
    thousand: tuple[str, ...]


def crowded(url: str, namespace: str) -> Crowd:
    """Fill a namespace through the library, and return what is in it."""
    planner = Queue(connect(url), namespace, Caller(agent="planner"))
    for number in range(PROJECTS):
        planner.project(f"Project {number}", description="x" * 300)
    large = planner.project("A large project")
    _fill(planner, large)
    _share(planner)
    waiting = planner.project("Items that wait")
    hub = planner.create(waiting, NewItem(title="Hub", agent="hub"))
    _create(
        planner,
        waiting,
        [_waiting(hub, number) for number in range(ITEMS)],
    )
    heavy = planner.project("Long texts")
    bottom, thousand, wide = _deep(planner)
    crowd = Crowd(
        namespace=namespace,
        large=large,
        waiting=waiting,
        hub=hub,
        heavy=heavy,
        long=_long(planner, heavy),
        bottom=bottom,
        thousand=thousand,
        wide=wide,
    )
    settle(url, namespace)
    return crowd


def claimed(queue: AgentQueue) -> Lease:
    """Return the lease of the agent's next item."""
    claim = queue.claim()
    if claim is None or claim.lease is None:
        raise RuntimeError("the queue ran empty")
    return claim.lease


def heavy(name: str = "") -> NewItem:
    """Return an item with a long text."""
    return NewItem(
        title="A heavy item", description="x" * HEAVY_BYTES, agent=name
    )


def _create(
    planner: Queue, project: str, items: Sequence[NewItem]
) -> list[str]:
    """Create items, some in each step."""
    return [
        item.id
        for done in range(0, len(items), BATCH)
        for item in planner.create_many(project, items[done : done + BATCH])
    ]


def _fill(planner: Queue, large: str) -> None:
    """Create items in all states."""
    _create(planner, large, [new(agent(n % AGENTS)) for n in range(ITEMS)])
    _create(planner, large, [new("")] * PENDING)
    later = NewItem(title="Later", agent="later", delay_ms=86_400_000)
    _create(planner, large, [later] * DELAYED)
    _create(planner, large, [new(BUSY)] * BUSY_ITEMS)
    _create(planner, large, [new(HUNDREDS)] * HUNDREDS_ITEMS)
    for number in range(2 * HOLDERS):
        queue = planner.agent_queue(agent(number))
        lease = claimed(queue)
        if number >= HOLDERS:
            queue.blocker(lease, "Which colour is the button?")
    for number in range(DEAD):
        queue = planner.agent_queue(agent(number))
        queue.fail(claimed(queue), "It cannot be done", retry=False)


def _share(planner: Queue) -> None:
    """Create projects with one discovery each."""
    queue = planner.agent_queue("sharing")
    for number in range(SHARING):
        project = planner.project(f"Shared {number}")
        planner.create(project, new("sharing"))
        queue.discover(claimed(queue), "x" * 300)


def _waiting(hub: str, number: int) -> NewItem:
    return NewItem(
        title="It waits",
        description="x" * 300,
        agent=agent(number % AGENTS),
        depends_on=(hub,),
        labels=LABELS,
    )


def _deep(planner: Queue) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Create items with many dependencies.

    Return an item, those that wait for it, and those that wait for all of these.
    """
    project = planner.project("Many dependencies")
    bottom = planner.create(project, new(AGENT))
    first = NewItem(title="First", depends_on=(bottom,))
    thousand = _create(planner, project, [first] * DEPENDENCIES)
    second = NewItem(title="Second")
    wide = [planner.create(project, second) for _ in range(WIDE)]
    for item in wide:
        for done in range(0, DEPENDENCIES, limits.BATCH_DEPENDENCIES):
            part = thousand[done : done + limits.BATCH_DEPENDENCIES]
            planner.depend(item, part)
    return bottom, tuple(thousand), tuple(wide)


def _long(planner: Queue, project: str) -> Lease:
    """Create heavy items, and one with a long history; return its lease."""
    _create(planner, project, [new("historian")])
    for done in range(0, HEAVY, 10):
        planner.create_many(project, [heavy()] * min(10, HEAVY - done))
    queue = planner.agent_queue("historian")
    lease = claimed(queue)
    for number in range(DISCOVERIES):
        queue.discover(lease, f"{number} {'x' * 300}")
    for number in range(HISTORY):
        queue.progress(lease, f"{number} {'x' * 300}")
        queue.note(lease.item, f"{number} {'x' * 300}")
    return lease
