"""A cancelled call makes no further step, and wastes no wake token."""

from collections.abc import Callable, Sequence

import pytest
from support.builders import Bench, need_lease
from taskorch.mcp.call import CallCancelled, CancellableConnection
from taskorch.queue.port import Connection, ConnectionWrapper

LONG_S = 30


class CancelledInWait(ConnectionWrapper):
    """A connection whose call is cancelled during its first wait."""

    def __init__(
        self, connection: Connection, before_wait: Callable[[], object]
    ) -> None:
        super().__init__(connection)
        self._before_wait = before_wait
        self.call = CancellableConnection(self)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        self._before_wait()
        found = super().wait_for_wake(lists, min(timeout_s, 0.1))
        self.call.is_cancelled = True
        return found


def cancelled_in_wait(
    bench: Bench, before_wait: Callable[[], object] = lambda: None
) -> Bench:
    """Return a bench whose calls are cancelled during their first wait."""
    return bench.with_connection(
        lambda connection: CancelledInWait(connection, before_wait).call
    )


def test_cancelled_wait_does_not_look_again(bench: Bench) -> None:
    cancelled = cancelled_in_wait(bench)

    with pytest.raises(CallCancelled):
        cancelled.agent().claim(wait_s=LONG_S)

    item = bench.item()
    assert bench.claimed_next() == item


def test_cancelled_call_with_wake_token_claims_the_item(bench: Bench) -> None:
    cancelled = cancelled_in_wait(bench, before_wait=bench.item)

    claim = cancelled.agent().claim(wait_s=LONG_S)

    assert need_lease(claim).token == 1
    with pytest.raises(CallCancelled):
        cancelled.agent().check()
