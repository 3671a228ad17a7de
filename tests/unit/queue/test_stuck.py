"""Stalled items, with the reason and the time since then."""

import re
from importlib import resources
from typing import Any, cast

import pytest
from support.builders import Bench
from taskorch.domain import errors
from taskorch.domain.item import ItemEdit, NewItem, State
from taskorch.queue import keys, stuck
from taskorch.queue.stuck import COMMANDS, StuckItem

HOUR_MS = 3_600_000


def named(bench: Bench, **how: object) -> list[tuple[str, str]]:
    """Return the reason for each stalled item."""
    found = bench.queue.views.stuck(**how)  # type: ignore[arg-type]
    return [(each.item.id, each.why) for each in found.items]


def all_stuck(bench: Bench) -> tuple[StuckItem, ...]:
    return bench.queue.views.stuck(unstarted_ms=1).items


def only(bench: Bench, **how: object) -> StuckItem:
    (each,) = bench.queue.views.stuck(**how).items  # type: ignore[arg-type]
    return each


def test_only_some_states_are_stuck_immediately(
    bench: Bench,
) -> None:
    leases = {state: bench.lease_in(state) for state in State}

    assert named(bench) == [
        (leases[State.FAILED].item, "failed"),
        (leases[State.BLOCKED].item, "blocked"),
        (leases[State.REVIEW].item, "review"),
    ]


def test_unclaimed_queued_item_is_unstarted(bench: Bench) -> None:
    item = bench.item(agent="bob")
    queued_at = bench.now_ms()
    bench.wait_for_next_ms()

    each = only(bench, unstarted_ms=1)

    assert (each.item.id, each.why) == (item, "unstarted")
    assert queued_at - 1000 < each.since <= queued_at
    assert each.agent_seen_at == 0
    assert each.command == f"orchestrate assign {item} AGENT"


def test_unstarted_item_has_last_call_of_its_agent(bench: Bench) -> None:
    bench.agent().check()
    seen_at = bench.now_ms()
    bench.wait_for_next_ms()
    bench.item()
    bench.wait_for_next_ms()

    each = only(bench, unstarted_ms=1)

    assert 0 < each.agent_seen_at <= seen_at
    assert each.agent_seen_at < each.since


def test_released_item_is_unstarted_since_its_release(bench: Bench) -> None:
    lease = bench.claimed()
    bench.wait_for_next_ms()
    before = bench.now_ms()
    bench.agent().release(lease)
    bench.wait_for_next_ms()

    assert only(bench, unstarted_ms=1).since >= before


@pytest.mark.parametrize("verb", ["assign", "depend", "stray"])
def test_item_that_stays_queued_keeps_its_time(
    bench: Bench, verb: str
) -> None:
    item, done = bench.item(), bench.completed_item()
    bench.age_item(item, hours=1)

    match verb:
        case "assign":
            bench.queue.assign(item, "ada", context={"db": "orders"})
        case "depend":
            bench.queue.depend(item, [done])
        case "stray":
            bench.agent("bob").stray(item, "done, I think")

    assert named(bench) == [(item, "unstarted")]


def test_edited_item_is_unstarted_since_it_was_queued(bench: Bench) -> None:
    item = bench.item(agent="bob")
    bench.wait_for_next_ms()
    before = only(bench, unstarted_ms=1)

    for title in ("First edit", "Second edit"):
        bench.queue.edit(
            [item], ItemEdit(title=title, priority=len(title) % 3)
        )
        bench.wait_for_next_ms()

    assert only(bench, unstarted_ms=1).since == before.since


def test_reassigned_item_after_edit_is_unstarted_again(bench: Bench) -> None:
    item = bench.item(agent="bob")
    bench.queue.edit([item], ItemEdit(title="Edited"))
    bench.wait_for_next_ms()
    moved_at = bench.now_ms()
    bench.queue.assign_many([item], "eve")
    bench.wait_for_next_ms()

    assert only(bench, unstarted_ms=1).since >= moved_at


def test_answer_to_queued_item_keeps_its_time(bench: Bench) -> None:
    lease = bench.claimed()
    agent = bench.agent()
    agent.blocker(lease, "Which colour?")
    agent.progress(lease, "Going on")
    agent.release(lease)
    bench.wait_for_next_ms()
    before = {each.why: each.since for each in all_stuck(bench)}

    bench.queue.answer(lease.item, "Blue")
    bench.wait_for_next_ms()

    assert only(bench, unstarted_ms=1).since == before["unstarted"]


def test_holder_is_silent_since_its_last_step(
    bench: Bench,
) -> None:
    lease = bench.claimed(bench.item(lease_ms=4 * HOUR_MS))
    bench.shorten_lease(lease.item, left_ms=HOUR_MS)

    each = only(bench)

    assert (each.item.id, each.why) == (lease.item, "silent")
    assert abs(each.since - (bench.now_ms() - 3 * HOUR_MS)) < 10_000
    assert named(bench, silent_ms=4 * HOUR_MS) == []


@pytest.mark.parametrize("step", ["progress", "renew", "discover"])
def test_step_ends_the_silence(bench: Bench, step: str) -> None:
    lease = bench.claimed()
    bench.shorten_lease(lease.item, left_ms=60_000)
    assert named(bench) == [(lease.item, "silent")]

    getattr(bench.agent(), step)(
        lease, *([] if step == "renew" else ["here I am"])
    )

    assert named(bench) == []


def test_overdue_lease_is_expired_until_reaped(bench: Bench) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)

    each = only(bench)
    bench.queue.reap()

    assert (each.item.id, each.why, each.since, each.command) == (
        lease.item,
        "expired",
        1,
        "orchestrate reap",
    )
    assert named(bench) == []


def test_question_is_stuck_until_answered(
    bench: Bench,
) -> None:
    lease = bench.lease_in(State.BLOCKED)

    each = only(bench)
    bench.queue.answer(lease.item, "this one")

    assert (each.item.id, each.why) == (lease.item, "blocked")
    assert abs(each.since - bench.now_ms()) < 10_000
    assert each.command == f"orchestrate answer {lease.item} TEXT"
    assert named(bench) == []


@pytest.mark.parametrize("state", [State.FAILED, State.CANCELLED])
def test_dependent_of_dead_item_is_stuck(bench: Bench, state: State) -> None:
    dead, alive = bench.item(), bench.item(agent="bob")
    item = bench.item(depends_on=(alive, dead))
    assert named(bench) == []
    bench.bring_to(dead, state)

    each = next(iter(bench.queue.views.stuck().items))
    bench.queue.requeue(dead)

    assert (each.item.id, each.why, each.dependency) == (
        item,
        "dead_dependency",
        dead,
    )
    assert each.command == f"orchestrate requeue {dead}"
    assert named(bench) == []


def test_pending_dependent_of_dead_item_is_stuck(
    bench: Bench,
) -> None:
    dead = bench.item()
    item, free = bench.item(agent="", depends_on=(dead,)), bench.item(agent="")
    assert named(bench) == []
    bench.queue.cancel(dead)

    each = only(bench)
    bench.queue.cancel(free)
    bench.queue.requeue(dead)

    assert (each.item.id, each.why, each.dependency) == (
        item,
        "dead_dependency",
        dead,
    )
    assert abs(each.since - bench.now_ms()) < 10_000
    assert named(bench) == []


def test_dead_letter_is_stuck_with_its_reason(
    bench: Bench,
) -> None:
    project, other = bench.project(), bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().fail(lease, "no rights", retry=False)

    each = only(bench)
    elsewhere = named(bench, project=other)
    bench.queue.requeue(lease.item)

    assert (each.item.id, each.why, each.reason) == (
        lease.item,
        "failed",
        "no rights",
    )
    assert abs(each.since - bench.now_ms()) < 10_000
    assert each.command == f"orchestrate requeue {lease.item}"
    assert elsewhere == named(bench) == []


def test_comments_do_not_hide_reason_of_death(bench: Bench) -> None:
    lease = bench.claimed(bench.item(bench.project()))
    bench.agent().fail(lease, "no rights", retry=False)
    for number in range(30):
        bench.queue.comment(lease.item, f"Remark {number}")
    bench.agent("eve").stray(lease.item, "I have an idea")

    (row,) = bench.queue.views.inbox()

    assert only(bench).reason == row.failure == "no rights"


@pytest.mark.one_lane  # fakeredis raises the error of a pcall in another form
@pytest.mark.parametrize("kind", ["progress", "deps"])
def test_key_of_another_type_hides_nothing_stuck(
    bench: Bench, kind: str
) -> None:
    project = bench.project()
    lease = bench.claimed(bench.item(project))
    bench.agent().fail(lease, "no rights", retry=False)
    waiting = bench.item(project, depends_on=(lease.item,))
    damaged = {"progress": lease.item, "deps": waiting}[kind]
    bench.delete_key(f"{kind}:{damaged}")
    bench.raw.zadd(f"{keys.tag(bench.namespace)}{kind}:{damaged}", {"x": 1})

    stuck = [each.item.id for each in bench.queue.views.stuck().items]
    failed = [each.id for each in bench.queue.views.inbox()]

    assert lease.item in stuck
    assert failed == [lease.item]
    bench.delete_key(f"{kind}:{damaged}")


def test_dead_letter_of_expired_lease_has_no_reason(bench: Bench) -> None:
    lease = bench.expired_lease(State.FAILED)

    each = only(bench)

    assert (each.item.id, each.why, each.reason) == (lease.item, "failed", "")


def test_unclaimed_item_after_its_delay_is_unstarted(
    bench: Bench,
) -> None:
    item, later = (
        bench.item(agent="bob", delay_ms=1),
        bench.item(agent="bob", delay_ms=HOUR_MS),
    )
    bench.wait_for_next_ms()
    bench.wait_for_next_ms()

    each = only(bench, unstarted_ms=1)
    bench.agent("bob").claim()

    assert (each.item.id, each.item.state, each.why) == (
        item,
        State.DELAYED,
        "unstarted",
    )
    assert each.command == f"orchestrate assign {item} AGENT"
    assert named(bench, unstarted_ms=1) == []
    assert bench.state(later) is State.DELAYED


def test_many_items_of_one_kind_hide_no_others(
    bench: Bench,
) -> None:
    item = bench.lease_in(State.BLOCKED).item
    delayed = NewItem(title="x", agent="eve", delay_ms=HOUR_MS)
    bench.create_many(bench.project(), [delayed] * 3000)
    queued = bench.item(agent="bob")
    bench.wait_for_next_ms()

    whole = bench.queue.views.stuck(unstarted_ms=1)
    part = bench.queue.views.stuck(unstarted_ms=1, most_calls=16)

    for found in (whole, part):
        assert [(each.item.id, each.why) for each in found.items] == [
            (queued, "unstarted"),
            (item, "blocked"),
        ]
    assert (whole.more, whole.looked_at) == (False, 3002)
    assert part.more
    assert part.looked_at < 3000


@pytest.mark.parametrize("most_calls", [1, 2, 9])
def test_few_calls_of_stuck_begin_with_held_items(
    bench: Bench, most_calls: int
) -> None:
    silent = bench.claimed(bench.item())
    bench.shorten_lease(silent.item, left_ms=60_000)

    found = bench.queue.views.stuck(most_calls=most_calls)

    assert [each.item.id for each in found.items] == [silent.item]


def test_stuck_reads_on_after_page(bench: Bench) -> None:
    project = bench.project()
    queued = bench.create_many(
        project,
        [
            NewItem(title="x", agent=f"agent-{number % 150}")
            for number in range(450)
        ],
    )
    bench.wait_for_next_ms()

    found = bench.queue.views.stuck(unstarted_ms=1)

    assert sorted(each.item.id for each in found.items) == sorted(
        item.id for item in queued
    )
    assert not found.more


def part_of_stuck(
    bench: Bench, cursor: str, *, limit: int
) -> tuple[str, int, list[str]]:
    """Return the cursor, the number of checked items, and the ids of one call."""
    reply = bench.queue._scripts.run_script(
        "stuck", 1, HOUR_MS, "", cursor, limit
    )
    cursor, looked_at, rows = cast("tuple[str, int, list[Any]]", reply)
    return cursor, looked_at, [row[5][0] for row in rows]


def test_empty_queues_end_call_of_stuck(bench: Bench) -> None:
    project = bench.project()
    bench.create_many(
        project,
        [NewItem(title="x", agent=f"agent-{number}") for number in range(480)],
    )
    bench.queue.complete_project(project, force=True)

    cursors = [part_of_stuck(bench, "", limit=30)[0]]
    while cursors[-1]:
        cursors.append(part_of_stuck(bench, cursors[-1], limit=30)[0])

    kinds = [cursor.partition(":")[0] for cursor in cursors]
    assert kinds == ["queue"] * 10 + [""]


def test_stuck_goes_on_when_agent_calls_between(bench: Bench) -> None:
    items = [bench.item(agent=f"agent-{number}") for number in range(5)]
    bench.wait_for_next_ms()

    cursor, _, found = part_of_stuck(bench, "", limit=2)
    bench.agent(cursor.rpartition(":")[2]).check()
    while cursor:
        cursor, _, more = part_of_stuck(bench, cursor, limit=2)
        found += more

    assert set(found) == set(items)


def test_kinds_of_stuck_are_those_of_script() -> None:
    script = resources.files("taskorch.queue") / "scripts" / "stuck.lua"

    kinds = re.findall(r"^  \{'(\w+)', ", script.read_text(), re.MULTILINE)

    assert tuple(kinds) == stuck.KINDS


def test_stuck_can_be_limited_to_one_project(bench: Bench) -> None:
    bench.lease_in(State.BLOCKED)
    project = bench.project()
    item = bench.item(project)
    bench.bring_to(item, State.BLOCKED)

    assert named(bench, project=project) == [(item, "blocked")]
    with pytest.raises(errors.NoProject):
        named(bench, project="proj_none")


def test_stuck_reports_that_there_is_more(bench: Bench) -> None:
    for _ in range(3):
        bench.lease_in(State.BLOCKED)

    some, all_ = (
        bench.queue.views.stuck(limit=2),
        bench.queue.views.stuck(limit=3),
    )

    assert (len(some.items), some.more, some.looked_at) == (2, True, 2)
    assert (len(all_.items), all_.more, all_.looked_at) == (3, False, 3)


def test_blockers_do_not_count_towards_the_limit(bench: Bench) -> None:
    for _ in range(3):
        bench.lease_in(State.BLOCKED)
    waits = bench.item()
    bench.queue.depend(waits, [bench.lease_in(State.CANCELLED).item])
    queued = bench.item(agent="bob")
    bench.wait_for_next_ms()

    assert named(bench, unstarted_ms=1, limit=2) == [
        (waits, "dead_dependency"),
        (queued, "unstarted"),
    ]


def test_stuck_skips_missing_items(bench: Bench) -> None:
    lease, lost = bench.lease_in(State.BLOCKED), bench.lease_in(State.BLOCKED)
    bench.delete_item(lost.item)

    assert named(bench) == [(lease.item, "blocked")]


def test_stuck_changes_nothing(bench: Bench) -> None:
    lease = bench.claimed()
    bench.expire_lease(lease.item)
    before = bench.everything()

    bench.queue.views.stuck()

    assert bench.everything() == before
    assert set(COMMANDS) == {
        "expired",
        "silent",
        "blocked",
        "open_question",
        "review",
        "dead_dependency",
        "failed",
        "unstarted",
        "pool_without_agents",
    }
