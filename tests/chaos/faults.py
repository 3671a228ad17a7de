"""The faults of a run: planned from a seed, injected on time, and counted."""

import signal
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from random import Random

import redis

from chaos.deployments import (
    ClusterDeployment,
    Deployment,
    GatewayDeployment,
)
from chaos.fleet import Fleet
from chaos.ledger import Ledger
from chaos.producer import LEASE_MS

#: Seconds between two faults of a kind: on any Redis, on one server, with gateways in
#: front of it, on one with replicas, on a cluster.
EVERY_S: Mapping[str, float] = {
    "SIGSTOP longer than the lease": 0.8,
    "FUNCTION FLUSH": 3.0,
    "CLIENT KILL TYPE normal": 3.0,
    "CLIENT PAUSE": 5.0,
}
ALONE_S: Mapping[str, float] = {"kill -9 of the server": 8.0}
GATEWAY_S: Mapping[str, float] = {"kill -9 of a gateway": 4.0}
REPLICATED_S: Mapping[str, float] = {"kill -9 of the primary": 20.0}
CLUSTERED_S: Mapping[str, float] = {
    "slot moved atomically": 12.0,
    "slot moved key by key": 60.0,
}
STOPPED_S = (LEASE_MS / 1000 * 1.2, LEASE_MS / 1000 * 2.5)
#: A primary that pauses for longer than its sentinels wait is replaced, which is
#: another fault.
PAUSED_MS = (100, 1200)
PAUSED_WITH_SENTINELS_MS = (50, 300)
#: Seconds until a killed server restarts; a primary restarts after its failover.
DOWN_S = (0.0, 1.5)
FAILOVER_S = (4.0, 6.0)


@dataclass(frozen=True, order=True)
class Fault:
    """One fault: its time, its kind, and a number from 0 to 1 for its force or target."""

    at_s: float
    kind: str
    force: float


def kinds(deployment: Deployment) -> Mapping[str, float]:
    """Return the faults of such a deployment, with the seconds between two of a kind."""
    if isinstance(deployment, ClusterDeployment):
        return {**EVERY_S, **REPLICATED_S, **CLUSTERED_S}
    if isinstance(deployment, GatewayDeployment):
        return {**EVERY_S, **ALONE_S, **GATEWAY_S}
    return {**EVERY_S, **(REPLICATED_S if deployment.fails_over else ALONE_S)}


def plan(seed: int, seconds: float, kinds: Mapping[str, float]) -> list[Fault]:
    """Return the faults of a run in their order, each kind at least once.

    The same seed and duration give the same plan.
    """
    random = Random(seed)
    times = {
        kind: max(1, round(seconds / every_s))
        for kind, every_s in kinds.items()
    }
    return sorted(
        Fault(
            (number + random.uniform(0.25, 0.75)) / times[kind] * seconds,
            kind,
            random.random(),
        )
        for kind in kinds
        for number in range(times[kind])
    )


class Faults:
    """Injects the planned faults."""

    def __init__(
        self,
        planned: list[Fault],
        fleet: Fleet,
        deployment: Deployment,
        ledger: Ledger,
    ) -> None:
        self._planned = list(planned)
        self._fleet = fleet
        self._deployment = deployment
        self._ledger = ledger
        self._recoveries: list[tuple[float, Callable[[], None]]] = []
        self.counts: Counter[str] = Counter()
        self._inject: Mapping[str, Callable[[Fault], bool]] = {
            "SIGSTOP longer than the lease": self._stop,
            "FUNCTION FLUSH": self._flush,
            "CLIENT KILL TYPE normal": self._disconnect,
            "CLIENT PAUSE": self._pause,
            "kill -9 of the server": self._kill,
            "kill -9 of a gateway": self._kill_gateway,
            "kill -9 of the primary": self._fail_over,
            "slot moved atomically": self._move,
            "slot moved key by key": self._move_slowly,
        }

    def inject(self, now_s: float) -> None:
        """Inject the faults planned until now, and recover from those that have ended."""
        while self._planned and self._planned[0].at_s <= now_s:
            fault = self._planned.pop(0)
            with suppress(redis.RedisError):
                self._ledger.write("fault", kind=fault.kind, force=fault.force)
                self.counts[fault.kind] += self._inject[fault.kind](fault)
        for recovery in [
            each for each in self._recoveries if each[0] <= now_s
        ]:
            self._recoveries.remove(recovery)
            self._ledger.write("recovery", kind=recovery[1].__qualname__)
            recovery[1]()

    def end(self) -> None:
        """Recover from all faults."""
        self._planned = []
        self.inject(float("inf"))

    def _stop(self, fault: Fault) -> bool:
        workers = [
            member
            for member in self._fleet.workers()
            if not member.is_stopped()
        ]
        member = workers[int(fault.force * len(workers))]
        member.signal(signal.SIGSTOP)
        self._later(fault, STOPPED_S, lambda: member.signal(signal.SIGCONT))
        return True

    def _flush(self, _: Fault) -> bool:
        return self._to_each(lambda node: node.function_flush())

    def _disconnect(self, _: Fault) -> bool:
        return self._to_each(
            lambda node: _command(node, "CLIENT", "KILL", "TYPE", "normal")
        )

    def _pause(self, fault: Fault) -> bool:
        bounds = (
            PAUSED_WITH_SENTINELS_MS
            if self._deployment.fails_over
            else PAUSED_MS
        )
        return self._to_each(
            lambda node: node.client_pause(
                round(_between(bounds, fault.force))
            )
        )

    def _kill(self, fault: Fault) -> bool:
        self._later(fault, DOWN_S, self._deployment.restart)
        return self._deployment.kill()

    def _kill_gateway(self, fault: Fault) -> bool:
        assert isinstance(self._deployment, GatewayDeployment)
        self._later(fault, DOWN_S, self._deployment.restart_gateways)
        return self._deployment.kill_gateway()

    def _fail_over(self, fault: Fault) -> bool:
        self._later(fault, FAILOVER_S, self._deployment.restart)
        return self._deployment.kill()

    def _move(self, _: Fault) -> bool:
        assert isinstance(self._deployment, ClusterDeployment)
        self._deployment.move()
        return True

    def _move_slowly(self, _: Fault) -> bool:
        assert isinstance(self._deployment, ClusterDeployment)
        self._deployment.move_slowly()
        return True

    def _to_each(self, act: Callable[[redis.Redis], object]) -> bool:
        for node in self._deployment.nodes():
            act(node)
        return True

    def _later(
        self,
        fault: Fault,
        bounds: tuple[float, float],
        recover: Callable[[], None],
    ) -> None:
        self._recoveries.append(
            (fault.at_s + _between(bounds, fault.force), recover)
        )


def _between(bounds: tuple[float, float], force: float) -> float:
    return bounds[0] + force * (bounds[1] - bounds[0])


def _command(node: redis.Redis, *words: str) -> object:
    return node.execute_command(*words)  # type: ignore[no-untyped-call]
