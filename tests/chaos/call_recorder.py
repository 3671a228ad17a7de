"""Makes calls, and writes each into a ledger before it is made and after it has come back."""

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
#: A call without an answer is given up that often instead of being repeated: some agents do.
GIVEN_UP = 0.1


@dataclass(frozen=True, kw_only=True)
class Taken:
    """An item that was claimed."""

    lease: Lease
    title: str
    #: When, in ms; 0 where that is not known.
    since: int = 0


class Witness:
    """What one process does, told to its ledger."""

    def __init__(self, ledger: Ledger, fate: Random) -> None:
        self._ledger = ledger
        self._fate = fate

    def call(self, verb: str, lease: Lease, act: Callable[[str], T]) -> T | None:
        """Make a call, and the very same again while Redis is unreachable; None when it was refused or given up.

        `act` is handed the id of the call: its request id, and the text of its report.
        """
        call = os.urandom(8).hex()
        for _ in range(REPEATS):
            self._ledger.write(
                "ask",
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
                    "told",
                    call=call,
                    item=lease.item,
                    answer=error.word,
                    why=str(error),
                )
                if (
                    not isinstance(error, errors.Unavailable)
                    or self._fate.random() < GIVEN_UP
                ):
                    return None
                sleep(self._fate.uniform(0.1, 0.6))
            else:
                self._ledger.write(
                    "told",
                    call=call,
                    answer=DONE,
                    **{"item": lease.item, **received(result)},
                )
                return result
        return None

    def suffer(self, fate: str, item: str) -> None:
        """Write what is about to happen to this process."""
        self._ledger.write("fate", fate=fate, item=item)


def received(result: object) -> dict[str, object]:
    """Return what a reply tells a ledger."""
    if isinstance(result, Taken):
        return {**_got(result.lease), "item": result.lease.item, "since": result.since}
    if isinstance(result, Receipt):
        return {**_got(result.lease), "remark": result.remark}
    return {"item": result} if isinstance(result, str) else {}


def _got(lease: Lease) -> dict[str, object]:
    return {
        "got_token": lease.token,
        "got_claim": lease.claim,
        "expires_at": lease.expires_at,
    }
