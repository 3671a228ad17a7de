"""Fixtures of all tests: a queue on each kind of Redis, a home folder, and leak checks.

Most tests use `bench`, a queue in its own namespace. It runs once per lane: on
fakeredis, on the bundled Valkey, and on `redis-server` if it is installed.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fakeredis
import pytest
import redis
from hypothesis import HealthCheck, settings
from support import connections, hermetic, leaks, servers
from support.builders import Bench
from support.mirrors import Root, root_at
from support.one_server import OneServer, by_redis_py
from support.waiters import Waiters, start_waiters
from taskorch.connections import connect
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.port import UNREADABLE, Connection
from taskorch.queue.queue import Queue
from taskorch.transport.failover import FailoverConnection

LANES = ["fakeredis", *servers.binaries()]
ONE_LANE = "valkey"
# On a busy machine any example may be slow. That is not a failure.
settings.register_profile(
    "busy machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("busy machine")
HOMES = pytest.StashKey[Path]()
OPEN = pytest.StashKey[leaks.Open]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[HOMES] = hermetic.isolate()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[HOMES], ignore_errors=True)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Run tests that are marked `one_lane` on one lane only."""
    left_out = {item for item in items if _is_left_out(item)}
    config.hook.pytest_deselected(items=list(left_out))
    items[:] = [item for item in items if item not in left_out]


def _is_left_out(item: pytest.Item) -> bool:
    if item.get_closest_marker("one_lane") is None:
        return False
    if not isinstance(item, pytest.Function) or not hasattr(item, "callspec"):
        return False
    return item.callspec.params.get("lane") not in (None, ONE_LANE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[OPEN] = leaks.Open.now()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Iterator[None]:
    """Fail a test that leaves sockets or threads open.

    Processes are checked after the last test.
    """
    yield
    left = leaks.unclosed(item.stash[OPEN])
    assert not left, f"{item.nodeid} left open: {left}"
    processes = [] if nextitem else leaks.running()
    assert not processes, f"Tests left processes running: {processes}"


@pytest.fixture(autouse=True)
def home(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """Return a new home folder, with an empty current folder beside it."""
    folder = Path(tempfile.mkdtemp(dir=pytestconfig.stash[HOMES]))
    home, here = folder / "home", folder / "here"
    home.mkdir()
    here.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(here)
    yield home
    shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class Lane:
    """One kind of Redis: the connection of the queue, and a client of the test."""

    name: str
    connection: Connection
    raw: redis.Redis
    #: "" for fakeredis, which other processes cannot reach.
    url: str


@pytest.fixture(autouse=True)
def close_connections() -> Iterator[None]:
    """Close what the test opened by `connections.connect`."""
    yield
    connections.close_all()


@pytest.fixture(scope="session", params=LANES)
def lane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Lane]:
    if request.param == "fakeredis":
        server = fakeredis.FakeServer()

        def client() -> redis.Redis:
            return fakeredis.FakeRedis(
                server=server,
                decode_responses=True,
                encoding_errors=UNREADABLE,
            )

        one = OneServer("fake://", client(), lambda _: client())
        yield Lane("fakeredis", FailoverConnection(one), client(), "")
        return
    with servers.running(
        servers.binaries()[request.param], tmp_path_factory.mktemp("redis")
    ) as url:
        connection = (
            by_redis_py(url) if request.param == "redis" else connect(url)
        )
        yield Lane(
            request.param,
            connection,
            redis.Redis.from_url(url, decode_responses=True),
            url,
        )
        connection.close()


@pytest.fixture
def bench(lane: Lane) -> Iterator[Bench]:
    """Return a queue in its own namespace, and check its keys at the end.

    Every key must be known to `keys.py`, have the right type, and expire unless it is
    permanent.
    """
    with _bench(lane) as bench:
        yield bench


@pytest.fixture
def waiters(bench: Bench) -> Iterator[Waiters]:
    """Return threads that can wait in the namespace of the bench."""
    with start_waiters(bench) as waiters:
        yield waiters


@pytest.fixture
def copy(lane: Lane) -> Iterator[Bench]:
    """Return another empty namespace on the same server."""
    with _bench(lane) as bench:
        yield bench


@pytest.fixture
def root(bench: Bench, tmp_path: Path) -> Root:
    """Return a root whose files the sync job writes."""
    return root_at(bench, tmp_path / "root")


@contextmanager
def _bench(lane: Lane) -> Iterator[Bench]:
    namespace = f"test-{os.urandom(4).hex()}"
    caller = Caller(agent="planner", host="here", pid=os.getpid())
    yield Bench(
        queue=Queue(lane.connection, namespace, caller),
        raw=lane.raw,
        namespace=namespace,
        url=lane.url,
    )
    left = list(lane.raw.scan_iter(f"{keys.tag(namespace)}*", count=1000))
    for key in left:
        known = keys.known(key.removeprefix(keys.tag(namespace)))
        assert known is not None, f"{key} is not in keys.py"
        assert lane.raw.type(key) == known.type, key
        assert known.permanent or lane.raw.pttl(key) > 0, (
            f"{key} never expires"
        )
    if left:
        lane.raw.delete(*left)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the address of a real server, for tests that need only one lane."""
    with servers.running(
        servers.binaries()["valkey"], tmp_path_factory.mktemp("valkey")
    ) as url:
        yield url


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
