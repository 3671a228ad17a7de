"""A whole workflow, from the first project to the last report.

It calls every method of the queue at least once. Used by tests that repeat, count or
compare all requests, such as `tests/unit/queue/test_repeats.py`.
"""

import os
from collections.abc import Iterator

from support.builders import Bench, need_lease, new_schedule
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.audit_line import AuditFilter, Refusal
from taskorch.domain.frozen import replace
from taskorch.domain.item import ItemEdit, Lease, NewItem, State
from taskorch.domain.mirror_record import Origin
from taskorch.domain.notification import (
    AttemptOutcome,
    AttemptResult,
    NotificationKind,
)
from taskorch.domain.role import Role
from taskorch.domain.usage import ModelUsage
from taskorch.queue.plan import Plan

SENT = AttemptResult(outcome=AttemptOutcome.SENT, reason="", pause_ms=0)


def workflow(bench: Bench) -> Iterator[str]:
    """Make one call at a time, and yield its name after it. No item is left open."""
    # one page of an audit has all items of a new namespace
    yield from repair_namespace(bench)
    yield from apply_plan(bench)
    yield from deliver_items(bench)
    yield from review_item(bench)
    yield from recover_item(bench)
    yield from wait_for_answer(bench)
    yield from sync_files(bench)
    yield from manage_access_tokens(bench)
    yield from run_schedule(bench)
    yield from limit_costs(bench)


def apply_plan(bench: Bench) -> Iterator[str]:
    """Apply a plan of two items, apply it again with a third item, and abandon it."""
    queue = bench.queue
    first = NewItem(title="First", key="1", agent="eve")
    second = NewItem(title="Second", key="2", depends_on=(0,))
    plan = Plan(
        title="Plan", key=f"plan-{os.urandom(4).hex()}", items=(first, second)
    )
    project = queue.apply(plan).project
    yield "create"
    third = NewItem(title="Third", key="3", depends_on=(1,))
    changed = replace(first, title="The first", labels=("new",))
    queue.apply(replace(plan, items=(changed, second, third)), updates=True)
    yield "create"
    queue.create_many(
        project,
        [
            NewItem(title="Fourth", agent="eve"),
            NewItem(title="Fifth", depends_on=(0,)),
        ],
    )
    yield "create"
    yield from work_in_batches(bench, project)
    queue.complete_project(project, force=True)
    yield "close_project"


def work_in_batches(bench: Bench, project: str) -> Iterator[str]:
    """Edit, assign, claim and complete two items in batches."""
    queue, ada = bench.queue, bench.agent("ada")
    new = queue.create_many(
        project,
        [NewItem(title="Sixth"), NewItem(title="Seventh", depends_on=(0,))],
    )
    yield "create"
    first = new[0].id
    edit = ItemEdit(title="Changed", remove_dependencies=(first,))
    queue.edit([created.id for created in new], edit)
    yield "edit"
    queue.assign_many([created.id for created in new], "ada")
    yield "assign"
    leases = [need_lease(claim) for claim in ada.claim_many(2)]
    yield "claim"
    ada.prime(leases)
    yield "prime"
    ada.complete_many([(lease, "done", {}) for lease in leases])
    yield "complete"
    yield from release_many(bench)


def release_many(bench: Bench) -> Iterator[str]:
    """Complete an item for which more items wait than one call releases."""
    queue, ada = bench.queue, bench.agent("ada")
    project = queue.project("Wait")
    yield "project"
    many = [NewItem(title="Last", agent="bob", depends_on=(0,))] * 35
    awaited, *_ = queue.create_many(
        project, [NewItem(title="First", agent="ada"), *many]
    )
    yield "create"
    # the mirror leaves the rest to the service
    origin = Origin(request=os.urandom(8).hex(), written_at="", at=0)
    mirrored = queue.agent_queue("ada", origin=origin)
    mirrored.complete(Lease(item=awaited.id), "done")
    yield "complete"
    ada._resume()
    yield "resume"
    # one call closes the project if no more than 20 items are left
    bob = queue.agent_queue("bob")
    leases = [need_lease(claim) for claim in bob.claim_many(15)]
    yield "claim"
    bob.complete_many([(lease, "", {}) for lease in leases])
    yield "complete"
    queue.complete_project(project, force=True)
    yield "close_project"
    queue.check_purge(project)
    yield "awaited"
    left = 1
    while left:
        left, *_ = queue.purge(project)
        yield "purge"


def read_discoveries(bench: Bench, project: str) -> Iterator[str]:
    """Read what the agents of a project have discovered."""
    bench.queue.views.discoveries(project)
    yield "discoveries"
    bench.queue.views.count_new_discoveries()
    yield "count_new_discoveries"
    bench.queue.new_discoveries(project)
    yield "new_discoveries"


def deliver_items(bench: Bench) -> Iterator[str]:
    """Complete two items in order, by two agents."""
    queue, ada, bob = bench.queue, bench.agent("ada"), bench.agent("bob")
    project = queue.project("Build", description="all")
    yield "project"
    plan = queue.create(
        project, NewItem(title="Plan", requirements=("paper",), key="plan")
    )
    yield "create"
    build = queue.create(project, NewItem(title="Build", agent="bob"))
    yield "create"
    queue.depend(build, [plan])
    yield "depend"
    queue.assign(plan, "ada", context={"style": "plain"}, resources=["a.md"])
    yield "assign"
    ada.check()
    yield "check"
    lease = need_lease(ada.claim(lease_ms=60_000))
    yield "claim"
    ada.get(lease)
    yield "get"
    ada.note(plan, "memo")
    yield "note"
    ada.progress(lease, "half", percent=50)
    yield "progress"
    ada.discover(lease, "rain", impact="coat")
    yield "discover"
    ada.renew(lease)
    yield "renew"
    ada.complete(lease, "planned", deliverables={"plan": "p.txt"})
    yield "complete"
    ada.notes(plan)
    yield "notes"
    yield from read_discoveries(bench, project)
    queue.views.progress(project)
    yield "progress_of_project"
    lease = need_lease(bob.get(Lease(item=build)))
    yield "get"
    bob.blocker(lease, "door?", needs="choice")
    yield "blocker"
    queue.views.inbox()
    yield "inbox"
    queue.answer(build, "left")
    yield "answer"
    bob.complete(lease)
    yield "complete"
    queue.complete_project(project)
    yield "close_project"
    queue.views.projects()
    yield "projects"
    queue.views.agents()
    yield "agents"


def review_item(bench: Bench) -> Iterator[str]:
    """Complete an item for review twice: it is sent back once, then accepted."""
    queue, ada, lead = bench.queue, bench.agent("ada"), bench.agent("lead")
    project = queue.project("Review")
    yield "project"
    new = NewItem(title="Review", agent="ada", reviewer="lead")
    item = queue.create(project, new)
    yield "create"
    ada.complete(Lease(item=item), "done")
    yield "complete"
    lead.reviews()
    yield "reviews"
    lead.send_back(item, "once more")
    yield "send_back"
    ada.complete(Lease(item=item), "done again")
    yield "complete"
    lead.accept(item, "well done")
    yield "accept"
    queue.complete_project(project)
    yield "close_project"


def recover_item(bench: Bench) -> Iterator[str]:
    """Release, take over, fail, bury and cancel an item, then complete it."""
    queue, views = bench.queue, bench.queue.views
    ada, second = bench.agent("ada"), bench.agent("ada", session="2")
    project = queue.project("Repair")
    yield "project"
    item = queue.create(project, NewItem(title="Repair", agent="bob"))
    yield "create"
    queue.assign(item, "ada")
    yield "assign"
    ada.get(Lease(item=item), peek=True)
    yield "get"
    lease = need_lease(ada.claim())
    yield "claim"
    queue.comment(item, "mind the gap")
    yield "comment"
    ada.release(lease, reason="late")
    yield "release"
    ada.claim()
    yield "claim"
    lease = need_lease(second.get(Lease(item=item), takeover=True))
    yield "get"
    second.fail(lease, "broken", next=True)
    yield "fail"
    bench.end_delay(item)
    queue.reap()
    yield "reap"
    second.progress(Lease(item=item), "again")
    yield "progress"
    queue.assign(item, "bob", force=True)
    yield "assign"
    lease = need_lease(bench.agent("bob").claim())
    yield "claim"
    bench.agent("bob").fail(lease, "hopeless", retry=False)
    yield "fail"
    queue.requeue(item)
    yield "requeue"
    queue.cancel(item, reason="not needed")
    yield "cancel"
    queue.requeue(item, reason="needed after all")
    yield "requeue"
    views.list(project=project)
    yield "list"
    views.unassigned()
    yield "indexed"
    bench.agent("bob").complete(Lease(item=item), "repaired")
    yield "complete"
    yield from reopen(bench, project, item)


def reopen(bench: Bench, project: str, item: str) -> Iterator[str]:
    """Complete a project, reopen it, have an item done again, and cancel it."""
    queue = bench.queue
    queue.complete_project(project, force=True)
    yield "close_project"
    queue.reopen_project(project)
    yield "reopen_project"
    queue.requeue(item)
    yield "requeue"
    queue.views.show(item)
    yield "show"
    queue.cancel_project(project, reason="not needed")
    yield "close_project"


def wait_for_answer(bench: Bench) -> Iterator[str]:
    """Wait for the answer to a question, and read the state of the project."""
    queue, eve = bench.queue, bench.agent("eve")
    project = queue.project("Ask")
    yield "project"
    lease = Lease(
        item=queue.create(project, NewItem(title="Ask", agent="eve"))
    )
    yield "create"
    lease = eve.blocker(lease, "Which?").lease
    yield "blocker"
    queue.answer(lease.item, "Both")
    yield "answer"
    eve.wait_for_answer(lease, timeout_s=0)
    yield "wait"
    eve.blocker(lease, "Where to?")
    yield "blocker"
    eve.withdraw(lease)
    yield "withdraw"
    eve.comment(lease, "I found it myself")
    yield "agent_comment"
    queue.waits().standing(project)
    yield "standing"
    queue._scripts.run_script("expect", lease.item)
    yield "expect"
    bench.set_schema("1")
    queue._scripts.run_script("upgrade", 50)
    yield "upgrade"
    queue.complete_project(project, force=True)
    yield "close_project"
    yield from purge_project(bench)


def purge_project(bench: Bench) -> Iterator[str]:
    """Find a finished project, and purge it."""
    queue = bench.queue
    project = queue.project("Go")
    yield "project"
    queue.create(project, NewItem(title="Go", key="go"))
    yield "create"
    queue.complete_project(project, force=True)
    yield "close_project"
    queue.views.finished(older_than_ms=3_600_000)
    yield "finished"
    queue.check_purge(project)
    yield "awaited"
    run, _ = queue.archive_take(project, "root", 1)
    yield "archive_take"
    queue.archive_done(project, run, "here:/file")
    yield "archive_done"
    queue.purge(project)
    yield "purge"
    queue.forget_agents(unseen_ms=3_600_000)
    yield "forget_agents"
    queue.views.purged([project])
    yield "purged"


def sync_files(bench: Bench) -> Iterator[str]:
    """Sync the files of a root once, and record what the pass found."""
    queue, views = bench.queue, bench.queue.views
    notifications = queue.notifications()
    of_target = notifications.of_target("target", "here:1")
    of_target.take(list(NotificationKind))
    yield "notify_take"
    of_target.settle("none", SENT)
    yield "notify_settle"
    notifications.records(["target"])
    yield "notified"
    queue.mirror_take("root", "here:1", 60_000)
    yield "mirror_take"
    newest = views.events(limit=1).newest
    yield "events"
    project = queue.project("File")
    yield "project"
    item = queue.create(project, NewItem(title="File"))
    yield "create"
    bench.agent("bob").stray(item, "me too", percent=20)
    yield "stray"
    views.records([item])
    yield "records"
    queue.mirror_give(
        "root", "here:1", {"cursor": newest}, {"runs_on": "a loop"}
    )
    yield "mirror_give"
    views.mirrors()
    yield "mirrors"
    views.counters()
    yield "counters"
    views.hours()
    yield "hours"
    views.item_counts()
    yield "item_counts"
    views.agent_figures()
    yield "agent_figures"
    views.needs()
    yield "needs"
    views.workload()
    yield "workload"
    views.news()
    yield "news"
    queue.complete_project(project, force=True)
    yield "close_project"


def repair_namespace(bench: Bench) -> Iterator[str]:
    """Damage a namespace, then audit and repair it."""
    queue = bench.queue
    queue.views.environment()
    yield "environment"
    project = queue.project("Break")
    yield "project"
    item = queue.create(project, NewItem(title="Break", agent="eve"))
    yield "create"
    bench.delete_entry("queue:eve", item)
    bench.add_entry("leases", item)
    bench.shift_count(f"project:{project}", State.FAILED)
    part = queue.audit(fix=True)
    yield "audit"
    queue.audit_index("leases", fix=True)
    yield "audit_index"
    counts = {
        owner: {state: number}
        for owner, state, number in part.counts
        if owner == f"project:{project}" and state
    }
    queue.recount(part.event, counts, fix=True)
    yield "recount"
    bench.agent("odd").check()
    yield "check"
    queue.quarantine("agent", "odd", "it is odd")
    yield "quarantine"
    queue.quarantined()
    yield "damaged"
    queue.complete_project(project, force=True)
    yield "close_project"


def run_schedule(bench: Bench) -> Iterator[str]:
    """Create a schedule that is due, run it, and remove it."""
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly"))
    yield "create_schedule"
    (due,) = schedules.due().schedules
    yield "schedules"
    run = schedules.start(due, 2**50)
    assert run
    yield "start_scheduled"
    schedules.end("nightly", due=run.due, error="It failed")
    yield "end_scheduled"
    schedules.remove("nightly")
    yield "remove_schedule"


def manage_access_tokens(bench: Bench) -> Iterator[str]:
    """Create an access token, use it, and take it away again."""
    tokens = bench.queue.access_tokens()
    created = tokens.create("ada", Role.WORKER, lifetime_ms=60_000)
    yield "create_access_token"
    tokens.use(created.token, "127.0.0.1")
    yield "use_access_token"
    tokens.list()
    yield "access_tokens"
    tokens.edit(created.id, AccessTokenEdit(open_items=5))
    yield "edit_access_token"
    tokens.rotate(created.id)
    yield "rotate_access_token"
    tokens.revoke(created.id)
    yield "revoke_access_token"
    bench.queue.signals().newest_cursor()
    yield "signals"
    refusal = Refusal(
        token=created.id,
        name="ada",
        role=Role.WORKER,
        verb="claim",
        outcome="TOKEN_REFUSED",
        address="127.0.0.1",
    )
    bench.queue.audit_log().note({refusal: 1})
    yield "note_refusals"
    wanted = AuditFilter(token="", name="", verb="", since_ms=0)
    bench.queue.audit_log().newest(wanted, 1)
    yield "audit_log"


def limit_costs(bench: Bench) -> Iterator[str]:
    """Complete an item at a cost, and limit what its project may use."""
    queue, views, ada = bench.queue, bench.queue.views, bench.agent("ada")
    project = queue.project("Spend")
    yield "project"
    queue.create(project, NewItem(title="Spend", agent="ada"))
    yield "create"
    lease = need_lease(ada.claim())
    yield "claim"
    used = ModelUsage(tokens_in=10, tokens_out=2, cost_micros=5, model="m")
    ada.complete(lease, "done", used=used)
    yield "complete"
    ada.add_usage(lease, used)
    yield "add_usage"
    queue.set_budget(project, period="day", limit_micros=1)
    yield "set_budget"
    views.budgets()
    yield "budgets"
    views.budgets(project)
    yield "budgets"
    views.usage(["namespace", f"project:{project}"])
    yield "overview"
    views.costs(project)
    yield "costs"
    views.agent_usage()
    yield "agent_usage"
    queue.set_budget(project, period="day")
    yield "set_budget"
    queue.complete_project(project)
    yield "close_project"
