"""The queue of a Python program, over the bench of a test."""

import pytest
from support.builders import Bench
from support.waiters import Waiters
from taskorch import Caller, Queue


@pytest.fixture
def queue(bench: Bench) -> Queue:
    """Return the queue of a program in the namespace of the bench."""
    caller = Caller(agent="planner")
    return Queue(bench.queue.connection, bench.namespace, caller)


@pytest.fixture
def breakable(waiters: Waiters) -> Waiters:
    """Return threads whose waits can be broken off."""
    if not waiters.bench.url:
        pytest.skip("a closed client of fakeredis still blocks")
    return waiters


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a stopped worker wait for its handlers, however slow the machine is."""
    for module in ("worker", "async_worker"):
        monkeypatch.setattr(f"taskorch.library.{module}.GRACE_S", 60.0)
