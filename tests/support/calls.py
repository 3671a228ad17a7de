"""A call of each script that writes, with what it needs, for tests that disturb it."""

from collections.abc import Callable, Mapping
from functools import partial

from support.builders import Bench, new_schedule
from support.verbs import ALLOWING_STATE, act
from taskorch.domain.access_token import AccessTokenEdit
from taskorch.domain.audit_line import Refusal
from taskorch.domain.item import Lease, NewItem, State
from taskorch.domain.notification import (
    AttemptOutcome,
    AttemptResult,
    NotificationBatch,
    NotificationKind,
)
from taskorch.domain.role import Role
from taskorch.domain.schedule import Schedule
from taskorch.domain.usage import ModelUsage
from taskorch.queue import keys
from taskorch.queue.notifications import TargetNotifications
from taskorch.queue.plan import Plan

#: A call whose items exist already; it is made over the bench that it is given.
Call = Callable[[Bench], object]
RefusedCall = tuple[Call, Callable[[], object]]


def verb(name: str, bench: Bench) -> Call:
    lease, other = (
        bench.lease_in(ALLOWING_STATE[name]),
        bench.item(agent="bob"),
    )
    return lambda lossy: act(lossy, name, lease, other)


def project(_: Bench) -> Call:
    return lambda lossy: lossy.queue.project("Once", description="and no more")


def create(bench: Bench) -> Call:
    home = bench.project()
    first = bench.item(home)
    return lambda lossy: lossy.item(home, depends_on=(first,), key="one")


def create_unassigned(bench: Bench) -> Call:
    home = bench.project()
    return lambda lossy: lossy.queue.create(home, NewItem(title="Unassigned"))


def apply(bench: Bench) -> Call:
    first = bench.item()
    items = (
        NewItem(title="A", agent="ada", depends_on=(first,)),
        NewItem(title="B", depends_on=(0,)),
    )
    return lambda lossy: lossy.queue.apply(Plan(title="Once", items=items))


def claim_of_two(bench: Bench) -> Call:
    bench.item()
    bench.item()
    return lambda lossy: lossy.agent().claim(wait_s=5)


def claim_of_many(bench: Bench) -> Call:
    bench.item()
    bench.item()
    return lambda lossy: lossy.agent().claim_many(5)


def assign_of_many(bench: Bench) -> Call:
    items = [bench.item(agent=""), bench.item(agent="bob")]
    return lambda lossy: lossy.queue.assign_many(items, "ada")


def complete_of_many(bench: Bench) -> Call:
    deliveries = [
        (bench.claimed(), "done", {"file": "a.txt"}),
        (Lease(item=bench.item()), "", {}),
    ]
    return lambda lossy: lossy.agent().complete_many(deliveries)


def claim_of_nothing(bench: Bench) -> Call:
    bench.lease_in(State.IN_PROGRESS)
    return lambda lossy: lossy.agent("bob").claim()


def report_that_claims(name: str, bench: Bench) -> Call:
    item = bench.item()
    return lambda lossy: act(lossy, name, Lease(item=item), "")


def fail_without_retry(bench: Bench) -> Call:
    lease = bench.claimed()
    return lambda lossy: lossy.agent().fail(lease, "hopeless", retry=False)


def complete_with_dependents(bench: Bench) -> Call:
    lease = bench.claimed()
    bench.item(agent="bob", depends_on=(lease.item,))
    return lambda lossy: lossy.agent().complete(lease, "done")


def settle_and_claim(name: str, bench: Bench) -> Call:
    lease = bench.claimed()
    bench.item()
    bench.item()
    return lambda lossy: act(lossy, name, lease, "")


def check(bench: Bench) -> Call:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    return lambda lossy: lossy.agent().check()


def reap(bench: Bench) -> Call:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    return lambda lossy: lossy.queue.reap()


def note(bench: Bench) -> Call:
    item = bench.item()
    return lambda lossy: lossy.agent().note(item, "memo")


def stray(bench: Bench) -> Call:
    item = bench.item()
    return lambda lossy: lossy.agent("bob").stray(item, "me too", percent=20)


def complete_project(bench: Bench) -> Call:
    home = bench.project()
    bench.claimed(bench.item(home))
    return lambda lossy: lossy.queue.complete_project(home, force=True)


def cancel_project(bench: Bench) -> Call:
    home = bench.project()
    bench.claimed(bench.item(home))
    return lambda lossy: lossy.queue.cancel_project(home, reason="no")


def reopen_project(bench: Bench) -> Call:
    home = bench.project()
    bench.queue.complete_project(home)
    return lambda lossy: lossy.queue.reopen_project(home)


def purge(bench: Bench) -> Call:
    home = bench.project()
    bench.bring_to(bench.item(home), State.COMPLETED)
    bench.queue.complete_project(home)
    return lambda lossy: lossy.queue.purge(home)


def archive_take(bench: Bench) -> Call:
    home = bench.project()
    bench.queue.complete_project(home)
    bench.age_project(home)
    return lambda lossy: lossy.queue.archive_take(home, "root", 1)


def archive_done(bench: Bench) -> Call:
    home = bench.project()
    bench.queue.complete_project(home)
    bench.age_project(home)
    run, _ = bench.queue.archive_take(home, "root", 1)
    return lambda lossy: lossy.queue.archive_done(home, run, "here:/file")


def forget_agents(bench: Bench) -> Call:
    bench.agent("idle").check()
    bench.raw.zadd(f"{keys.tag(bench.namespace)}agents", {"idle": 1})
    return lambda lossy: lossy.queue.forget_agents(unseen_ms=3_600_000)


def expect(bench: Bench) -> Call:
    item = bench.item()
    return lambda lossy: lossy.queue._scripts.run_script("expect", item)


def upgrade(bench: Bench) -> Call:
    bench.project()
    bench.set_schema("1")
    return lambda lossy: lossy.queue._scripts.run_script("upgrade", 50)


def create_access_token(_: Bench) -> Call:
    return lambda lossy: lossy.queue.access_tokens().create("ada", Role.WORKER)


def use_access_token(bench: Bench) -> Call:
    token = bench.queue.access_tokens().create("ada", Role.WORKER).token
    return lambda lossy: lossy.queue.access_tokens().use(token, "10.0.0.1")


def edit_access_token(bench: Bench) -> Call:
    id_ = bench.queue.access_tokens().create("ada", Role.WORKER).id
    edit = AccessTokenEdit(role=Role.VIEWER, lifetime_ms=60_000)
    return lambda lossy: lossy.queue.access_tokens().edit(id_, edit)


def rotate_access_token(bench: Bench) -> Call:
    id_ = bench.queue.access_tokens().create("ada", Role.WORKER).id
    return lambda lossy: lossy.queue.access_tokens().rotate(id_)


def create_schedule(_: Bench) -> Call:
    return lambda lossy: lossy.queue.schedules().create(new_schedule("once"))


def schedule_named(bench: Bench, name: str) -> Schedule:
    (found,) = (
        each for each in bench.queue.schedules().list() if each.name == name
    )
    return found


def start_scheduled(bench: Bench) -> Call:
    bench.queue.schedules().create(new_schedule("due"))
    due = schedule_named(bench, "due")
    return lambda lossy: lossy.queue.schedules().start(due, 2**50)


def end_scheduled(bench: Bench) -> Call:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("begun"))
    run = schedules.start(schedule_named(bench, "begun"), 2**50)
    assert run
    return lambda lossy: lossy.queue.schedules().end(
        "begun", due=run.due, error="It failed"
    )


def remove_schedule(bench: Bench) -> Call:
    bench.queue.schedules().create(new_schedule("old"))
    return lambda lossy: lossy.queue.schedules().remove("old")


def revoke_access_token(bench: Bench) -> Call:
    id_ = bench.queue.access_tokens().create("ada", Role.WORKER).id
    return lambda lossy: lossy.queue.access_tokens().revoke(id_)


def note_refusals(_: Bench) -> Call:
    refusal = Refusal(
        token="", name="", role="", verb="", outcome="USAGE", address=""
    )
    return lambda lossy: lossy.queue.audit_log().note({refusal: 2})


def of_target(bench: Bench) -> TargetNotifications:
    return bench.queue.notifications().of_target("target", "here")


def taken(bench: Bench) -> NotificationBatch:
    return of_target(bench).take(list(NotificationKind))


def notify_take(bench: Bench) -> Call:
    taken(bench)
    bench.agent().blocker(bench.claimed(), "Which door?")
    return taken


def notify_settle(bench: Bench) -> Call:
    notify_take(bench)
    batch = taken(bench).id
    result = AttemptResult(
        outcome=AttemptOutcome.SENT, reason="", pause_ms=1000
    )
    return lambda lossy: of_target(lossy).settle(batch, result)


def mirror_take(_: Bench) -> Call:
    return lambda lossy: lossy.queue.mirror_take("root", "here", 60_000)


def mirror_give(bench: Bench) -> Call:
    bench.queue.mirror_take("root", "here", 60_000)
    return lambda lossy: lossy.queue.mirror_give(
        "root", "here", {"cursor": "0-0"}, {"runs_on": "a loop"}
    )


def new_discoveries(bench: Bench) -> Call:
    bench.agent().discover(bench.claimed(), "It rains")
    return lambda lossy: lossy.queue.new_discoveries()


def audit(bench: Bench) -> Call:
    bench.delete_lease_entry(bench.claimed().item)
    return lambda lossy: lossy.queue.audit(fix=True)


def quarantine(bench: Bench) -> Call:
    bench.agent("odd").check()
    return lambda lossy: lossy.queue.quarantine("agent", "odd", "it is odd")


def audit_index(bench: Bench) -> Call:
    bench.add_queue_entry(bench.claimed().item)
    return lambda lossy: lossy.queue.audit_index("queue:ada", fix=True)


def recount(bench: Bench) -> Call:
    home = f"project:{bench.project()}"
    bench.shift_count(home, State.FAILED)
    event = bench.queue.audit().event
    return lambda lossy: lossy.queue.recount(event, {home: {}}, fix=True)


def add_usage(bench: Bench) -> Call:
    lease = bench.claimed()
    bench.agent().complete(lease, "done")
    used = ModelUsage(tokens_in=3, cost_micros=7, model="m")
    return lambda lossy: lossy.agent().add_usage(lease, used)


def set_budget(bench: Bench) -> Call:
    home = bench.project()
    return lambda lossy: lossy.queue.set_budget(
        home, period="day", limit_micros=5
    )


def report_with_usage(name: str, bench: Bench) -> Call:
    lease = bench.claimed()
    used = ModelUsage(tokens_in=3, tokens_out=2, cost_micros=7, model="m")
    return lambda lossy: getattr(lossy.agent(), name)(lease, "text", used=used)


CALLS: dict[str, Callable[[Bench], Call]] = {
    **{name: partial(verb, name) for name in ALLOWING_STATE},
    **{
        f"{name} that claims": partial(report_that_claims, name)
        for name in ("progress", "discover", "blocker")
    },
    "complete of a queued item": partial(report_that_claims, "complete"),
    "complete that claims the next": partial(
        settle_and_claim, "complete-next"
    ),
    "fail that claims the next": partial(settle_and_claim, "fail-next"),
    "complete with dependents": complete_with_dependents,
    "fail without retry": fail_without_retry,
    "project": project,
    "create": create,
    "create unassigned": create_unassigned,
    "apply": apply,
    "pop of two": claim_of_two,
    "pop of many": claim_of_many,
    "assign of many": assign_of_many,
    "complete of many": complete_of_many,
    "pop of nothing": claim_of_nothing,
    "check": check,
    "reap": reap,
    "note": note,
    **{
        f"{name} with usage": partial(report_with_usage, name)
        for name in ("progress", "complete", "fail")
    },
    "add_usage": add_usage,
    "set_budget": set_budget,
    "stray": stray,
    "new_discoveries": new_discoveries,
    "complete_project": complete_project,
    "cancel_project": cancel_project,
    "reopen_project": reopen_project,
    "purge": purge,
    "archive_take": archive_take,
    "archive_done": archive_done,
    "forget_agents": forget_agents,
    "expect": expect,
    "upgrade": upgrade,
    "create_access_token": create_access_token,
    "use_access_token": use_access_token,
    "edit_access_token": edit_access_token,
    "rotate_access_token": rotate_access_token,
    "revoke_access_token": revoke_access_token,
    "create_schedule": create_schedule,
    "start_scheduled": start_scheduled,
    "end_scheduled": end_scheduled,
    "remove_schedule": remove_schedule,
    "note_refusals": note_refusals,
    "notify_take": notify_take,
    "notify_settle": notify_settle,
    "mirror_take": mirror_take,
    "mirror_give": mirror_give,
    "audit": audit,
    "audit_index": audit_index,
    "recount": recount,
    "quarantine": quarantine,
}


def refused_cancel(bench: Bench) -> RefusedCall:
    item = bench.completed_item()
    return (
        lambda lossy: lossy.queue.cancel(item),
        lambda: bench.queue.requeue(item),
    )


def refused_requeue(bench: Bench) -> RefusedCall:
    lease = bench.claimed()
    return (
        lambda lossy: lossy.queue.requeue(lease.item),
        lambda: bench.queue.cancel(lease.item),
    )


def refused_assign(bench: Bench) -> RefusedCall:
    lease = bench.claimed()
    return (
        lambda lossy: lossy.queue.assign(lease.item, "bob"),
        lambda: bench.agent().release(lease),
    )


def refused_create(bench: Bench) -> RefusedCall:
    project = bench.project()
    bench.queue.complete_project(project)
    return (
        lambda lossy: lossy.item(project),
        lambda: bench.queue.reopen_project(project),
    )


def refused_completion(bench: Bench) -> RefusedCall:
    item = bench.item(bench.project(), agent="bob")
    return (
        lambda lossy: lossy.agent().complete(Lease(item=item), "done"),
        lambda: bench.queue.assign(item, "ada"),
    )


def refused_close(bench: Bench) -> RefusedCall:
    project = bench.project()
    item = bench.item(project)
    return (
        lambda lossy: lossy.queue.complete_project(project),
        lambda: bench.queue.cancel(item),
    )


#: Calls that are refused, each with a change after which they would not be.
REFUSED: Mapping[str, Callable[[Bench], RefusedCall]] = {
    "cancel": refused_cancel,
    "requeue": refused_requeue,
    "assign": refused_assign,
    "create": refused_create,
    "complete": refused_completion,
    "close_project": refused_close,
}
#: Calls that change nothing, so that their replies are not kept, and `check`, whose
#: reply has the time.
NOT_KEPT = ("pop of nothing", "check")
