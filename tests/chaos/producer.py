"""An orchestrator that creates, assigns and reviews items, and limits their cost.

Some items are poison.
"""

from time import sleep

from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.queue import Queue

from chaos.call_recorder import CallRecorder
from chaos.ledger import Ledger
from chaos.process_config import ProcessConfig, kill_self_within, start
from chaos.worker import NO_LEASE, POISON, POOL

LEASE_MS = 1500
#: An ordinary item survives the deaths of its workers; a poison item soon fails.
ATTEMPTS, POISON_ATTEMPTS = 30, 3
POISONED = 0.03
KILLED = 0.01
#: Items with a reviewer, and decisions that send one back.
REVIEWED, SENT_BACK = 0.1, 0.3
#: Items of the pool.
POOLED = 0.2
#: How often, of the times that a producer looks, it stops all claims and allows them again.
STOPPED, ALLOWED = 0.05, 0.3
#: Items in review that a producer looks at in one go.
LOOKED_AT = 10
#: The maximum number of items of one run.
MAX_ITEMS = 4500


class Producer:
    """One orchestrating process."""

    def __init__(self, config: ProcessConfig) -> None:
        self._config = config
        self._random = config.random()
        self._recorder = CallRecorder(Ledger(config.ledger), self._random)
        caller = Caller(agent="planner", host="chaos", session=config.name)
        self._queue = Queue(config.connection(), config.namespace, caller)
        self._last = ""
        #: The owners whose budgets may stop claims: at first, an earlier process may have
        #: set them.
        self._limited = {NAMESPACE, config.project}

    def has_room(self) -> bool:
        """Return whether another item may be created."""
        counts = self._recorder.call(
            "count", NO_LEASE, lambda _: self._counts()
        )
        return (
            counts is not None
            and counts[0] < self._config.backlog
            and counts[1] < MAX_ITEMS
        )

    def produce(self) -> None:
        """Create an item and assign it, in one step or in two."""
        is_pooled = self._random.random() < POOLED
        agent = "" if is_pooled else self._random.choice(self._config.agents)
        pool = POOL if is_pooled else ""
        in_one_step, poison = (
            self._random.random() < 0.7,
            self._random.random() < POISONED,
        )
        after = (
            (self._last,) if self._last and self._random.random() < 0.1 else ()
        )
        if self._random.random() < KILLED:
            self._recorder.record_fault("killed", "")
            kill_self_within(0.1, self._random)
        new = {
            "agent": agent if in_one_step else "",
            "pool": pool if in_one_step else "",
            "depends_on": after,
            "priority": self._random.randint(0, 4),
            "reviewer": "planner" if self._random.random() < REVIEWED else "",
        }
        item = self._recorder.call(
            "create",
            NO_LEASE,
            lambda call: self._create(call, poison=poison, **new),
        )
        if item and not in_one_step:
            self._recorder.call(
                "assign",
                Lease(item=item),
                lambda _: self._queue.assign(item, agent, pool=pool),
            )
        self._last = item if item and not poison else ""

    def review(self) -> None:
        """Decide about some of the items that wait for a reviewer."""
        waiting = self._recorder.call(
            "reviews",
            NO_LEASE,
            lambda _: self._queue.views.reviews(limit=LOOKED_AT),
        )
        for item in waiting or ():
            self._decide(item.id)

    def limit(self) -> None:
        """Stop all claims by a budget, or allow them again; at the end, allow them."""
        is_over = self._config.faults_are_over()
        if not is_over and self._random.random() < STOPPED:
            owner = self._random.choice((NAMESPACE, self._config.project))
            self._limited.add(owner)
            self._set_budget(owner, 0)
        elif is_over or self._random.random() < ALLOWED:
            for owner in tuple(self._limited):
                if self._set_budget(owner, None):
                    self._limited.remove(owner)

    def _set_budget(self, owner: str, limit: int | None) -> bool:
        """Return whether the call was acknowledged."""
        done = self._recorder.call(
            "set_budget",
            NO_LEASE,
            lambda _: self._queue.set_budget(
                owner, period="total", limit_micros=limit
            ),
        )
        return done is not None

    def _decide(self, item: str) -> None:
        if self._random.random() < SENT_BACK:
            self._recorder.call(
                "send_back",
                Lease(item=item),
                lambda call: self._queue.send_back(item, call),
            )
        else:
            self._recorder.call(
                "accept",
                Lease(item=item),
                lambda call: self._queue.accept(item, call),
            )

    def _create(self, call: str, *, poison: bool, **fields: object) -> str:
        title = f"{POISON if poison else 'item'} {call}"
        attempts = POISON_ATTEMPTS if poison else ATTEMPTS
        new = NewItem(
            title=title,
            key=call,
            lease_ms=LEASE_MS,
            max_attempts=attempts,
            **fields,  # type: ignore[arg-type]
        )
        return self._queue.create(self._config.project, new)

    def _counts(self) -> tuple[int, int]:
        project = self._queue.views.progress(
            self._config.project, limit=1
        ).project
        return project.wanted - project.completed, project.wanted


def run(config: ProcessConfig) -> None:
    """Create items until the faults end, and review them until the run ends."""
    start(config)
    producer = Producer(config)
    while config.is_running():
        if not config.faults_are_over() and producer.has_room():
            for _ in range(5):
                producer.produce()
        producer.limit()
        producer.review()
        sleep(0.1)
