"""A gateway that is killed in the middle of a call: the repeat acts once.

A proxy between the gateways and Redis stops each call twice: before Redis has it, and
before the reply. The gateway is killed then, and the client repeats at the next one.
"""

from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass

import hiredis
import pytest
from support import gateway_fleet
from support.builders import Bench
from support.calls import CALLS, NOT_KEPT, REFUSED
from support.gateway_fleet import (
    FleetConnection,
    GatewayFleet,
    GatewayParent,
)
from support.proxy import Proxy, proxied
from taskorch.domain import errors
from taskorch.domain.backoff import Patience
from taskorch.domain.role import Role
from taskorch.transport.retry import RetryingConnection, is_not_final
from taskorch_gateway.pool import NAME

pytestmark = pytest.mark.parametrize("lane", ["valkey"], indirect=True)

#: Keys that change with each check of an access token.
OF_TOKENS = "access_token"


@dataclass(frozen=True)
class Deployment:
    """A namespace, directly and behind gateways, and the proxy in front of Redis."""

    bench: Bench
    through: Bench
    fleet: GatewayFleet
    proxy: Proxy

    def everything(self) -> dict[str, object]:
        """Return the content of the namespace without what checks of tokens change."""
        return {
            name: value
            for name, value in self.bench.everything().items()
            if not name.startswith(OF_TOKENS)
        }

    def lose_each_call_twice(self) -> None:
        """Kill the gateway before a call reaches Redis, and the next before its reply."""
        self.proxy.requests_lost = self.proxy.replies_lost = 1

    def lose_nothing(self) -> None:
        """Let everything pass."""
        self.proxy.requests_lost = self.proxy.replies_lost = 0


@pytest.fixture(scope="module")
def parent(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[GatewayParent]:
    with closing(GatewayParent(tmp_path_factory.mktemp("parent"))) as parent:
        yield parent


@pytest.fixture
def deployment(bench: Bench, parent: GatewayParent) -> Iterator[Deployment]:
    token = bench.queue.access_tokens().create("root", Role.ADMIN).token
    with ExitStack() as stack:
        proxy = stack.enter_context(proxied(bench.url))
        proxy.spared_caller = NAME.encode()
        queue = (proxy.url, bench.namespace, token)
        fleet = stack.enter_context(gateway_fleet.running(parent, *queue))
        proxy.on_lost_request = proxy.on_lost_reply = fleet.kill_first
        patience = Patience(
            may_pass=is_not_final, attempts=4, longest_pause_s=0
        )
        through = bench.with_connection(
            lambda _: RetryingConnection(FleetConnection(fleet), patience)
        )
        yield Deployment(bench, through, fleet, proxy)


@pytest.mark.parametrize("name", CALLS)
def test_call_of_killed_gateways_acts_once(
    deployment: Deployment, name: str
) -> None:
    proxy, bench = deployment.proxy, deployment.bench
    call = CALLS[name](bench)
    deployment.lose_each_call_twice()

    call(deployment.through)

    deployment.lose_nothing()
    assert (len(proxy.late), len(proxy.lost)) == (1, 1)
    assert name in NOT_KEPT or proxy.passed == proxy.lost
    before = deployment.everything()
    replies = proxy.deliver_late()
    assert not isinstance(replies[-1], hiredis.ReplyError)
    assert deployment.everything() == before
    assert bench.inconsistencies() == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused_call_of_killed_gateways_stays_refused(
    deployment: Deployment, name: str
) -> None:
    proxy, bench = deployment.proxy, deployment.bench
    call, allow = REFUSED[name](bench)
    deployment.lose_each_call_twice()
    with pytest.raises(errors.TaskOrchestratorError) as refusal:
        call(deployment.through)
    deployment.lose_nothing()
    allow()
    before = deployment.everything()

    *_, reply = proxy.deliver_late()

    assert str(reply).startswith(refusal.value.word)
    assert deployment.everything() == before
    assert bench.inconsistencies() == []
