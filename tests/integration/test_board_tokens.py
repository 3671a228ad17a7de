"""The page of access tokens over HTTP: what a form creates, and what it refuses."""

from collections.abc import Iterator

import pytest
from support import gateways
from support.board_client import BoardClient, Reply
from support.builders import Bench, opened
from support.gateways import Gateway
from taskorch.domain.role import Role

NAMESPACE = "board-tokens"


@pytest.fixture(scope="module")
def gateway(
    valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    with gateways.serving(valkey_url, NAMESPACE, folder) as running:
        yield running


@pytest.fixture
def bench(valkey_url: str) -> Iterator[Bench]:
    with opened(valkey_url, NAMESPACE) as bench:
        yield bench


@pytest.fixture
def admin(gateway: Gateway, bench: Bench) -> BoardClient:
    client = BoardClient(gateway)
    created = bench.queue.access_tokens().create("ana", Role.ADMIN)
    client.sign_in(created.token)
    return client


def create(admin: BoardClient, **typed: str) -> Reply:
    """Look at the page, and send the form of a new token."""
    page = admin.page("/tokens")
    form = {name: page.field(name) for name in ("csrf", "key")}
    return admin.submit("/tokens", {**form, "expires": "1d", **typed})


def test_token_of_a_worker_names_its_pools(
    admin: BoardClient, bench: Bench
) -> None:
    reply = create(admin, name="bob", role="worker", pools="backend, python")

    assert reply.place == "/tokens/secret"
    (token,) = (
        each
        for each in bench.queue.access_tokens().list()
        if each.name == "bob"
    )
    assert token.pools == ("backend", "python")
    shown = admin.page("/tokens?name=bob").text
    assert "takes from the pools backend, python" in shown


@pytest.mark.parametrize(
    ("role", "pools", "message"),
    [
        ("viewer", "backend", "Only a worker takes items from pools"),
        ("worker", "a b/c", "b/c"),
    ],
)
def test_wrong_pools_are_refused_and_stay_typed(
    admin: BoardClient, role: str, pools: str, message: str
) -> None:
    reply = create(admin, name="eve", role=role, pools=pools)

    assert reply.status == 422
    assert message in reply.alert
    assert f'name="pools" value="{pools}"' in reply.text
