"""`orchestrate doctor` names the users of Redis that may do more than their role."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support import servers
from support.connections import connect
from taskorch.config.settings import resolve
from taskorch.domain.item import Caller
from taskorch.domain.role import Role
from taskorch.queue import redis_users
from taskorch.queue.queue import Queue
from taskorch_orchestrator.doctor.checks import CheckResult, CheckStatus
from taskorch_orchestrator.doctor.doctor import examine

NAMESPACE = "team"
NAME = redis_users.name_of(Role.WORKER, NAMESPACE, "ada")


@pytest.fixture(params=list(servers.binaries()))
def raw(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[redis.Redis]:
    binary = servers.binaries()[request.param]
    with servers.running(binary, tmp_path) as url:
        yield redis.Redis.from_url(url, decode_responses=True)


def set_user(raw: redis.Redis, *more: str) -> None:
    rule = redis_users.rule(Role.WORKER, NAMESPACE, "ada")
    words = ("ACL", "SETUSER", NAME, "reset", "on", ">x", *rule, *more)
    raw.execute_command(*words)  # type: ignore[no-untyped-call]


def users_check(raw: redis.Redis, password: str = "") -> CheckResult:
    login = f":{password}@" if password else ""
    url = f"unix://{login}{raw.connection_pool.connection_kwargs['path']}"
    queue = Queue(connect(url), NAMESPACE, Caller(agent="planner"))
    diagnosis = examine(queue, resolve({}, {}, Path.cwd()), fix=False)
    return next(check for check in diagnosis.checks if check.name == "users")


def test_server_without_users_of_roles_is_fine(raw: redis.Redis) -> None:
    assert users_check(raw).status is CheckStatus.OK


def test_open_default_user_is_a_problem(raw: redis.Redis) -> None:
    set_user(raw)

    check = users_check(raw)

    assert check.status is CheckStatus.PROBLEM
    assert "default needs no password" in check.found


@pytest.mark.parametrize(
    "word", ["~*", "+@all", "+eval", "+config", "+function|load"]
)
def test_user_who_may_do_more_is_named(raw: redis.Redis, word: str) -> None:
    set_user(raw, word)

    check = users_check(raw)

    assert check.status is CheckStatus.PROBLEM
    assert NAME in check.found
    assert "acl" in check.mend


def test_user_of_its_role_alone_is_fine(raw: redis.Redis) -> None:
    set_user(raw)
    raw.execute_command("ACL", "SETUSER", "default", "resetpass", ">x")  # type: ignore[no-untyped-call]

    assert users_check(raw, "x").status is CheckStatus.OK
