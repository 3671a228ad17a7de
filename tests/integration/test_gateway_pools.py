"""Pools through a gateway: tokens name them, and one of the waiting clients wakes."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from time import monotonic

import pytest
from support import gateways
from support.commands import BIN, Shell, eventually, result_of
from support.gateways import Gateway, HttpClient
from taskorch.queue import keys

NAMESPACE = "pools"
POOLS = ("--pool", "backend", "--pool", "python")
#: A waiter that no signal wakes waits longer than this.
SOON_S = 30


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway-pools")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture
def project(gateway: Gateway) -> str:
    return gateway.shell.orchestrate("project", "A project").stdout.strip()


def worker(gateway: Gateway, name: str, *options: str) -> Shell:
    """Return a shell of an agent whose settings and token name the pools."""
    token = gateway.token(name, "worker", *(options or POOLS))
    return gateway.client(token, AGENT_ID=name, AGENT_POOLS="backend,python")


def pooled(gateway: Gateway, project: str, pool: str = "backend") -> str:
    """Create an item in a pool, and return its id."""
    created = gateway.shell.orchestrate(
        "create", project, "An item", "--pool", pool
    )
    return created.stdout.strip()


def waiting(shell: Shell) -> "subprocess.Popen[str]":
    return shell.start(BIN / "worker", "--json", "pop", "--wait", "60")


def pools_of(gateway: Gateway, name: str) -> list[str]:
    agents = gateway.shell.orchestrate("--json", "agents").data()
    (pools,) = [each["pools"] for each in agents if each["name"] == name]
    return list(pools)


def test_token_takes_items_from_its_pools_alone(
    gateway: Gateway, project: str
) -> None:
    item = pooled(gateway, project)
    stranger = gateway.client(
        gateway.token("eve", "worker", "--pool", "python"),
        AGENT_ID="eve",
        AGENT_POOLS="backend",
    )

    refused = stranger.worker("pop")
    claimed = worker(gateway, "ada").worker("--json", "pop")

    assert refused.code == 7
    assert "the pool backend" in refused.stderr
    assert claimed.data()["id"] == item


def test_edited_token_has_other_pools(gateway: Gateway, project: str) -> None:
    item = pooled(gateway, project)
    token = gateway.token("dot", "worker")
    dot = gateway.client(token, AGENT_ID="dot", AGENT_POOLS="backend")
    assert dot.worker("check").code == 7

    gateway.shell.orchestrate("token", "edit", token[:12], "--pool", "backend")

    eventually(lambda: dot.worker("check").code == 0)
    assert dot.worker("--json", "pop").data()["id"] == item
    listed = gateway.shell.orchestrate("--json", "token", "list").data()
    (found,) = [each for each in listed if each["name"] == "dot"]
    assert found["pools"] == ["backend"]


def test_api_call_without_pools_keeps_membership(gateway: Gateway) -> None:
    kim = HttpClient(gateway, gateway.token("kim", "worker"))
    direct = gateway.shell.having(AGENT_ID="kim", AGENT_POOLS="python")
    direct.worker("check")

    status, _ = kim.get("/api/v1/worker/check")

    kim.close()
    assert (status, pools_of(gateway, "kim")) == (200, ["python"])


def test_empty_setting_leaves_pools_over_gateway(gateway: Gateway) -> None:
    token = gateway.token("lea", "worker", "--pool", "backend")
    lea = gateway.client(token, AGENT_ID="lea", AGENT_POOLS="backend")
    assert lea.worker("check").code == 0

    left = lea.having(AGENT_POOLS="").worker("check")

    assert (left.code, pools_of(gateway, "lea")) == (0, [])


def test_client_waits_for_its_own_pools(gateway: Gateway) -> None:
    token = gateway.token("zoe", "worker", "--pool", "python")
    client = HttpClient(gateway, token)
    own, foreign = (
        {
            "key": keys.wake(NAMESPACE, "zoe"),
            "pool_keys": [keys.wake(NAMESPACE, keys.of_pool(pool))],
            "seconds": 0,
        }
        for pool in ("python", "backend")
    )

    allowed, _ = client.post("/wait", own)
    status, reply = client.post("/wait", foreign)

    client.close()
    assert allowed == 200
    assert (status, reply["error"]["code"]) == (403, "NOT_ALLOWED")


def test_pool_items_wake_one_client_each(
    gateway: Gateway, project: str
) -> None:
    agents = [worker(gateway, f"waiter{n}") for n in range(3)]
    with ExitStack() as stack:
        pops = [stack.enter_context(waiting(agent)) for agent in agents]
        items = {
            pooled(gateway, project, pool) for pool in ("backend", "python")
        }
        items.add(pooled(gateway, project))
        created = monotonic()

        results = [result_of(pop) for pop in pops]

    assert {result.data()["id"] for result in results} == items
    assert monotonic() - created < SOON_S


def test_api_pops_from_the_pools_of_the_token(
    gateway: Gateway, project: str
) -> None:
    item = pooled(gateway, project, "python")
    client = HttpClient(gateway, gateway.token("api", "worker", *POOLS))

    _, nothing = client.post("/api/v1/worker/pop", {"pool": ["backend"]})
    _, claimed = client.post("/api/v1/worker/pop", {})
    status, _ = client.post("/api/v1/worker/pop", {"pool": ["docs"]})

    client.close()
    assert nothing["data"] is None
    assert (claimed["data"]["id"], claimed["data"]["pool"]) == (item, "python")
    assert status == 403


def test_confined_client_leaves_items_of_others(
    gateway: Gateway, project: str
) -> None:
    other = gateway.shell.orchestrate("project", "Other").stdout.strip()
    ann = worker(gateway, "ann", *POOLS, "--project", project)
    foreign = pooled(gateway, other)

    nothing = ann.worker("pop")
    own = pooled(gateway, project)
    claimed = ann.worker("--json", "pop")

    assert nothing.code == 8
    assert claimed.data()["id"] == own
    assert (
        worker(gateway, "bea").worker("--json", "pop").data()["id"] == foreign
    )
