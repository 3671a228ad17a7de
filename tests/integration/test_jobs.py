"""The duties of services as jobs of RQ, on a real server: once per interval, as JSON, under keys of the namespace."""

import json
import os
import signal
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis
import servers
from taskorch import keys
from taskorch.clients import raw_client
from taskorch_orchestrator.bell import Bell

if TYPE_CHECKING:
    from taskorch_orchestrator.jobs import Jobs

LONG_S = 3600.0
LAST = "last"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for RQ alone, whose keys have a prefix that is told before it is imported."""
    os.environ["RQ_KEY_PREFIX"] = keys.of_rq("jobs")
    with servers.running(servers.binaries()["valkey"], tmp_path_factory.mktemp("rq")) as url:
        yield url


@dataclass
class Service:
    """What a service does with its jobs: it notes each duty, and stops at the last."""

    jobs: "Jobs"
    bell: Bell = field(default_factory=Bell)
    done: list[str] = field(default_factory=list)
    acts: dict[str, Callable[[], object]] = field(default_factory=dict)

    def work(self) -> list[str]:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda _number, _frame: self.bell.stop())
        self.jobs.work(self._do, self.bell)
        return self.done

    def _do(self, duty: str) -> None:
        if duty == LAST:
            self.bell.stop()
        self.acts.get(duty, lambda: None)()
        self.done.append(duty)


@pytest.fixture
def start(url: str) -> Iterator[Callable[..., Service]]:
    """Open the jobs of a service; they start from an empty server, and the signals are pytest's again at the end."""
    from taskorch_orchestrator.jobs import Jobs

    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    with redis.Redis.from_url(url) as raw:
        raw.flushall()
    yield lambda queue="roots": Service(Jobs(queue, lambda: raw_client(url)))
    for number, handler in handlers.items():
        signal.signal(number, handler)


Start = Callable[..., Service]


def test_a_duty_is_done_once_per_interval_however_many_services_want_it(start: Start) -> None:
    services = [start() for _ in range(8)]
    for service in services:
        service.jobs.enqueue("sync", LONG_S)
    services[0].jobs.enqueue(LAST, LONG_S)

    done = services[0].work()

    assert done == ["sync", LAST]


def test_a_duty_that_was_done_is_not_done_again_in_its_interval(start: Start) -> None:
    first, second = start(), start()
    first.jobs.enqueue(LAST, LONG_S)
    first.work()

    second.jobs.enqueue(LAST, LONG_S)
    second.jobs.enqueue("sync", LONG_S)
    second.acts["sync"] = second.bell.stop

    assert second.work() == ["sync"]


def test_the_next_interval_is_another_job(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue("sync", 0.001)
    _let_the_clock_of_redis_tick(url)
    service.jobs.enqueue("sync", 0.001)
    service.jobs.enqueue(LAST, LONG_S)

    assert service.work() == ["sync", "sync", LAST]


def test_services_of_other_roots_share_the_duties_of_the_namespace(start: Start) -> None:
    one, other = start("one"), start("other")
    one.jobs.enqueue("maintain", LONG_S)
    other.jobs.enqueue("maintain", LONG_S)
    one.jobs.enqueue(LAST, LONG_S)
    other.jobs.enqueue("last-of-other", LONG_S)
    other.acts["last-of-other"] = other.bell.stop

    assert [one.work(), other.work()] == [["maintain", LAST], ["last-of-other"]]


def test_a_job_is_json_and_not_a_pickle(start: Start, url: str) -> None:
    service = start()

    service.jobs.enqueue("sync", LONG_S)

    with redis.Redis.from_url(url) as raw:
        [job] = [cast(Any, raw).hgetall(key) for key in raw.scan_iter("*:job:*")]
    assert json.loads(zlib.decompress(job[b"data"])) == ["taskorch_orchestrator.jobs.do", None, ["sync"], {}]


def test_all_keys_have_the_prefix_of_the_namespace(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue(LAST, LONG_S)
    service.work()

    with redis.Redis.from_url(url, decode_responses=True) as raw:
        left = list(raw.scan_iter(count=1000))

    assert left
    assert [key for key in left if not key.startswith("taskorch-rq:{jobs}:")] == []


def test_jobs_expire_and_so_does_what_is_known_of_a_worker(start: Start, url: str) -> None:
    service = start()
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue(LAST, LONG_S)
    service.work()

    with redis.Redis.from_url(url, decode_responses=True) as raw:
        kinds = {key: cast(Any, raw).ttl(key) for key in raw.scan_iter(count=1000)}

    lasting = {key.removeprefix("taskorch-rq:{jobs}:") for key, ttl in kinds.items() if ttl < 0}
    assert not [key for key in lasting if key.startswith(("job:", "worker:", "results:", "execution:"))]


def test_a_duty_that_fails_ends_no_worker(start: Start) -> None:
    service = start()
    service.acts["sync"] = lambda: 1 / 0
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue(LAST, LONG_S)

    assert service.work() == [LAST]


def test_a_bell_that_was_stopped_before_lets_no_worker_wait(start: Start) -> None:
    service = start()
    service.bell.stop()
    service.jobs.enqueue("sync", LONG_S)

    assert service.work() == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_wait_for_a_job(start: Start, number: signal.Signals) -> None:
    service = start()
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: os.kill(os.getpid(), number))
    signal.setitimer(signal.ITIMER_REAL, 0.3, 0.3)  # again where it came before the wait: that must end all the same
    try:
        done = service.work()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

    assert done == []
    assert service.bell.stopped


def test_a_signal_during_a_job_lets_it_come_to_its_end_and_no_other_begin(start: Start) -> None:
    service = start()
    service.acts["sync"] = lambda: signal.raise_signal(signal.SIGTERM)
    service.jobs.enqueue("sync", LONG_S)
    service.jobs.enqueue("other", LONG_S)

    assert service.work() == ["sync"]
    assert service.bell.stopped


def _let_the_clock_of_redis_tick(url: str) -> None:
    with redis.Redis.from_url(url) as raw:
        before = cast(Any, raw).time()
        while cast(Any, raw).time()[1] // 1000 == before[1] // 1000:
            pass
