"""Budgets: what they keep from being claimed, and what goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import cast

import pytest
from support.backups import export_lines, to_jsonl
from support.builders import Bench, need_lease
from support.named_calls import Noted
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.item import Lease, NewItem, State
from taskorch.domain.usage import ModelUsage
from taskorch.queue.agent_queue import NO_NOTICE
from taskorch.queue.queue import Queue
from taskorch.queue.requests import Requests
from taskorch_orchestrator.backup import restore

DOLLAR = 1_000_000


def spend(bench: Bench, project: str, micros: int, agent: str = "ada") -> None:
    """Have an agent complete an item of a project at a cost."""
    lease = bench.claimed(bench.item(project, agent=agent), agent=agent)
    bench.agent(agent).complete(lease, used=ModelUsage(cost_micros=micros))


def limit(
    bench: Bench, owner: str, micros: int | None, period: str = "total"
) -> None:
    bench.queue.set_budget(owner, period=period, limit_micros=micros)


def refusal(bench: Bench, agent: str = "ada") -> errors.OverBudget:
    """Return why a claim has got nothing."""
    found: list[errors.OverBudget] = []
    notice = NO_NOTICE._replace(over_budget=found.append)
    assert bench.agent(agent).claim_many(1, notice=notice) == ()
    (over,) = found
    return over


@pytest.mark.parametrize("period", ["day", "total"])
@pytest.mark.parametrize("kind", ["project", "agent", "namespace"])
def test_used_up_budget_keeps_items_from_claims(
    bench: Bench, kind: str, period: str
) -> None:
    bench.stay_in_one_day()
    project = bench.project()
    spend(bench, project, DOLLAR)
    bench.item(project)
    owner = {"project": project, "agent": "ada"}.get(kind, kind)

    limit(bench, owner, DOLLAR, period)

    over = refusal(bench)
    assert over.exit_code == 8
    assert str(over).startswith("over budget: ")
    assert "$1.00 of $1.00" in str(over)
    assert f"orchestrate budget {owner} --limit" in over.hint()
    assert (over.details["ends"] != "") == (period == "day")
    limit(bench, owner, DOLLAR + 1, period)
    assert bench.agent().claim()


def test_budget_of_tokens_counts_in_and_out(bench: Bench) -> None:
    bench.stay_in_one_day()
    lease = bench.claimed()
    used = ModelUsage(tokens_in=60, tokens_out=40, cache_read=1000)
    bench.agent().progress(lease, "half", used=used)
    bench.item()

    bench.queue.set_budget("ada", period="day", limit_tokens=101)
    assert bench.agent().claim()
    bench.item()
    bench.queue.set_budget("ada", period="day", limit_tokens=100)

    assert "100 tokens of 100 tokens" in str(refusal(bench))


def test_budget_of_zero_stops_all_claims(bench: Bench) -> None:
    bench.item()

    limit(bench, "namespace", 0)

    assert refusal(bench).details["used"] == "0"


def test_other_projects_of_queue_stay_claimable(bench: Bench) -> None:
    stopped, open_ = bench.project(), bench.project()
    for _ in range(5):
        bench.item(stopped, priority=0)
    wanted = bench.item(open_, priority=4)

    limit(bench, stopped, 0)

    claim = bench.agent().claim()
    assert claim
    assert claim.package.item.id == wanted
    assert refusal(bench).details["owner"] == f"project:{stopped}"


def test_claim_looks_at_200_items_in_all(bench: Bench) -> None:
    stopped, open_ = bench.project(), bench.project()
    limit(bench, stopped, 0)
    items = [NewItem(title="An item", agent="ada", priority=0)] * 200
    bench.create_many(stopped, items)
    bench.item(open_, priority=4)

    assert refusal(bench).details["owner"] == f"project:{stopped}"


def test_budget_of_other_agent_stops_nothing(bench: Bench) -> None:
    bench.agent("bob").check()
    bench.item()

    limit(bench, "bob", 0)

    assert bench.agent().claim()


def test_running_work_goes_on(bench: Bench) -> None:
    lease = bench.claimed()
    limit(bench, "namespace", 0)
    agent = bench.agent()

    agent.progress(lease, "half", used=ModelUsage(cost_micros=DOLLAR))
    agent.renew(lease)
    agent.discover(lease, "It rains")
    question = agent.blocker(lease, "Which door?")
    bench.queue.answer(lease.item, "The left one.")
    receipt = agent.complete(lease, "done", next=True)

    assert question.question == 1
    assert receipt.state is State.COMPLETED
    assert receipt.next is None


@pytest.mark.parametrize("verb", ["get", "takeover", "progress", "discover"])
def test_other_claims_are_refused(bench: Bench, verb: str) -> None:
    held = bench.claimed()
    queued = bench.item()
    limit(bench, "ada", 0)
    agent = bench.agent(session="two")
    calls: dict[str, Callable[[], object]] = {
        "get": lambda: agent.get(Lease(item=queued)),
        "takeover": lambda: agent.get(Lease(item=held.item), takeover=True),
        "progress": lambda: agent.progress(Lease(item=queued), "half"),
        "discover": lambda: agent.discover(Lease(item=queued), "It rains"),
    }

    with pytest.raises(errors.OverBudget):
        calls[verb]()

    assert bench.state(queued) is State.QUEUED
    assert agent.get(Lease(item=queued), peek=True).lease is None


def test_finished_work_is_accepted_over_budget(bench: Bench) -> None:
    queued = bench.item()
    limit(bench, "ada", 0)

    receipt = bench.agent().complete(Lease(item=queued), "done already")

    assert receipt.state is State.COMPLETED


@pytest.mark.parametrize("how", ["raised", "removed"])
def test_changed_budget_wakes_waiting_claim(
    bench: Bench, waiters: Waiters, how: str
) -> None:
    wanted = bench.item()
    limit(bench, "ada", 0)
    waiter = waiters.start(lambda own: own.agent().claim(wait_s=LONG_S))

    limit(bench, "ada", DOLLAR if how == "raised" else None)

    claim = waiter.result(SOON_S)
    assert need_lease(claim).item == wanted
    assert bench.members("budget_waiters") == []


def test_wait_under_day_budget_ends_with_the_day(bench: Bench) -> None:
    bench.item()
    limit(bench, "ada", 0, "day")
    before = bench.now_ms()
    reply = bench.agent()._run_script("claim", "", "", 1)
    after = bench.now_ms()
    views, due_ms, over = cast("tuple[list[str], str, list[str]]", reply)

    assert views == []
    assert before <= int(over[5]) - int(due_ms) <= after


def test_day_budget_counts_this_day_only(bench: Bench) -> None:
    bench.item()
    limit(bench, "ada", DOLLAR, "day")
    for field in (f"day:{bench.today() - 1}", "total"):
        bench.set_sum("agent:ada:usage", field, f"0 0 0 {DOLLAR}")

    assert bench.agent().claim()


def test_budgets_are_listed_used_up_first(bench: Bench) -> None:
    bench.stay_in_one_day()
    project = bench.project()
    spend(bench, project, DOLLAR)

    limit(bench, "ada", 5 * DOLLAR, "day")
    limit(bench, project, DOLLAR)

    first, second = bench.queue.views.budgets()
    assert (first.owner, first.period) == (f"project:{project}", "total")
    assert first.used_up
    assert not second.used_up
    assert second.used == replace(ModelUsage(), cost_micros=DOLLAR)
    assert second.resets_at > bench.now_ms()


def test_budgets_of_an_owner_take_one_call(bench: Bench) -> None:
    bench.stay_in_one_day()
    bench.item()
    limit(bench, "ada", 0)
    limit(bench, "namespace", DOLLAR)
    seen: list[str] = []
    noted = bench.with_connection(lambda connection: Noted(connection, seen))

    change = noted.queue.set_budget("ada", period="day", limit_micros=DOLLAR)
    listed = noted.queue.views.budgets("ada")

    assert seen == ["set_budget", "budgets"]
    assert not change.existed
    assert change.budgets == listed
    assert [(each.period, each.used_up) for each in listed] == [
        ("total", True),
        ("day", False),
    ]
    with pytest.raises(errors.NoAgent):
        bench.queue.views.budgets("nobody")


def test_removed_budget_is_gone(bench: Bench) -> None:
    bench.item()
    limit(bench, "namespace", 0)

    removed = bench.queue.set_budget("namespace", period="total")

    assert removed.existed
    assert removed.budgets == ()
    assert bench.queue.views.budgets() == ()
    assert bench.sums("budgets") == {}
    assert "budgets" not in bench.sums("meta")
    assert bench.agent().claim()


def test_second_kind_of_owner_is_asked_for(bench: Bench) -> None:
    project = bench.project()
    bench.item(project)
    limit(bench, "ada", DOLLAR)

    limit(bench, project, 0)
    limit(bench, "ada", 2 * DOLLAR, "day")

    assert bench.sums("meta")["budgets"] == "agent project"
    assert refusal(bench).details["owner"] == f"project:{project}"


def test_restored_budget_stops_claims(bench: Bench, tmp_path: Path) -> None:
    bench.item()
    limit(bench, "ada", 0)
    limit(bench, "namespace", DOLLAR)
    file = tmp_path / "export.jsonl"
    file.write_bytes(to_jsonl(export_lines(bench, file)))
    bench.delete_everything()

    restore.restore(file, bench.queue.backup)

    assert bench.sums("meta")["budgets"] == "agent namespace"
    assert refusal(bench).details["owner"] == "agent:ada"


@pytest.mark.parametrize("kind", ["project", "agent", "namespace"])
def test_mark_of_older_version_means_any(bench: Bench, kind: str) -> None:
    project = bench.project()
    bench.item(project)
    owner = {"project": project, "agent": "ada"}.get(kind, kind)
    limit(bench, owner, 0)

    bench.set_kinds_with_budgets("1")

    assert refusal(bench).exit_code == 8
    limit(bench, "ada", DOLLAR, "day")
    assert bench.sums("meta")["budgets"] == "1"


def test_budget_of_unknown_owner_is_refused(bench: Bench) -> None:
    with pytest.raises(errors.NoProject):
        limit(bench, "proj_ffffffff", 0)
    with pytest.raises(errors.NoAgent):
        limit(bench, "nobody", 0)
    with pytest.raises(errors.Invalid):
        limit(bench, "not a name", 0)
    with pytest.raises(errors.Invalid):
        limit(bench, "namespace", -1)
    with pytest.raises(errors.Invalid):
        limit(bench, "namespace", 0, "week")


def test_stuck_names_the_budget(bench: Bench) -> None:
    project = bench.project()
    first = bench.item(project)
    bench.item(project)
    limit(bench, project, 0)

    (each,) = bench.queue.views.stuck().items

    assert (each.item.id, each.why) == (first, "over_budget")
    assert each.reason.startswith(f"over budget: project {project}")
    assert each.command.startswith(f"orchestrate budget {project} --limit")


def test_stuck_names_budget_of_long_queue_once(bench: Bench) -> None:
    items = [NewItem(title="An item", agent="ada")] * 150
    bench.create_many(bench.project(), items)
    limit(bench, "ada", 0)

    (each,) = bench.queue.views.stuck().items

    assert each.why == "over_budget"


def test_briefing_names_the_budget(bench: Bench) -> None:
    project = bench.project()
    bench.item(project)
    limit(bench, project, 0)

    assert bench.agent().prime().over_budget.startswith("over budget: ")
    bench.item(bench.project(), priority=0)
    assert bench.agent().prime().over_budget == ""


def test_purged_project_leaves_no_budget(bench: Bench) -> None:
    project = bench.project()
    limit(bench, project, 0)
    bench.queue.complete_project(project)

    bench.queue.purge(project)

    assert bench.queue.views.budgets() == ()


def test_agent_with_budget_is_not_forgotten(bench: Bench) -> None:
    bench.agent("ada").check()
    bench.agent("bob").check()
    limit(bench, "ada", DOLLAR)
    bench.wait_for_next_ms()

    bench.queue.forget_agents(unseen_ms=1)

    names = {agent.name for agent in bench.queue.views.agents()}
    assert names == {"ada"}


def test_claim_of_several_skips_stopped_project(bench: Bench) -> None:
    stopped, open_ = bench.project(), bench.project()
    limit(bench, stopped, 0)
    for project in (stopped, open_) * 3:
        bench.item(project)

    claims = bench.agent().claim_many(6)

    assert [claim.package.item.project for claim in claims] == [open_] * 3
    assert all(map(need_lease, claims))


def test_used_up_budget_keeps_no_waiter_busy(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.pool_item()
    limit(bench, "namespace", 0)
    waiter = waiters.start(
        lambda own: own.agent("bob", pools=["backend"]).claim(wait_s=1)
    )

    assert waiter.result(LONG_S) is None
    assert waiters.connection.calls < 10
    limit(bench, "namespace", None)
    claim = bench.agent("bob", pools=["backend"]).claim()
    assert need_lease(claim).item == item


def test_raised_budget_of_all_wakes_agent_of_pool(
    bench: Bench, waiters: Waiters
) -> None:
    item = bench.pool_item()
    limit(bench, "namespace", 0)
    waiter = waiters.start(
        lambda own: own.agent("bob", pools=["backend"]).claim(wait_s=LONG_S)
    )

    limit(bench, "namespace", None)

    assert need_lease(waiter.result(SOON_S)).item == item


def test_stopped_project_hides_no_pool(bench: Bench) -> None:
    stopped, open_ = bench.project(), bench.project()
    limit(bench, stopped, 0)
    items = [NewItem(title="An item", agent="bob", priority=0)] * 250
    bench.create_many(stopped, items)
    for _ in range(2):
        bench.pool_item(project=stopped, priority=0)
    wanted = bench.pool_item(project=open_)

    claim = bench.agent("bob", pools=["backend", "python"]).claim()

    assert need_lease(claim).item == wanted


@pytest.mark.parametrize("pools", [(), ("backend", "python", "spare")])
def test_stopped_project_hides_nothing_behind_150_items(
    bench: Bench, pools: tuple[str, ...]
) -> None:
    stopped, open_ = bench.project(), bench.project()
    limit(bench, stopped, 0)
    items = [NewItem(title="An item", agent="bob", priority=0)] * 150
    bench.create_many(stopped, items)
    wanted = [bench.item(open_, agent="bob") for _ in range(2)]

    claims = bench.agent("bob", pools=pools).claim_many(2)

    assert [need_lease(claim).item for claim in claims] == wanted


def test_repeated_budget_wakes_all_waiters(bench: Bench) -> None:
    for number in range(450):
        bench.add_entry("budget_waiters", f"a{number}")
    queue = Queue(
        bench.queue.connection,
        bench.namespace,
        bench.queue.caller,
        requests=Requests(same="ab" * 8),
    )

    queue.set_budget("namespace", period="day", limit_micros=1)

    assert bench.members("budget_waiters") == []
