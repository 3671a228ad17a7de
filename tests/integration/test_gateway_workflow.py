"""Every method of the queue through a gateway: it is the same, and acts once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import redis
from support import gateways
from support.builders import Bench
from support.commands import Shell
from support.gateways import Gateway
from support.workflow import workflow
from taskorch.connections import connect
from taskorch.domain import errors
from taskorch.domain.backoff import Patience
from taskorch.domain.item import Caller
from taskorch.domain.role import Role
from taskorch.queue.port import (
    Argument,
    Connection,
    ConnectionWrapper,
    Reply,
    Script,
)
from taskorch.queue.queue import Queue
from taskorch.transport import gateway as client
from taskorch.transport.retry import RetryingConnection, is_not_final

NAMESPACE = "whole"


@dataclass
class Lossy(ConnectionWrapper):
    """A connection that loses the first reply to each request, which has acted."""

    connection: Connection
    lost: set[str] = field(default_factory=set)

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        request = str(arguments[0]).removesuffix("+")
        is_first = request not in self.lost
        self.lost.add(request)
        try:
            return self.connection.run_script(script, key, arguments)
        finally:
            if is_first:
                raise errors.Unreachable(url="here", reason="lost")


@pytest.fixture
def gateway(valkey_url: str, tmp_path: Path) -> Iterator[Gateway]:
    (tmp_path / "root").mkdir()
    variables = {
        "TASKORCH_REDIS_URL": valkey_url,
        "TASKORCH_NAMESPACE": NAMESPACE,
    }
    shell = Shell(tmp_path / "root", variables)
    with redis.Redis.from_url(valkey_url) as raw:
        raw.flushall()
    with gateways.running(shell) as running:
        yield running


def bench_over(connection: Connection, url: str) -> Bench:
    raw = redis.Redis.from_url(url, decode_responses=True)
    queue = Queue(connection, NAMESPACE, Caller(agent="planner"))
    return Bench(queue, raw, NAMESPACE, url)


def over_http(gateway: Gateway) -> client.GatewayConnection:
    token = gateway.token("root", Role.ADMIN)
    return client.GatewayConnection(client.parse(gateway.url, token))


def left_behind(bench: Bench) -> list[tuple[str, str]]:
    """Return the titles and states of all items."""
    items = bench.queue.views.list(limit=1000).items
    return sorted((item.title, item.state) for item in items)


def test_workflow_over_http_does_the_same(
    gateway: Gateway, valkey_url: str
) -> None:
    direct = connect(valkey_url)
    connection = over_http(gateway)
    expected = bench_over(direct, valkey_url)
    steps = list(workflow(expected))
    before = left_behind(expected)

    bench = bench_over(connection, valkey_url)
    again = list(workflow(bench))

    assert again == steps
    assert left_behind(bench) == sorted(before * 2)
    for each in (direct, connection):
        each.close()


def test_workflow_with_lost_replies_acts_once(
    gateway: Gateway, valkey_url: str
) -> None:
    connection = over_http(gateway)
    plain = bench_over(connection, valkey_url)
    steps = list(workflow(plain))
    before = left_behind(plain)
    lossy = Lossy(connection)
    patience = Patience(may_pass=is_not_final, attempts=2, longest_pause_s=0)

    bench = bench_over(RetryingConnection(lossy, patience), valkey_url)
    again = list(workflow(bench))

    assert len(lossy.lost) >= len(steps)
    assert again == steps
    assert left_behind(bench) == sorted(before * 2)
    connection.close()
