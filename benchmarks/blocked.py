"""The time for which each call keeps Redis from the others, in a large namespace.

Redis runs one script at a time: what one call takes, all others wait.
"""

import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle, islice
from statistics import quantiles
from time import monotonic

from taskorch.domain import errors, limits
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.amounts import NAMESPACE
from taskorch.domain.audit_line import AuditFilter, Refusal
from taskorch.domain.item import (
    Caller,
    ItemEdit,
    ItemFilter,
    Lease,
    NewItem,
    Order,
    State,
)
from taskorch.domain.notification import (
    AttemptOutcome,
    AttemptResult,
    NotificationBatch,
    NotificationKind,
)
from taskorch.domain.role import Role
from taskorch.domain.schedule import MOST_SCHEDULES, PLAN_BYTES, NewSchedule
from taskorch.domain.short_id import ShortId
from taskorch.domain.usage import ModelUsage
from taskorch.queue.backup import SCHEMA
from taskorch.queue.overview import OWNERS_PAGE
from taskorch.queue.port import Connection
from taskorch.queue.queue import Queue
from taskorch.queue.scripts import Scripts
from taskorch_orchestrator.doctor.audit import OWNERS

from benchmarks.busy import BusyCall, WatchedConnection
from benchmarks.crowd import (
    AGENTS,
    BUSY,
    HUNDREDS,
    ITEMS,
    Crowd,
    claimed,
    crowded,
    heavy,
)
from benchmarks.figures import Comparison, Figure
from benchmarks.queues import AGENT, BATCH, agent, new, server
from benchmarks.report import report

CALLS = int(os.environ.get("BENCH_CALLS", "1000"))
#: A row of a slow call has fewer calls, and so has one whose call writes very much.
LONGEST_S = 30
MANY = 10**6
HUNDRED, THIRTY = 100, 30
#: Heavy items whose bytes one call may create, and assign with more context.
CREATED, ASSIGNED = 20, 10
STEPS = limits.BATCH_STEPS
#: An agent whose work is reviewed.
REVIEWED = "reviewed"
LONG_MS = 60_000
#: What a report says was used.
SPENT = ModelUsage(
    tokens_in=1000, tokens_out=100, cost_micros=10_000, model="m"
)
#: Scripts without a row: `upgrade` needs a namespace of the schema before.
NOT_MEASURED = ("upgrade",)
LINES = 40
#: What a call took before its work was bounded, in ms.
BEFORE = {
    "close_project: very many open items": 8_879,
    "complete: very many items wait": 7_302,
    "create: as many items as allowed": 257,
    "stuck": 284,
    "agents": 241,
    "purge": 278,
    "reap: nothing due": 55,
    "progress_of_project": 71,
    "list: a project": 35,
    "discoveries: a project": 52,
    "records: heavy items": 590,
}
FIGURES = {
    "before": Figure(title="before, ms", compared=False),
    "calls": Figure(title="calls", compared=False),
    "p50": Figure(title="p50, ms", digits=2),
    "p99": Figure(title="p99, ms", digits=2),
    "max": Figure(title="max, ms", digits=2),
    "loops": Figure(title="p99, a fixed loop = 1", compared=False, digits=2),
    "cpu50": Figure(title="processor time, p50, ms", digits=2),
    "cpu99": Figure(title="processor time, p99, ms", digits=2),
}


@dataclass(frozen=True, kw_only=True)
class Step:
    """An action whose calls of one script are a row of the table."""

    script: str
    act: Callable[[], object]
    #: What makes the call large, or "".
    size: str = ""
    #: Maximum number of times that it acts.
    times: int = MANY

    @property
    def row(self) -> str:
        """The name of the row."""
        return f"{self.script}: {self.size}" if self.size else self.script


def measure() -> Iterator[Comparison]:
    """Measure each script in turn, on one server with one large namespace."""
    with server() as url:
        crowd = crowded(url, "crowd")
        connection = WatchedConnection(url)
        planner = Queue(connection, "crowd", Caller(agent="planner"))
        rows: dict[str, dict[str, float]] = {}
        loops_ms: list[float] = []
        for step in _steps(planner, crowd, connection.connection):
            calls = list(_calls(connection, step))
            loops_ms += [call.loop_ms for call in calls]
            rows[step.row] = _figures(step, calls)
            sys.stderr.write(f"  {step.row}: {_shown(rows[step.row])}\n")
        connection.close()
    yield Comparison(
        name="blocked",
        rows="script",
        figures=FIGURES,
        rounds=[rows],
        remarks=(
            f"{ITEMS:,} items, as many that wait for one, {AGENTS:,} agents.",
            f"{CALLS:,} calls each or more, fewer of those that take long.",
            "The fixed loop of Lua takes about 1 ms where `import click` takes 41 ms. It runs between the calls.",
            "Each call is compared with the loops just before it.",
            f"In this run it took {min(loops_ms):.2f} to {max(loops_ms):.2f} ms.",
            "Redis does not rewrite its append-only file during the run.",
            "The time of a call in the server includes waiting for a core on a busy machine.",
            "The processor time also includes reading the call, and writing the reply and the append-only file.",
        ),
    )


def _calls(connection: WatchedConnection, step: Step) -> Iterator[BusyCall]:
    """Yield the calls of the step's script until there are enough."""
    number, end = 0, monotonic() + LONGEST_S
    for _ in range(step.times):
        connection.calls.clear()
        step.act()
        for call in connection.calls:
            if call.script == step.script:
                number += 1
                yield call
        if not number or number >= CALLS or monotonic() > end:
            return


def _figures(step: Step, calls: Sequence[BusyCall]) -> dict[str, float]:
    busy = [call.busy_ms for call in calls]
    cpu = [call.cpu_ms for call in calls]
    figures = {
        "calls": len(calls),
        "p50": _quantile(busy, 50),
        "p99": _quantile(busy, 99),
        "max": max(busy, default=0),
        "loops": _quantile([call.loops for call in calls], 99),
    }
    if any(cpu):
        figures |= {"cpu50": _quantile(cpu, 50), "cpu99": _quantile(cpu, 99)}
    if step.row in BEFORE:
        figures["before"] = BEFORE[step.row]
    return figures


def _shown(figures: Mapping[str, float]) -> str:
    """Return the figures of a row in one line, for those who wait for the table."""
    return ", ".join(
        f"{FIGURES[name].title} {value:.2f}" for name, value in figures.items()
    )


def _quantile(values: Sequence[float], percent: int) -> float:
    if len(values) <= 1:
        return max(values, default=0)
    return quantiles(values, n=100, method="inclusive")[percent - 1]


def _steps(
    planner: Queue, crowd: Crowd, unwatched: Connection
) -> Iterator[Step]:
    """Yield the steps; those that remove what others need are the last."""
    yield from _views(planner, crowd)
    yield from _heavy_views(planner, crowd)
    yield from _agent_views(planner, crowd)
    yield from _reports(planner, crowd)
    yield from _claims(planner)
    yield from _changes(planner, crowd)
    yield from _maintenance(planner)
    yield from _tokens(planner)
    yield from _schedules(planner)
    yield from _copies(planner, unwatched)
    yield from _large_steps(planner, crowd)


def _views(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    views = planner.views
    none = ItemFilter(texts=("no item has this",))
    ordered = ItemFilter(order=Order.CHANGED)
    yield _step("agents", lambda: views.agents_and_pools(limit=5000))
    yield _step("projects", lambda: views.projects(limit=5000))
    yield _step("projects", views.open_projects, "open")
    yield _step(
        "projects", lambda: views.projects_page("completed"), "completed"
    )
    yield _step("finished", lambda: views.finished(older_than_ms=1))
    yield _step("progress_of_project", lambda: views.progress(crowd.large))
    yield _step(
        "list",
        lambda: views.list(project=crowd.large, limit=1000),
        "a project",
    )
    yield _step("list", lambda: views.list(state=State.FAILED), "a rare state")
    yield _step("list", lambda: views.search(none), "a text")
    yield _step("list", lambda: views.search(ordered), "an order")
    yield _step("indexed", lambda: views.unassigned(limit=5000))
    yield _step("inbox", lambda: views.inbox(limit=5000))
    yield _step("reviews", lambda: views.reviews(limit=5000))
    yield _step(
        "stuck", lambda: views.stuck(unstarted_ms=1, silent_ms=1, limit=5000)
    )
    yield _step("stuck", views.stuck, "nothing is")
    yield _step("find", lambda: _refused(lambda: views.find(_short("0f0f0f"))))
    yield _step(
        "standing",
        lambda: planner.waits().standing(crowd.waiting),
        "a project waits",
    )
    yield _step(
        "standing",
        lambda: planner.waits().standing(crowd.wide[0]),
        "1,000 dependencies",
    )
    yield _step("events", lambda: views.events(limit=1000))
    yield _step("environment", views.environment)
    yield _step("metrics", views.counters, "the counters")
    yield _step("metrics", lambda: views.hours(192), "8 days")
    yield _step("metrics", views.item_counts, "projects")
    yield _step("metrics", views.agent_figures, "agents")
    yield _step(
        "overview", lambda: views.needs(limit=100), "what needs a person"
    )
    yield _step("overview", views.workload, "agents")
    yield _step("overview", lambda: views.news(limit=40), "events")
    owners = [f"agent:agent-{number}" for number in range(OWNERS_PAGE)]
    yield _step("overview", lambda: views.usage(owners), "usage")
    yield _step("metrics", views.agent_usage, "usage of agents")
    yield _step("budgets", views.budgets)
    yield _step("costs", lambda: views.costs(by="project"), "projects")
    yield _step("costs", lambda: views.costs(by="agent"), "agents")
    yield _step("mirrors", views.mirrors)
    yield _step(
        "discoveries", lambda: views.discoveries(crowd.heavy), "a project"
    )
    yield _step(
        "discoveries", lambda: views.discoveries(since="0-0"), "all projects"
    )
    yield _step("count_new_discoveries", views.count_new_discoveries)
    yield _step(
        "show", lambda: views.show(crowd.wide[0]), "1,000 dependencies"
    )
    yield _step("timeline", lambda: views.timeline(crowd.long.item))


def _heavy_views(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    """Yield the views of items with long texts."""
    views = planner.views
    items = [item.id for item in views.items_of(crowd.heavy)]
    ordered = ItemFilter(project=crowd.heavy, order=Order.CREATED)
    text = ItemFilter(project=crowd.heavy, texts=("no item has this",))
    yield _step("list", lambda: views.list(project=crowd.heavy), "heavy items")
    yield _step("list", lambda: views.search(text), "a text of heavy items")
    yield _step(
        "list", lambda: views.search(ordered), "an order of heavy items"
    )
    yield _step(
        "progress_of_project",
        lambda: views.progress(crowd.heavy),
        "heavy items",
    )
    yield _step(
        "records", lambda: views.records(items[:HUNDRED]), "heavy items"
    )
    yield _step(
        "records", lambda: views.records([crowd.long.item]), "a long history"
    )


def _agent_views(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    busy, historian = (
        planner.agent_queue(BUSY),
        planner.agent_queue("historian"),
    )
    sharing = planner.agent_queue("sharing")
    item = crowd.long.item
    yield _step("check", lambda: busy.check(limit=100))
    yield _step("prime", busy.prime)
    yield _step(
        "prime",
        lambda: historian.prime([crowd.long], limit=100),
        "a long history",
    )
    yield _step("get", lambda: historian.get(crowd.long), "a long history")
    yield _step("notes", lambda: historian.notes(item))
    yield _step("discoveries", historian.discoveries, "own")
    yield _step(
        "discoveries",
        lambda: sharing.discoveries(since="0-0"),
        "own, many projects",
    )
    yield _step("new_discoveries", sharing.new_discoveries)
    yield _step(
        "wait", lambda: historian.wait_for_answer(crowd.long, timeout_s=0)
    )


def _reports(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    """Yield the steps of the holder of one item, and the messages to it."""
    queue, lease, item = (
        planner.agent_queue("historian"),
        crowd.long,
        crowd.long.item,
    )
    yield _step("progress", lambda: queue.progress(lease, "Half", percent=50))
    yield _step("renew", lambda: queue.renew(lease))
    yield _step("note", lambda: queue.note(item, "A note"))
    yield _step("discover", lambda: queue.discover(lease, "A finding"))
    yield _step("stray", lambda: queue.stray(item, "A report"))
    yield _step("comment", lambda: planner.comment(item, "A comment"))
    yield _step("agent_comment", lambda: queue.comment(lease, "A comment"))
    scripts = Scripts(planner.connection, "crowd", planner.caller)
    yield _step("expect", lambda: scripts.run_script("expect", item))

    def ask(then: Callable[[], object]) -> Callable[[], object]:
        def asked() -> None:
            queue.blocker(lease, "Which colour?")
            then()

        return asked

    def withdraw() -> object:
        return queue.withdraw(lease)

    yield _step("blocker", ask(withdraw))
    yield _step("withdraw", ask(withdraw))
    yield _step("answer", ask(lambda: planner.answer(item, "Green")))


def _claims(planner: Queue) -> Iterator[Step]:
    """Yield the steps that claim and settle, one item and several."""
    queue = planner.agent_queue(BUSY)

    def claim_and(settle: Callable[[Lease], object]) -> Callable[[], object]:
        return lambda: settle(claimed(queue))

    def fail(lease: Lease) -> None:
        queue.fail(lease, "Not now", retry=False)
        planner.requeue(lease.item)

    def use(lease: Lease) -> None:
        queue.add_usage(lease, SPENT)
        queue.release(lease)

    def complete(lease: Lease) -> None:
        queue.complete(lease, "Done", deliverables={"file": "a.txt"})
        planner.requeue(lease.item)

    yield _step("claim", claim_and(queue.release))
    yield _step("add_usage", claim_and(use))
    yield _step("release", claim_and(queue.release))
    yield _step("fail", claim_and(fail))
    yield _step("complete", claim_and(complete))
    yield from _reviews(planner)
    yield _step("requeue", claim_and(complete))
    yield from _hundreds(planner)


def _reviews(planner: Queue) -> Iterator[Step]:
    """Yield the decisions about an item that its agent completes for review."""
    queue = planner.agent_queue(REVIEWED)
    project = planner.project("Reviews")
    item = planner.create(
        project, NewItem(title="Review", agent=REVIEWED, reviewer="lead")
    )

    def send_back() -> None:
        queue.complete(Lease(item=item), "Done")
        planner.send_back(item, "Once more")

    def accept() -> None:
        queue.complete(Lease(item=item), "Done")
        planner.accept(item)
        planner.requeue(item)

    yield _step("send_back", send_back)
    yield _step("accept", accept)


def _hundreds(planner: Queue) -> Iterator[Step]:
    queue = planner.agent_queue(HUNDREDS)

    def swap() -> None:
        """Claim items of one agent, and give them to the other; then back."""
        for one, other in ((HUNDREDS, "others"), ("others", HUNDREDS)):
            claims = planner.agent_queue(one).claim_many(STEPS)
            items = [claim.package.item.id for claim in claims]
            planner.assign_many(items, other, force=True)

    def complete() -> None:
        leases = [claim.lease for claim in queue.claim_many(STEPS)]
        queue.complete_many([(lease, "Done", {}) for lease in leases if lease])

    yield _step("claim", swap, f"{STEPS} items")
    yield _step("assign", swap, f"{STEPS} held items")
    yield _step("complete", complete, f"{STEPS} items")


def _changes(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    """Yield the steps of the orchestrator on one item and on several."""
    views = planner.views
    some = [item.id for item in views.unassigned(limit=STEPS)]
    other = planner.create(crowd.large, new(""))
    planner.create(crowd.large, NewItem(title="Next", depends_on=(other,)))
    texts = cycle(("One", "Two"))
    heavy_project = planner.project("Heavy")
    heavies = [planner.create(heavy_project, heavy()) for _ in range(ASSIGNED)]
    numbers = cycle(range(2))

    def edit(items: Sequence[str], text: str) -> None:
        planner.edit(
            items,
            ItemEdit(
                title=text,
                description=text * 2000,
                add_labels=(text,),
                priority=next(numbers),
            ),
        )

    def cancel() -> None:
        planner.cancel(crowd.bottom)
        planner.requeue(crowd.bottom)

    def project() -> None:
        created = planner.project("A project")
        planner.complete_project(created)
        planner.reopen_project(created)

    many = crowd.thousand[: limits.BATCH_DEPENDENCIES]
    wide = NewItem(title="Wide", depends_on=many)
    yield _step("project", project)
    yield _step("close_project", project, "no items")
    yield _step("reopen_project", project)
    yield _step(
        "close_project",
        lambda: _refused(lambda: planner.complete_project(crowd.large)),
        "refused",
    )
    yield _step("create", lambda: planner.create(crowd.large, new(agent(1))))
    yield _step(
        "create",
        lambda: planner.create(crowd.large, wide),
        "as many dependencies as allowed",
        HUNDRED,
    )
    yield _step(
        "create",
        lambda: planner.create_many(crowd.large, [heavy()] * CREATED),
        "20 heavy items",
        HUNDRED,
    )
    yield _step("edit", lambda: edit(some[:1], next(texts)))
    yield _step("edit", lambda: edit(some, next(texts)), f"{STEPS} items")
    yield _step(
        "assign", lambda: planner.assign(some[0], agent(3), context={"a": "b"})
    )
    yield _step(
        "assign",
        lambda: planner.assign_many(
            heavies, agent(next(numbers)), context={"a": "x" * 10_000}
        ),
        "10 heavy items",
    )
    yield _step("cancel", cancel, "1,000 items wait")
    yield _step("depend", lambda: planner.depend(other, [crowd.thousand[0]]))
    yield _step(
        "depend",
        lambda: _refused(lambda: planner.depend(other, crowd.wide)),
        "50,000 edges",
    )


def _maintenance(planner: Queue) -> Iterator[Step]:
    pages = _audit_pages(planner)
    counts = {
        f"agent:{agent(number)}": Counter(queued=1) for number in range(OWNERS)
    }
    for number in range(HUNDRED):
        planner.quarantine("agent", agent(AGENTS - 1 - number), "A test")
    for number in range(20):
        planner.mirror_take(f"/roots/{number}", "writer", LONG_MS)
        planner.mirror_give(
            f"/roots/{number}", "writer", {"cursor": "0-1"}, {}
        )
    yield _step("reap", planner.reap, "nothing due")
    limits_of = cycle((1, None))
    yield _step(
        "set_budget",
        lambda: planner.set_budget(
            NAMESPACE, period="total", limit_micros=next(limits_of)
        ),
    )
    yield _step("audit", lambda: next(pages))
    yield _step("audit_index", lambda: planner.audit_index("waiting"))
    yield _step(
        "recount",
        lambda: planner.recount(planner.views.events(limit=1).newest, counts),
    )
    yield _step("damaged", planner.quarantined)
    yield _step(
        "quarantine", lambda: planner.quarantine("agent", agent(1), "A test")
    )
    yield from _notifications(planner)
    yield _step("mirrors", planner.views.mirrors, "20 roots")
    yield _step(
        "mirror_take",
        lambda: planner.mirror_take("/roots/1", "writer", LONG_MS),
    )
    yield _step(
        "mirror_give",
        lambda: planner.mirror_give(
            "/roots/1", "writer", {"cursor": "0-1"}, {}
        ),
    )


def _notifications(planner: Queue) -> Iterator[Step]:
    """Yield the steps of a service that sends notifications."""
    notifications = planner.notifications()
    of_target = notifications.of_target("target", "writer")
    kinds = list(NotificationKind)
    sent = AttemptResult(outcome=AttemptOutcome.SENT, reason="", pause_ms=0)

    def take() -> NotificationBatch:
        return of_target.take(kinds)

    def settle() -> None:
        of_target.settle(take().id, sent)

    take()
    yield _step("notify_take", take)
    yield _step("notify_settle", settle)
    yield _step("notified", lambda: notifications.records(["target"]))


def _tokens(planner: Queue) -> Iterator[Step]:
    """Yield the steps of the gateway's access tokens."""
    tokens = planner.access_tokens()
    for number in range(THIRTY):
        tokens.create(agent(number), Role.WORKER)
    token = tokens.create(AGENT, Role.WORKER)

    def create() -> None:
        created = tokens.create(AGENT, Role.WORKER)
        tokens.revoke(created.id)

    yield _step("access_tokens", tokens.list)
    yield _step("create_access_token", create)
    yield _step("revoke_access_token", create)
    yield _step("use_access_token", lambda: tokens.use(token.token, "::1"))
    edit = AccessTokenEdit(open_items=5)
    yield _step("edit_access_token", lambda: tokens.edit(token.id, edit))
    yield _step("rotate_access_token", lambda: tokens.rotate(token.id))
    log = planner.audit_log()
    refusal = Refusal(
        token=token.id,
        name=AGENT,
        role="",
        verb="",
        outcome="USAGE",
        address="",
    )
    for _ in range(HUNDRED):
        log.note({refusal: 1})
    every = AuditFilter(token="", name="", verb="", since_ms=0)
    yield _step("note_refusals", lambda: log.note({refusal: 1}))
    yield _step("audit_log", lambda: log.newest(every, 1))
    yield _step("signals", planner.signals().newest_cursor)


def _schedules(planner: Queue) -> Iterator[Step]:
    """Yield the steps of schedules; there are as many as allowed, with large plans."""
    schedules = planner.schedules()
    plan = "x" * PLAN_BYTES

    def create(name: str = "new") -> None:
        new = NewSchedule(
            name=name,
            cron="* * * * *",
            zone="UTC",
            plan=plan,
            values={},
            next_at=1,
        )
        schedules.create(new)

    def create_and_remove() -> None:
        create()
        schedules.remove("new")

    def run() -> None:
        for due in schedules.due().schedules[:1]:
            started = schedules.start(due, 1)
            if started:
                schedules.end(due.name, due=started.due, error="x" * 2000)

    for number in range(MOST_SCHEDULES - 1):
        create(agent(number))
    yield _step("schedules", schedules.list, f"{MOST_SCHEDULES} schedules")
    yield _step("create_schedule", create_and_remove, "", HUNDRED)
    yield _step("remove_schedule", create_and_remove, "", HUNDRED)
    yield _step("start_scheduled", run, "", HUNDRED)
    yield _step("end_scheduled", run, "", HUNDRED)


def _audit_pages(planner: Queue) -> Iterator[object]:
    while True:
        page = planner.audit()
        yield page
        while page.cursor:
            page = planner.audit(cursor=page.cursor)
            yield page


def _copies(planner: Queue, unwatched: Connection) -> Iterator[Step]:
    """Yield the parts of an export, and of an import of its lines."""
    lines: list[str] = []
    agents = [
        json.dumps(
            {"kind": "agent", "name": agent(n), "seen": 0, "fields": {}}
        )
        for n in range(AGENTS)
    ]
    copy = Queue(planner.connection, "copy", planner.caller).backup
    prepared = Queue(unwatched, "copy", planner.caller).backup

    def read() -> None:
        lines.clear()
        some = islice(planner.backup.lines(), 2 * CALLS * LINES)
        lines.extend(
            json.dumps(line) for line in some if line["kind"] == "item"
        )

    def write() -> None:
        run = copy.begin("digest")
        for start in range(0, len(lines), LINES):
            copy.write("digest", run, lines[start : start + LINES])

    def end() -> None:
        run = prepared.begin("digest")
        for start in range(0, AGENTS, LINES):
            prepared.write("digest", run, agents[start : start + LINES])
        copy.end("digest", run, sequence=10**6, created_at=1, schema=SCHEMA)

    yield _step("export", read)
    yield _step("restore", write, "lines of items")
    yield _step("restore", end, "the end", HUNDRED)


def _large_steps(planner: Queue, crowd: Crowd) -> Iterator[Step]:
    """Yield the steps that take many calls: on a hub of many items, and on projects."""
    hub = planner.agent_queue("hub")

    def complete_hub() -> None:
        hub.complete(claimed(hub), "Done")
        planner.requeue(crowd.hub)

    plan = Queue(planner.connection, "plans", planner.caller)
    project = plan.project("A plan")
    yield _step(
        "create",
        lambda: plan.create_many(
            project, [new(agent(n)) for n in range(BATCH)]
        ),
        "as many items as allowed",
        HUNDRED,
    )
    yield _step("complete", complete_hub, "very many items wait")
    yield _step("requeue", complete_hub, "very many items wait")
    yield _step("resume", complete_hub, "very many items wait")
    yield _step(
        "close_project",
        lambda: planner.complete_project(crowd.waiting, force=True),
        "very many open items",
    )
    yield _step("awaited", lambda: planner.check_purge(crowd.waiting))
    run, _ = planner.archive_take(crowd.waiting, "root", 1)
    yield _step(
        "archive_done",
        lambda: planner.archive_done(crowd.waiting, run, "here:/file"),
    )
    yield _step(
        "archive_take",
        lambda: planner.archive_take(crowd.waiting, "root", 1),
    )
    yield _step("purge", lambda: planner.purge(crowd.waiting))
    yield _step("purged", lambda: planner.views.purged([crowd.waiting] * 500))
    yield _step("forget_agents", lambda: planner.forget_agents(unseen_ms=1))


def _short(digits: str) -> ShortId:
    return ShortId(given=digits, kind="", digits=digits)


def _refused(act: Callable[[], object]) -> None:
    with suppress(errors.TaskOrchestratorError):
        act()


def _step(
    script: str, act: Callable[[], object], size: str = "", times: int = MANY
) -> Step:
    return Step(script=script, act=act, size=size, times=times)


if __name__ == "__main__":
    report(measure)
