"""A moment of the team's work, the same each time: for pictures of the board."""

from collections.abc import Iterator, Mapping

from taskorch import Caller, ModelUsage, connect
from taskorch.domain.item import Lease
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.queue import Queue

from demo.team.projects import POOLS, PROJECTS, WORKS, Work

#: What each report has used, and what the team may use in a day.
USED = ModelUsage(
    tokens_in=96_000,
    tokens_out=7_200,
    cost_micros=610_000,
    model="large-model",
)
BUDGET_MICROS = 50_000_000
#: The machine on which all agents work, as the board names it.
HOST = "build-1"
#: Title of an item -> the number of reports about it, and what its agent did then.
MOMENT: Mapping[str, tuple[int, str]] = {
    "Measure the slowest queries": (2, "delivers"),
    "Write the text": (2, "delivers"),
    "Collect the figures": (2, "delivers"),
    "Index the archive": (1, "fails"),
    "Review how addresses are stored": (1, "delivers"),
    "Design the database schema": (2, "discovers"),
    "Issue access tokens": (1, "asks"),
    "Draw the charts": (1, ""),
    "Add a cache for results": (2, ""),
    "Write the summary": (1, "discovers"),
}


def stage(url: str) -> None:
    """Plan all projects in the queue at an address, and let the agents work on them."""
    connection = connect(url)
    caller = Caller(agent="planner", host=HOST, pid=1)
    planner = Queue(connection, "default", caller)
    planner.set_budget("namespace", period="day", limit_micros=BUDGET_MICROS)
    for agent_name, pools in POOLS.items():
        planner.agent_queue(agent_name, pools=pools).check()
    ids = dict(_planned(planner))
    for title, (reports, then) in MOMENT.items():
        work = WORKS[title]
        agent = planner.agent_queue(work.agent, pools=POOLS[work.agent])
        lease = agent.get(Lease(item=ids[title])).lease
        if lease is None:
            raise RuntimeError(f"{title} cannot be claimed yet.")
        _work(agent, lease, work, reports)
        _end(agent, lease, work, then)
    connection.close()


def _planned(planner: Queue) -> Iterator[tuple[str, str]]:
    """Create the projects; yield the title and the id of each item."""
    for project in PROJECTS:
        created = planner.apply(project.plan()).items
        for work, item in zip(project.works, created, strict=True):
            yield work.title, item.id


def _work(agent: AgentQueue, lease: Lease, work: Work, reports: int) -> None:
    """Report on an item."""
    for number, report in enumerate(work.reports[:reports]):
        percent = 100 * (number + 1) // (len(work.reports) + 1)
        agent.progress(lease, report, percent=percent, used=USED)


def _end(agent: AgentQueue, lease: Lease, work: Work, then: str) -> None:
    """Do the last step of the moment."""
    match then:
        case "delivers":
            agent.complete(lease, work.summary, deliverables=work.deliverables)
        case "discovers":
            agent.discover(lease, work.finds)
        case "asks":
            agent.blocker(lease, work.asks, needs=work.needs)
        case "fails":
            agent.fail(lease, work.fails, retry=False)
