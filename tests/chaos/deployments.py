"""The Redis under test: how the fleet reaches it, how it is hurt, and how it comes back."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

import redis
from support import topologies

NAMESPACE = "chaos"
#: As the bundled server has it: what it acknowledged is in the kernel, and outlives it.
SYNCED = ("--appendfsync", "no")


class Redises(Protocol):
    """One Redis, or several that are one to their clients."""

    #: Whether another server takes over when the primary dies: what was acknowledged may be lost then.
    fails_over: bool

    @property
    def url(self) -> str:
        """Return where the fleet's processes find it."""

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each server that was started and not killed."""

    def primary(self) -> redis.Redis:
        """Return a client for the server that has the namespace; waits for a failover."""

    def kill(self) -> bool:
        """Kill that server with -9, unless nobody could take over; return whether it was done."""

    def revive(self) -> None:
        """Start again what was killed, and wait until it answers."""


class Standalone:
    """The bundled server with its append-only file: what is in the kernel outlives the process."""

    fails_over = False

    def __init__(self, node: topologies.Node) -> None:
        self._node = node

    @property
    def url(self) -> str:
        """Return its address."""
        return f"redis://{self._node.address}"

    def nodes(self) -> list[redis.Redis]:
        """Return a client for the one server."""
        return [self._node.raw] if self._node.pid else []

    def primary(self) -> redis.Redis:
        """Return the same."""
        return self._node.raw

    def kill(self) -> bool:
        """Kill the server with -9."""
        self._node.kill()
        return True

    def revive(self) -> None:
        """Start it again from its append-only file."""
        self._node.start()


class WithSentinels:
    """A primary, two replicas, three sentinels."""

    fails_over = True

    def __init__(self, deployment: topologies.Sentinels) -> None:
        self._deployment = deployment
        self.url = deployment.url

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each living server; not the sentinels."""
        return [node.raw for node in self._deployment.servers if node.pid]

    def primary(self) -> redis.Redis:
        """Return a client for the primary that the sentinels agree on."""
        return self._deployment.await_failover().raw

    def kill(self) -> bool:
        """Kill the primary, if a replica keeps up with it."""
        followed = _is_followed(self._deployment.primary)
        if followed:
            self._deployment.kill_primary()
        return followed

    def revive(self) -> None:
        """Start what was killed; the sentinels make a replica of it."""
        for node in self._deployment.servers:
            node.start()


class Clustered:
    """Three primaries with a replica each."""

    fails_over = True

    def __init__(self, cluster: topologies.Cluster) -> None:
        self._cluster = cluster
        self.url = cluster.url

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each living node."""
        return [node.raw for node in self._cluster.nodes if node.pid]

    def primary(self) -> redis.Redis:
        """Return a client for the node that has the slot of the namespace."""
        return self._cluster.primary_of(NAMESPACE).raw

    def kill(self) -> bool:
        """Kill that node, if a replica keeps up with it."""
        followed = _is_followed(self._cluster.primary_of(NAMESPACE))
        if followed:
            self._cluster.kill_primary(NAMESPACE)
        return followed

    def revive(self) -> None:
        """Start what was killed; the others make a replica of it."""
        for node in self._cluster.nodes:
            node.start()

    def move(self) -> None:
        """Move the slot of the namespace to another primary at once, as Valkey 9 does."""
        self._cluster.move_at_once(NAMESPACE)

    def move_slowly(self) -> None:
        """Move it key by key, as every Redis can."""
        self._cluster.move_key_by_key(NAMESPACE)


@contextmanager
def standalone(folder: Path) -> Iterator[Redises]:
    """Run the bundled server, and end it."""
    [port] = topologies.free_ports(1)
    options = [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
    ]
    node = topologies.Node(folder, port, *options, "--appendonly", "yes", *SYNCED)
    try:
        node.start()
        yield Standalone(node)
    finally:
        node.kill()


@contextmanager
def sentinel(folder: Path) -> Iterator[Redises]:
    """Run a primary with replicas and sentinels, and end them."""
    with topologies.sentinels(folder, *SYNCED) as deployment:
        yield WithSentinels(deployment)


@contextmanager
def cluster(folder: Path) -> Iterator[Redises]:
    """Run a cluster, and end it."""
    with topologies.cluster(folder, *SYNCED) as whole:
        yield Clustered(whole)


def running(kind: str, folder: Path) -> AbstractContextManager[Redises]:
    """Run the Redis that CHAOS_REDIS names."""
    return {"standalone": standalone, "sentinel": sentinel, "cluster": cluster}[kind](
        folder
    )


def _is_followed(node: topologies.Node) -> bool:
    """Return whether a replica keeps up with it."""
    told = node.info("replication")
    return any(
        told.get(name, {}).get("state") == "online" for name in ("slave0", "slave1")
    )
