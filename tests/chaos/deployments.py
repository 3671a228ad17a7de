"""The Redis under test: one server, with sentinels, a cluster, or behind gateways."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from itertools import cycle
from pathlib import Path
from typing import Protocol

import redis
from support import balancer, topologies
from support.commands import Shell
from support.gateways import Gateway

NAMESPACE = "chaos"
#: As in the bundled server: acknowledged writes are in the kernel and survive a
#: SIGKILL.
SYNCED = ("--appendfsync", "no")
#: The number of gateways in front of a server.
GATEWAYS = 2


class Deployment(Protocol):
    """One or several servers that clients use as one Redis."""

    #: Whether a replica is promoted if the primary dies; acknowledged steps may be
    #: lost.
    fails_over: bool
    #: The address for clients, if it is not that of Redis, and their access token.
    gateway_url: str
    access_token: str

    @property
    def url(self) -> str:
        """Return its address."""

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each running server."""

    def primary(self) -> redis.Redis:
        """Return a client for the server with the namespace; wait for a failover."""

    def kill(self) -> bool:
        """Kill the primary with SIGKILL if another server can take over.

        Return whether it was killed.
        """

    def restart(self) -> None:
        """Restart killed servers, and wait until they answer."""


class StandaloneDeployment:
    """One server with an append-only file, like the bundled one."""

    fails_over = False
    gateway_url = access_token = ""

    def __init__(self, node: topologies.Node) -> None:
        self.node = node

    @property
    def url(self) -> str:
        """Return its address."""
        return f"redis://{self.node.address}"

    def nodes(self) -> list[redis.Redis]:
        """Return a client for the one server."""
        return [self.node.raw] if self.node.pid else []

    def primary(self) -> redis.Redis:
        """Return a client for the one server."""
        return self.node.raw

    def kill(self) -> bool:
        """Kill the server with SIGKILL."""
        self.node.kill()
        return True

    def restart(self) -> None:
        """Restart the server from its append-only file."""
        self.node.start()


class SentinelDeployment:
    """A primary, two replicas and three sentinels."""

    fails_over = True
    gateway_url = access_token = ""

    def __init__(self, deployment: topologies.Sentinels) -> None:
        self._deployment = deployment
        self.url = deployment.url

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each running server, without the sentinels."""
        return [node.raw for node in self._deployment.servers if node.pid]

    def primary(self) -> redis.Redis:
        """Return a client for the primary that the sentinels agree on."""
        return self._deployment.await_failover().raw

    def kill(self) -> bool:
        """Kill the primary if a replica follows it."""
        has_replica = _has_replica(self._deployment.primary)
        if has_replica:
            self._deployment.kill_primary()
        return has_replica

    def restart(self) -> None:
        """Restart killed servers; the sentinels make them replicas."""
        for node in self._deployment.servers:
            node.start()


class ClusterDeployment:
    """Three primaries with one replica each."""

    fails_over = True
    gateway_url = access_token = ""

    def __init__(self, cluster: topologies.Cluster) -> None:
        self._cluster = cluster
        self.url = cluster.url

    def nodes(self) -> list[redis.Redis]:
        """Return a client for each running node."""
        return [node.raw for node in self._cluster.nodes if node.pid]

    def primary(self) -> redis.Redis:
        """Return a client for the node with the slot of the namespace."""
        return self._cluster.primary_of(NAMESPACE).raw

    def kill(self) -> bool:
        """Kill that node if a replica follows it."""
        has_replica = _has_replica(self._cluster.primary_of(NAMESPACE))
        if has_replica:
            self._cluster.kill_primary(NAMESPACE)
        return has_replica

    def restart(self) -> None:
        """Restart killed nodes; they become replicas."""
        for node in self._cluster.nodes:
            node.start()

    def move(self) -> None:
        """Move the slot of the namespace atomically, as Valkey 9 can."""
        self._cluster.move_slot_atomically(NAMESPACE)

    def move_slowly(self) -> None:
        """Move the slot key by key, as every Redis can."""
        self._cluster.move_slot_by_key(NAMESPACE)


class GatewayDeployment(StandaloneDeployment):
    """One server behind several gateways, with a load balancer in front of them."""

    def __init__(
        self, node: topologies.Node, gateways: Sequence[Gateway], port: int
    ) -> None:
        super().__init__(node)
        self._gateways = gateways
        self._turns = cycle(gateways)
        self.gateway_url = f"http://localhost:{port}"
        self.access_token = gateways[0].token("chaos", "admin")

    def kill_gateway(self) -> bool:
        """Kill the next gateway with SIGKILL, if it runs."""
        gateway = next(self._turns)
        was_running = gateway.is_running()
        gateway.kill()
        return was_running

    def restart_gateways(self) -> None:
        """Restart killed gateways, without waiting for them."""
        for gateway in self._gateways:
            if not gateway.is_running():
                gateway.launch()


@contextmanager
def standalone(folder: Path) -> Iterator[StandaloneDeployment]:
    """Run one server, and stop it at the end."""
    [port] = topologies.free_ports(1)
    options = topologies.server_options(folder, port)
    node = topologies.Node(folder, port, *options, *SYNCED)
    try:
        node.start()
        yield StandaloneDeployment(node)
    finally:
        node.kill()


@contextmanager
def behind_gateways(folder: Path) -> Iterator[Deployment]:
    """Run one server and the gateways in front of it, and stop them at the end."""
    with standalone(folder) as alone, ExitStack() as stack:
        gateways = []
        for number in range(GATEWAYS):
            root = folder / f"gateway-{number}"
            root.mkdir()
            variables = {
                "TASKORCH_REDIS_URL": alone.url,
                "TASKORCH_NAMESPACE": NAMESPACE,
            }
            gateway = Gateway(Shell(root, variables), "--rate", "0")
            stack.callback(gateway.kill)
            gateway.start()
            gateways.append(gateway)
        ports = [gateway.port for gateway in gateways]
        front = stack.enter_context(balancer.running(ports))
        yield GatewayDeployment(alone.node, gateways, front.port)


@contextmanager
def sentinel(folder: Path) -> Iterator[Deployment]:
    """Run a primary with replicas and sentinels, and stop them at the end."""
    with topologies.sentinels(folder, *SYNCED) as deployment:
        yield SentinelDeployment(deployment)


@contextmanager
def cluster(folder: Path) -> Iterator[Deployment]:
    """Run a cluster, and stop it at the end."""
    with topologies.cluster(folder, *SYNCED) as whole:
        yield ClusterDeployment(whole)


def running(kind: str, folder: Path) -> AbstractContextManager[Deployment]:
    """Run the deployment that CHAOS_REDIS names."""
    return {
        "standalone": standalone,
        "sentinel": sentinel,
        "cluster": cluster,
        "gateway": behind_gateways,
    }[kind](folder)


def _has_replica(node: topologies.Node) -> bool:
    """Return whether an online replica follows the server."""
    replication = node.info("replication")
    return any(
        replication.get(name, {}).get("state") == "online"
        for name in ("slave0", "slave1")
    )
