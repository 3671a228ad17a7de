"""Tokens and cost of items: what a report adds, and that nothing counts twice."""

import pytest
from support.builders import Bench
from taskorch.domain import errors, usage
from taskorch.domain.item import Caller, Lease, State
from taskorch.domain.mirror_record import Origin
from taskorch.domain.usage import ModelUsage
from taskorch.queue.agent_queue import AgentQueue
from taskorch.queue.budgets import Costs
from taskorch.queue.requests import Requests

SPENT = ModelUsage(
    tokens_in=100, tokens_out=20, cache_read=3, cost_micros=42_300, model="big"
)


def used_by(bench: Bench, item: str) -> ModelUsage | None:
    return bench.queue.views.show(item).item.usage


def project_of(bench: Bench, item: str) -> str:
    return bench.queue.views.show(item).item.project


def costs(bench: Bench, owner: str = "", by: str = "day") -> Costs:
    return bench.queue.views.costs(owner, by=by)


def total(bench: Bench, owner: str = "") -> tuple[int, int, int, int]:
    used = costs(bench, owner).total
    return (
        used.tokens_in,
        used.tokens_out,
        used.cache_read,
        used.cost_micros,
    )


def test_progress_complete_and_fail_add_up(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().progress(lease, "begun", used=SPENT)
    bench.agent().fail(lease, "no luck", used=SPENT)
    bench.end_delay(lease.item)
    bench.queue.reap()
    again = bench.claimed(lease.item)

    bench.agent().complete(again, "done", used=SPENT)

    found = used_by(bench, lease.item)
    assert found == ModelUsage(
        tokens_in=300,
        tokens_out=60,
        cache_read=9,
        cost_micros=126_900,
        model="big",
    )
    project = project_of(bench, lease.item)
    assert total(bench) == total(bench, project) == total(bench, "ada")
    assert total(bench) == (300, 60, 9, 126_900)


def test_costs_have_rows_of_each_kind(bench: Bench) -> None:
    bench.stay_in_one_day()
    lease = bench.claimed()
    bench.agent().complete(lease, "done", used=SPENT)
    project = project_of(bench, lease.item)

    rows = {
        by: [row.name for row in costs(bench, by=by).rows]
        for by in ("project", "agent", "model")
    }

    assert rows == {"project": [project], "agent": ["ada"], "model": ["big"]}
    (by_agent,) = costs(bench, project, by="agent").rows
    assert by_agent.usage.cost_micros == SPENT.cost_micros
    assert costs(bench).today.cost_micros == SPENT.cost_micros
    with pytest.raises(errors.Invalid, match="not by project"):
        costs(bench, "ada", by="project")


def test_item_without_usage_has_none(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "done")

    assert used_by(bench, lease.item) is None
    assert total(bench) == (0, 0, 0, 0)


@pytest.mark.parametrize("verb", ["progress", "fail", "complete"])
def test_repeated_request_counts_usage_once(bench: Bench, verb: str) -> None:
    lease = bench.claimed()
    queue = AgentQueue(
        bench.queue.connection,
        bench.namespace,
        Caller(agent="ada"),
        requests=Requests(same="ab" * 8),
    )

    for _ in range(2):
        getattr(queue, verb)(lease, "text", used=SPENT)

    assert total(bench) == (100, 20, 3, 42_300)


def test_repeated_completion_counts_usage_once(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "done", used=SPENT)

    receipt = bench.agent().complete(lease, "done", used=SPENT)

    assert receipt.remark == "repeat"
    assert total(bench) == (100, 20, 3, 42_300)


def test_usage_of_stale_holder_is_refused(bench: Bench) -> None:
    stale = bench.claimed()
    newest = bench.agent(session="two").get(
        Lease(item=stale.item), takeover=True
    )

    for verb in ("progress", "fail", "complete"):
        with pytest.raises(errors.LeaseLost):
            getattr(bench.agent(), verb)(stale, "text", used=SPENT)
    with pytest.raises(errors.LeaseLost):
        bench.agent().add_usage(stale, SPENT)

    assert newest.lease
    assert total(bench) == (0, 0, 0, 0)


def test_usage_adds_up_over_takeover(bench: Bench) -> None:
    first = bench.claimed()
    bench.agent().progress(first, "begun", used=SPENT)
    claim = bench.agent(session="two").get(
        Lease(item=first.item), takeover=True
    )
    assert claim.lease

    bench.agent().complete(claim.lease, "done", used=SPENT)

    assert total(bench, project_of(bench, first.item))[3] == 84_600


def test_usage_is_added_after_the_end(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "done")

    bench.agent().add_usage(lease, SPENT)

    assert used_by(bench, lease.item) == SPENT
    assert bench.state(lease.item) is State.COMPLETED


def test_late_usage_hides_no_reason_of_failure(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "no luck", retry=False)

    bench.agent().add_usage(lease, SPENT)

    (stuck,) = bench.queue.views.stuck().items
    assert (stuck.why, stuck.reason) == ("failed", "no luck")
    (need,) = bench.queue.views.needs().rows
    assert need.text == "no luck"


def test_late_usage_keeps_time_in_queue(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().release(lease)
    bench.age_item(lease.item, hours=1)

    bench.agent().add_usage(lease, SPENT)

    (stuck,) = bench.queue.views.stuck().items
    assert stuck.why == "unstarted"


def test_history_has_usage_of_each_attempt(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().fail(lease, "no luck", used=SPENT)
    bench.end_delay(lease.item)
    bench.queue.reap()
    bench.agent().complete(bench.claimed(lease.item), "done", used=SPENT)

    entries = bench.queue.views.timeline(lease.item).timeline

    used = {
        each.report.attempt: each.report.usage
        for each in entries
        if each.report.usage
    }
    assert used == {1: SPENT, 2: SPENT}


def test_completion_without_other_reports_has_usage(bench: Bench) -> None:
    lease = bench.claimed()
    bench.agent().complete(lease, "done", used=SPENT)

    (completion,) = bench.queue.views.show(lease.item).history

    assert (completion.kind, completion.usage) == ("complete", SPENT)
    bench.queue.requeue(lease.item)
    assert bench.queue.views.show(lease.item).history[0].usage == SPENT


def test_many_completions_have_usage_of_their_own(bench: Bench) -> None:
    one, two = bench.claimed(), bench.claimed()

    bench.agent().complete_many(
        [(one, "a", {}), (two, "b", {})], used={two.item: SPENT}
    )

    assert used_by(bench, one.item) is None
    assert used_by(bench, two.item) == SPENT


def test_report_of_file_has_no_usage(bench: Bench) -> None:
    lease = bench.claimed()
    origin = Origin(request="cd" * 8, written_at="", at=1)

    bench.queue.agent_queue("ada", origin=origin).progress(
        lease, "from a file"
    )

    assert used_by(bench, lease.item) is None
    assert bench.queue.views.show(lease.item).history[-1].at == 1


@pytest.mark.parametrize(
    "wrong",
    [
        ModelUsage(tokens_in=-1),
        ModelUsage(tokens_out=usage.MOST_TOKENS + 1),
        ModelUsage(cost_micros=-1),
        ModelUsage(cost_micros=usage.MOST_MICROS + 1),
        ModelUsage(cost_micros=1, model="two words"),
        ModelUsage(cost_micros=1, model="x" * 101),
    ],
)
def test_impossible_usage_is_invalid(bench: Bench, wrong: ModelUsage) -> None:
    lease = bench.claimed()

    with pytest.raises(errors.Invalid):
        bench.agent().progress(lease, "text", used=wrong)

    assert total(bench) == (0, 0, 0, 0)


def test_sums_stay_at_their_bound(bench: Bench) -> None:
    lease = bench.claimed()
    bench.set_sum("usage", "total", "8999999999999999 1 1 8999999999999999")

    bench.agent().progress(lease, "text", used=SPENT)

    most = "9000000000000000 21 4 9000000000000000"
    assert bench.sums("usage")["total"] == most


def test_damaged_sums_stop_no_report(bench: Bench) -> None:
    lease = bench.claimed()
    bench.add_entry("agent:ada:usage", "of another type")
    bench.set_sum("usage", "total", "nonsense")

    bench.agent().progress(lease, "text", used=SPENT)

    assert used_by(bench, lease.item) == SPENT
    assert total(bench)[0] == 100
    bench.delete_key("agent:ada:usage")


def test_old_days_are_forgotten(bench: Bench) -> None:
    bench.stay_in_one_day()
    lease = bench.claimed()
    today = bench.today()
    for age in (1, 89, 90, 400):
        bench.set_sum("usage", f"day:{today - age}", "1 1 1 1")

    bench.agent().progress(lease, "text", used=SPENT)

    days = {field for field in bench.sums("usage") if "day:" in field}
    assert days == {f"day:{today - age}" for age in (0, 1, 89)}


def test_surplus_models_count_as_other(bench: Bench) -> None:
    lease = bench.claimed()
    for number in range(100):
        bench.set_sum("usage", f"model:m{number}", "1 1 1 1")

    for _ in range(2):
        bench.agent().progress(lease, "text", used=SPENT)

    assert bench.sums("usage")["model:other"] == "200 40 6 84600"
    assert "model:big" not in bench.sums("usage")


def test_purge_removes_costs_of_project_only(bench: Bench) -> None:
    lease = bench.claimed()
    project = project_of(bench, lease.item)
    bench.agent().complete(lease, "done", used=SPENT)
    bench.queue.complete_project(project)

    bench.queue.purge(project)

    assert bench.sums(f"project:{project}:usage") == {}
    assert total(bench)[3] == total(bench, "ada")[3] == SPENT.cost_micros
    with pytest.raises(errors.NoProject):
        costs(bench, project)


def test_unknown_owners_are_named(bench: Bench) -> None:
    with pytest.raises(errors.NoAgent, match="no agent bob"):
        costs(bench, "bob")
    with pytest.raises(errors.NoProject):
        costs(bench, "proj_ffffffff")
