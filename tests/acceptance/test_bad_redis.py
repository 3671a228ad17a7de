"""A broken or unreachable Redis: exit code, advice, and nothing half done."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from support import servers
from support.builders import Bench
from support.commands import BIN, Shell, eventually
from support.fake_server import fake_server
from taskorch.bundled import server
from taskorch.connections import connect
from taskorch.domain.item import Caller, State
from taskorch.queue import keys
from taskorch.queue.queue import Queue

PASSWORD = "open-sesame"


@contextmanager
def server_of_its_own(
    shell: Shell, *options: str
) -> Iterator[tuple[Shell, redis.Redis]]:
    """A server for the test to break, and a shell on it."""
    with (
        servers.running(server.binary(), shell.folder.parent, *options) as url,
        redis.Redis.from_url(url) as raw,
    ):
        yield shell.having(TASKORCH_REDIS_URL=url), raw


@contextmanager
def seeded(shell: Shell) -> Iterator[Bench]:
    """A bench on the server of a shell."""
    url, namespace = (
        shell.variables["TASKORCH_REDIS_URL"],
        shell.variables["TASKORCH_NAMESPACE"],
    )
    connection = connect(url)
    with redis.Redis.from_url(url, decode_responses=True) as raw:
        yield Bench(
            Queue(
                connection,
                namespace,
                Caller(agent="planner", host="here", pid=1),
            ),
            raw,
            namespace,
            url,
        )
    connection.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://localhost:1",
        "unix:///nowhere/redis.sock",
        "redis://no-such-host.invalid",
    ],
)
def test_unreachable_redis_is_a_retryable_error(
    shell: Shell, url: str
) -> None:
    away = shell.having(TASKORCH_REDIS_URL=url)

    ran, as_json = away.worker("check"), away.worker("check", "--json")

    assert ran.code == 4
    assert f"Redis is unreachable at {url}" in ran.stderr
    assert "TASKORCH_REDIS_URL" in ran.stderr
    assert (as_json.error()["code"], as_json.error()["retryable"]) == (
        "UNREACHABLE",
        True,
    )


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("ftp://x", "'…' is not a valid Redis address"),
        ("nonsense", "'…' is not a valid Redis address"),
        ("redis://h:port", "'redis://…' is not a valid Redis address"),
        ("redis://h:99999", "'redis://h:99999' is not a valid Redis address"),
        (
            "redis://localhost:1/abc",
            "'redis://…' is not a valid Redis address",
        ),
        ("redis://localhost:1/0?colour=red", "is not a valid Redis address"),
        ("redis://[::1", "is not a valid Redis address"),
        ("unix://", "'unix://…' is not a valid Redis address"),
    ],
)
def test_invalid_address_is_a_usage_error(
    shell: Shell, url: str, message: str
) -> None:
    ran = shell.orchestrate("--redis-url", url, "projects")

    assert ran.code == 2, ran.stderr
    assert message in ran.stderr
    assert "redis://host:6379/0" in ran.stderr


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:open-sesame@localhost:1",
        "redis://user:open-sesame@localhost:port",
        "redis://user:p@open-sesame@localhost:1",
        "rediss://:open-sesame@localhost:1?ssl_cert_reqs=none",
        "redis://localhost:1?password=open-sesame",
        "unix:///nowhere?username=x&password=open-sesame",
        "unix://:open-sesame@/nowhere",
    ],
)
def test_no_message_shows_a_password(shell: Shell, url: str) -> None:
    ran = shell.having(TASKORCH_REDIS_URL=url).orchestrate("projects")
    told = shell.having(TASKORCH_REDIS_URL=url).worker("whoami")

    assert ran.code in (2, 4)
    assert PASSWORD not in ran.stderr
    assert PASSWORD not in told.stdout + told.stderr


def test_password_in_the_address_is_used(shell: Shell) -> None:
    with server_of_its_own(shell) as (locked, raw):
        raw.config_set("requirepass", PASSWORD)
        url = locked.variables["TASKORCH_REDIS_URL"]

        without, wrong, right = (
            locked.having(TASKORCH_REDIS_URL=address).orchestrate("projects")
            for address in (
                url,
                url.replace("://", "://:guess@"),
                url.replace("://", f"://:{PASSWORD}@"),
            )
        )

    assert [without.code, wrong.code, right.code] == [4, 4, 0]
    assert "refused this client" in without.stderr
    assert "the password into TASKORCH_REDIS_PASSWORD" in without.stderr
    assert "refused this client" in wrong.stderr
    assert "guess" not in wrong.stderr


def test_missing_database_is_the_stated_reason(shell: Shell) -> None:
    ran = shell.having(
        TASKORCH_REDIS_URL=shell.variables["TASKORCH_REDIS_URL"] + "?db=99"
    ).orchestrate("projects")

    assert ran.code in (2, 4)
    assert "DB index is out of range" in ran.stderr
    assert "password" not in ran.stderr


def test_old_redis_is_refused_by_version(shell: Shell) -> None:
    with fake_server(_as_redis_6) as port:
        ran = shell.having(
            TASKORCH_REDIS_URL=f"redis://127.0.0.1:{port}"
        ).orchestrate("projects")

    assert ran.code == 5
    assert "version 6.2.14" in ran.stderr
    assert "Redis 7.0 or Valkey 8.0 or newer" in ran.stderr


def test_server_that_quotes_the_password_is_not_quoted(shell: Shell) -> None:
    quoting = f"-ERR HELLO is not allowed with the arguments AUTH default {PASSWORD}\r\n".encode()

    with fake_server(lambda _: quoting) as port:
        url = f"redis://:{PASSWORD}@127.0.0.1:{port}"
        ran = shell.having(TASKORCH_REDIS_URL=url).orchestrate("projects")

    assert ran.code != 0
    assert PASSWORD not in ran.stdout + ran.stderr


def test_server_other_than_redis_is_an_error(shell: Shell) -> None:
    with fake_server(lambda _: b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        url = f"redis://127.0.0.1:{port}"
        ran = shell.having(TASKORCH_REDIS_URL=url).orchestrate("projects")

    assert ran.code == 4
    assert url in ran.stderr


def test_namespace_of_another_schema_stays_unchanged(
    shell: Shell, bench: Bench
) -> None:
    item = bench.item()
    bench.raw.hset(keys.meta(bench.namespace), "schema", "99")
    before = bench.everything()

    refused = [
        shell.worker("get", item),
        shell.worker("check"),
        shell.worker("complete", item, "x"),
        shell.orchestrate("project", "x"),
        shell.orchestrate("list"),
    ]

    assert [ran.code for ran in refused] == [5] * len(refused)
    assert all(
        "schema version 99; this program supports 2" in ran.stderr
        for ran in refused
    )
    assert bench.everything() == before


#: The verbs that write, each on an item in a state that allows it.
WRITES = """
worker pop
worker get {queued}
worker get {running} --takeover
worker progress {mine} x
worker blocker {mine} x
worker complete {mine} x
worker fail {mine} x
worker release {mine}
worker notes {mine} x
orchestrate project x
orchestrate create {project} x --depends-on {queued}
orchestrate assign {pending} bob
orchestrate assign {running} bob --force
orchestrate depend {queued} {pending}
orchestrate answer {blocked} x
orchestrate cancel {waiting}
orchestrate requeue {dead}
orchestrate complete {project} --force
""".strip().splitlines()


@pytest.mark.parametrize(
    ("spoil", "lines"),
    [("memory", WRITES), ("replica", WRITES[::4])],
    ids=["memory", "replica"],
)
def test_refused_writes_leave_nothing_half_done(
    shell: Shell, spoil: str, lines: list[str]
) -> None:
    with server_of_its_own(shell) as (there, raw), seeded(there) as bench:
        names = _a_bit_of_everything(bench)
        assert there.worker("get", names["mine"]).code == 0
        _spoil(raw, spoil)

        for line in lines:
            before = bench.everything()
            command, *words = line.format_map(names).split()
            ran = there.run(BIN / command, *words)

            # A script that frees memory first may still succeed.
            assert ran.code == 4 or (spoil == "memory" and ran.code == 0), (
                line,
                ran,
            )
            assert ran.code == 0 or "cannot run this now" in ran.stderr, (
                line,
                ran,
            )
            assert ran.code == 0 or bench.everything() == before, line
        assert bench.inconsistencies() == []


def test_purge_frees_a_full_redis(shell: Shell) -> None:
    with server_of_its_own(shell) as (there, raw), seeded(there) as bench:
        project = bench.project()
        item = bench.bring_to(bench.item(project), State.COMPLETED).item
        bench.queue.complete_project(project)
        _spoil(raw, "memory")

        refused = there.orchestrate("project", "x")
        purged = there.orchestrate("purge", project, "--yes")

        assert (refused.code, purged.code) == (4, 0), (refused, purged)
        assert "orchestrate purge" in refused.stderr
        assert [
            name
            for name in bench.everything()
            if project in name or item in name
        ] == []


def _a_bit_of_everything(bench: Bench) -> dict[str, str]:
    """Return items in many states, and the project of some of them."""
    project = bench.project()
    return {
        "project": project,
        "queued": bench.item(project),
        "pending": bench.item(project, agent=""),
        "mine": bench.item(project),
        "running": bench.lease_in(State.IN_PROGRESS).item,
        "blocked": bench.lease_in(State.BLOCKED).item,
        "dead": bench.lease_in(State.FAILED).item,
        "waiting": bench.lease_in(State.WAITING).item,
    }


@contextmanager
def _memory(raw: redis.Redis, _folder: Path) -> Iterator[None]:
    raw.config_set("maxmemory", "100kb")
    yield
    raw.config_set("maxmemory", "0")


@contextmanager
def _replica(raw: redis.Redis, _folder: Path) -> Iterator[None]:
    raw.replicaof("127.0.0.1", "1")
    yield
    raw.replicaof("NO", "ONE")


@contextmanager
def _lost_replica(raw: redis.Redis, folder: Path) -> Iterator[None]:
    raw.config_set("replica-serve-stale-data", "no")
    with _replica(raw, folder):
        yield


@contextmanager
def _disk(raw: redis.Redis, folder: Path) -> Iterator[None]:
    (folder / "dump.rdb").mkdir()
    raw.config_set("save", "3600 1")
    raw.bgsave()
    eventually(
        lambda: raw.info("persistence")["rdb_last_bgsave_status"] == "err"
    )
    yield
    raw.config_set("save", "")


@contextmanager
def _few_replicas(raw: redis.Redis, _folder: Path) -> Iterator[None]:
    raw.config_set("min-replicas-to-write", "1")
    yield
    raw.config_set("min-replicas-to-write", "0")


@contextmanager
def _busy(raw: redis.Redis, _folder: Path) -> Iterator[None]:
    raw.config_set("busy-reply-threshold", "10")
    thread = threading.Thread(
        target=_provoke, args=[raw, "EVAL", "while true do end", "0"]
    )
    thread.start()
    eventually(lambda: "BUSY" in _provoke(raw, "PING"))
    yield
    raw.script_kill()
    eventually(lambda: not _provoke(raw, "PING"))
    thread.join()


@contextmanager
def _loading(raw: redis.Redis, _folder: Path) -> Iterator[None]:
    raw.config_set("loading-process-events-interval-bytes", "1024")
    # Redis answers commands after each value of this size; to load all takes a minute
    for number in range(600):
        raw.set(f"large-{number}", os.urandom(2000))
    raw.config_set("key-load-delay", "100000")
    thread = threading.Thread(target=_provoke, args=[raw, "DEBUG", "RELOAD"])
    thread.start()
    eventually(lambda: "BusyLoading" in _provoke(raw, "PING"))
    yield
    eventually(
        lambda: not _provoke(raw, "CONFIG", "SET", "key-load-delay", "0")
    )
    eventually(lambda: not _provoke(raw, "PING"))
    thread.join()


def _provoke(raw: redis.Redis, *words: str) -> str:
    """Send a command on a new connection, and return the error reply."""
    client = redis.Redis(
        unix_socket_path=raw.connection_pool.connection_kwargs["path"],
        retry=Retry(NoBackoff(), 0),
    )
    try:
        cast(Any, client).execute_command(*words)
    except redis.RedisError as error:
        return f"{type(error).__name__}: {error}"
    return ""


#: A trouble of Redis, and the advice in the message.
WRONG: dict[
    str,
    tuple[Callable[[redis.Redis, Path], AbstractContextManager[None]], str],
] = {
    "memory": (_memory, "Raise maxmemory"),
    "replica": (
        _replica,
        "Use the address of the primary, or of the sentinels",
    ),
    "lost replica": (_lost_replica, "lost its primary"),
    "disk": (_disk, "cannot write to its disk"),
    "few replicas": (_few_replicas, "min-replicas-to-write"),
    "busy": (_busy, "SCRIPT KILL"),
    "loading": (_loading, "Try again in a moment"),
}


def test_too_many_clients_is_a_retryable_error(
    shell: Shell,
) -> None:
    with server_of_its_own(shell) as (there, raw):
        raw.config_set("maxclients", "1")

        refused = there.worker("check", "--json")

        raw.config_set("maxclients", "1000")
        assert (refused.code, refused.error()["retryable"]) == (4, True)
        assert there.worker("check").code == 0


@pytest.mark.parametrize("trouble", WRONG)
def test_broken_redis_is_explained_and_nothing_changes(
    shell: Shell, trouble: str
) -> None:
    spoil, way_out = WRONG[trouble]
    with (
        server_of_its_own(shell, "--enable-debug-command", "yes") as (
            there,
            raw,
        ),
        seeded(there) as bench,
    ):
        item = bench.item()
        before = bench.everything()
        with spoil(raw, shell.folder.parent):
            ran, as_json = (
                there.worker("notes", item, "x"),
                there.orchestrate("project", "x", "--json"),
            )

        assert (ran.code, as_json.code) == (4, 4), ran
        assert way_out in ran.stderr
        assert "Nothing is half done" in ran.stderr
        assert (as_json.error()["code"], as_json.error()["retryable"]) == (
            "STALLED",
            True,
        )
        assert way_out in as_json.error()["hint"]
        assert bench.everything() == before


def test_broken_cluster_is_named(shell: Shell) -> None:
    with server_of_its_own(shell, "--cluster-enabled", "yes") as (there, _):
        ran = there.orchestrate("projects")

    assert ran.code == 4
    assert "CLUSTER NODES shows which node is missing" in ran.stderr


def test_read_only_redis_can_be_read(shell: Shell) -> None:
    with server_of_its_own(shell) as (there, raw), seeded(there) as bench:
        item = bench.item()
        _spoil(raw, "memory")

        looks = [
            there.orchestrate(*words)
            for words in (
                ["show", item],
                ["list"],
                ["projects"],
                ["agents"],
                ["inbox"],
            )
        ]

    assert [ran.code for ran in looks] == [0] * len(looks)


def _spoil(raw: redis.Redis, how: str) -> None:
    """Leave no memory for another write, or make the server a replica (of a primary that never answers)."""
    if how == "memory":
        raw.config_set("maxmemory", "100kb")
    else:
        raw.execute_command("REPLICAOF", "127.0.0.1", "1")  # type: ignore[no-untyped-call]


def _as_redis_6(asked: bytes) -> bytes:
    """Answer HELLO as Redis 6.2.14 does, and everything else with OK."""
    if b"HELLO" not in asked.upper():
        return b"+OK\r\n" * asked.count(b"*")
    pairs = {
        "server": "redis",
        "version": "6.2.14",
        "mode": "standalone",
        "role": "master",
    }
    fields = "".join(
        f"${len(word)}\r\n{word}\r\n"
        for pair in pairs.items()
        for word in pair
    )
    return f"%{len(pairs) + 1}\r\n{fields}$5\r\nproto\r\n:3\r\n".encode()
