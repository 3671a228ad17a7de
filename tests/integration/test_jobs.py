"""The duties of the service as RQ jobs on a real server."""

import json
import logging
import os
import signal
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
from support import servers
from taskorch.queue import keys
from taskorch_orchestrator.service.scheduler import Scheduler

if TYPE_CHECKING:
    from taskorch_orchestrator.service.rq_jobs import JobQueue

LONG_S = 3600.0
LAST = "last"
DUTIES = {"sync", "other", "maintain", LAST, "last-of-other"}
#: RQ's own worker appends several times as much.
MOST_BYTES_A_JOB = 1200
#: The module of an attacker, and the call of a genuine job.
EVIL = "evil_module"
OURS: list[object] = [
    "taskorch_orchestrator.service.rq_jobs.do",
    None,
    ["sync"],
    {},
]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for RQ alone, with the key prefix set before RQ is imported."""
    os.environ["RQ_KEY_PREFIX"] = keys.of_rq("jobs")
    with servers.running(
        servers.binaries()["valkey"],
        tmp_path_factory.mktemp("rq"),
        "--appendonly",
        "yes",
    ) as url:
        yield url


@dataclass
class Service:
    """A service that records each duty, and stops at the last one."""

    jobs: "JobQueue"
    scheduler: Scheduler = field(default_factory=Scheduler)
    done: list[str] = field(default_factory=list)
    acts: dict[str, Callable[[], object]] = field(default_factory=dict)

    def work(self) -> list[str]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(
                number, lambda _number, _frame: self.scheduler.stop()
            )
        self.jobs.work(self._do, self.scheduler)
        return self.done

    def _do(self, duty: str) -> None:
        if duty == LAST:
            self.scheduler.stop()
        self.acts.get(duty, lambda: None)()
        self.done.append(duty)


@pytest.fixture
def start(url: str) -> Iterator[Callable[..., Service]]:
    """Return a function that opens a service's job queue, on an empty server.

    It restores the signal handlers.
    """
    from taskorch_orchestrator.service.rq_jobs import JobQueue

    handlers = {
        number: signal.getsignal(number)
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    with redis.Redis.from_url(url) as raw:
        raw.flushall()
    yield lambda queue="roots": Service(JobQueue(queue, DUTIES, url=url))
    for number, handler in handlers.items():
        signal.signal(number, handler)


Start = Callable[..., Service]


def test_duty_is_done_once_for_many_services(
    start: Start,
) -> None:
    services = [start() for _ in range(8)]
    for service in services:
        service.jobs.enqueue("sync", LONG_S)
    services[0].jobs.enqueue(LAST, LONG_S)

    done = services[0].work()

    assert done == ["sync", LAST]


def test_duty_is_done_once_per_interval(start: Start) -> None:
    first, second = start(), start()
    first.jobs.enqueue(LAST, LONG_S)
    first.work()

    second.jobs.enqueue(LAST, LONG_S)
    second.jobs.enqueue("sync", LONG_S)
    second.acts["sync"] = second.scheduler.stop

    assert second.work() == ["sync"]


def test_next_interval_is_another_job(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue("sync", 0.001)
    _let_the_clock_of_redis_tick(url)
    service.jobs.enqueue("sync", 0.001)
    service.jobs.enqueue(LAST, LONG_S)

    assert service.work() == ["sync", "sync", LAST]


def test_services_of_other_roots_share_duties(
    start: Start,
) -> None:
    one, other = start("one"), start("other")
    one.jobs.enqueue("maintain", LONG_S)
    other.jobs.enqueue("maintain", LONG_S)
    one.jobs.enqueue(LAST, LONG_S)
    other.jobs.enqueue("last-of-other", LONG_S)
    other.acts["last-of-other"] = other.scheduler.stop

    assert [one.work(), other.work()] == [
        ["maintain", LAST],
        ["last-of-other"],
    ]


def test_job_is_json_and_not_a_pickle(start: Start, url: str) -> None:
    service = start()

    service.jobs.enqueue("sync", LONG_S)

    with redis.Redis.from_url(url) as raw:
        [job] = [
            cast(Any, raw).hgetall(key) for key in raw.scan_iter("*:job:*")
        ]
    assert json.loads(zlib.decompress(job[b"data"])) == [
        "taskorch_orchestrator.service.rq_jobs.do",
        None,
        ["sync"],
        {},
    ]


def test_all_keys_have_the_namespace_prefix(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue(LAST, LONG_S)
    service.work()

    with redis.Redis.from_url(url, decode_responses=True) as raw:
        left = list(raw.scan_iter(count=1000))

    assert left
    assert [
        key for key in left if not key.startswith("taskorch-rq:{jobs}:")
    ] == []


def test_keys_of_jobs_and_workers_expire(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue(LAST, LONG_S)
    service.work()

    with redis.Redis.from_url(url, decode_responses=True) as raw:
        kinds = {
            key: cast(Any, raw).ttl(key) for key in raw.scan_iter(count=1000)
        }

    lasting = {
        key.removeprefix("taskorch-rq:{jobs}:")
        for key, ttl in kinds.items()
        if ttl < 0
    }
    assert not [
        key
        for key in lasting
        if key.startswith(("job:", "worker:", "results:", "execution:"))
    ]


def test_idle_job_appends_little_to_the_file(start: Start, url: str) -> None:
    service, names = start(), [f"duty-{number}" for number in range(20)]
    service.jobs = type(service.jobs)("roots", {*names, LAST}, url=url)
    before = _appended(url)
    for duty in [*names, LAST]:
        service.jobs.enqueue(duty, LONG_S)

    done = service.work()

    assert done == [*names, LAST]
    assert (_appended(url) - before) / len(done) < MOST_BYTES_A_JOB


def test_failing_duty_does_not_end_the_worker(start: Start) -> None:
    service = start()
    service.acts["sync"] = lambda: 1 / 0
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue(LAST, LONG_S)

    assert service.work() == [LAST]


def test_stopped_scheduler_ends_the_worker_immediately(start: Start) -> None:
    service = start()
    service.scheduler.stop()
    service.jobs.enqueue("sync", LONG_S)

    assert service.work() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_wait_for_a_job(
    start: Start, number: signal.Signals
) -> None:
    service = start()
    unhandled = signal.getsignal(number)

    def send(*_: object) -> None:
        # nobody else would survive it
        if signal.getsignal(number) is not unhandled:
            os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGALRM, send)
    # Repeated in case the first signal arrives before the wait begins.
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)
    try:
        done = service.work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert done == []
    assert service.scheduler.stopped


def test_signal_lets_only_the_running_job_finish(
    start: Start,
) -> None:
    service = start()
    service.acts["sync"] = lambda: signal.raise_signal(signal.SIGTERM)
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue("other", LONG_S)

    assert service.work() == ["sync"]
    assert service.scheduler.stopped


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module that writes to a file when it is imported, and when it is called."""
    mark = tmp_path / "mark"
    lines = [
        f"MARK = {str(mark)!r}",
        "open(MARK, 'a').write('imported ')",
        "def run(*arguments, **options):",
    ]
    (tmp_path / f"{EVIL}.py").write_text(
        "\n".join([*lines, "    open(MARK, 'a').write('called ')"])
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield mark
    sys.modules.pop(EVIL, None)


@pytest.fixture
def raw(url: str) -> Iterator[Any]:
    """A client that can write RQ's keys."""
    with redis.Redis.from_url(url) as raw:
        yield cast(Any, raw)


def planted(
    raw: Any, call: object = OURS, name: str = "foreign", **fields: str
) -> str:
    """Write a job as RQ would, at the front of the queue, and return its key."""
    key = f"taskorch-rq:{{jobs}}:job:{name}"
    job = {
        "created_at": "2026-11-30T00:00:00.000000Z",
        "status": "queued",
        "origin": "roots",
        "timeout": "60",
    }
    raw.hset(
        key,
        mapping={
            **job,
            "data": zlib.compress(json.dumps(call).encode()),
            **fields,
        },
    )
    raw.lpush("taskorch-rq:{jobs}:queue:roots", name)
    return key


@pytest.mark.parametrize(
    "call",
    [
        [f"{EVIL}.run", None, [], {}],
        ["os.system", None, ["touch {mark}"], {}],
        [
            "taskorch_orchestrator.service.rq_jobs.do",
            None,
            [f"{EVIL}.run"],
            {},
        ],
        [
            "taskorch_orchestrator.service.rq_jobs.do",
            None,
            ["sync", "more"],
            {},
        ],
        ["taskorch_orchestrator.service.rq_jobs.do", None, [["sync"]], {}],
        [
            "taskorch_orchestrator.service.rq_jobs.do",
            None,
            [],
            {"duty": "sync"},
        ],
        ["do", "taskorch_orchestrator.service.rq_jobs", ["sync"], {}],
        ["taskorch_orchestrator.service.rq_jobs.do", EVIL, ["sync"], {}],
        {"func": f"{EVIL}.run"},
        "text",
    ],
)
def test_foreign_job_is_deleted_and_never_run(
    start: Start,
    raw: Any,
    mark: Path,
    call: object,
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = start()
    key = planted(
        raw, json.loads(json.dumps(call).replace("{mark}", str(mark)))
    )
    service.jobs.enqueue(LAST, LONG_S)

    with caplog.at_level(logging.WARNING):
        done = service.work()

    assert not mark.exists()
    assert done == [LAST]
    assert not raw.exists(key)
    assert "did not create: foreign" in caplog.text


@pytest.mark.parametrize(
    "fields",
    [
        {"success_callback_name": f"{EVIL}.run"},
        {"failure_callback_name": f"{EVIL}.run"},
        {"stopped_callback_name": f"{EVIL}.run"},
        {
            "webhooks": json.dumps(
                [{"url": "http://127.0.0.1:9/", "status": "finished"}]
            )
        },
        {"dependency_ids": json.dumps(["other"])},
        {"repeats_left": "3", "repeat_intervals": "[1]"},
        {"retries_left": "3"},
        {"group_id": "group"},
        {"unknown_to_this_version": "1"},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_job_with_callback_is_deleted_and_not_run(
    start: Start, raw: Any, mark: Path, fields: dict[str, str]
) -> None:
    service = start()
    key = planted(raw, **fields)
    service.jobs.enqueue(LAST, LONG_S)

    done = service.work()

    assert not mark.exists()
    assert done == [LAST]
    assert not raw.exists(key)


def test_abandoned_job_has_no_callback_called(
    start: Start, raw: Any, mark: Path
) -> None:
    service = start()
    planted(raw, status="started", failure_callback_name=f"{EVIL}.run")
    raw.delete("taskorch-rq:{jobs}:queue:roots")
    raw.zadd("taskorch-rq:{jobs}:wip:roots", {"foreign:execution": 1})
    service.jobs.enqueue(LAST, LONG_S)

    service.work()

    assert not mark.exists()


def test_damaged_jobs_do_not_end_the_worker(start: Start, raw: Any) -> None:
    service = start()
    planted(raw, name="bomb", data=cast(str, zlib.compress(b"[" * 50_000_000)))
    planted(raw, name="no-zlib", data="[1]")
    planted(raw, name="strange id\r\n", data="")
    raw.delete(planted(raw, name="text"))
    raw.set("taskorch-rq:{jobs}:job:text", "not a hash")
    raw.lpush("taskorch-rq:{jobs}:queue:roots", b"\xff\xfe", "expired")
    raw.hset(b"taskorch-rq:{jobs}:job:\xff\xfe", "data", "x")
    service.jobs.enqueue(LAST, LONG_S)

    done = service.work()

    assert done == [LAST]
    left = {key.decode() for key in raw.scan_iter("taskorch-rq:{jobs}:job:*")}
    assert {key.rpartition(":")[2].partition("-")[0] for key in left} == {LAST}


def test_suspension_in_redis_does_not_stop_the_worker(
    start: Start, raw: Any
) -> None:
    service = start()
    raw.set("taskorch-rq:{jobs}:suspended", 1)
    service.jobs.enqueue(LAST, LONG_S)

    assert service.work() == [LAST]


def test_running_a_job_imports_nothing_by_name(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = start()
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue(LAST, LONG_S)
    imported: list[str] = []
    monkeypatch.setattr("rq.job.import_attribute", imported.append)

    done = service.work()

    assert done == ["sync", LAST]
    assert imported == []


def _appended(url: str) -> int:
    """Return the size of the server's append-only file in bytes."""
    folder = Path(url.removeprefix("unix://")).parent
    return sum(file.stat().st_size for file in folder.rglob("*.incr.aof"))


def _let_the_clock_of_redis_tick(url: str) -> None:
    with redis.Redis.from_url(url) as raw:
        before = cast(Any, raw).time()
        while cast(Any, raw).time()[1] // 1000 == before[1] // 1000:
            pass
