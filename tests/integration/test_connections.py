"""Connections to one real server: password, database, restarts and refusals."""

import os
import resource
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from support import servers, topologies
from support.commands import SOON_S, eventually
from support.connections import connect
from support.one_server import by_redis_py
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue import scripts
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue


def queue(url: str) -> Queue:
    return Queue(
        connect(url, retries=0), "connections", Caller(agent="planner")
    )


def test_password_is_required_used_and_hidden(tmp_path: Path) -> None:
    with servers.running(
        servers.binaries()["valkey"], tmp_path, "--requirepass", "sesame"
    ) as url:
        path = url.removeprefix("unix://")

        with pytest.raises(errors.Refused):
            queue(url).project("No password")
        with pytest.raises(errors.Refused) as refusal:
            queue(f"unix://:mellon@{path}").project("A wrong one")
        project = queue(f"unix://:sesame@{path}").project("The right one")

    assert "mellon" not in str(refusal.value)
    assert project.startswith("proj_")


def test_databases_are_kept_apart(valkey_url: str) -> None:
    one, two = queue(f"{valkey_url}?db=1"), queue(f"{valkey_url}?db=2")

    project = one.project("In database 1")

    assert [each.id for each in one.views.projects()] == [project]
    assert two.views.projects() == ()


def test_restarted_server_is_found_again(tmp_path: Path) -> None:
    binary = servers.binaries()["valkey"]
    with servers.running(binary, tmp_path, "--appendonly", "yes") as url:
        lasting = queue(url)
        project = lasting.project("Before")

    with pytest.raises(errors.Unreachable):
        lasting.project("Meanwhile")
    with servers.running(binary, tmp_path, "--appendonly", "yes"):
        after = lasting.views.projects()

    assert [each.id for each in after] == [project]


def test_limit_of_open_files_is_named(valkey_url: str) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert scripts.load("project").function  # from files
    lasting = queue(valkey_url)
    with open(os.devnull) as newest:  # noqa: PTH123  its number is what counts
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (newest.fileno() + 1, limits[1])
        )
        try:
            with pytest.raises(errors.OutOfFiles) as refusal:
                lasting.project("No file is left")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert "limit of open files" in str(refusal.value)
    assert lasting.project("Files are left").startswith("proj_")


def test_connection_is_reopened_after_a_role_error(tmp_path: Path) -> None:
    with (
        servers.running(servers.binaries()["valkey"], tmp_path) as url,
        redis.Redis.from_url(url) as raw,
    ):
        lasting = queue(url)
        lasting.project("Before")
        (before,) = _others(raw)
        raw.slaveof("127.0.0.1", 1)
        with pytest.raises(errors.Stalled):
            lasting.project("On a replica")

        raw.slaveof()
        lasting.project("After")

        assert before not in _others(raw)


def _others(raw: redis.Redis) -> list[str]:
    """Return the ids of the other connected clients."""
    own = cast("Any", raw).client_id()
    return [
        each["id"]
        for each in cast("Any", raw).client_list()
        if int(each["id"]) != own
    ]


@pytest.mark.parametrize(
    ("scheme", "path", "reason"),
    [
        ("redis+cluster", "", "not a node of a cluster: use redis://"),
        ("redis+sentinel", "/main", "not a sentinel: use redis://"),
    ],
)
def test_server_is_distinguished_from_a_deployment(
    tmp_path: Path, scheme: str, path: str, reason: str
) -> None:
    (port,) = topologies.free_ports(1)

    with (
        servers.running(
            servers.binaries()["valkey"], tmp_path, "--port", str(port)
        ),
        pytest.raises(errors.Usage) as refusal,
    ):
        queue(f"{scheme}://127.0.0.1:{port}{path}").project("x")

    assert reason in str(refusal.value)


def test_sentinel_is_distinguished_from_a_server(tmp_path: Path) -> None:
    with (
        topologies.sentinels(tmp_path) as deployment,
        pytest.raises(errors.Usage) as refusal,
    ):
        queue(f"redis://127.0.0.1:{deployment.sentinels[0].port}").project("x")

    assert "for sentinels, use redis+sentinel://" in str(refusal.value)


def test_forgotten_functions_are_installed_again(valkey_url: str) -> None:
    forgetful = queue(valkey_url)
    project = forgetful.project("Before")
    with redis.Redis.from_url(valkey_url) as client:
        client.function_flush()
        client.script_flush()

    again = forgetful.project("After")

    assert again != project


@pytest.mark.parametrize("connected", [connect, by_redis_py])
def test_closed_connection_breaks_off_a_wait(
    valkey_url: str, connected: Callable[[str], Connection]
) -> None:
    connection = connected(valkey_url)
    with (
        redis.Redis.from_url(valkey_url) as raw,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(
            connection.wait_for_wake, ["connections:nothing"], 60
        )
        eventually(lambda: cast("Any", raw).info("clients")["blocked_clients"])

        connection.close()

        assert isinstance(
            waiting.exception(timeout=SOON_S), errors.Unreachable
        )
        eventually(
            lambda: not cast("Any", raw).info("clients")["blocked_clients"]
        )
