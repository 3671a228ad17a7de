"""Highly available deployments of Redis, with sentinels or as a cluster, on loopback.

with topologies.sentinels(folder) as deployment:
    queue = Queue(connect(deployment.url), …)
    deployment.kill_primary()  # the sentinels promote a replica within a few seconds
    deployment.await_failover()
"""

import os
import random
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, cast

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry
from support.commands import eventually
from taskorch.bundled import server
from taskorch.queue import keys

SERVICE = "main"
#: A replica is promoted within 1 to 3 seconds of the death of its primary.
DOWN_AFTER_MS = 700
#: Longer than any pause of a busy machine. A primary that was not killed is not replaced.
STALLED_MS = 3_600_000
#: It also bounds how long a second election waits, should the first have no winner.
FAILOVER_TIMEOUT_MS = 3000
SLOTS = 16384
#: Each process of a test run has one of this number of sets of ports.
PORT_SETS = 32
_OWN_SET = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PORT_SETS
_OWN_PORTS = range(15_000 + _OWN_SET, 32_000, PORT_SETS)
_NEXT_PORTS = cycle(random.sample(_OWN_PORTS, len(_OWN_PORTS)))


class Node:
    """One server on its own port, which can be killed and restarted."""

    def __init__(self, folder: Path, port: int, *options: str) -> None:
        """`options` follow the binary."""
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.port = port
        self._words = [server.binary(), *options]
        self.raw = redis.Redis(
            host="127.0.0.1",
            port=port,
            decode_responses=True,
            socket_timeout=10,
            # Sentinels cut connections when they turn a server into a replica.
            retry=Retry(NoBackoff(), 1),
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """Return host:port."""
        return f"127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        """Return the pid of the server; 0 while it is down."""
        return self._process.pid if self._process else 0

    def start(self) -> None:
        """Start it unless it is running, and wait until it has loaded its data."""
        if self._process is None:
            with (self.folder / "server.log").open("ab") as log:
                # Not in our group: Ctrl-C is for the test, which kills its servers.
                self._process = subprocess.Popen(
                    self._words,
                    stdout=log,
                    stderr=log,
                    cwd=self.folder,
                    process_group=0,
                )
        eventually(self.answers)

    def kill(self) -> None:
        """Kill it with SIGKILL, if it runs."""
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None
        self.raw.connection_pool.disconnect()

    def answers(self) -> bool:
        """Return whether it answers; fail if it ended by itself."""
        if self._process is None or self._process.poll() is not None:
            log = self.folder / "server.log"
            text = log.read_text(encoding="utf-8", errors="replace")
            raise AssertionError(text[-2000:])
        with suppress(redis.ConnectionError, redis.TimeoutError):
            return bool(self.raw.ping())
        return False

    def info(self, section: str) -> dict[str, Any]:
        """Return a section of INFO; an empty one if the server is down."""
        with suppress(redis.RedisError):
            return self.raw.info(section)
        return {}


class Sentinels:
    """One primary, two replicas, three sentinels.

    The sentinels replace a primary that does not answer only after `kill_primary`, until
    the test waits for the failover or for their agreement.
    """

    def __init__(self, servers: list[Node], sentinels: list[Node]) -> None:
        self.servers = servers
        self.sentinels = sentinels
        self._down_after_ms = STALLED_MS

    @property
    def url(self) -> str:
        """Return the address of the deployment."""
        addresses = ",".join(node.address for node in self.sentinels)
        return f"redis+sentinel://{addresses}/{SERVICE}"

    @property
    def primary(self) -> Node:
        """Return the primary, according to the first living sentinel."""
        for sentinel in self.sentinels:
            with suppress(redis.RedisError):
                _, port = command(
                    sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
                )
                return next(
                    node for node in self.servers if node.port == int(port)
                )
        raise AssertionError("no sentinel answers")

    @property
    def replicas(self) -> list[Node]:
        """Return the other servers."""
        primary = self.primary
        return [node for node in self.servers if node is not primary]

    def kill_primary(self) -> Node:
        """Kill the primary and return it. After `start` it is a replica within 10 s."""
        killed = self.primary
        killed.kill()
        self._set_down_after(DOWN_AFTER_MS)
        return killed

    def fail_over(self, *words: str) -> None:
        """Fail over while the primary lives, and wait; `words` end the command."""
        before = self.primary

        def is_over() -> bool:
            # refused while it runs; one that takes too long is given up
            if self.primary is before:
                _is_accepted(
                    self.sentinels[0], "SENTINEL", "FAILOVER", SERVICE, *words
                )
            return self._agreed(before)

        eventually(is_over)

    def await_failover(self, before: Node | None = None) -> Node:
        """Wait until the sentinels agree on a writable primary other than `before`."""
        eventually(lambda: self._agreed(before))
        self._set_down_after(STALLED_MS)
        return self.primary

    def await_agreement(self) -> None:
        """Wait until all sentinels agree on a living primary and no failover is running.

        Until then no sentinel would start another failover, and the first sentinel may
        still name the old primary.
        """
        asked = [
            cast(Any, sentinel.raw).sentinel_master
            for sentinel in self.sentinels
        ]
        eventually(
            lambda: (
                all(ask(SERVICE)["flags"] == "master" for ask in asked)
                and self._agreed(None)
            )
        )
        self._set_down_after(STALLED_MS)

    def await_replicas(self, number: int) -> None:
        """Wait until the primary has N replicas that keep up."""
        eventually(
            lambda: (
                self.primary.info("replication").get("connected_slaves")
                == number
            )
        )

    def _set_down_after(self, milliseconds: int) -> None:
        """Let the sentinels replace a primary that has not answered for this time."""
        if self._down_after_ms == milliseconds:
            return
        for sentinel in self.sentinels:
            command(
                sentinel,
                "SENTINEL",
                "SET",
                SERVICE,
                "down-after-milliseconds",
                milliseconds,
            )
        self._down_after_ms = milliseconds

    def _agreed(self, before: Node | None) -> bool:
        """Return whether all living sentinels name one writable primary but `before`."""
        ports = set()
        for sentinel in self.sentinels:
            with suppress(redis.RedisError):
                _, port = command(
                    sentinel, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE
                )
                ports.add(int(port))
        new = [node for node in self.servers if node.port in ports]
        if len(new) != 1 or new[0] is before:
            return False
        return new[0].info("replication").get("role") == "master"


class Cluster:
    """Three primaries with one replica each.

    The nodes replace a primary that does not answer only during a failover: from
    `kill_primary` until the test waits for its end, and while `fail_over` runs.
    """

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        """Return the address of the cluster: three of its nodes."""
        return f"redis+cluster://{','.join(node.address for node in self.nodes[:3])}"

    @property
    def primaries(self) -> list[Node]:
        """Return the living nodes that have slots."""
        return [node for node in self.nodes if node.pid and _own_slots(node)]

    def primary_of(self, namespace: str) -> Node:
        """Return the living primary that has the slot of a namespace."""
        slot = slot_of(namespace)
        found: list[Node] = []

        def look() -> bool:
            found[:] = [
                node
                for node in self.nodes
                if node.pid and slot in _own_slots(node)
            ]
            return len(found) == 1

        eventually(look)
        return found[0]

    def other_primary(self, namespace: str) -> Node:
        """Return a living primary that does not have the slot of a namespace."""
        there = self.primary_of(namespace)
        return next(
            node
            for node in self.nodes
            if node is not there and node.pid and _own_slots(node)
        )

    def kill_primary(self, namespace: str) -> Node:
        """Kill the primary of a namespace and return it. After `start` it is a replica."""
        killed = self.primary_of(namespace)
        killed.kill()
        self._set_node_timeout(DOWN_AFTER_MS)
        return killed

    def fail_over(self, namespace: str) -> None:
        """Fail over to the replica while the primary of a namespace lives, and wait."""
        before = self.primary_of(namespace)
        name = command(before, "CLUSTER", "MYID")
        replica = next(
            node for node in self.nodes if name in self._replicated(node)
        )
        eventually(
            lambda: (
                replica.info("replication").get("master_link_status") == "up"
            )
        )
        # a primary votes once in two of these timeouts for a replica of the same one
        self._set_node_timeout(DOWN_AFTER_MS)
        command(replica, "CLUSTER", "FAILOVER")
        self.await_failover(namespace, before)

    def cut_connections(self) -> None:
        """Close all connections of clients, like a firewall after a long idle time."""
        for node in self.nodes:
            command(node, "CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")

    def await_failover(self, namespace: str, before: Node) -> Node:
        """Wait until a node other than `before` has the slot and all slots are served."""
        eventually(
            lambda: (
                self.primary_of(namespace) is not before and self.is_settled()
            )
        )
        self._set_node_timeout(STALLED_MS)
        return self.primary_of(namespace)

    def move_slot_by_key(
        self, namespace: str, between: Callable[[], object] = lambda: None
    ) -> Node:
        """Move a namespace key by key to another primary; return that primary."""
        slot = slot_of(namespace)
        source, target = (
            self.primary_of(namespace),
            self.other_primary(namespace),
        )
        names = {
            node: command(node, "CLUSTER", "MYID") for node in (source, target)
        }
        command(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
        command(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
        while keys_ := command(source, "CLUSTER", "GETKEYSINSLOT", slot, 1):
            command(
                source, "MIGRATE", "127.0.0.1", target.port, keys_[0], 0, 5000
            )
            between()
        for node in (target, source):
            command(node, "CLUSTER", "SETSLOT", slot, "NODE", names[target])
        eventually(
            lambda: all(
                slot not in _own_slots(node)
                for node in self.nodes
                if node.pid and node is not target
            )
        )
        return target

    def move_slot_atomically(self, namespace: str) -> Node:
        """Move a namespace atomically (Valkey 9) to another primary; return that one."""
        slot = slot_of(namespace)
        source, target = (
            self.primary_of(namespace),
            self.other_primary(namespace),
        )
        name = command(target, "CLUSTER", "MYID")
        command(
            source,
            "CLUSTER",
            "MIGRATESLOTS",
            "SLOTSRANGE",
            slot,
            slot,
            "NODE",
            name,
        )
        eventually(
            lambda: (
                slot in _own_slots(target) and slot not in _own_slots(source)
            )
        )
        return target

    def is_settled(self) -> bool:
        """Return whether every living node reports that all slots are served."""
        states = [_cluster_info(node) for node in self.nodes if node.pid]
        return all(
            each.get("cluster_state") == "ok"
            and each.get("cluster_slots_ok") == str(SLOTS)
            for each in states
        )

    def await_start(self) -> None:
        """Wait until all slots are served and all replicas follow."""
        eventually(self.is_settled)
        eventually(
            lambda: all(
                node.info("replication").get("master_link_status") == "up"
                for node in self.nodes[3:]
            )
        )
        self._set_node_timeout(STALLED_MS)

    def _set_node_timeout(self, milliseconds: int) -> None:
        """Let the nodes replace a primary that has not answered for this time."""
        for node in self.nodes:
            if node.pid:
                node.raw.config_set("cluster-node-timeout", milliseconds)

    def _replicated(self, node: Node) -> str:
        """Return the id of the primary of a node, "" for a primary."""
        for words in _nodes(node) if node.pid else []:
            if "myself" in words[2] and "slave" in words[2]:
                return words[3]
        return ""


@contextmanager
def sentinels(folder: Path, *options: str) -> Iterator[Sentinels]:
    """Run three servers with `options` and three sentinels below a folder."""
    ports = free_ports(6)
    servers = [
        _rewriting(
            folder / f"server-{port}",
            port,
            *server_options(folder / f"server-{port}", port),
            *(
                "--repl-diskless-sync-delay",
                "0",
                "--repl-ping-replica-period",
                "1",
            ),
            *(
                ("--replicaof", f"127.0.0.1 {ports[0]}")
                if port != ports[0]
                else ()
            ),
            *options,
        )
        for port in ports[:3]
    ]
    watchers = [
        _sentinel(folder / f"sentinel-{port}", port, ports[0])
        for port in ports[3:]
    ]
    with running([*servers, *watchers]):
        deployment = Sentinels(servers, watchers)
        deployment.await_replicas(2)
        eventually(lambda: all(_knows_all(sentinel) for sentinel in watchers))
        yield deployment


@contextmanager
def cluster(folder: Path, *options: str) -> Iterator[Cluster]:
    """Run a cluster below a folder; `options` are for all nodes."""
    ports = free_ports(12)
    nodes = [
        Node(
            folder / f"node-{port}",
            port,
            *server_options(folder / f"node-{port}", port),
            *(
                "--cluster-enabled",
                "yes",
                "--cluster-port",
                str(bus),
                "--cluster-announce-ip",
                "127.0.0.1",
            ),
            *(
                "--cluster-node-timeout",
                str(DOWN_AFTER_MS),
                "--repl-diskless-sync-delay",
                "0",
            ),
            *(
                "--repl-ping-replica-period",
                "1",
                "--cluster-replica-validity-factor",
                "0",
            ),
            *options,
        )
        for port, bus in zip(ports[:6], ports[6:], strict=True)
    ]
    with running(nodes):
        _join(nodes, ports[6:])
        whole = Cluster(nodes)
        whole.await_start()
        yield whole


@contextmanager
def running(nodes: list[Node]) -> Iterator[None]:
    """Run servers, and end all of them in any case."""
    try:
        for node in nodes:
            node.start()
        yield
    finally:
        for node in nodes:
            node.kill()


def slot_of(namespace: str) -> int:
    """Return the cluster slot of a namespace."""
    return key_slot(keys.meta(namespace).encode())


def free_ports(number: int) -> list[int]:
    """Return different ports on which no process is listening.

    They are below the ports of outgoing connections, which could otherwise take the
    port of a server while it is down. Other processes of the test run have others, and
    this one gets a port again only after all others.
    """
    with ExitStack() as held:
        ports: set[int] = set()
        while len(ports) < number:
            port = next(_NEXT_PORTS)
            with suppress(OSError):
                held.enter_context(socket.create_server(("127.0.0.1", port)))
                ports.add(port)
        return sorted(ports)


def command(node: Node, *words: str | int) -> Any:
    """Send a command unchanged, and return the reply."""
    return cast(Any, node.raw).execute_command(*words)


def server_options(folder: Path, port: int) -> list[str]:
    """Return the options of a server on loopback that keeps an append-only file."""
    return [
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--dir",
        str(folder),
        "--save",
        "",
        "--appendonly",
        "yes",
        "--appendfsync",
        "no",
    ]


def _rewriting(folder: Path, port: int, *options: str) -> Node:
    """Return a server with a config file, in which it keeps its role for a restart."""
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "server.conf"
    lines = " ".join(option or '""' for option in options).split("--")
    configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Node(folder, port, str(configuration))


def _sentinel(folder: Path, port: int, primary: int) -> Node:
    """Return a sentinel; it keeps its state in its config file."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = [
        f"port {port}",
        "bind 127.0.0.1",
        f'dir "{folder}"',
        f"sentinel monitor {SERVICE} 127.0.0.1 {primary} 2",
        f"sentinel down-after-milliseconds {SERVICE} {STALLED_MS}",
        f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
    ]
    configuration = folder / "sentinel.conf"
    configuration.write_text("\n".join(settings) + "\n", encoding="utf-8")
    return Node(folder, port, str(configuration), "--sentinel")


def _knows_all(sentinel: Node) -> bool:
    words = command(sentinel, "SENTINEL", "MASTER", SERVICE)
    state = (
        words
        if isinstance(words, dict)
        else dict(zip(words[::2], words[1::2], strict=True))
    )
    return (state["num-slaves"], state["num-other-sentinels"]) == ("2", "2")


def _join(nodes: list[Node], bus_ports: list[int]) -> None:
    """Join nodes: three primaries with a third of the slots each, and replicas."""
    bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
    for number, node in enumerate(nodes[:3]):
        command(
            node,
            "CLUSTER",
            "ADDSLOTSRANGE",
            bounds[number],
            bounds[number + 1] - 1,
        )
        command(node, "CLUSTER", "SET-CONFIG-EPOCH", number + 1)
    for node, bus in zip(nodes[1:], bus_ports[1:], strict=True):
        command(nodes[0], "CLUSTER", "MEET", "127.0.0.1", node.port, bus)
    eventually(lambda: all(len(_nodes(node)) == len(nodes) for node in nodes))
    for primary, replica in zip(nodes[:3], nodes[3:], strict=True):
        name = command(primary, "CLUSTER", "MYID")
        eventually(
            partial(_is_accepted, replica, "CLUSTER", "REPLICATE", name)
        )


def _is_accepted(node: Node, *words: str | int) -> bool:
    try:
        command(node, *words)
    except redis.ResponseError:
        return False
    return True


def _nodes(node: Node) -> list[list[str]]:
    """Return the words of each line of CLUSTER NODES for nodes with an address."""
    with suppress(redis.RedisError):
        lines = [
            line.split()
            for line in str(command(node, "CLUSTER", "NODES")).splitlines()
        ]
        return [
            words
            for words in lines
            if "handshake" not in words[2] and "noaddr" not in words[2]
        ]
    return []


def _own_slots(node: Node) -> set[int]:
    """Return the slots that a living node serves."""
    own: list[str] = []
    for words in _nodes(node):
        if "myself" in words[2] and "master" in words[2]:
            own = words
    slots: set[int] = set()
    for word in own[8:]:
        if not word.startswith("["):  # a slot that is being moved
            first, _, last = word.partition("-")
            slots.update(range(int(first), int(last or first) + 1))
    return slots


def _cluster_info(node: Node) -> dict[str, str]:
    with suppress(redis.RedisError):
        lines = str(command(node, "CLUSTER", "INFO")).splitlines()
        return dict(
            line.strip().split(":", 1) for line in lines if ":" in line
        )
    return {}
