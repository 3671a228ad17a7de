"""The board: the first page of a team's queue, and of one with very many items."""

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from time import perf_counter
from urllib.parse import urlsplit

from taskorch.connections import connect
from taskorch.domain.item import Caller, Lease, NewItem
from taskorch.queue.queue import Queue

from benchmarks import queues
from benchmarks.figures import Comparison, Figure, Round
from benchmarks.gateway import Served, serving
from benchmarks.queues import BATCH, TEXT_BYTES, agent, cpu_s, rooted, settle
from benchmarks.report import report

SMALL = int(os.environ.get("BENCH_BOARD_SMALL", "2000"))
LARGE = int(os.environ.get("BENCH_BOARD_LARGE", "100000"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
PAGES = 20
AGENTS, PROJECTS = 30, 20
#: Of the agents, those that wait for an answer; items that failed, and that have no agent.
ASKING, FAILED, UNASSIGNED = 3, 3, 6
REPORTS = 3
FIGURES = {
    "page": Figure(title="a page, ms", digits=1),
    "gateway": Figure(title="processor time of the gateway, ms", digits=1),
    "redis": Figure(title="processor time of Redis, ms", digits=1),
    "size": Figure(title="size, kB", digits=0),
}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A board that runs, and the process of its Redis."""

    served: Served
    redis: int


def measure() -> Iterator[Comparison]:
    """Read the first pages of both queues in turns."""
    with rooted() as (root, url), ExitStack() as running:
        boards = {
            f"{size:,} items": _board(running, root, url, size)
            for size in (SMALL, LARGE)
        }
        _round(boards)  # what is compiled at the first time is compiled
        rounds = [_round(boards) for _ in range(ROUNDS)]
    remark = (
        f"{AGENTS} agents at work, {PROJECTS} projects, {ASKING} questions; "
        f"{ROUNDS} rounds of {PAGES} pages, one after the other, over one "
        "connection."
    )
    yield Comparison(
        name="board",
        rows="first page",
        figures=FIGURES,
        rounds=rounds,
        baseline=next(iter(boards)),
        remarks=(remark,),
    )


def fill(queue: Queue, size: int) -> None:
    """Fill a namespace with the work of a team."""
    projects = [
        queue.project(f"Project {number}", description="x" * TEXT_BYTES)
        for number in range(PROJECTS)
    ]
    for done in range(0, size - AGENTS, BATCH):
        queue.create_many(
            projects[done // BATCH % PROJECTS],
            [
                queues.new(agent((done + n) % AGENTS))
                for n in range(min(BATCH, size - AGENTS - done))
            ],
        )
    for number in range(AGENTS):
        _work(queue, projects[number % PROJECTS], number)
    for project in projects[:UNASSIGNED]:
        queue.create(project, NewItem(title="An item without an agent"))


def _work(queue: Queue, project: str, number: int) -> None:
    """Let an agent hold an item with reports; some have failed others or ask."""
    mine = queue.agent_queue(agent(number))
    if number < FAILED:
        failed = mine.get(_urgent(queue, project, number)).lease
        if failed:
            mine.fail(failed, "Staging is down: 503 on each try", retry=False)
    lease = mine.get(_urgent(queue, project, number)).lease
    if not lease:
        raise RuntimeError("the item was not claimed")
    for step in range(1, REPORTS + 1):
        mine.progress(lease, f"Step {step} of {REPORTS}", percent=step * 20)
    mine.discover(lease, "Expired sessions need an index")
    if number < ASKING:
        mine.blocker(
            lease, "Which month does the report cover?", needs="a month"
        )


def _urgent(queue: Queue, project: str, number: int) -> Lease:
    """Create an item for an agent, and return what it claims it with."""
    new = NewItem(title="Implement JWT logic", agent=agent(number))
    return Lease(item=queue.create(project, new))


def _board(running: ExitStack, root: Path, url: str, size: int) -> Measured:
    namespace = f"board-{size}"
    queue = Queue(connect(url), namespace, Caller(agent="planner"))
    with closing(queue.connection):
        fill(queue, size)
    settle(url, namespace)
    served = running.enter_context(serving(root, namespace=namespace))
    return Measured(served=served, redis=queues.pid(url))


def _round(boards: Mapping[str, Measured]) -> Round:
    return {name: _pages(board) for name, board in boards.items()}


def _pages(board: Measured) -> dict[str, float]:
    """Read some pages, and return what one takes."""
    before = cpu_s(board.served.pid), cpu_s(board.redis)
    times, size = [], 0
    address = urlsplit(board.served.url)
    with closing(HTTPConnection("127.0.0.1", address.port or 0)) as client:
        for _ in range(PAGES):
            began = perf_counter()
            size = _page(client, address.netloc, board.served.token)
            times.append(perf_counter() - began)
    after = cpu_s(board.served.pid), cpu_s(board.redis)
    return {
        "page": median(times) * 1000,
        "gateway": (after[0] - before[0]) / PAGES * 1000,
        "redis": (after[1] - before[1]) / PAGES * 1000,
        "size": size / 1000,
    }


def _page(client: HTTPConnection, host: str, token: str) -> int:
    """Read the first page in a session of a token, and return its size in bytes."""
    port = host.rpartition(":")[2]
    headers = {"Host": host, "Cookie": f"taskorch_session_{port}={token}"}
    client.request("GET", "/", headers=headers)
    response = client.getresponse()
    content = response.read()
    if response.status != HTTPStatus.OK or b'id="agents"' not in content:
        raise RuntimeError(f"the board answers {response.status}")
    return len(content)


if __name__ == "__main__":
    report(measure)
