"""Delay of a wait after its event, alone and beside a thousand others, and their cost."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from statistics import quantiles
from threading import Thread
from time import monotonic, sleep
from typing import Any, cast

import redis
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue
from taskorch.queue.wait_results import Goal

from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import AGENT, server
from benchmarks.report import report

CROWD = int(os.environ.get("BENCH_WAITERS", "1000"))
PROCESSES = 5
TIMES = 200
ROUNDS = 3
QUIET_S = 10
LONG_S = 600
NAMESPACE = "waits"
FIGURES = {
    "p50": Figure(title="p50, ms", digits=2),
    "p99": Figure(title="p99, ms", digits=2),
    "commands": Figure(title="commands of the server in 10 s", digits=0),
    "last": Figure(title="until the last has returned, ms", digits=0),
}


def measure() -> Iterator[Comparison]:
    """Measure several rounds, each first alone and then beside the crowd."""
    with server() as url:
        rounds = [
            {**_latencies(url, ""), **_crowded(url)} for _ in range(ROUNDS)
        ]
    remark = (
        f"From before the call that ends a wait to the waiter's return, through the library; {TIMES} times a round, "
        f"{ROUNDS} rounds. The crowd are {CROWD:,} waiters in {PROCESSES} processes."
    )
    yield Comparison(
        name="waits",
        rows="what ends the wait",
        figures=FIGURES,
        rounds=rounds,
        remarks=(remark,),
    )


def _crowded(url: str) -> Round:
    """Return the figures beside waits for another item, their cost, and the time of one event for all."""
    queue = _queue(url)
    project = queue.project("A crowd")
    item = queue.create(
        project, NewItem(title="All wait for this", agent=AGENT)
    )
    with _crowd(url, item) as crowd, redis.Redis.from_url(url) as raw:
        commands = _commands_in(raw, QUIET_S)
        latencies = _latencies(url, f", beside {CROWD:,}")
        began = monotonic()
        _agent(url).complete(Lease(item=item))
        for process in crowd:
            process.wait(LONG_S)
        last_ms = (monotonic() - began) * 1000
    return {
        **latencies,
        f"nothing, to {CROWD:,} waiters": {"commands": commands},
        f"one delivery, for {CROWD:,} waiters": {"last": last_ms},
    }


@contextmanager
def _crowd(
    url: str, item: str
) -> Iterator[Sequence["subprocess.Popen[bytes]"]]:
    """Run the waiting processes until they return."""
    words = (sys.executable, "-m", "benchmarks.waits", "--crowd", url, item)
    crowd = [subprocess.Popen(words) for _ in range(PROCESSES)]
    try:
        with redis.Redis.from_url(url) as raw:
            _await_blocked(raw, CROWD)
        yield crowd
    finally:
        for process in crowd:
            process.kill()
            process.wait()


def be_a_crowd(url: str, item: str) -> None:
    """Wait for an item in many threads."""
    waiting = _queue(url).waits()
    words = {"timeout_s": LONG_S}
    threads = [
        Thread(
            target=waiting.until, args=(item, [Goal.COMPLETED]), kwargs=words
        )
        for _ in range(CROWD // PROCESSES)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _latencies(url: str, where: str) -> Round:
    queue, agent, waiting = _queue(url), _agent(url), _queue(url).waits()
    project = queue.project("Waits")

    def item() -> str:
        return queue.create(project, NewItem(title="An item", agent=AGENT))

    def answer() -> tuple[Callable[[], object], Callable[[], object]]:
        lease = agent.blocker(Lease(item=item()), "Which?").lease
        asking = _agent(url)
        return lambda: asking.wait_for_answer(
            lease, timeout_s=LONG_S
        ), lambda: queue.answer(lease.item, "This")

    def delivery() -> tuple[Callable[[], object], Callable[[], object]]:
        id_ = item()
        return (
            lambda: waiting.until(id_, [Goal.COMPLETED], timeout_s=LONG_S),
            lambda: agent.complete(Lease(item=id_)),
        )

    def event() -> tuple[Callable[[], object], Callable[[], object]]:
        lease = Lease(item=item())
        since = waiting.newest_cursor()
        return (
            lambda: waiting.until(
                project, [Goal.ANY], timeout_s=LONG_S, since=since
            ),
            lambda: agent.progress(lease, "On it"),
        )

    with redis.Redis.from_url(url) as raw:
        return {
            f"{name}{where}": _spread(
                [_taken(raw, *make()) for _ in range(TIMES)]
            )
            for name, make in {
                "an answer": answer,
                "a delivery": delivery,
                "any event of a project": event,
            }.items()
        }


def _taken(
    raw: redis.Redis, wait: Callable[[], object], act: Callable[[], object]
) -> float:
    """Return the seconds from just before the action to the end of the wait."""
    ended: list[float] = []
    blocked = _blocked(raw)

    def wait_and_look_at_the_clock() -> None:
        wait()
        ended.append(monotonic())

    waiter = Thread(target=wait_and_look_at_the_clock)
    waiter.start()
    _await_blocked(raw, blocked + 1)
    began = monotonic()
    act()
    waiter.join(LONG_S)
    return ended[0] - began


def _spread(taken: list[float]) -> dict[str, float]:
    points = quantiles(taken, n=100)
    return {"p50": points[49] * 1000, "p99": points[98] * 1000}


def _commands_in(raw: redis.Redis, seconds: float) -> float:
    """Return the number of commands that the server ran in that time, without this one."""
    before = _processed(raw)
    sleep(seconds)
    return _processed(raw) - before - 1


def _processed(raw: redis.Redis) -> int:
    return int(cast("Any", raw).info("stats")["total_commands_processed"])


def _blocked(raw: redis.Redis) -> int:
    return int(cast("Any", raw).info("clients")["blocked_clients"])


def _await_blocked(raw: redis.Redis, number: int) -> None:
    deadline = monotonic() + LONG_S
    while _blocked(raw) < number:
        if monotonic() > deadline:
            raise RuntimeError(f"{number} waiters never came to block")
        sleep(0.001)


def _queue(url: str) -> Queue:
    return Queue(connect(url), NAMESPACE, Caller(agent="planner"))


def _agent(url: str) -> AgentQueue:
    return AgentQueue(connect(url), NAMESPACE, Caller(agent=AGENT))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--crowd"]:
        be_a_crowd(*sys.argv[2:])
    else:
        report(measure)
