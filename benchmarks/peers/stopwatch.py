"""Times a queue's program inside its process: enqueuing, processing, waking up.

    enqueue ITEMS BYTES                  items one after the other, on one connection
    process CONCURRENCY ITEMS SECONDS    work on ITEMS items, or on as many as SECONDS allow
    wake SAMPLES SECONDS                 from just before an item is enqueued to the first line of its function
    killed ITEMS SECONDS                 kill a worker (-9) at its third item, and start another one

Each prints a JSON object of what it measured; an empty one where the queue has no such
concurrency in one process. Beside the rate it tells how much processor time an item
took, here and in the server: on a busy machine that is what can be compared.
"""

import asyncio
import json
import os
import random
import selectors
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from statistics import quantiles
from threading import Event, Lock

# perf_counter is CLOCK_MONOTONIC, which the processes of a machine share
from time import perf_counter, process_time
from typing import IO

import redis

URL = os.environ.get("PEERS_URL", "")
#: Items before the measurement, while the worker is still starting.
WARM_UP = 5
PAUSE_S = (0.010, 0.030)
#: The item at which a worker hangs, until it is killed.
HANGS_AT = 3

Send = Callable[[str], Awaitable[object]]
Sender = Callable[[], AbstractAsyncContextManager[Send]]


def run(
    sender: Sender,
    work: Callable[[int], object],
    *,
    most: int = 10,
    waits: int = 1,
) -> None:
    """Do what the command line asks: `sender` opens the queue, `work` works at a concurrency and never returns.

    `most` is the concurrency that one process of the queue is able to, `waits` that of
    the worker which is woken: the queue's own default, up to 10.
    """
    verb, *numbers = sys.argv[1:]
    if verb == "enqueue":
        _tell(asyncio.run(_enqueue(sender, *map(int, numbers))))
    elif verb == "wake":
        _tell(_wake(sender, *map(int, numbers)))
    elif verb == "answer":
        work(waits)
    elif verb == "killed":
        _tell(_killed(sender, *map(int, numbers)))
    elif verb in ("hang", "finish"):
        work(1)
    elif int(numbers[0]) > most:
        _tell({})
    else:
        work(int(numbers[0]))


def handle(text: str) -> None:
    """Read the clock, as the function of an item without work."""
    verb = sys.argv[1]
    if verb == "process":
        _TALLY.add()
    elif verb in ("hang", "finish"):
        os.write(1, b".")
        if verb == "hang" and _TALLY.count() == HANGS_AT:
            Event().wait()
    else:
        os.write(1, f"{perf_counter() - float(text)}\n".encode())


class Stopwatch:
    """Measures from its creation: wall time, and processor time of this process and of the server."""

    def __init__(self) -> None:
        self._server = _server_cpu()
        self._here = process_time()
        self.started = perf_counter()

    def read(self, items: int) -> dict[str, float]:
        """Return items per second, and microseconds of processor time per item."""
        passed, here = (
            perf_counter() - self.started,
            process_time() - self._here,
        )
        cpu = here + _server_cpu() - self._server
        return {"rate": items / passed, "cpu": cpu / max(items, 1) * 1e6}


class Tally:
    """Counts the items of this process from the start of the first; exits after the last."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._watch: Stopwatch | None = None
        self._done = -1

    def count(self) -> int:
        """Count an item; return the number of items so far."""
        with self._lock:
            self._done += 1
            return self._done + 1

    def add(self) -> None:
        """Count an item that starts; those before it are done, except those that run beside it."""
        with self._lock:
            self._watch = self._watch or Stopwatch()
            self._done += 1
            items, seconds = map(int, sys.argv[3:])
            if (
                self._done >= items - 1
                or perf_counter() - self._watch.started > seconds
            ):
                _tell(self._watch.read(self._done))
                os._exit(0)


_TALLY = Tally()


async def _enqueue(sender: Sender, items: int, size: int) -> dict[str, float]:
    text = "x" * size
    async with sender() as send:
        await send(text)
        watch = Stopwatch()
        for _ in range(items - 1):
            await send(text)
        return watch.read(items - 1)


def _server_cpu() -> float:
    with redis.Redis.from_url(URL) as client:
        used = client.info("cpu")
    return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])


def _wake(sender: Sender, samples: int, seconds: int) -> dict[str, float]:
    """Time the wake-up of a worker that waits in another process."""
    with _worker("answer") as worker:
        try:
            taken = asyncio.run(
                _woken(sender, worker.stdout, samples, seconds)
            )
        finally:
            worker.kill()
    points = quantiles(taken, n=100, method="inclusive")
    return {
        "p50": points[49] * 1000,
        "p99": points[98] * 1000,
        "samples": len(taken),
    }


def _killed(sender: Sender, items: int, seconds: int) -> dict[str, float]:
    """Count the items that no worker completes: neither a killed one nor the next."""
    asyncio.run(_enqueue(sender, items, 1))
    with _worker("hang") as worker:
        _read(worker, HANGS_AT, seconds)
        os.killpg(worker.pid, signal.SIGKILL)
    left = items - (HANGS_AT - 1)
    with _worker("finish") as worker:
        done = _read(worker, left, seconds)
        os.killpg(worker.pid, signal.SIGKILL)
    return {"missing": left - done}


def _worker(verb: str) -> "subprocess.Popen[bytes]":
    """Start this program with another verb, in a process group of its own."""
    command = [
        sys.executable,
        *sys.orig_argv[1 : -len(sys.argv) + 1],
        verb,
    ]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, start_new_session=True
    )


def _read(worker: "subprocess.Popen[bytes]", items: int, seconds: int) -> int:
    """Return the number of items that a worker begins in some time, at most `items`."""
    assert worker.stdout  # noqa: S101  it has a pipe
    deadline, begun = perf_counter() + seconds, 0
    with selectors.DefaultSelector() as selector:
        selector.register(worker.stdout, selectors.EVENT_READ)
        while begun < items and selector.select(deadline - perf_counter()):
            read = os.read(worker.stdout.fileno(), items)
            if not read:
                break
            begun += read.count(b".")
    return min(begun, items)


async def _woken(
    sender: Sender, answers: IO[bytes] | None, samples: int, seconds: int
) -> list[float]:
    """Enqueue an item when the worker has reported the last one, after a pause."""
    taken: list[float] = []
    async with sender() as send:
        start = perf_counter()
        while len(taken) < WARM_UP + samples and (
            len(taken) < WARM_UP + 2 or perf_counter() - start < seconds
        ):
            await send(str(perf_counter()))
            taken.append(await _answer(answers))
            await asyncio.sleep(random.uniform(*PAUSE_S))  # noqa: S311  no secret
    return taken[WARM_UP:]


async def _answer(answers: IO[bytes] | None) -> float:
    """Read a line of the worker while the queue's background work goes on."""
    if answers is None:
        raise RuntimeError("the worker has no pipe")
    return float(await asyncio.to_thread(answers.readline))


def _tell(measured: dict[str, float]) -> None:
    os.write(1, f"{json.dumps(measured)}\n".encode())
