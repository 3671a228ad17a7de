"""A call of a tool that is taken back: it asks for nothing more, and sleeps on nobody's wake token."""

from collections.abc import Callable

import pytest
from support.builders import Bench, held
from taskorch.mcp.tool import CallCancelled, StoppableConnection
from taskorch.queue.port import Connection, ConnectionWrapper

LONG_S = 30


class Withdrawn(ConnectionWrapper):
    """A connection whose call is taken back at the end of its first wait; something may happen meanwhile."""

    def __init__(
        self, connection: Connection, meanwhile: Callable[[], object] = lambda: None
    ) -> None:
        super().__init__(connection)
        self._meanwhile = meanwhile
        self.over = False

    def wait_for_wake(self, key: str, timeout_s: float) -> bool:
        self._meanwhile()
        came = super().wait_for_wake(key, min(timeout_s, 0.1))
        self.over = True
        return came


def taken_back(bench: Bench, meanwhile: Callable[[], object] = lambda: None) -> Bench:
    """Return a bench whose calls end with their first wait."""

    def wrap(connection: Connection) -> Connection:
        ending = Withdrawn(connection, meanwhile)
        return StoppableConnection(ending, lambda: ending.over)

    return bench.over(wrap)


def test_a_wait_that_was_taken_back_does_not_look_again(bench: Bench) -> None:
    ending = taken_back(bench)

    with pytest.raises(CallCancelled):
        ending.agent().claim(wait_s=LONG_S)

    item = bench.item()
    assert bench.claimed_next() == item


def test_a_call_that_ends_with_a_wake_token_in_its_hand_claims_what_it_was_woken_for(
    bench: Bench,
) -> None:
    ending = taken_back(bench, meanwhile=bench.item)

    claim = ending.agent().claim(wait_s=LONG_S)

    assert held(claim).token == 1
    with pytest.raises(CallCancelled):
        ending.agent().check()
