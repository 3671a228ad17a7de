"""Work that continues after the call of the tool that began it.

A program ends a call that takes too long, and calls again: the next call waits for the
same work, and gets its result.
"""

from collections.abc import Callable
from threading import Event, Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

#: How often a call looks whether its client has cancelled it.
LOOK_S = 0.1
#: A result that no call has taken for this long says nothing about the present.
KEPT_S = 300.0

Done = TypeVar("Done")


class _Work(Generic[Done]):
    """Work in a thread of its own."""

    def __init__(self, work: Callable[[], Done]) -> None:
        self._work = work
        self._result: list[Done] = []
        self._error: BaseException | None = None
        self._ended_at = 0.0
        self._ended = Event()
        Thread(target=self._run, daemon=True).start()

    @property
    def is_stale(self) -> bool:
        """Whether its result was not taken in time."""
        return self._ended.is_set() and (monotonic() - self._ended_at > KEPT_S)

    def wait(self, timeout_s: float) -> bool:
        """Wait until it has ended; return False if the time is over."""
        return self._ended.wait(timeout_s)

    def result(self) -> Done:
        """Return the result, or raise the error."""
        if self._error:
            raise self._error
        return self._result[0]

    def _run(self) -> None:
        try:
            self._result.append(self._work())
        except BaseException as error:  # noqa: BLE001  the caller gets it
            self._error = error
        self._ended_at = monotonic()
        self._ended.set()


class Background(Generic[Done]):
    """The work that calls of one server have begun. Threads share it."""

    def __init__(self) -> None:
        self._lock = Lock()
        #: What the work is about -> the work, until a call has taken the result.
        self._works: dict[str, _Work[Done]] = {}

    def result(
        self,
        key: str,
        work: Callable[[], Done],
        *,
        timeout_s: float,
        look: Callable[[], object],
    ) -> Done:
        """Return the result of the work with a key, which begins unless it runs already.

        `look` is called from time to time, and ends the wait by an error, but not the
        work. Raises TimeoutError, and the error of the work.
        """
        with self._lock:
            self._forget_stale()
            mine = self._works.get(key)
            if mine is None:
                mine = self._works[key] = _Work(work)
        deadline = monotonic() + timeout_s
        while not mine.wait(LOOK_S):
            look()
            if monotonic() >= deadline:
                raise TimeoutError
        with self._lock:
            if self._works.get(key) is mine:
                del self._works[key]
        return mine.result()

    def _forget_stale(self) -> None:
        for key in [key for key, work in self._works.items() if work.is_stale]:
            del self._works[key]
