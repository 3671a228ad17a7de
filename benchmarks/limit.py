"""The limit of Redis: the same two scripts run by redis-benchmark, a bare loop and the library."""

import csv
import os
import shutil
import subprocess
from collections.abc import Iterator
from time import perf_counter
from urllib.parse import unquote, urlsplit

import redis
from taskorch import Task, Worker
from taskorch.connections import connect
from taskorch.domain.item import Caller, Delivery
from taskorch.library import queue as library
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue
from taskorch.queue.scripts import Scripts, library_text, load, random_digits
from taskorch.version import __version__

from benchmarks import loop
from benchmarks.figures import Comparison, Figure, Round
from benchmarks.queues import AGENT, BATCH, TEXT_BYTES, fill, server, settle
from benchmarks.report import report

CALLS = int(os.environ.get("BENCH_CALLS", "2000"))
PINGS = 20_000
ROUNDS = 3
CLIENTS = (1, 50)
#: redis-benchmark picks items at random: from ten times the number, it picks one in
#: twenty twice.
SPARE = 10
#: It claims for random agents: with this number of items each, nearly all find one and
#: hold few.
EACH = 4
NAMESPACE = "limit"
TOOL = shutil.which("redis-benchmark")
BY_TOOL, BY_LOOP, BY_LIBRARY = "redis-benchmark", "a bare loop", "the library"
PAIR, NEXT = "claim + complete", "complete, which claims the next"
PREFETCH = 10
BY_WORKER = "a Worker"
BY_PREFETCH = f"{BY_WORKER}, prefetch={PREFETCH}"
BASELINE = f"{PAIR}, {BY_TOOL if TOOL else BY_LOOP}"
FIGURES = {
    str(n): Figure(
        title=f"a second, {n} client{'s'[: n > 1]}", more_is_better=True
    )
    for n in CLIENTS
}
#: The placeholder that redis-benchmark replaces by twelve digits.
ANY = "__rand_int__"
#: The id of every claim that redis-benchmark completes, so that all tokens are equal.
CLAIM = "0" * 15 + "1"
WHO = ("here", "1", "", __version__)


def measure() -> Iterator[Comparison]:
    """Measure with one client and with fifty, in several rounds with separate items."""
    with server() as url:
        rounds = [_round(url, number) for number in range(ROUNDS)]
    remarks = [
        f"{CALLS:,} calls each, {PINGS:,} PINGs, on the bundled server's Unix socket, {ROUNDS} rounds."
    ]
    if TOOL:
        remarks.append(
            "A pair by redis-benchmark is the sum of the times of a claim and of a complete."
        )
    else:
        remarks.append(
            "There is no redis-benchmark here: a loop over a socket and hiredis stands for it."
        )
    yield Comparison(
        name="limit",
        rows="call",
        figures=FIGURES,
        rounds=rounds,
        baseline=BASELINE,
        remarks=remarks,
    )


def _round(url: str, number: int) -> Round:
    rates: dict[str, dict[str, float]] = {}
    for clients in CLIENTS:
        measured = {
            **(_by_tool(url, number, clients) if TOOL else {}),
            **_by_loop(url, clients),
        }
        if clients == 1:
            measured |= {
                f"{PAIR}, {BY_LIBRARY}": _by_library(url),
                f"{NEXT}, {BY_LIBRARY}": _next_by_library(url),
                f"{NEXT}, {BY_WORKER}": _by_worker(url, prefetch=1),
                f"{NEXT}, {BY_PREFETCH}": _by_worker(url, prefetch=PREFETCH),
            }
        for row, rate in measured.items():
            rates.setdefault(row, {})[str(clients)] = rate
    return rates


def _by_tool(url: str, number: int, clients: int) -> dict[str, float]:
    """Return the rates of redis-benchmark; it does not know what it claimed, so it completes other claimed items."""
    name = f"agent{number}x{clients}"
    token = _prepared(url, name)
    claims = _benchmark(
        url,
        clients,
        CALLS,
        *_words("claim", f"{name}-{ANY}", "", "1", "1"),
        span=CALLS,
    )
    item = f"item_{name}x{ANY}"  # letters and digits alone, as in every id
    completes = _benchmark(
        url,
        clients,
        CALLS,
        *_words(
            "complete",
            name,
            "",
            "",
            "",
            "1",
            item,
            token,
            "All of it is done",
            "{}",
            "",
            "",
        ),
        span=CALLS * SPARE,
    )
    return {
        f"PING, {BY_TOOL}": _benchmark(url, clients, PINGS, "PING"),
        f"claim, {BY_TOOL}": claims,
        f"complete, {BY_TOOL}": completes,
        f"{PAIR}, {BY_TOOL}": 1 / (1 / claims + 1 / completes),
    }


def _words(verb: str, name: str, *own: str) -> tuple[str, ...]:
    return (
        "FCALL",
        load(verb).function,
        "1",
        keys.meta(NAMESPACE),
        f"0000{ANY}",
        name,
        *WHO,
        *own,
    )


def _benchmark(
    url: str, clients: int, calls: int, *words: str, span: int = 1
) -> float:
    """Return the calls per second of redis-benchmark; `span` is the range of its random numbers."""
    options = [
        "-s",
        unquote(urlsplit(url).path),
        "-c",
        str(clients),
        "-n",
        str(calls),
        "-r",
        str(span),
        "--csv",
    ]
    done = subprocess.run(
        [str(TOOL), *options, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    *_, last = csv.reader(done.stdout.strip().splitlines())
    if "Error" in done.stdout + done.stderr:
        raise RuntimeError(done.stdout + done.stderr)
    return float(last[1])


def _prepared(url: str, name: str) -> str:
    """Create items that the agent `name` holds, and items for the agents that will claim; return the token."""
    scripts = Scripts(connect(url), NAMESPACE, Caller(agent="planner"))
    project = Queue(scripts.connection, NAMESPACE, scripts.caller).project(
        "The limit"
    )
    wanted = [(f"item_{name}x{n:012}", name) for n in range(CALLS * SPARE)]
    wanted += [
        (random_digits(), f"{name}-{n % CALLS:012}")
        for n in range(CALLS * EACH)
    ]
    for done in range(0, len(wanted), BATCH):
        items = [_new(*words) for words in wanted[done : done + BATCH]]
        scripts.run_script(
            "create",
            project,
            "",
            "",
            "",
            "",
            "",
            *(word for words in items for word in words),
        )
    claim = [
        word.replace(f"0000{ANY}", CLAIM)
        for word in _words("claim", name, "", "1", "1")
    ]
    with (
        redis.Redis.from_url(url) as client,
        client.pipeline(transaction=False) as pipeline,
    ):
        client.function_load(library_text(), replace=True)
        for done in range(0, CALLS * SPARE, BATCH):
            for _ in range(min(BATCH, CALLS * SPARE - done)):
                pipeline.execute_command(*claim)
                pipeline.delete(f"{keys.tag(NAMESPACE)}req:{CLAIM}")
            replies = pipeline.execute()
    settle(url, NAMESPACE)
    return str(replies[0][0][0][1].decode())


def _new(digits: str, name: str) -> tuple[str | int, ...]:
    """Return an item as the script takes it."""
    fields = (
        "title",
        "An item",
        "description",
        "x" * TEXT_BYTES,
        "lease_ms",
        14_400_000,
        "max_attempts",
        3,
    )
    return (digits, "", name, 2, 0, 0, "", len(fields), *fields)


def _by_loop(url: str, clients: int) -> dict[str, float]:
    """Return the rates of a bare loop, which works on what it claimed."""
    rates = {}
    for row, verbs, calls in (
        ("PING", ("ping",), PINGS),
        (PAIR, ("claim", "complete"), CALLS * 2),
        (NEXT, (loop.NEXT,), CALLS),
    ):
        _more(url)
        callers = [
            loop.Caller(unquote(urlsplit(url).path), NAMESPACE, AGENT, verbs)
            for _ in range(clients)
        ]
        seen = loop.run(callers, turns=calls)
        if seen["errors"]:
            raise RuntimeError(seen["first"])
        rates[f"{row}, {BY_LOOP}"] = (
            seen["steps"] / seen["seconds"] / len(verbs)
        )
        for caller in callers:
            caller.close()
    return rates


def _by_library(url: str) -> float:
    """Return the pairs per second of the library, on one connection."""
    _more(url)
    queue = AgentQueue(connect(url), NAMESPACE, Caller(agent=AGENT))
    start = perf_counter()
    for _ in range(CALLS):
        claim = queue.claim()
        if claim is None or claim.lease is None:
            raise RuntimeError("the queue ran empty")
        queue.complete(claim.lease, "All of it is done")
    return CALLS / (perf_counter() - start)


def _next_by_library(url: str) -> float:
    """Return the same where each completion claims the next item."""
    _more(url)
    queue = AgentQueue(connect(url), NAMESPACE, Caller(agent=AGENT))
    start = perf_counter()
    claims = queue.claim_many(1)
    for _ in range(CALLS):
        (claim,) = claims
        if claim.lease is None:
            raise RuntimeError("the item has no lease")
        _, claims = queue.complete_and_claim(
            claim.lease, Delivery(summary="All of it is done"), count=1
        )
    return CALLS / (perf_counter() - start)


def _by_worker(url: str, *, prefetch: int) -> float:
    """Return the items per second of a `Worker`, from its first item to the one after the last."""
    _more(url)
    left, times = iter(range(CALLS, -1, -1)), []

    def handle(_: Task) -> str:
        number = next(left, 0)
        if number in {CALLS, 0}:
            times.append(perf_counter())
        if number == 0:
            worker.stop()
        return "All of it is done"

    with library.Queue.open(url, NAMESPACE) as queue:
        worker = Worker(AGENT, handle, queue=queue, prefetch=prefetch)
        worker.run()
    return CALLS / (times[1] - times[0])


def _more(url: str) -> None:
    """Queue the items of the next measurement."""
    planner = Queue(connect(url), NAMESPACE, Caller(agent="planner"))
    fill(planner, planner.project("The limit"), CALLS + BATCH)
    settle(url, NAMESPACE)


if __name__ == "__main__":
    report(measure)
