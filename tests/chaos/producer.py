"""An orchestrator through the API: creates items and assigns them, one in a few a poison item."""

from time import sleep

from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.queue import Queue

from chaos.call_recorder import Witness
from chaos.ledger import Ledger
from chaos.process_config import Duty, begin, die_within
from chaos.worker import NO_LEASE, POISON

LEASE_MS = 1500
#: An ordinary item outlives its workers' deaths; a poison item is stopped soon.
ATTEMPTS, POISON_ATTEMPTS = 30, 3
POISONED = 0.03
KILLED = 0.01
#: All items of one run: so many a verdict looks through.
MOST = 4500


class Producer:
    """One orchestrating process."""

    def __init__(self, duty: Duty) -> None:
        self._duty = duty
        self._fate = duty.fate()
        self._witness = Witness(Ledger(duty.ledger), self._fate)
        caller = Caller(agent="planner", host="chaos", session=duty.name)
        self._queue = Queue(duty.connection(), duty.namespace, caller)
        self._last = ""

    def has_room(self) -> bool:
        """Return whether more items are wanted."""
        counts = self._witness.call("look", NO_LEASE, lambda _: self._counts())
        return (
            counts is not None and counts[0] < self._duty.backlog and counts[1] < MOST
        )

    def produce(self) -> None:
        """Create an item, and assign it, in one step or in two."""
        agent = self._fate.choice(self._duty.agents)
        at_once, poison = self._fate.random() < 0.7, self._fate.random() < POISONED
        after = (self._last,) if self._last and self._fate.random() < 0.1 else ()
        if self._fate.random() < KILLED:
            self._witness.suffer("killed", "")
            die_within(0.1, self._fate)
        new = {
            "agent": agent if at_once else "",
            "depends_on": after,
            "priority": self._fate.randint(0, 4),
        }
        item = self._witness.call(
            "create", NO_LEASE, lambda call: self._create(call, poison=poison, **new)
        )
        if item and not at_once:
            self._witness.call(
                "assign", Lease(item=item), lambda _: self._queue.assign(item, agent)
            )
        self._last = item if item and not poison else ""

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
        return self._queue.create(self._duty.project, new)

    def _counts(self) -> tuple[int, int]:
        project = self._queue.views.progress(self._duty.project, limit=1).project
        return project.wanted - project.completed, project.wanted


def run(duty: Duty) -> None:
    """Create items while there are faults."""
    begin(duty)
    producer = Producer(duty)
    while duty.goes_on():
        if not duty.is_calm() and producer.has_room():
            for _ in range(5):
                producer.produce()
        sleep(0.1)
