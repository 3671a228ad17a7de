"""A worker of either client: it reports, delivers, gives up, or is killed."""

from time import sleep
from typing import Protocol

from taskorch.domain.item import Lease, Receipt

from chaos.call_recorder import CallRecorder, ClaimedItem
from chaos.ledger import Ledger
from chaos.process_config import (
    KILLED,
    KILLED_WITHIN_S,
    ProcessConfig,
    kill_self,
    kill_self_within,
)

POISON = "poison"
#: The pool that all agents take items from.
POOL = "shared"
#: What each report of progress, completion or failure costs, in microdollars.
COST_MICROS = 1
NO_LEASE = Lease(item="")


class WorkerClient(Protocol):
    """Access to the queue, by the library or by commands."""

    def claim(self, call: str) -> ClaimedItem | None:
        """Claim the next item; None if there is none."""

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Run a verb of the holder, with the id of the call as its text."""


class Worker:
    """One session of an agent."""

    def __init__(self, config: ProcessConfig, client: WorkerClient) -> None:
        self._config = config
        self._client = client
        self._random = config.random()
        self._recorder = CallRecorder(Ledger(config.ledger), self._random)

    def work(self) -> None:
        """Work on items until the driver stops the run."""
        while self._config.is_running():
            if claimed := self.claim():
                self._work_on(claimed)
            else:
                sleep(0.05)

    def claim(self) -> ClaimedItem | None:
        """Claim the next item."""
        return self._recorder.call("claim", NO_LEASE, self._client.claim)

    def step(self, verb: str, lease: Lease) -> Receipt | None:
        """Run a verb of the holder; None if it was refused."""
        return self._recorder.call(
            verb, lease, lambda call: self._client.step(verb, lease, call)
        )

    def record_fault(self, fault: str, lease: Lease) -> None:
        """Record a fault that this process is about to cause itself."""
        self._recorder.record_fault(fault, lease.item)

    def _work_on(self, claimed: ClaimedItem) -> None:
        if claimed.title.startswith(POISON):
            self._work_on_poison(claimed.lease)
        elif self._report(claimed.lease):
            self.step(
                self._random.choices(
                    ("complete", "fail", "release"), (18, 1, 1)
                )[0],
                claimed.lease,
            )

    def _work_on_poison(self, lease: Lease) -> None:
        if self._random.random() < 0.7:
            self.record_fault("poisoned", lease)
            kill_self()
        self.step("fail", lease)

    def _report(self, lease: Lease) -> bool:
        """Report up to three times; return whether the worker still holds the item."""
        if (
            self._random.random() < KILLED
            and not self._config.faults_are_over()
        ):
            self.record_fault("killed", lease)
            kill_self_within(KILLED_WITHIN_S, self._random)
        for _ in range(self._random.randint(0, 3)):
            sleep(self._random.uniform(0.01, 0.3))
            verb = self._random.choices(
                ("progress", "renew", "discover"), (8, 1, 1)
            )[0]
            if not self.step(verb, lease):
                return False
        return True
