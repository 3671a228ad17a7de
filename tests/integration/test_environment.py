"""The doctor's checks of the server, on real servers in each state."""

from collections.abc import Iterator
from pathlib import Path
from time import time

import pytest
import redis
from support import servers, topologies
from support.commands import eventually
from taskorch.connections import connect
from taskorch.domain.frozen import replace
from taskorch.domain.item import Caller
from taskorch.queue.audit import Environment
from taskorch.queue.queue import Queue
from taskorch_orchestrator.doctor import checks
from taskorch_orchestrator.doctor.audit import audit
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus

HOUR_MS = 3_600_000
#: Changes the running server and its config file.
LASTING = "redis-cli config set {}, then redis-cli config rewrite"


@pytest.fixture(params=servers.binaries())
def server(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[redis.Redis]:
    """A server that only this test uses."""
    with (
        servers.running(
            servers.binaries()[request.param], tmp_path, "--appendonly", "yes"
        ) as url,
        redis.Redis.from_url(url, decode_responses=True) as client,
    ):
        yield client


def read_environment(server: redis.Redis, **user: str) -> Environment:
    path = server.connection_pool.connection_kwargs["path"]
    credentials = (
        f"?username={user['name']}&password={user['password']}" if user else ""
    )
    connection = connect(f"unix://{path}{credentials}")
    environment = Queue(
        connection, "test", Caller(agent="planner")
    ).views.environment()
    connection.close()
    return environment


def checked(environment: Environment, name: str) -> CheckResult:
    before = time() * 1000
    return next(
        check
        for check in checks.of_server(environment, before, before)
        if check.name == name
    )


def test_healthy_server_has_no_problem(server: redis.Redis) -> None:
    before = time() * 1000

    found = list(
        checks.of_server(read_environment(server), before, time() * 1000)
    )

    # a distribution may fix an old version under the same number
    noted = {"replicas", "vulnerabilities"}
    assert {
        check.name: check.status
        for check in found
        if check.status is not CheckStatus.OK and check.name not in noted
    } == {}
    assert len(found) == 9


def test_version_is_that_of_the_server(server: redis.Redis) -> None:
    info = server.info("server")

    found = checked(read_environment(server), "version")

    assert found.found in (
        f"Valkey {info.get('valkey_version')}",
        f"Redis {info['redis_version']}",
    )


@pytest.mark.parametrize(
    "version",
    [
        {"redis_version": "6.2.14"},
        {"redis_version": "7.2.4", "valkey_version": "7.2.5"},
    ],
)
def test_old_version_is_a_problem(version: dict[str, str]) -> None:
    environment = Environment(at=0, schema="1", info=version, refused="")

    found = checked(environment, "version")

    assert found.status is CheckStatus.PROBLEM
    assert "7.0" in found.mend


def test_missing_append_only_file_is_a_problem(
    server: redis.Redis,
) -> None:
    server.config_set("appendonly", "no")

    found = checked(read_environment(server), "persistence")

    assert (found.status, found.mend) == (
        CheckStatus.PROBLEM,
        LASTING.format("appendonly yes"),
    )
    assert "restart" in found.found


@pytest.mark.parametrize(
    "field",
    [
        "aof_last_write_status",
        "aof_last_bgrewrite_status",
        "rdb_last_bgsave_status",
    ],
)
def test_failed_write_is_a_problem(server: redis.Redis, field: str) -> None:
    environment = read_environment(server)
    assert environment.info[field] == "ok"

    found = checked(
        replace(environment, info={**environment.info, field: "err"}),
        "persistence",
    )

    assert found.status is CheckStatus.PROBLEM
    assert "failed: err" in found.found


def test_eviction_with_limited_memory_is_a_problem(
    server: redis.Redis,
) -> None:
    server.config_set("maxmemory-policy", "allkeys-lru")
    unlimited = checked(read_environment(server), "eviction")
    server.config_set("maxmemory", "1gb")

    limited = checked(read_environment(server), "eviction")

    assert unlimited.status is CheckStatus.OK
    assert (limited.status, limited.mend) == (
        CheckStatus.PROBLEM,
        LASTING.format("maxmemory-policy noeviction"),
    )


def test_nearly_full_memory_is_a_problem(server: redis.Redis) -> None:
    server.config_set("maxmemory", "1gb")
    roomy = checked(read_environment(server), "memory")
    server.config_set(
        "maxmemory", round(int(server.info("memory")["used_memory"]) * 1.05)
    )

    nearly_full = checked(read_environment(server), "memory")

    assert (roomy.status, nearly_full.status) == (
        CheckStatus.OK,
        CheckStatus.PROBLEM,
    )
    assert nearly_full.mend.startswith("redis-cli config set maxmemory ")


def test_suggested_memory_holds_existing_data(
    server: redis.Redis,
) -> None:
    server.config_set("maxmemory", 1)

    found = checked(read_environment(server), "memory")

    assert int(found.mend.split()[4].rstrip(",")) > int(
        server.info("memory")["used_memory"]
    )


def test_missing_required_replicas_are_a_problem(
    server: redis.Redis,
) -> None:
    environment = read_environment(server)

    missing = next(
        check
        for check in checks.of_server(environment, 0, 0, required_replicas=1)
        if check.name == "replicas"
    )

    assert missing.status is CheckStatus.PROBLEM
    assert missing.found.startswith("0 connected, but 1 required")
    assert missing.mend.endswith("export TASKORCH_WAIT_REPLICAS=0")


def test_replica_is_a_problem_and_can_be_audited(
    server: redis.Redis,
) -> None:
    connection = connect(
        f"unix://{server.connection_pool.connection_kwargs['path']}"
    )
    queue = Queue(connection, "test", Caller(agent="planner"))
    queue.project("Build")
    server.replicaof("127.0.0.1", topologies.free_ports(1)[0])

    found = checked(read_environment(server), "role")
    audited = audit(queue, fix=False)
    connection.close()

    assert (audited.findings, audited.counted) == ((), True)
    assert found.status is CheckStatus.PROBLEM
    assert "redis://127.0.0.1:" in found.mend


def test_connected_replicas_are_counted(
    server: redis.Redis, tmp_path_factory: pytest.TempPathFactory
) -> None:
    port = topologies.free_ports(1)[0]
    server.config_set("port", port)
    folder = tmp_path_factory.mktemp("replica")
    same = "valkey" if "valkey_version" in server.info("server") else "redis"
    server.config_set("repl-diskless-sync-delay", 0)
    with (
        servers.running(servers.binaries()[same], folder) as url,
        redis.Redis.from_url(url) as replica,
    ):
        replica.replicaof("127.0.0.1", port)
        eventually(
            lambda: replica.info("replication")["master_link_status"] == "up"
        )
        server.config_set("min-replicas-to-write", 1)
        eventually(
            lambda: (
                server.info("replication").get("min_slaves_good_slaves") == 1
            )
        )

        found = checked(read_environment(server), "replicas")

    assert (found.status, found.found) == (
        CheckStatus.OK,
        "1 connected, 1 of them up to date",
    )


def test_user_without_info_gets_a_note(server: redis.Redis) -> None:
    server.execute_command(
        "ACL", "SETUSER", "ada", "on", ">secret", "~*", "+@all", "-info"
    )  # type: ignore[no-untyped-call]

    environment = read_environment(server, name="ada", password="secret")

    found = checked(environment, "server")
    assert (found.status, found.mend) == (
        CheckStatus.NOTE,
        "redis-cli acl setuser NAME +info",
    )
    assert environment.info == {}


@pytest.mark.parametrize(
    ("ahead_ms", "round_trip_ms", "status"),
    [(0, 10, CheckStatus.OK), (1900, 0, CheckStatus.OK), (2100, 0, CheckStatus.NOTE), (-2100, 0, CheckStatus.NOTE),
     (4900, 6000, CheckStatus.OK), (5100, 6000, CheckStatus.NOTE)],
)  # fmt: skip
def test_different_clocks_are_a_note(
    ahead_ms: int, round_trip_ms: int, status: CheckStatus
) -> None:
    at = 1_700_000_000_000
    before = at + ahead_ms - round_trip_ms / 2

    found = next(
        check
        for check in checks.of_server(
            Environment(at=at, schema="1", info={}, refused="no"),
            before,
            before + round_trip_ms,
        )
        if check.name == "clock"
    )

    assert found.status is status
    assert status is CheckStatus.OK or ("ahead of" in found.found) is (
        ahead_ms > 0
    )


def test_clock_is_that_of_the_server(server: redis.Redis) -> None:
    seconds, _ = server.time()

    assert abs(read_environment(server).at - seconds * 1000) < HOUR_MS
