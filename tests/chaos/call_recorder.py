"""Makes calls, and writes each one into the ledger before it is made and afterwards."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import sleep
from typing import TypeVar

from taskorch.domain import errors
from taskorch.domain.item import Lease, Receipt

from chaos.ledger import DONE, Ledger

T = TypeVar("T")
REPEATS = 12
#: The share of calls without a reply that are given up instead of repeated.
GIVEN_UP = 0.1


@dataclass(frozen=True, kw_only=True)
class ClaimedItem:
    """A claimed item."""

    lease: Lease
    title: str
    #: The time of the claim in ms; 0 for unknown.
    since: int = 0


class CallRecorder:
    """Makes the calls of one process, and records them in its ledger."""

    def __init__(self, ledger: Ledger, random: Random) -> None:
        self._ledger = ledger
        self._random = random

    def call(
        self, verb: str, lease: Lease, act: Callable[[str], T]
    ) -> T | None:
        """Make a call, and repeat it while Redis is unreachable.

        `act` gets the id of the call, which is its request id and the text of its
        report. Return None if the call was refused or given up.
        """
        call = os.urandom(8).hex()
        for _ in range(REPEATS):
            self._ledger.write(
                "call",
                call=call,
                verb=verb,
                item=lease.item,
                token=lease.token,
                claim=lease.claim,
            )
            try:
                result = act(call)
            except errors.TaskOrchestratorError as error:
                self._ledger.write(
                    "reply",
                    call=call,
                    item=lease.item,
                    answer=error.word,
                    reason=str(error),
                )
                if (
                    not isinstance(error, errors.Unavailable)
                    or self._random.random() < GIVEN_UP
                ):
                    return None
                sleep(self._random.uniform(0.1, 0.6))
            else:
                self._ledger.write(
                    "reply",
                    call=call,
                    answer=DONE,
                    **{"item": lease.item, **received(result)},
                )
                return result
        return None

    def record_fault(self, fault: str, item: str) -> None:
        """Record a fault that this process is about to cause itself."""
        self._ledger.write("own fault", fault=fault, item=item)


def received(result: object) -> dict[str, object]:
    """Return the fields of a reply for the ledger."""
    if isinstance(result, ClaimedItem):
        return {
            **_received_lease(result.lease),
            "item": result.lease.item,
            "since": result.since,
        }
    if isinstance(result, Receipt):
        return {**_received_lease(result.lease), "remark": result.remark}
    return {"item": result} if isinstance(result, str) else {}


def _received_lease(lease: Lease) -> dict[str, object]:
    return {
        "got_token": lease.token,
        "got_claim": lease.claim,
        "expires_at": lease.expires_at,
    }
