"""Whatever is broken in the indexes, dependencies, lists and counts of a namespace, an audit puts it in order."""

import os
from collections.abc import Iterator
from pathlib import Path

import fakeredis
import pytest
import redis
import servers
from builders import Bench
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from taskorch.connection import RedisConnection, connect
from taskorch.item import Caller, State
from taskorch.queue import Queue
from taskorch.script import Connection
from taskorch_orchestrator.audit import audit

Server = tuple[Connection, redis.Redis]

SHARED = ("unassigned", "waiting", "leases", "blocked", "delayed", "dead")
OWNED = ("queue:ada", "queue:bob", "held:ada", "held:bob", "agents")

number = st.integers(0, 60)
#: What goes wrong, by number: the namespace says which item, index, project that is.
damage = st.one_of(
    st.tuples(st.just("lose entry"), number, number),
    st.tuples(st.just("leave entry"), number, number),
    st.tuples(st.just("lose dependency"), number, number),
    st.tuples(st.just("leave dependency"), number, number),
    st.tuples(st.just("count"), number, st.integers(-3, 3)),
    st.tuples(st.just("lose index"), number, number),
    st.tuples(st.just("lose item"), number, number),
    st.tuples(st.just("lose project"), number, number),
)


@pytest.fixture(scope="module", params=["fakeredis", *servers.binaries()])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if request.param == "fakeredis":
        there = fakeredis.FakeServer()
        client = fakeredis.FakeRedis(server=there, decode_responses=True)
        yield RedisConnection("fake://", client, lambda _: client), client
        return
    with servers.running(servers.binaries()[request.param], tmp_path_factory.mktemp("redis")) as url:
        yield connect(url), redis.Redis.from_url(url, decode_responses=True)


@settings(max_examples=60, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(states=st.lists(st.sampled_from(State), min_size=1, max_size=8), wrong=st.lists(damage, min_size=1, max_size=12))
def test_a_second_audit_finds_nothing_whatever_was_broken(
    server: Server, states: list[State], wrong: list[tuple[str, int, int]]
) -> None:
    bench = populated(server, states)
    for what, one, other in wrong:
        break_(bench, what, one, other)
    broken = bench.everything()

    audit(bench.queue, fix=False)
    untouched = bench.everything()
    audit(bench.queue, fix=True)
    second = audit(bench.queue, fix=False)

    assert untouched == broken
    assert (second.left, second.counted) == ((), True)
    assert bench.inconsistencies() == []


def populated(server: Server, states: list[State]) -> Bench:
    """Return a namespace with an item of ada's in each of these states, and one of bob's that waits for the first."""
    connection, raw = server
    namespace = f"test-{os.urandom(4).hex()}"
    bench = Bench(Queue(connection, namespace, Caller(agent="planner")), raw, namespace, "")
    items = [bench.standing(state).item for state in states]
    bench.item(agent="bob", depends_on=(items[0],))
    return bench


def break_(bench: Bench, what: str, one: int, other: int) -> None:
    """Do one damage; what it hits is chosen by number among what is there."""
    names = list(bench.everything())
    items = [name.partition(":")[2] for name in names if name.startswith("item:")] or ["item_00000000"]
    projects = [name for name in names if name.startswith("project:") and not name.endswith(":items")] or ["project:x"]
    indexes = [*SHARED, *OWNED, *(f"{project}:items" for project in projects), "projects"]
    item, second, index = items[one % len(items)], items[other % len(items)], indexes[other % len(indexes)]
    if index in ("agents", "projects") and what in ("leave entry", "lose index"):
        return  # what is no agent and no project is nobody's to find
    members = {"agents": "ada", "projects": projects[one % len(projects)].partition(":")[2]}
    match what:
        case "lose entry":
            bench.lose_entry(index, members.get(index, item))
        case "leave entry":
            bench.leave_entry(index, item, one)
        case "lose dependency":
            bench.lose_entry(("deps:", "dependents:")[one % 2] + item, second)
        case "leave dependency":
            bench.leave_entry(("deps:", "dependents:")[one % 2] + item, second)
        case "count":
            bench.lose_count(
                (*projects, "agent:ada", "agent:bob")[one % (len(projects) + 2)], list(State)[one % 9], by=other
            )
        case "lose index":
            bench.lose_key(index)
        case "lose item":
            bench.lose_item(item)
        case "lose project":
            bench.lose_project(projects[one % len(projects)].partition(":")[2])
