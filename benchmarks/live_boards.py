"""Open boards: what they cost the gateway and Redis, and when an event is on the screen."""

import os
import re
import selectors
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from threading import Event, Thread
from time import monotonic, perf_counter, sleep
from typing import Any, cast
from urllib.parse import urlsplit

import redis
from playwright.sync_api import sync_playwright
from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.queue import Queue

from benchmarks import board, queues
from benchmarks.figures import Comparison, Figure, Round
from benchmarks.gateway import Served, serving
from benchmarks.queues import cpu_s, rooted, settle
from benchmarks.report import report

BOARDS = int(os.environ.get("BENCH_BOARDS", "50"))
EVENTS_A_SECOND = 100
SECONDS = float(os.environ.get("BENCH_BOARD_SECONDS", "20"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
#: One event of this number is looked for on the screen.
PROBES = 20
START_S = 5
PROBE = re.compile(rb"Probe (\d+)")
CHUNK_BYTES = 1 << 20
FIGURES = {
    "core": Figure(title="the gateway, % of a core", digits=1, compared=False),
    "redis": Figure(title="Redis, % of a core", digits=1, compared=False),
    "blocked": Figure(title="blocked readers of Redis", compared=False),
    "p50": Figure(title="event on the screen, p50, ms", compared=False),
    "p95": Figure(title="p95, ms", compared=False),
    "sent": Figure(title="sent to a board, kB/s", digits=1, compared=False),
}


CHROMIUM = Path("/usr/bin/chromium")
EVENTS_ON_SCREEN = 50
SCREEN = {
    "tasks": Figure(title="tasks of 50 ms and more", compared=False),
    "longest": Figure(title="the longest, ms", compared=False),
}
#: Notes the tasks that block the window.
WATCH_TASKS = """() => {
    window.blocked = [];
    new PerformanceObserver((seen) => {
        for (const task of seen.getEntries()) window.blocked.push(task.duration);
    }).observe({type: "longtask"});
}"""


@dataclass(frozen=True, kw_only=True)
class Work:
    """A queue whose agents report, and the process of its Redis."""

    url: str
    queue: Queue
    leases: Sequence[Lease]


@dataclass
class Watch:
    """Open boards, read by one thread; it notes when each probe arrives."""

    served: Served
    number: int
    received: int = 0
    #: Probe -> when the last board has got it.
    seen: dict[int, float] = field(default_factory=dict)
    _over: Event = field(default_factory=Event)

    def run(self) -> None:
        """Open the boards and read them until it is over."""
        with ExitStack() as opened, selectors.DefaultSelector() as waiting:
            for _ in range(self.number):
                client = opened.enter_context(closing(_opened(self.served)))
                waiting.register(client, selectors.EVENT_READ, client)
            while not self._over.is_set():
                for key, _ in waiting.select(0.2):
                    self._read(key.data)

    def _read(self, client: socket.socket) -> None:
        content = client.recv(CHUNK_BYTES)
        self.received += len(content)
        for found in PROBE.finditer(content):
            self.seen[int(found[1])] = perf_counter()

    def end(self) -> None:
        """Close the boards."""
        self._over.set()


def measure() -> Iterator[Comparison]:
    """Measure no board, one and many, on a busy and on an idle queue."""
    with rooted() as (root, url):
        namespace = "live-boards"
        queue = Queue(connect(url), namespace, Caller(agent="planner"))
        with closing(queue.connection):
            board.fill(queue, board.SMALL)
            work = Work(url=url, queue=queue, leases=_leases(queue))
            settle(url, namespace)
            rounds = [_round(root, work) for _ in range(ROUNDS)]
            screens = [
                {f"{EVENTS_ON_SCREEN} events/s": _screen(root, work)}
                for _ in range(ROUNDS if CHROMIUM.exists() else 0)
            ]
    remark = (
        f"{board.SMALL:,} items, {board.AGENTS} agents, {board.PROJECTS} projects; "
        f"{ROUNDS} rounds of {SECONDS:g} s for each row. On the screen: in the last "
        "of the boards that show it."
    )
    if CHROMIUM.exists():
        yield Comparison(
            name="board_frames",
            rows="a window",
            figures=SCREEN,
            rounds=screens,
            remarks=("Browsers report tasks of 50 ms and more only.",),
        )
    yield Comparison(
        name="live_boards",
        rows="open boards",
        figures=FIGURES,
        rounds=rounds,
        remarks=(remark,),
    )


def _screen(root: Path, work: Work) -> dict[str, float]:
    """Return how long the script blocks a real window while events come."""
    with (
        serving(root, namespace=work.queue.namespace) as served,
        sync_playwright() as playwright,
        closing(
            playwright.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox"]
            )
        ) as browser,
    ):
        page = browser.new_page()
        port = served.url.rpartition(":")[2]
        session = {
            "name": f"taskorch_session_{port}",
            "value": served.token,
            "url": served.url,
        }
        page.context.add_cookies([cast("Any", session)])
        page.goto(served.url)
        page.wait_for_selector("#status >> text=live")
        page.evaluate(WATCH_TASKS)
        _report(work, EVENTS_ON_SCREEN)
        blocked = [float(each) for each in page.evaluate("window.blocked")]
    return {"tasks": len(blocked), "longest": max(blocked, default=0)}


def _leases(queue: Queue) -> list[Lease]:
    """Return the leases of agents that report during the measurement."""
    project = queue.project("Busy work")
    leases = []
    for number in range(board.AGENTS):
        name = queues.agent(number)
        new = NewItem(title="Report all the time", agent=name)
        item = Lease(item=queue.create(project, new))
        lease = queue.agent_queue(name).get(item).lease
        if lease is None:
            raise RuntimeError("the item was not claimed")
        leases.append(lease)
    return leases


def _round(root: Path, work: Work) -> Round:
    rows: dict[str, dict[str, float]] = {}
    for boards in (0, 1, BOARDS):
        for rate in (0, EVENTS_A_SECOND):
            name = f"{boards}, {rate} events/s"
            with serving(root, namespace=work.queue.namespace) as served:
                rows[name] = _watched(served, work, boards, rate)
    return rows


def _watched(
    served: Served, work: Work, boards: int, rate: int
) -> dict[str, float]:
    """Return what some boards cost while events happen."""
    watch = Watch(served, boards)
    reading = Thread(target=watch.run)
    reading.start()
    try:
        sleep(START_S)
        pids = (served.pid, queues.pid(work.url))
        received = watch.received
        before = [cpu_s(pid) for pid in pids]
        began = monotonic()
        sent = _report(work, rate)
        took = monotonic() - began
        spent = [cpu_s(pid) - b for pid, b in zip(pids, before, strict=True)]
        received = watch.received - received
        with redis.Redis.from_url(work.url) as client:
            blocked = int(client.info("clients")["blocked_clients"])
        sleep(1)
    finally:
        watch.end()
        reading.join()
    figures = {
        "core": 100 * spent[0] / took,
        "redis": 100 * spent[1] / took,
        "blocked": float(blocked),
    }
    late = [
        (watch.seen[probe] - at) * 1000
        for probe, at in sent.items()
        if probe in watch.seen
    ]
    if boards:
        figures["sent"] = received / boards / took / 1000
    if len(late) > 1:
        figures["p50"] = median(late)
        figures["p95"] = quantiles(late, n=20)[-1]
    return figures


def _report(work: Work, rate: int) -> dict[int, float]:
    """Report at a rate for some seconds, and return when each probe was reported.

    The first agent reports nothing but probes, so that none of them is replaced at once.
    """
    sent: dict[int, float] = {}
    began = monotonic()
    number = 0
    while (passed := monotonic() - began) < SECONDS:
        if number >= passed * rate:
            sleep(min(0.01, SECONDS - passed))
            continue
        number += 1
        of = 0 if number % PROBES == 0 else 1 + number % (len(work.leases) - 1)
        text = f"Probe {number}." if of == 0 else f"Step {number} is done"
        if of == 0:
            sent[number] = perf_counter()
        mine = work.queue.agent_queue(queues.agent(of))
        mine.progress(work.leases[of], text)
    return sent


def _opened(served: Served) -> socket.socket:
    """Open the stream of a board that shows all fragments."""
    address = urlsplit(served.url)
    port = address.port or 0
    client = socket.create_connection(("127.0.0.1", port))
    client.sendall(
        f"GET /live?fragments=now HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Cookie: taskorch_session_{port}={served.token}\r\n\r\n".encode()
    )
    return client


if __name__ == "__main__":
    report(measure)
