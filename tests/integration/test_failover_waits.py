"""Waits at a deployment, whose connections other threads close."""

from collections.abc import Callable, Iterator
from threading import get_ident
from typing import Any

import pytest
from redis._parsers import hiredis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support.topologies import Node, free_ports
from taskorch.domain import errors
from taskorch.queue.port import WaitBrokenOff
from taskorch.transport.failover import (
    FailoverConnection,
    PrimaryClients,
    Timing,
)

Close = Callable[[FailoverConnection], object]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    port = free_ports(1)[0]
    node = Node(
        tmp_path_factory.mktemp("node"),
        port,
        *("--bind", "127.0.0.1", "--port", str(port), "--save", ""),
    )
    node.start()
    yield node
    node.kill()


def connect(node: Node) -> FailoverConnection:
    """Connect to the only server of a deployment."""
    clients = PrimaryClients(
        "redis+sentinel://…",
        lambda _: ("127.0.0.1", node.port),
        {"retry": Retry(NoBackoff(), 0), "driver_info": None},
        Timing(call_s=20, ask_again_s=20),
    )
    return FailoverConnection(clients)


@pytest.mark.parametrize(
    ("close", "error"),
    [
        (FailoverConnection.close, errors.Unreachable),
        (lambda each: each.break_off(get_ident()), WaitBrokenOff),
    ],
)
def test_connection_closed_before_a_wait_ends_it(
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    close: Close,
    error: type[Exception],
) -> None:
    connection = connect(node)
    look = hiredis._socket_can_read

    def close_meanwhile(opened: Any, timeout: float) -> bool:
        close(connection)  # as another thread would in this moment
        return opened.fileno() < 0 or look(opened, timeout)

    monkeypatch.setattr(hiredis, "_socket_can_read", close_meanwhile)

    with pytest.raises(error):
        connection.wait_for_wake(["list"], 20)
