"""The Redis rights in docs/operations.md suffice, and without one nothing changes."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from support import servers, topologies
from support.builders import Bench
from support.connections import connect
from support.topologies import command
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import Caller
from taskorch.queue.queue import Queue
from taskorch.queue.scripts import _FOLDER
from taskorch.transport.failover import raw_client

NAMESPACE = "team"
OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(
    encoding="utf-8"
)
SCRIPTS = "".join(
    path.read_text(encoding="utf-8")
    for path in sorted(Path(_FOLDER).rglob("*.lua"))
)


def documented(user: str) -> list[str]:
    """Return the documented ACL rule of a user, for the namespace of this test."""
    rule = re.search(
        rf"ACL SETUSER {user} (.*?)(?<!\\)\n", OPERATIONS, flags=re.DOTALL
    )
    assert rule
    return [
        word.replace("NAMESPACE", NAMESPACE)
        for word in rule[1].replace("\\\n", " ").split()
    ]


def commands() -> list[str]:
    """Return the commands that the prelude checks."""
    listed = re.search(r"local COMMANDS = \{(.*?)\}", SCRIPTS, flags=re.DOTALL)
    assert listed
    return re.findall(r"'([A-Z]+)'", listed[1])


@pytest.fixture(scope="module", params=list(servers.binaries()))
def raw(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[redis.Redis]:
    """A server, seen by its administrator."""
    with servers.running(
        servers.binaries()[request.param], tmp_path_factory.mktemp("rights")
    ) as url:
        yield redis.Redis.from_url(url, decode_responses=True)


def bench(raw: redis.Redis, rule: list[str]) -> Bench:
    """Return a bench on an empty server, as a user with an ACL rule."""
    raw.flushall()
    user = ("ACL", "SETUSER", "agent", "reset", "on", ">sesame", *rule)
    raw.execute_command(*user)  # type: ignore[no-untyped-call]
    url = (
        f"unix://agent:sesame@{raw.connection_pool.connection_kwargs['path']}"
    )
    return Bench(
        Queue(connect(url), NAMESPACE, Caller(agent="planner")),
        raw,
        NAMESPACE,
        url,
    )


def test_prelude_checks_every_command_of_scripts() -> None:
    assert set(commands()) == set(re.findall(r"\bcall\('([A-Z]+)'", SCRIPTS))


def test_documented_rights_suffice(raw: redis.Redis) -> None:
    there = bench(raw, documented("agent"))

    done = list(workflow(there))

    assert len(done) > 40
    assert there.agent("eve").claim(wait_s=0.05) is None
    assert not there.queue.views.wait_for_event(
        there.queue.views.events(limit=1).newest, 0.05
    )


def test_missing_right_prevents_all_writes(raw: redis.Redis) -> None:
    rule = documented("agent")

    for name in commands():
        there = bench(raw, [*rule, f"-{name.lower()}"])
        with pytest.raises(errors.Refused) as refusal:
            there.queue.project("x")

        assert raw.dbsize() == 0, name
        assert (
            "orchestrate docs operations#details-of-a-redis-of-your-own"
            in refusal.value.hint()
        ), str(refusal.value)


def test_user_reaches_no_other_namespace(raw: redis.Redis) -> None:
    there = bench(raw, documented("agent"))

    with pytest.raises(errors.Refused):
        Queue(connect(there.url), "other", Caller(agent="planner")).project(
            "x"
        )
    with pytest.raises(errors.Refused):
        Queue(
            connect(there.url), "other", Caller(agent="planner")
        ).views.projects()

    assert raw.dbsize() == 0


def test_agent_rights_do_not_reach_service_jobs(
    raw: redis.Redis,
) -> None:
    there = bench(raw, documented("agent"))

    with pytest.raises(redis.exceptions.NoPermissionError):
        raw_client(there.url).get(f"taskorch-rq:{{{NAMESPACE}}}:x")


def test_documented_rights_suffice_on_cluster_and_replicas(
    tmp_path: Path,
) -> None:
    with topologies.cluster(tmp_path) as cluster:
        for node in cluster.nodes:
            command(
                node,
                "ACL",
                "SETUSER",
                "agent",
                "on",
                ">sesame",
                *documented("agent"),
            )
        url = cluster.url.replace("://", "://agent:sesame@")
        connection = connect(url, wait_replicas=1, wait_timeout_ms=5000)
        raw = cluster.primary_of(NAMESPACE).raw

        there = Bench(
            Queue(connection, NAMESPACE, Caller(agent="planner")),
            raw,
            NAMESPACE,
            url,
        )
        done = list(workflow(there))

    assert len(done) > 40
