"""Several gateways of one queue, of which each may be killed at any moment."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from socket import create_connection

from support import gateway_parent
from support.commands import eventually
from support.topologies import free_ports
from taskorch.queue.port import Connection, ConnectionWrapper
from taskorch.transport import gateway

#: Gateways that wait for the one in front of them to be killed.
SPARE = 2


class GatewayParent:
    """Forks gateways, for one test after the other."""

    def __init__(self, folder: Path) -> None:
        """Write the logs of all gateways into a file in `folder`."""
        with (folder / "gateways.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, Path(gateway_parent.__file__)],
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    def fork(self, url: str, namespace: str) -> tuple[int, int]:
        """Start a gateway; return its port and its process id once it listens."""
        assert self._process.stdin
        assert self._process.stdout
        port = free_ports(1)[0]
        self._process.stdin.write(f"{port} {url} {namespace}\n")
        self._process.stdin.flush()
        pid = int(self._process.stdout.readline())
        eventually(lambda: _listens(port))
        return port, pid

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class GatewayFleet:
    """Gateways of one queue; clients use the first one that was not killed."""

    def __init__(
        self, parent: GatewayParent, url: str, namespace: str, token: str
    ) -> None:
        self._parent = parent
        self._queue = url, namespace
        self._token = token
        self._connections: dict[int, Connection] = {}
        #: Ports and process ids of living gateways.
        self._living: list[tuple[int, int]] = []

    def fill(self) -> None:
        """Start gateways until one serves and the spare ones wait."""
        while len(self._living) <= SPARE:
            self._living.append(self._parent.fork(*self._queue))

    def kill_first(self) -> None:
        """Kill the gateway that clients use; they use the next one from now on."""
        _, pid = self._living.pop(0)
        os.kill(pid, signal.SIGKILL)

    def first(self) -> Connection:
        """Return a connection to the gateway that serves, one attempt a call."""
        port, _ = self._living[0]
        if port not in self._connections:
            place = gateway.parse(f"http://localhost:{port}", self._token)
            self._connections[port] = gateway.GatewayConnection(place)
        return self._connections[port]

    def close(self) -> None:
        """Kill the gateways, and close the connections."""
        while self._living:
            self.kill_first()
        for connection in self._connections.values():
            connection.close()


class FleetConnection(ConnectionWrapper):
    """A connection through whichever gateway serves, as behind a load balancer."""

    def __init__(self, fleet: GatewayFleet) -> None:
        self._fleet = fleet

    @property
    def connection(self) -> Connection:  # type: ignore[override]
        """The connection to the gateway that serves."""
        return self._fleet.first()


@contextmanager
def running(
    parent: GatewayParent, url: str, namespace: str, token: str
) -> Iterator[GatewayFleet]:
    """Run gateways for a queue."""
    fleet = GatewayFleet(parent, url, namespace, token)
    try:
        fleet.fill()
        yield fleet
    finally:
        fleet.close()


def _listens(port: int) -> bool:
    with suppress(OSError):
        create_connection(("127.0.0.1", port), 10).close()
        return True
    return False
