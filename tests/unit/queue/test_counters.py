"""The counters of a namespace: each transition counts once, with its event."""

from collections import Counter
from collections.abc import Sequence
from math import inf
from pathlib import Path

import pytest
from support.backups import export_lines
from support.builders import Bench, need_lease
from support.workflow import workflow
from taskorch.domain import errors
from taskorch.domain.item import HOUR_MS, Lease, NewItem, State
from taskorch.queue import keys
from taskorch.queue.metrics import (
    ANSWER_WAIT,
    DURATION,
    HOURS_KEPT,
    QUEUE_WAIT,
    Hour,
)
from taskorch.queue.port import (
    Argument,
    ConnectionWrapper,
    Reply,
    Script,
    repeated,
)
from taskorch_orchestrator.backup.restore import restore


class EachTwice(ConnectionWrapper):
    """A connection that repeats each call."""

    def run_script(
        self, script: Script, key: str, arguments: Sequence[Argument]
    ) -> Reply:
        self.connection.run_script(script, key, arguments)
        return self.connection.run_script(
            script, key, repeated(script, arguments)
        )


@pytest.fixture(autouse=True)
def one_hour(bench: Bench) -> None:
    bench.stay_in_one_hour()


def key(bench: Bench, name: str) -> str:
    return f"{keys.tag(bench.namespace)}{name}"


def counted(bench: Bench) -> Counter[str]:
    """Return the number of events of each verb, as it was counted."""
    return Counter(bench.queue.views.counters().events)


def written(bench: Bench) -> Counter[str]:
    """Return the number of events of each verb in the stream."""
    return Counter(event["verb"] for event in bench.events())


def times(bench: Bench, histogram: str) -> int:
    return bench.queue.views.counters().histograms[histogram].count


def this_hour(bench: Bench) -> Hour:
    return bench.queue.views.hours(1)[-1]


def move_queued(bench: Bench, item: str, *, ago_ms: int) -> None:
    """Let an item be queued since some time ago."""
    at = bench.now_ms() - ago_ms
    bench.raw.hset(key(bench, f"item:{item}"), "event", f"{at}-0")


def move_claimed(bench: Bench, item: str, *, ago_ms: int) -> None:
    """Let an item be claimed since some time ago."""
    at = bench.now_ms() - ago_ms
    bench.raw.hset(key(bench, f"item:{item}"), "holder_since", at)


def test_every_event_of_the_workflow_counts_once(bench: Bench) -> None:
    list(workflow(bench))

    assert counted(bench) == written(bench)
    assert counted(bench)["claim"] > 0


def test_repeated_calls_of_the_workflow_count_once(bench: Bench) -> None:
    list(workflow(bench.with_connection(EachTwice)))

    assert counted(bench) == written(bench)
    claims = bench.queue.views.counters().claims
    assert times(bench, QUEUE_WAIT) <= claims == this_hour(bench).claimed


def test_batch_counts_each_of_its_items(bench: Bench) -> None:
    project = bench.project()
    new = [NewItem(title="T", agent="ada") for _ in range(5)]
    bench.queue.create_many(project, new)

    claims = bench.agent().claim_many(5)
    bench.agent().complete_many(
        [(need_lease(claim), "done", {}) for claim in claims]
    )

    assert counted(bench) == written(bench)
    assert times(bench, QUEUE_WAIT) == times(bench, DURATION) == 5
    assert (this_hour(bench).claimed, this_hour(bench).completed) == (5, 5)


@pytest.mark.parametrize(
    ("ago_ms", "bucket"),
    [(0, 1), (500, 1), (3000, 5), (90_000, 120), (2 * 24 * HOUR_MS, inf)],
)
def test_claim_counts_time_in_the_queue(
    bench: Bench, ago_ms: int, bucket: float
) -> None:
    item = bench.item()
    move_queued(bench, item, ago_ms=ago_ms)

    bench.claimed(item)

    wait = bench.queue.views.counters().histograms[QUEUE_WAIT]
    assert {b: n for b, n in wait.buckets.items() if n} == {bucket: 1}
    assert ago_ms <= wait.sum_ms < ago_ms + 60_000


def test_report_that_claims_counts_the_time_queued(bench: Bench) -> None:
    item = bench.item()

    bench.agent().progress(Lease(item=item), "Begun")

    assert times(bench, QUEUE_WAIT) == 1
    assert counted(bench) == written(bench)
    assert this_hour(bench).claimed == 1


def test_takeover_counts_no_time_in_the_queue(bench: Bench) -> None:
    lease = bench.claimed()

    bench.agent(session="second").get(Lease(item=lease.item), takeover=True)

    assert times(bench, QUEUE_WAIT) == 1
    assert counted(bench)["claim"] == this_hour(bench).claimed == 2


def test_end_of_an_attempt_counts_its_duration(bench: Bench) -> None:
    done, failed = bench.claimed(), bench.claimed()
    move_claimed(bench, done.item, ago_ms=45_000)
    move_claimed(bench, failed.item, ago_ms=2 * HOUR_MS - 60_000)

    bench.agent().complete(done, "done")
    bench.agent().fail(failed, "no luck")

    duration = bench.queue.views.counters().histograms[DURATION]
    assert {b: n for b, n in duration.buckets.items() if n} == {
        60: 1,
        7200: 1,
    }
    assert this_hour(bench).completed == this_hour(bench).failed == 1


def test_answer_counts_the_time_since_its_question(bench: Bench) -> None:
    lease = bench.lease_in(State.BLOCKED)

    bench.queue.answer(lease.item, "That one")

    answer = bench.queue.views.counters().histograms[ANSWER_WAIT]
    assert answer.count == 1
    assert 0 <= answer.sum_ms < 60_000


def test_expired_lease_counts_as_expired_alone(bench: Bench) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)

    bench.queue.reap()

    assert counted(bench)["expire"] == 1
    assert times(bench, DURATION) == 0


def test_requeued_item_is_completed_twice(bench: Bench) -> None:
    item = bench.completed_item()

    bench.queue.requeue(item)
    bench.agent("bob").complete(Lease(item=item), "again")

    assert counted(bench)["complete"] == 2
    assert counted(bench) == written(bench)


def test_refused_step_counts_nothing(bench: Bench) -> None:
    item = bench.completed_item()
    before = bench.queue.views.counters().events

    with pytest.raises(errors.WrongState):
        bench.queue.cancel(item)

    assert bench.queue.views.counters().events == before


def test_purge_keeps_what_happened(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.agent().complete(bench.claimed(item), "done")
    bench.queue.complete_project(project)

    assert bench.queue.purge(project)[0] == 0

    assert counted(bench) == written(bench)
    assert bench.queue.views.item_counts()[State.COMPLETED] == 0


def test_cancelled_project_counts_its_items(bench: Bench) -> None:
    project = bench.project()
    for _ in range(3):
        bench.item(project)

    bench.queue.cancel_project(project)

    assert counted(bench)["cancel"] == 3
    assert bench.queue.views.item_counts()[State.CANCELLED] == 3


def test_damaged_counters_stop_no_step(bench: Bench) -> None:
    bench.item()
    bench.raw.hset(key(bench, "counters"), "create", "many")
    bench.item()
    assert counted(bench)["create"] == 1
    for name in ("counters", "hours"):
        bench.raw.delete(key(bench, name))
        bench.raw.rpush(key(bench, name), "no hash")
    bench.raw.hdel(key(bench, "meta"), "hour")

    claimed = bench.claimed(bench.item())
    without = counted(bench), this_hour(bench).created
    bench.raw.delete(key(bench, "counters"), key(bench, "hours"))

    assert claimed
    assert without == (Counter(), 0)


def test_full_field_keeps_its_events_and_times(bench: Bench) -> None:
    field, item = "claim:1", bench.item()
    almost = 9_000_000 * 10**12 + 499_999_999_999
    bench.raw.hset(key(bench, "counters"), field, str(almost))

    bench.claimed(item)
    bench.claimed()

    wait = bench.queue.views.counters().histograms[QUEUE_WAIT]
    assert wait.count == counted(bench)["claim"] == 9_000_002
    assert 0 <= wait.sum_ms - 499_999_999_999 < 60_000
    assert bench.raw.hget(key(bench, "counters"), f"{field}:events")
    assert this_hour(bench).claimed == 9_000_002


def test_long_times_do_not_become_events(bench: Bench) -> None:
    project = bench.project()
    created = bench.queue.create_many(
        project, [NewItem(title="T", agent="ada") for _ in range(20)]
    )
    for each in created:
        move_queued(bench, each.id, ago_ms=400 * 24 * HOUR_MS)

    bench.agent().claim_many(20)

    wait = bench.queue.views.counters().histograms[QUEUE_WAIT]
    assert wait.buckets[inf] == wait.count == 20


def test_hours_tell_what_happened_in_each(bench: Bench) -> None:
    bench.agent().complete(bench.claimed(), "done")
    hour = bench.now_ms() // HOUR_MS
    began = bench.raw.hget(key(bench, "hours"), str(hour))
    for before in (hour - 3, hour - 1):
        bench.raw.hset(key(bench, "hours"), str(before), str(began))
    now = bench.raw.hget(key(bench, "meta"), "hour")
    bench.item()

    hours = bench.queue.views.hours(4)

    assert now == str(hour)
    assert [each.at for each in hours] == [
        (hour - ago) * HOUR_MS for ago in (3, 2, 1, 0)
    ]
    assert [each.created for each in hours] == [0, 0, 0, 2]
    assert [each.completed for each in hours] == [0, 0, 0, 1]
    assert hours[-1].queue_wait.quantile(0.9) == 1


def test_first_step_of_an_hour_keeps_the_counters(bench: Bench) -> None:
    bench.item()
    hour = bench.now_ms() // HOUR_MS
    first = str(hour - 5)
    bench.raw.hset(key(bench, "meta"), "hour", first)
    started = bench.raw.hget(key(bench, "hours"), str(hour))
    bench.raw.delete(key(bench, "hours"))
    bench.raw.hset(key(bench, "hours"), first, str(started))

    bench.item()

    hours = bench.queue.views.hours(6)
    assert [each.created for each in hours] == [1, 0, 0, 0, 0, 1]


def test_old_hours_are_forgotten(bench: Bench) -> None:
    bench.item()
    hour = bench.now_ms() // HOUR_MS
    for ago in range(1, HOURS_KEPT + 60):
        bench.raw.hset(key(bench, "hours"), str(hour - ago), "{}")
    bench.raw.hset(key(bench, "meta"), "hour", str(hour - 1))

    bench.item()

    assert bench.raw.hlen(key(bench, "hours")) == HOURS_KEPT
    assert len(bench.queue.views.hours(HOURS_KEPT)) == HOURS_KEPT


def test_clock_behind_begins_no_hour(bench: Bench) -> None:
    bench.item()
    ahead = str(bench.now_ms() // HOUR_MS + 2)
    bench.raw.hset(key(bench, "meta"), "hour", ahead)
    before = bench.raw.hgetall(key(bench, "hours"))

    bench.item()

    assert bench.raw.hgetall(key(bench, "hours")) == before
    assert counted(bench)["create"] == 2


def test_imported_namespace_counts_from_then_on(
    bench: Bench, copy: Bench, tmp_path: Path
) -> None:
    bench.agent().complete(bench.claimed(), "done")
    left = bench.item()
    export_lines(bench, tmp_path / "export.jsonl")

    restore(tmp_path / "export.jsonl", copy.queue.backup)
    imported = counted(copy)
    copy.claimed(left)

    assert imported == Counter(restore=1)
    assert counted(copy) == Counter(restore=1, claim=1)
    assert copy.queue.views.item_counts()[State.COMPLETED] == 1


def test_namespace_without_counters_counts_from_now_on(bench: Bench) -> None:
    item = bench.item()
    bench.raw.delete(key(bench, "counters"), key(bench, "hours"))
    bench.raw.hdel(key(bench, "meta"), "hour")

    bench.claimed(item)

    assert counted(bench) == Counter(claim=1)
    assert (this_hour(bench).created, this_hour(bench).claimed) == (0, 1)


def test_figures_of_agents_name_their_queues(bench: Bench) -> None:
    old, new = bench.item(), bench.item()
    move_queued(bench, old, ago_ms=HOUR_MS)
    bench.claimed(agent="bob")

    figures = {each.name: each for each in bench.queue.views.agent_figures()}

    ada, bob = figures["ada"], figures["bob"]
    assert (ada.queued, ada.held, bob.queued, bob.held) == (2, 0, 0, 1)
    age_ms = bench.now_ms() - ada.queued_since
    assert HOUR_MS <= age_ms < HOUR_MS + 60_000
    assert bob.queued_since == 0
    assert new


def test_oldest_item_counts_in_any_priority(bench: Bench) -> None:
    bench.item(priority=0)
    old = bench.item(priority=4)
    move_queued(bench, old, ago_ms=HOUR_MS)

    (ada,) = bench.queue.views.agent_figures()

    assert bench.now_ms() - ada.queued_since >= HOUR_MS


def test_item_counts_are_those_of_all_projects(bench: Bench) -> None:
    for state in State:
        bench.lease_in(state)

    counts = bench.queue.views.item_counts()

    listed = Counter(
        item.state for item in bench.queue.views.list(limit=100).items
    )
    assert counts == {state: listed[state] for state in State}
