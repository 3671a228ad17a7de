"""A workflow that uses every method of the queue."""

import os
from collections.abc import Iterator

from support.builders import Bench, held
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, NewItem, State
from taskorch.queue.plan import Plan


def workflow(bench: Bench) -> Iterator[str]:
    """Make one call at a time, and yield its name; the queues are empty at the end."""
    yield from planned(bench)
    yield from delivery(bench)
    yield from troubles(bench)
    yield from waits(bench)
    yield from mirrored(bench)
    yield from audited(bench)


def planned(bench: Bench) -> Iterator[str]:
    """Apply a plan of two items, apply it again with one more item, and cancel it."""
    queue = bench.queue
    first, second = (
        NewItem(title="First", key="1", agent="eve"),
        NewItem(title="Second", key="2", depends_on=(0,)),
    )
    plan = Plan(title="Plan", key=f"plan-{os.urandom(4).hex()}", items=(first, second))
    project = queue.apply(plan).project
    yield "create"
    queue.apply(
        replace(
            plan, items=(*plan.items, NewItem(title="Third", key="3", depends_on=(1,)))
        )
    )
    yield "create"
    queue.create_many(
        project,
        [NewItem(title="Fourth", agent="eve"), NewItem(title="Fifth", depends_on=(0,))],
    )
    yield "create"
    yield from batches(bench, project)
    queue.complete_project(project, force=True)
    yield "complete_project"


def batches(bench: Bench, project: str) -> Iterator[str]:
    """Assign, claim and deliver two items of a plan together."""
    queue, ada = bench.queue, bench.agent("ada")
    new = queue.create_many(project, [NewItem(title="Sixth"), NewItem(title="Seventh")])
    yield "create"
    queue.assign_many([created.id for created in new], "ada")
    yield "assign"
    leases = [held(claim) for claim in ada.claim_many(2)]
    yield "claim"
    ada.prime(leases)
    yield "prime"
    ada.complete_many([(lease, "done", {}) for lease in leases])
    yield "complete"


def delivery(bench: Bench) -> Iterator[str]:
    """Deliver two items, one after the other, as two agents."""
    queue, ada, bob, views = (
        bench.queue,
        bench.agent("ada"),
        bench.agent("bob"),
        bench.queue.views,
    )
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
    lease = held(ada.claim(lease_ms=60_000))
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
    views.discoveries(project)
    yield "discoveries"
    views.progress(project)
    yield "progress_of_project"
    lease = held(bob.get(Lease(item=build)))
    yield "get"
    bob.blocker(lease, "door?", needs="choice")
    yield "blocker"
    views.inbox()
    yield "indexed"
    queue.answer(build, "left")
    yield "answer"
    bob.complete(lease)
    yield "complete"
    queue.complete_project(project)
    yield "complete_project"
    views.projects()
    yield "projects"
    views.agents()
    yield "agents"


def troubles(bench: Bench) -> Iterator[str]:
    """Release, take over, fail, bury, cancel and at last complete one item."""
    queue, ada, second, views = (
        bench.queue,
        bench.agent("ada"),
        bench.agent("ada", session="2"),
        bench.queue.views,
    )
    project = queue.project("Mend")
    yield "project"
    item = queue.create(project, NewItem(title="Mend", agent="bob"))
    yield "create"
    queue.assign(item, "ada")
    yield "assign"
    ada.get(Lease(item=item), peek=True)
    yield "get"
    lease = held(ada.claim())
    yield "claim"
    ada.release(lease, reason="late")
    yield "release"
    ada.claim()
    yield "claim"
    lease = held(second.get(Lease(item=item), takeover=True))
    yield "get"
    second.fail(lease, "broken")
    yield "fail"
    bench.end_delay(item)
    queue.reap()
    yield "reap"
    second.progress(Lease(item=item), "again")
    yield "progress"
    queue.assign(item, "bob", force=True)
    yield "assign"
    lease = held(bench.agent("bob").claim())
    yield "claim"
    bench.agent("bob").fail(lease, "hopeless", retry=False)
    yield "fail"
    queue.requeue(item)
    yield "requeue"
    queue.cancel(item, reason="not needed")
    yield "cancel"
    queue.requeue(item)
    yield "requeue"
    views.list(project=project)
    yield "list"
    views.unassigned()
    yield "indexed"
    bench.agent("bob").complete(Lease(item=item), "mended")
    yield "complete"
    views.show(item)
    yield "show"
    queue.complete_project(project, force=True)
    yield "complete_project"


def waits(bench: Bench) -> Iterator[str]:
    """Wait for the answer to a question, and for the state of its project."""
    queue, eve = bench.queue, bench.agent("eve")
    project = queue.project("Ask")
    yield "project"
    lease = Lease(item=queue.create(project, NewItem(title="Ask", agent="eve")))
    yield "create"
    lease = eve.blocker(lease, "Which?").lease
    yield "blocker"
    queue.answer(lease.item, "Both")
    yield "answer"
    eve.wait_for_answer(lease, timeout_s=0)
    yield "wait"
    queue.waits().standing(project)
    yield "standing"
    queue.complete_project(project, force=True)
    yield "complete_project"
    yield from removed(bench)


def removed(bench: Bench) -> Iterator[str]:
    """Find a finished project, and purge it."""
    queue = bench.queue
    project = queue.project("Go")
    yield "project"
    queue.create(project, NewItem(title="Go", key="go"))
    yield "create"
    queue.complete_project(project, force=True)
    yield "complete_project"
    queue.views.finished(older_than_ms=3_600_000)
    yield "finished"
    queue.purge(project)
    yield "purge"


def mirrored(bench: Bench) -> Iterator[str]:
    """Make the calls of one sync of a root, which finds a stray report."""
    queue, views = bench.queue, bench.queue.views
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
    queue.mirror_give("root", "here:1", {"cursor": newest}, {"runs_on": "a loop"})
    yield "mirror_give"
    views.mirrors()
    yield "mirrors"
    queue.complete_project(project, force=True)
    yield "complete_project"


def audited(bench: Bench) -> Iterator[str]:
    """Break a namespace, and repair it."""
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
    yield "complete_project"
