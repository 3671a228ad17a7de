"""An audit repairs any damage to indexes, dependencies, lists and counts."""

import os
from collections.abc import Iterable, Iterator

import pytest
import redis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import servers
from support.builders import Bench
from taskorch.connections import connect
from taskorch.domain.item import Caller, State
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue
from taskorch_orchestrator.doctor.audit import audit

Server = tuple[Connection, redis.Redis]

SHARED = (
    "unassigned",
    "waiting",
    "leases",
    "blocked",
    "delayed",
    "dead",
    "queue:ada",
    "queue:bob",
    "held:ada",
    "held:bob",
)

number = st.integers(0, 60)
#: A kind of damage, and two numbers that choose the item, index or project.
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


# Not on fakeredis, where these scripts take four times as long.
@pytest.fixture(scope="module", params=servers.binaries())
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    with servers.running(
        servers.binaries()[request.param], tmp_path_factory.mktemp("redis")
    ) as url:
        yield connect(url), redis.Redis.from_url(url, decode_responses=True)


@settings(
    max_examples=40,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
@given(
    states=st.lists(st.sampled_from(State), min_size=1, max_size=8),
    wrong=st.lists(damage, min_size=1, max_size=12),
)
def test_audit_after_repair_finds_nothing(
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
    assert (second.findings, second.counted) == ((), True)
    assert bench.inconsistencies() == []


def populated(server: Server, states: list[State]) -> Bench:
    """Return a namespace with an item of ada in each state.

    An item of bob waits for the first of them.
    """
    connection, raw = server
    namespace = f"test-{os.urandom(4).hex()}"
    bench = Bench(
        Queue(connection, namespace, Caller(agent="planner")),
        raw,
        namespace,
        "",
    )
    items = [bench.lease_in(state).item for state in states]
    bench.item(agent="bob", depends_on=(items[0],))
    return bench


def break_(bench: Bench, what: str, one: int, other: int) -> None:
    """Do one kind of damage to an existing key that the numbers choose."""
    names = bench.everything()
    items = _ids(names, "item") or ["item_00000000"]
    projects = _ids(names, "project") or ["proj_00000000"]
    owners = [
        *(f"project:{project}" for project in projects),
        "agent:ada",
        "agent:bob",
    ]
    indexes = [*SHARED, *(name for name in names if name.endswith(":items"))]
    # Not the agents: nothing else names the queue of an agent.
    entries = [
        (name, member)
        for name in (*indexes, "projects")
        for member in bench.members(name)
    ]
    sides = [
        (name, member)
        for name in names
        if name.startswith("dep")
        for member in bench.members(name)
    ]
    match what:
        case "lose entry" if entries:
            bench.delete_entry(*entries[one % len(entries)])
        case "leave entry":
            bench.add_entry(
                indexes[one % len(indexes)], items[other % len(items)], one
            )
        case "lose dependency" if sides:
            bench.delete_entry(*sides[one % len(sides)])
        case "leave dependency":
            bench.add_entry(
                ("deps:", "dependents:")[one % 2] + items[one % len(items)],
                items[other % len(items)],
            )
        case "count":
            bench.shift_count(
                owners[one % len(owners)], list(State)[one % 9], by=other
            )
        case "lose index":
            bench.delete_key(indexes[one % len(indexes)])
        case "lose item":
            bench.delete_item(items[one % len(items)])
        case "lose project":
            bench.delete_project(projects[one % len(projects)])


def _ids(names: Iterable[str], kind: str) -> list[str]:
    return [
        name.removeprefix(f"{kind}:")
        for name in names
        if name.startswith(f"{kind}:") and name.count(":") == 1
    ]
