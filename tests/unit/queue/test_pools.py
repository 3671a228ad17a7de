"""Pools: equal agents share a queue, and each item is claimed once."""

from collections.abc import Callable
from concurrent.futures import Future

import pytest
from support.builders import Bench, need_lease
from support.named_calls import Noted
from support.repeats import RecordingConnection
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors, limits
from taskorch.domain.item import (
    HOUR_MS,
    Claim,
    ItemEdit,
    ItemFilter,
    Lease,
    NewItem,
    State,
)
from taskorch.domain.usage import ModelUsage
from taskorch.queue import keys
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.plan import Plan

POOLS = ("backend", "python")


def in_pool(bench: Bench, item: str) -> tuple[State, str, str]:
    """Return the state, the agent and the pool of an item."""
    shown = bench.queue.views.show(item).item
    return shown.state, shown.agent, shown.pool


def pools_of(bench: Bench) -> dict[str, tuple[str, ...]]:
    """Return the agents, each with its pools."""
    return {agent.name: agent.pools for agent in bench.queue.views.agents()}


def test_pool_item_becomes_its_claimers(bench: Bench) -> None:
    item = bench.pool_item()
    assert in_pool(bench, item) == (State.QUEUED, "", "backend")

    claim = bench.agent("bob", pools=POOLS).claim()

    assert need_lease(claim).item == item
    assert in_pool(bench, item) == (State.IN_PROGRESS, "bob", "backend")
    assert bench.agent("ada", pools=POOLS).claim() is None
    assert bench.inconsistencies() == []


def test_agent_outside_a_pool_claims_nothing_of_it(bench: Bench) -> None:
    item = bench.pool_item()

    assert bench.agent("bob").claim() is None
    assert bench.agent("bob", pools=["python"]).claim() is None
    for pools in ((), ("python",)):
        with pytest.raises(errors.NotYours, match="waits in the pool backend"):
            bench.agent("bob", pools=pools).get(Lease(item=item))


def test_own_queue_comes_before_pools_in_order(bench: Bench) -> None:
    python = bench.pool_item("python", priority=0)
    later = bench.pool_item("backend")
    urgent = bench.pool_item("backend", priority=0)
    own = bench.item(agent="bob", priority=4)
    agent = bench.agent("bob", pools=POOLS)

    claims = [agent.claim() for _ in range(4)]

    order = [need_lease(claim).item for claim in claims]
    assert order == [own, urgent, later, python]
    assert agent.claim() is None


def test_claim_of_several_fills_up_from_pools(bench: Bench) -> None:
    python = bench.pool_item("python")
    backend = [bench.pool_item("backend") for _ in range(2)]
    own = bench.item(agent="bob")

    claims = bench.agent("bob", pools=POOLS).claim_many(3)

    assert [need_lease(claim).item for claim in claims] == [own, *backend]
    assert in_pool(bench, python)[0] is State.QUEUED
    assert bench.inconsistencies() == []


def test_changed_priority_moves_item_within_pool(bench: Bench) -> None:
    first, later = bench.pool_item(), bench.pool_item()
    agent = bench.agent("bob", pools=POOLS)

    bench.queue.edit([later], ItemEdit(priority=0))

    assert need_lease(agent.claim()).item == later
    assert need_lease(agent.claim()).item == first
    assert bench.inconsistencies() == []


def test_claim_drops_foreign_entry_of_pool(bench: Bench) -> None:
    item = bench.item()
    bench.add_entry("queue:pool:backend", item)

    claim = bench.agent("bob", pools=POOLS).claim()

    assert claim is None
    assert bench.members("queue:pool:backend") == []
    assert need_lease(bench.agent().claim()).item == item


def test_repeated_claim_keeps_order_of_pools(bench: Bench) -> None:
    bench.pool_item("python", priority=0)
    bench.pool_item("backend", priority=4)
    bench.item(agent="bob", priority=4)
    connection = RecordingConnection(bench.queue._scripts.connection)
    recorded = bench.with_connection(lambda _: connection)
    recorded.agent("bob", pools=POOLS).claim_many(3)

    first, again = connection.repeat(0)

    assert again.reply == first.reply


@pytest.mark.parametrize("how", ["release", "fail", "expire"])
def test_given_up_item_goes_back_to_its_pool(bench: Bench, how: str) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())

    match how:
        case "release":
            bob.release(lease)
        case "fail":
            bob.fail(lease, "no luck")
            bench.end_delay(item)
        case "expire":
            bench.expire_lease(item)
            bench.queue.reap()
            bench.end_delay(item)
    bench.queue.reap()

    assert in_pool(bench, item) == (State.QUEUED, "", "backend")
    assert bench.inconsistencies() == []
    taken = bench.agent("ada", pools=POOLS).claim()
    assert need_lease(taken).item == item
    assert [
        event["agent"] for event in bench.events() if event["verb"] == how
    ] == ["bob"]


def test_blocked_item_stays_with_its_claimer(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    asked = bob.blocker(need_lease(bob.claim()), "Which one?")

    assert in_pool(bench, item) == (State.BLOCKED, "bob", "backend")
    bench.queue.answer(item, "That one")

    assert in_pool(bench, item) == (State.IN_PROGRESS, "bob", "backend")
    bob.complete(asked.lease, "done")
    assert in_pool(bench, item) == (State.COMPLETED, "bob", "backend")
    assert bench.inconsistencies() == []


def test_answered_item_that_was_left_returns_to_pool(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    asked = bob.blocker(need_lease(bob.claim()), "Which one?")
    bob.release(asked.lease, asks=True)

    bench.queue.answer(item, "That one")

    assert in_pool(bench, item) == (State.QUEUED, "", "backend")
    assert bench.inconsistencies() == []


@pytest.mark.parametrize(
    "verb", ["progress", "complete", "blocker", "fail", "renew", "get"]
)
def test_late_holder_returns_to_its_pool_item(bench: Bench, verb: str) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())
    bench.expire_lease(item)
    bench.queue.reap()
    assert in_pool(bench, item) == (State.DELAYED, "", "backend")

    match verb:
        case "progress":
            bob.progress(lease, "on it")
        case "complete":
            bob.complete(lease, "done")
        case "blocker":
            bob.blocker(lease, "Which one?")
        case "fail":
            bob.fail(lease, "no luck")
        case "renew":
            bob.renew(lease)
        case "get":
            bob.get(lease)

    back = verb == "fail"
    assert in_pool(bench, item)[1] == ("" if back else "bob")
    assert bench.inconsistencies() == []


def test_late_holder_loses_what_another_has_claimed(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())
    bench.expire_lease(item)
    bench.queue.reap()
    bench.end_delay(item)
    assert need_lease(bench.agent("ada", pools=POOLS).claim()).item == item

    with pytest.raises(errors.LeaseLost):
        bob.complete(lease, "done")

    assert in_pool(bench, item)[1] == "ada"


def test_another_agent_cannot_use_a_late_holders_token(bench: Bench) -> None:
    item = bench.pool_item()
    lease = need_lease(bench.agent("bob", pools=POOLS).claim())
    bench.expire_lease(item)
    bench.queue.reap()

    with pytest.raises(errors.LeaseLost):
        bench.agent("eve", pools=POOLS).complete(lease, "done")

    assert bench.state(item) is State.DELAYED


def test_last_holder_without_token_reports_nothing(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    bob.release(need_lease(bob.claim()))

    with pytest.raises(errors.NotYours):
        bob.progress(Lease(item=item), "once more")

    assert in_pool(bench, item) == (State.QUEUED, "", "backend")


def test_report_does_not_claim_from_a_pool(bench: Bench) -> None:
    item = bench.pool_item()

    with pytest.raises(errors.NotYours) as refusal:
        bench.agent("bob", pools=POOLS).progress(Lease(item=item), "begun")

    assert "worker get" in refusal.value.hint()
    assert bench.agent("bob", pools=POOLS).get(Lease(item=item)).lease
    assert in_pool(bench, item)[1] == "bob"


def test_dependent_is_released_into_its_pool(bench: Bench) -> None:
    needed = bench.item()
    item = bench.pool_item(depends_on=(needed,))
    assert in_pool(bench, item) == (State.WAITING, "", "backend")

    bench.agent().complete(Lease(item=needed), "done")

    assert in_pool(bench, item) == (State.QUEUED, "", "backend")
    assert bench.inconsistencies() == []


def test_assignment_moves_items_in_and_out(bench: Bench) -> None:
    item = bench.item(agent="")

    inwards = bench.queue.assign(item, pool="backend")
    assert (inwards.agent, inwards.pool, inwards.state) == (
        "",
        "backend",
        State.QUEUED,
    )
    outwards = bench.queue.assign(item, "bob")

    assert outwards.previous_pool == "backend"
    assert in_pool(bench, item) == (State.QUEUED, "bob", "")
    assert bench.agent("ada", pools=POOLS).claim() is None
    bench.queue.assign(item, pool="python")
    assert in_pool(bench, item) == (State.QUEUED, "", "python")
    assert bench.inconsistencies() == []


def test_held_item_needs_force_to_another_pool(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())

    same = bench.queue.assign(item, pool="backend")
    with pytest.raises(errors.Held):
        bench.queue.assign(item, pool="python")
    assert same.agent == "bob"
    bench.queue.assign(item, pool="python", force=True)

    assert in_pool(bench, item) == (State.QUEUED, "", "python")
    with pytest.raises(errors.LeaseLost):
        bob.complete(lease, "done")
    assert bench.inconsistencies() == []


def test_assignment_to_holder_leaves_the_pool(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())

    bench.queue.assign(item, "bob")
    bob.release(lease)

    assert in_pool(bench, item) == (State.QUEUED, "bob", "")
    assert bench.inconsistencies() == []


def test_requeue_returns_a_dead_letter_to_its_pool(bench: Bench) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    bob.fail(need_lease(bob.claim()), "hopeless", retry=False)
    assert in_pool(bench, item) == (State.FAILED, "bob", "backend")

    bench.queue.requeue(item)

    assert in_pool(bench, item) == (State.QUEUED, "", "backend")
    bench.queue.cancel(item)
    assert in_pool(bench, item) == (State.CANCELLED, "", "backend")
    assert bench.inconsistencies() == []


def test_plan_creates_items_in_pools(bench: Bench) -> None:
    items = (
        NewItem(title="A", key="a", pool="backend"),
        NewItem(title="B", key="b", pool="backend", depends_on=(0,)),
    )
    plan = Plan(title="P", key="p", items=items)

    applied = bench.queue.apply(plan)
    again = bench.queue.apply(plan, updates=True)

    assert [item.pool for item in applied.items] == ["backend", "backend"]
    assert applied.pools_without_agents == ("backend",)
    assert not any(item.differences or item.changes for item in again.items)
    assert bench.inconsistencies() == []


def test_item_has_an_agent_or_a_pool(bench: Bench) -> None:
    project = bench.project()

    with pytest.raises(errors.Invalid, match="agent or to a pool"):
        bench.queue.create(project, NewItem(title="A", agent="ada", pool="x"))
    with pytest.raises(errors.Invalid):
        bench.queue.create(project, NewItem(title="A", pool="a:b"))
    with pytest.raises(errors.Invalid):
        bench.queue.assign(bench.item(), "ada", pool="x")


def test_agent_has_few_pools_each_once(bench: Bench) -> None:
    with pytest.raises(errors.Invalid):
        bench.agent(pools=[f"p{n}" for n in range(limits.POOLS + 1)])
    with pytest.raises(errors.Invalid, match="twice"):
        bench.agent(pools=["backend", "backend"])


def test_check_shows_items_and_numbers_of_pools(bench: Bench) -> None:
    own = bench.item(agent="bob")
    item = bench.pool_item()

    assigned = bench.agent("bob", pools=POOLS).check()

    assert [each.id for each in assigned.items] == [own, item]
    assert assigned.count == 2
    assert assigned.pools == {"backend": 1, "python": 0}
    assert bench.agent("bob", pools=POOLS).prime().pools == assigned.pools


def test_list_filters_by_pool(bench: Bench) -> None:
    item = bench.pool_item()
    bench.pool_item("python")
    bench.item()

    found = bench.queue.views.search(ItemFilter(pools=("backend",)))

    assert [each.id for each in found.items] == [item]


def test_agents_and_pools_know_each_other(bench: Bench) -> None:
    item = bench.pool_item()
    bench.agent("bob", pools=POOLS).check()
    bench.agent("eve", pools=["backend"]).check()

    backend, python = bench.queue.views.pools()
    names = [member.name for member in backend.members]

    assert (backend.name, backend.queued, sorted(names)) == (
        "backend",
        1,
        ["bob", "eve"],
    )
    assert backend.first
    assert backend.first.id == item
    assert [member.name for member in python.members] == ["bob"]
    assert pools_of(bench) == {"bob": POOLS, "eve": ("backend",)}


@pytest.mark.parametrize("ask", [AgentQueue.check, AgentQueue.claim])
def test_session_without_pools_leaves_them_alone(
    bench: Bench, ask: Callable[[AgentQueue], object]
) -> None:
    bench.agent("bob", pools=POOLS).check()

    ask(bench.agent("bob"))

    assert pools_of(bench) == {"bob": POOLS}
    assert [len(pool.members) for pool in bench.queue.views.pools()] == [1, 1]


def test_session_replaces_pools_of_its_agent(bench: Bench) -> None:
    bench.agent("bob", pools=POOLS).check()

    bench.agent("bob", pools=["python"]).check()

    assert pools_of(bench) == {"bob": ("python",)}
    assert [len(pool.members) for pool in bench.queue.views.pools()] == [0, 1]


def test_agent_leaves_all_pools(bench: Bench) -> None:
    item = bench.pool_item()
    bench.agent("bob", pools=POOLS).check()

    claim = bench.agent("bob", pools=()).claim()

    assert claim is None
    assert pools_of(bench) == {"bob": ()}
    (stuck,) = bench.queue.views.stuck().items
    assert (stuck.item.id, stuck.why) == (item, "pool_without_agents")
    assert bench.inconsistencies() == []


def test_agents_are_listed_with_existing_pools(bench: Bench) -> None:
    bench.agent().check()

    agents, without = bench.queue.views.agents_and_pools()
    bench.pool_item("backend")
    _, pools = bench.queue.views.agents_and_pools()

    assert [agent.name for agent in agents] == ["ada"]
    assert without == ()
    assert [pool.name for pool in pools] == ["backend"]


def test_agents_come_with_pools_in_one_call(bench: Bench) -> None:
    bench.pool_item("backend")
    bench.agent("bob", pools=POOLS).check()
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    agents, pools = noted.queue.views.agents_and_pools()

    assert [agent.name for agent in agents] == ["bob"]
    assert pools == bench.queue.views.pools()
    assert seen == ["agents"]


def test_many_pools_are_listed_in_order(bench: Bench) -> None:
    names = [f"pool-{number:02}" for number in range(45)]
    for name in names:
        bench.pool_item(name)

    _, pools = bench.queue.views.agents_and_pools()
    _, few = bench.queue.views.agents_and_pools(limit=30)

    assert [pool.name for pool in pools] == names
    assert [pool.name for pool in few] == names[:30]


def test_pool_without_agents_is_stuck(bench: Bench) -> None:
    item = bench.pool_item()

    (stuck,) = bench.queue.views.stuck().items
    bench.agent("bob", pools=POOLS).check()

    assert (stuck.item.id, stuck.why) == (item, "pool_without_agents")
    assert bench.queue.views.stuck().items == ()
    bench.age_item(item, hours=1)
    assert [each.why for each in bench.queue.views.stuck().items] == [
        "unstarted"
    ]


def test_audit_finds_a_pool_item_in_no_queue(bench: Bench) -> None:
    item = bench.pool_item()
    bench.delete_entry("queue:pool:backend", item)
    bench.delete_entry("pools", "backend")

    found = {finding.word for finding in bench.queue.audit().findings}
    bench.queue.audit(fix=True)

    assert found == {"index", "pool"}
    assert bench.inconsistencies() == []
    assert need_lease(bench.agent("bob", pools=POOLS).claim()).item == item


def test_audit_removes_a_foreign_entry_of_a_pool(bench: Bench) -> None:
    item = bench.item()
    bench.add_entry("queue:pool:backend", item)

    (finding,) = bench.queue.audit_index("queue:pool:backend", fix=True)

    assert finding.id == item
    assert bench.members("queue:pool:backend") == []


def test_damaged_pool_stops_nothing(bench: Bench) -> None:
    damaged, item = bench.pool_item(), bench.pool_item()
    bench.raw.hset(f"{keys.tag(bench.namespace)}item:{damaged}", "pool", "a:b")

    claim = bench.agent("bob", pools=POOLS).claim()

    assert need_lease(claim).item == item


def test_unused_pool_is_forgotten(bench: Bench) -> None:
    item = bench.pool_item()
    bench.agent("bob", pools=POOLS).check()
    bench.queue.assign(item, "ada")

    for key, names in (("agents", ("ada", "bob")), ("pools", POOLS)):
        for name in names:
            bench.add_entry(key, name)

    bench.queue.forget_agents(unseen_ms=HOUR_MS)

    assert bench.members("pools") == []
    assert bench.members("members:backend") == []


@pytest.mark.parametrize("how", ["release", "requeue"])
def test_item_that_comes_back_makes_its_pool_known(
    bench: Bench, how: str
) -> None:
    item = bench.pool_item()
    bob = bench.agent("bob", pools=POOLS)
    lease = need_lease(bob.claim())
    if how == "requeue":
        bob.complete(lease)
    bench.agent("bob", pools=()).check()
    for name in POOLS:
        bench.add_entry("pools", name)
    bench.queue.forget_agents(unseen_ms=HOUR_MS)
    forgotten = bench.members("pools")

    if how == "requeue":
        bench.queue.requeue(item)
    else:
        bench.agent("bob").release(lease)

    assert forgotten == []
    (stuck,) = bench.queue.views.stuck().items
    assert (stuck.item.id, stuck.why) == (item, "pool_without_agents")
    assert bench.inconsistencies() == []


def test_unused_pool_behind_many_is_forgotten(bench: Bench) -> None:
    used = [f"used-{number:03}" for number in range(120)]
    bench.create_many(
        bench.project(), [NewItem(title=name, pool=name) for name in used]
    )
    bench.agent("bob", pools=["unused", "left"]).check()
    bench.agent("bob", pools=()).check()
    for name, score in (*dict.fromkeys(used, 1).items(), ("unused", 2)):
        bench.add_entry("pools", name, score)

    bench.queue.forget_agents(unseen_ms=HOUR_MS)

    assert bench.members("pools") == ["left", *used]


def test_pool_in_use_is_not_forgotten(bench: Bench) -> None:
    item = bench.pool_item("backend")
    bench.agent("bob", pools=["python"]).check()
    for name in POOLS:
        bench.add_entry("pools", name)

    bench.queue.forget_agents(unseen_ms=HOUR_MS)

    assert bench.members("pools") == [*POOLS]
    assert need_lease(bench.agent("eve", pools=POOLS).claim()).item == item


def test_pool_item_wakes_one_waiter(bench: Bench, waiters: Waiters) -> None:
    def claiming(name: str) -> "Future[Claim | None]":
        return waiters.start(
            lambda bench: bench.agent(name, pools=POOLS).claim(wait_s=LONG_S)
        )

    waiting = [claiming("bob"), claiming("eve")]

    items = [bench.pool_item(), bench.pool_item("python")]

    claims = [future.result(LONG_S) for future in waiting]
    assert {need_lease(claim).item for claim in claims} == set(items)


def test_wake_is_passed_on_with_an_own_item(bench: Bench) -> None:
    bob = bench.agent("bob", pools=POOLS)
    pooled, own = bench.pool_item(), bench.item(agent="bob")
    assert bob._scripts.wait_for_wake(SOON_S)  # that of its own queue
    assert bob._scripts.wait_for_wake(SOON_S)  # that of the pool

    claim = bob.claim()

    assert need_lease(claim).item == own
    eve = bench.agent("eve", pools=POOLS)
    assert eve._scripts.wait_for_wake(SOON_S)
    assert need_lease(eve.claim()).item == pooled


def test_agent_over_budget_leaves_wake_of_pool(
    bench: Bench, waiters: Waiters
) -> None:
    bob = bench.agent("bob")
    lease = bench.claimed(bench.item(agent="bob"), agent="bob")
    bob.complete(lease, used=ModelUsage(cost_micros=1))
    assert bob._scripts.wait_for_wake(SOON_S)  # that of the item
    waiter = waiters.start(
        lambda bench: bench.agent("bob", pools=POOLS).claim(wait_s=LONG_S)
    )
    # The waiter blocks on its pools, too: its budget was not used up then.
    bench.queue.set_budget("bob", period="total", limit_micros=1)

    item = bench.pool_item()

    eve = bench.agent("eve", pools=POOLS)
    assert eve._scripts.wait_for_wake(SOON_S)
    assert need_lease(eve.claim()).item == item
    own = bench.item(agent="bob")
    bench.queue.set_budget("bob", period="total")
    assert need_lease(waiter.result(LONG_S)).item == own
