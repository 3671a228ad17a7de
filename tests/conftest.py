"""Where the queue under test lives: on fakeredis for speed, and on real servers for truth."""

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
from taskorch.connect import connect
from taskorch.domain.item import Caller
from taskorch.queue import keys
from taskorch.queue.port import UNREADABLE, Connection
from taskorch.queue.queue import Queue
from taskorch.transport.failover import FailoverConnection

LANES = ["fakeredis", *servers.binaries()]
ONE_LANE = "valkey"
# On a machine under load any example may be slow, and it proves the same.
settings.register_profile(
    "under load", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("under load")
HOMES = pytest.StashKey[Path]()
OPEN = pytest.StashKey[leaks.Open]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[HOMES] = hermetic.isolate()


def pytest_unconfigure(config: pytest.Config) -> None:
    shutil.rmtree(config.stash[HOMES], ignore_errors=True)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the other lanes of tests that need one."""
    config.hook.pytest_deselected(items=[item for item in items if _is_left_out(item)])
    items[:] = [item for item in items if not _is_left_out(item)]


def _is_left_out(item: pytest.Item) -> bool:
    lane = (
        item.callspec.params.get("lane")
        if isinstance(item, pytest.Function) and hasattr(item, "callspec")
        else None
    )
    return bool(item.get_closest_marker("one_lane")) and lane not in (None, ONE_LANE)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[OPEN] = leaks.Open.now()
    yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Iterator[None]:
    """Fail a test that leaves something behind, and the last one for the processes that any has left."""
    yield
    left = leaks.unclosed(item.stash[OPEN])
    assert not left, f"{item.nodeid} left behind: {left}"
    processes = [] if nextitem else leaks.running()
    assert not processes, f"Tests left behind: {processes}"


@pytest.fixture(autouse=True)
def home(
    pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Path]:
    """A home of the test's own, and an empty current folder outside of it; no XDG variable says otherwise."""
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
    """One kind of Redis: how the queue reaches it, and how a test looks behind the queue's back."""

    name: str
    connection: Connection
    raw: redis.Redis
    #: "" for fakeredis, which no other process reaches.
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
                server=server, decode_responses=True, encoding_errors=UNREADABLE
            )

        one = OneServer("fake://", client(), lambda _: client())
        yield Lane("fakeredis", FailoverConnection(one), client(), "")
        return
    with servers.running(
        servers.binaries()[request.param], tmp_path_factory.mktemp("redis")
    ) as url:
        connection = by_redis_py(url) if request.param == "redis" else connect(url)
        yield Lane(
            request.param,
            connection,
            redis.Redis.from_url(url, decode_responses=True),
            url,
        )
        connection.close()


@pytest.fixture
def bench(lane: Lane) -> Iterator[Bench]:
    """A queue in a namespace of its own; no key may be left behind that `keys.py` does not know."""
    with _bench(lane) as bench:
        yield bench


@pytest.fixture
def waiters(bench: Bench) -> Iterator[Waiters]:
    """Threads that wait in the namespace of the bench."""
    with start_waiters(bench) as waiters:
        yield waiters


@pytest.fixture
def copy(lane: Lane) -> Iterator[Bench]:
    """Another empty namespace on the same server."""
    with _bench(lane) as bench:
        yield bench


@pytest.fixture
def root(bench: Bench, tmp_path: Path) -> Root:
    """A root whose files the sync job keeps."""
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
        assert known.permanent or lane.raw.pttl(key) > 0, f"{key} never expires"
    if left:
        lane.raw.delete(*left)


@pytest.fixture(scope="session")
def valkey_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real server for tests that need no more than one lane."""
    with servers.running(embedded_binary(), tmp_path_factory.mktemp("valkey")) as url:
        yield url


def embedded_binary() -> str:
    return servers.binaries()["valkey"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder as the current one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path
