"""Threads that wait for the queue, on a connection that reports when they block.

Used by tests of blocking calls: the fixture `waiters` gives them a `Waiters`.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Semaphore
from typing import TypeVar

from support.builders import Bench
from support.commands import eventually
from taskorch.domain import errors
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.wait_results import Goal, Waited

#: A waiter that is not woken blocks until its test fails; waking takes seconds at most.
LONG_S = 90
SOON_S = 30
Result = TypeVar("Result")


class WatchedConnection(ConnectionWrapper):
    """A connection that reports blocking waits, counts scripts, and fails on demand."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self.blocks = Semaphore(0)
        self.calls = 0
        #: The number of next calls that fail because Redis is unreachable.
        self.failures_left = 0
        #: Called once, after the waiter has looked and before it blocks.
        self.before_block: Callable[[], object] = lambda: None

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.calls += 1
        self._need_server()
        return super().run_script(script, key, arguments)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        self._announce()
        return super().wait_for_wake(lists, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        self._announce()
        return super().wait_for_entry(key, cursor, timeout_s)

    def _announce(self) -> None:
        act, self.before_block = self.before_block, lambda: None
        act()
        self.blocks.release()
        self._need_server()

    def _need_server(self) -> None:
        if self.failures_left:
            self.failures_left -= 1
            raise errors.Unreachable(url="there", reason="the test says so")


@dataclass
class Waiters:
    """Threads that wait. `bench` is the queue over their connection."""

    bench: Bench
    connection: WatchedConnection
    threads: ThreadPoolExecutor

    def start(self, wait: Callable[[Bench], Result]) -> "Future[Result]":
        """Start a wait in a thread, and return when it is about to block.

        On a busy machine, the time of a short wait may be over before that.
        """
        future = self.threads.submit(wait, self.bench)
        eventually(lambda: self._blocks() or future.done())
        return future

    def _blocks(self) -> bool:
        return self.connection.blocks.acquire(blocking=False)

    def until(
        self, id_: str, *goals: Goal, since: str = ""
    ) -> "Future[Waited]":
        """Start a wait for a project or an item."""
        return self.start(
            lambda bench: bench.queue.waits().until(
                id_, goals, timeout_s=LONG_S, since=since
            )
        )


@contextmanager
def start_waiters(bench: Bench) -> Iterator[Waiters]:
    """Yield threads that wait in the namespace of a bench."""
    watched: list[WatchedConnection] = []

    def watch(connection: Connection) -> Connection:
        watched.append(WatchedConnection(connection))
        return watched[-1]

    watched_bench = bench.with_connection(watch)
    with ThreadPoolExecutor(16) as threads:
        yield Waiters(watched_bench, watched[0], threads)
