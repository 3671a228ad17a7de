"""What a worker does with its items, through the API or through commands: it reports, delivers, sulks, or dies."""

from time import sleep
from typing import Protocol

from taskorch.domain.item import Lease, Receipt

from chaos.call_recorder import Taken, Witness
from chaos.ledger import Ledger
from chaos.process_config import KILLED, KILLED_WITHIN_S, Duty, die, die_within

POISON = "poison"
NO_LEASE = Lease(item="")


class Hands(Protocol):
    """The road to the queue."""

    def claim(self, call: str) -> Taken | None:
        """Take the next item; None when there is none."""

    def step(self, verb: str, lease: Lease, call: str) -> Receipt:
        """Do a holder's verb, with the id of the call as its text."""


class Worker:
    """One session of an agent."""

    def __init__(self, duty: Duty, hands: Hands) -> None:
        self._duty = duty
        self._hands = hands
        self._fate = duty.fate()
        self._witness = Witness(Ledger(duty.ledger), self._fate)

    def work(self) -> None:
        """Take items until the driver says stop."""
        while self._duty.goes_on():
            if taken := self.claim():
                self._work_on(taken)
            else:
                sleep(0.05)

    def claim(self) -> Taken | None:
        """Take the next item."""
        return self._witness.call("claim", NO_LEASE, self._hands.claim)

    def step(self, verb: str, lease: Lease) -> Receipt | None:
        """Do a holder's verb; None when it was refused."""
        return self._witness.call(
            verb, lease, lambda call: self._hands.step(verb, lease, call)
        )

    def suffer(self, fate: str, lease: Lease) -> None:
        """Write what is about to happen."""
        self._witness.suffer(fate, lease.item)

    def _work_on(self, taken: Taken) -> None:
        if taken.title.startswith(POISON):
            self._take_poison(taken.lease)
        elif self._does(taken.lease):
            self.step(
                self._fate.choices(("complete", "fail", "release"), (18, 1, 1))[0],
                taken.lease,
            )

    def _take_poison(self, lease: Lease) -> None:
        if self._fate.random() < 0.7:
            self.suffer("poisoned", lease)
            die()
        self.step("fail", lease)

    def _does(self, lease: Lease) -> bool:
        """Report some times; return whether the item is still the worker's."""
        if self._fate.random() < KILLED and not self._duty.is_calm():
            self.suffer("killed", lease)
            die_within(KILLED_WITHIN_S, self._fate)
        for _ in range(self._fate.randint(0, 3)):
            sleep(self._fate.uniform(0.01, 0.3))
            verb = self._fate.choices(("progress", "renew", "discover"), (8, 1, 1))[0]
            if not self.step(verb, lease):
                return False
        return True
