"""Waits that another thread can stop, so that a cancelled wait claims nothing."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from threading import Event, Thread, get_ident
from typing import Generic, TypeVar

from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
    WaitBrokenOff,
)

#: The interval at which a wait is broken off, which misses one that is just beginning.
REPEAT_S = 0.05

Done = TypeVar("Done")


class StoppableConnection(ConnectionWrapper):
    """A connection that runs nothing more after `stop`: its calls raise WaitBrokenOff.

    A script that is under way still gets its reply.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._stopped = Event()
        #: The identifiers of the threads that wait.
        self._waiting: set[int] = set()

    @property
    def is_stopped(self) -> bool:
        """Return whether `stop` was called."""
        return self._stopped.is_set()

    def stop(self) -> None:
        """Break off all waits. One that is just beginning may miss it: repeat this."""
        self._stopped.set()
        for thread in tuple(self._waiting):
            self.connection.break_off(thread)

    def pause(self, seconds: float) -> None:
        """Wait for some time, or until `stop`."""
        self._stopped.wait(seconds)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        """Run a script with one key."""
        self._raise_if_stopped()
        return super().run_script(script, key, arguments)

    def wait_for_wake(self, lists: Sequence[str], timeout_s: float) -> bool:
        """Block until one of `lists` has a wake token, and take it."""
        with self._wait():
            return super().wait_for_wake(lists, timeout_s)

    def wait_for_entry(self, key: str, cursor: str, timeout_s: float) -> bool:
        """Block until the stream `key` has an entry after `cursor`."""
        with self._wait():
            return super().wait_for_entry(key, cursor, timeout_s)

    def close(self) -> None:
        """Close nothing: the connection belongs to the queue."""

    @contextmanager
    def _wait(self) -> Iterator[None]:
        self._waiting.add(get_ident())
        try:
            self._raise_if_stopped()
            yield
        finally:
            self._waiting.discard(get_ident())

    def _raise_if_stopped(self) -> None:
        if self._stopped.is_set():
            raise WaitBrokenOff


class StoppableCall(Generic[Done]):
    """A call in a thread of its own, which another thread can stop."""

    def __init__(
        self,
        connection: Connection,
        call: Callable[[StoppableConnection], Done],
        *,
        undo: Callable[[Done], object] = lambda _: None,
    ) -> None:
        """Start nothing yet. `undo` reverts a result whose caller no longer waits."""
        self.connection = StoppableConnection(connection)
        self._call = call
        self._undo = undo
        #: The result, or the error.
        self.future: Future[Done] = Future()
        self.future.set_running_or_notify_cancel()
        self._thread = Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def result(self) -> Done:
        """Call, and wait for the result. An interrupt, as by Ctrl-C, stops the call."""
        try:
            self.start()
            return self.future.result()
        except BaseException:
            self.abandon()
            raise

    def abandon(self) -> None:
        """Stop the call, wait for its end, and take back what it did."""
        if self._thread.ident is None:
            return
        while self._thread.is_alive():
            self.connection.stop()
            self._thread.join(REPEAT_S)
        if self.future.exception() is None:
            self._undo(self.future.result())

    def _run(self) -> None:
        try:
            done = self._call(self.connection)
        except BaseException as error:  # noqa: BLE001  the caller gets it
            self.future.set_exception(error)
        else:
            self.future.set_result(done)
