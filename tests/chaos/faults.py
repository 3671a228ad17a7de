"""The faults: when each happens is planned from a seed, and each is counted when it does."""

import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import redis

from chaos.deployments import Clustered, Redises
from chaos.fleet import Fleet
from chaos.ledger import Ledger
from chaos.producer import LEASE_MS

#: How often each happens, in seconds: to any Redis, to one alone, to one with replicas, to a cluster.
EVERY_S: Mapping[str, float] = {
    "SIGSTOP longer than the lease": 0.8,
    "SCRIPT FLUSH": 3.0,
    "CLIENT KILL TYPE normal": 3.0,
    "CLIENT PAUSE": 5.0,
}
ALONE_S: Mapping[str, float] = {"kill -9 of the server": 8.0}
REPLICATED_S: Mapping[str, float] = {"kill -9 of the primary": 20.0}
CLUSTERED_S: Mapping[str, float] = {
    "slot moved at once": 12.0,
    "slot moved key by key": 60.0,
}
STOPPED_S = (LEASE_MS / 1000 * 1.2, LEASE_MS / 1000 * 2.5)
#: A primary that is silent for longer than its watchers wait is deposed as if it were dead: that is another fault.
PAUSED_MS = (100, 1200)
PAUSED_WATCHED_MS = (50, 300)
#: How long the server stays away; a primary until another one has taken over.
DOWN_S = (0.0, 1.5)
DEPOSED_S = (4.0, 6.0)


@dataclass(frozen=True, order=True)
class Fault:
    """One fault: when, which, and a number between 0 and 1 that says how hard, or whom."""

    at_s: float
    kind: str
    force: float


def kinds(redises: Redises) -> Mapping[str, float]:
    """Return what can happen to such a Redis, and how often."""
    if isinstance(redises, Clustered):
        return {**EVERY_S, **REPLICATED_S, **CLUSTERED_S}
    return {**EVERY_S, **(REPLICATED_S if redises.fails_over else ALONE_S)}


def plan(seed: int, seconds: float, kinds: Mapping[str, float]) -> list[Fault]:
    """Return the faults of a run in their order: the same for the same seed and length, each kind at least once."""
    fate = Random(seed)
    times = {kind: max(1, round(seconds / every_s)) for kind, every_s in kinds.items()}
    return sorted(
        Fault(
            (number + fate.uniform(0.25, 0.75)) / times[kind] * seconds,
            kind,
            fate.random(),
        )
        for kind in kinds
        for number in range(times[kind])
    )


class Faults:
    """Carries a plan out."""

    def __init__(
        self, planned: list[Fault], fleet: Fleet, redises: Redises, ledger: Ledger
    ) -> None:
        self._planned = list(planned)
        self._fleet = fleet
        self._redises = redises
        self._ledger = ledger
        self._amends: list[tuple[float, Callable[[], None]]] = []
        self.counts: Counter[str] = Counter()
        self._act: Mapping[str, Callable[[Fault], bool]] = {
            "SIGSTOP longer than the lease": self._stop,
            "SCRIPT FLUSH": self._flush,
            "CLIENT KILL TYPE normal": self._disconnect,
            "CLIENT PAUSE": self._pause,
            "kill -9 of the server": self._kill,
            "kill -9 of the primary": self._depose,
            "slot moved at once": self._move,
            "slot moved key by key": self._move_slowly,
        }

    def happen(self, now_s: float) -> None:
        """Do what is planned until now, and make good again what has lasted long enough."""
        while self._planned and self._planned[0].at_s <= now_s:
            fault = self._planned.pop(0)
            with suppress(redis.RedisError):
                self._ledger.write("fault", kind=fault.kind, force=fault.force)
                self.counts[fault.kind] += self._act[fault.kind](fault)
        for amend in [amend for amend in self._amends if amend[0] <= now_s]:
            self._amends.remove(amend)
            self._ledger.write("amends", kind=amend[1].__qualname__)
            amend[1]()

    def end(self) -> None:
        """Make everything good again."""
        self._planned = []
        self.happen(float("inf"))

    def _stop(self, fault: Fault) -> bool:
        workers = [
            member for member in self._fleet.workers() if not member.is_stopped()
        ]
        member = workers[int(fault.force * len(workers))]
        member.signal(signal.SIGSTOP)
        self._later(fault, STOPPED_S, lambda: member.signal(signal.SIGCONT))
        return True

    def _flush(self, _: Fault) -> bool:
        return self._to_each(lambda node: node.script_flush())

    def _disconnect(self, _: Fault) -> bool:
        return self._to_each(
            lambda node: _command(node, "CLIENT", "KILL", "TYPE", "normal")
        )

    def _pause(self, fault: Fault) -> bool:
        bounds = PAUSED_WATCHED_MS if self._redises.fails_over else PAUSED_MS
        return self._to_each(
            lambda node: node.client_pause(round(_between(bounds, fault.force)))
        )

    def _kill(self, fault: Fault) -> bool:
        self._later(fault, DOWN_S, self._redises.revive)
        return self._redises.kill()

    def _depose(self, fault: Fault) -> bool:
        self._later(fault, DEPOSED_S, self._redises.revive)
        return self._redises.kill()

    def _move(self, _: Fault) -> bool:
        assert isinstance(self._redises, Clustered)
        self._redises.move()
        return True

    def _move_slowly(self, _: Fault) -> bool:
        assert isinstance(self._redises, Clustered)
        self._redises.move_slowly()
        return True

    def _to_each(self, act: Callable[[redis.Redis], object]) -> bool:
        for node in self._redises.nodes():
            act(node)
        return True

    def _later(
        self, fault: Fault, bounds: tuple[float, float], amend: Callable[[], None]
    ) -> None:
        self._amends.append((fault.at_s + _between(bounds, fault.force), amend))


def _between(bounds: tuple[float, float], force: float) -> float:
    return bounds[0] + force * (bounds[1] - bounds[0])


def _command(node: redis.Redis, *words: str) -> object:
    return node.execute_command(*words)  # type: ignore[no-untyped-call]
