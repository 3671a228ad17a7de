"""Waits for an item or a project block without polling, and miss nothing."""

from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any, cast

import pytest
from support.backups import export_lines
from support.builders import Bench
from support.waiters import LONG_S, SOON_S, Waiters
from taskorch.domain import errors
from taskorch.domain.item import Lease, State
from taskorch.queue import keys
from taskorch.queue.wait_results import Goal
from taskorch.transport.retry import OutageNotice
from taskorch_orchestrator.backup.restore import restore

NOW_S = 0.2


def asked(bench: Bench) -> Lease:
    """Return the lease on an item with an open question."""
    return bench.lease_in(State.BLOCKED)


# The question of a holder -----------------------------------------------------------


def test_answer_ends_the_wait_of_the_holder(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench)
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(lease, timeout_s=LONG_S)
    )

    bench.queue.answer(lease.item, "The second one")

    answered = waiter.result(SOON_S)
    (answer,) = answered.answers
    assert (answer.text, answer.agent, answer.question) == (
        "The second one",
        "planner",
        1,
    )
    assert (answered.item.state, answered.unanswered) == (
        State.IN_PROGRESS,
        (),
    )


def test_answer_between_look_and_block_is_not_missed(
    bench: Bench, waiters: Waiters
) -> None:
    lease, started = asked(bench), monotonic()
    waiters.connection.before_block = lambda: bench.queue.answer(
        lease.item, "Go"
    )

    answered = waiters.bench.agent().wait_for_answer(lease, timeout_s=LONG_S)

    assert [answer.text for answer in answered.answers] == ["Go"]
    assert monotonic() - started < SOON_S


def test_existing_answer_is_returned_immediately(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench)
    bench.queue.answer(lease.item, "Go")

    answered = waiters.bench.agent().wait_for_answer(lease, timeout_s=LONG_S)

    assert [answer.text for answer in answered.answers] == ["Go"]
    assert waiters.connection.calls == 1


def test_answer_to_earlier_question_does_not_count(bench: Bench) -> None:
    lease = asked(bench)
    bench.queue.answer(lease.item, "Go")
    bench.agent().blocker(lease, "Where to?")

    answered = bench.agent().wait_for_answer(lease, timeout_s=NOW_S)

    assert (answered.answers, answered.unanswered) == ((), (2,))


def test_holder_that_continues_still_gets_its_answer(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench)
    bench.agent().progress(lease, "Doing something else")
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(lease, timeout_s=LONG_S)
    )

    bench.queue.answer(lease.item, "Go")

    assert waiter.result(SOON_S).unanswered == ()


@pytest.mark.parametrize(
    "state",
    [
        State.QUEUED,
        State.WAITING,
        State.IN_PROGRESS,
        State.COMPLETED,
        State.FAILED,
    ],
)
def test_item_without_question_is_returned_immediately(
    bench: Bench, waiters: Waiters, state: State
) -> None:
    lease = bench.lease_in(state)

    answered = waiters.bench.agent().wait_for_answer(lease, timeout_s=LONG_S)

    assert (answered.item.state, answered.answers) == (state, ())
    assert waiters.connection.calls == 1


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ("cancel", errors.Cancelled),
        ("complete --force", errors.Cancelled),
        ("takeover", errors.LeaseLost),
        ("assign --force", errors.NotYours),
        ("assign --force to the same", errors.LeaseLost),
    ],
)
def test_wait_for_answer_ends_with_the_lease(
    bench: Bench, waiters: Waiters, how: str, error: type[Exception]
) -> None:
    project = bench.project()
    lease = bench.bring_to(bench.item(project), State.BLOCKED)
    waiter = waiters.start(
        lambda bench: bench.agent().wait_for_answer(lease, timeout_s=LONG_S)
    )

    match how:
        case "cancel":
            bench.queue.cancel(lease.item)
        case "complete --force":
            bench.queue.complete_project(project, force=True)
        case "takeover":
            bench.agent(session="other").get(
                Lease(item=lease.item), takeover=True
            )
        case "assign --force":
            bench.queue.assign(lease.item, "bob", force=True)
        case _:
            bench.queue.assign(lease.item, "ada", force=True)

    with pytest.raises(error):
        waiter.result(SOON_S)


def test_only_the_holder_can_wait_for_an_answer(bench: Bench) -> None:
    lease = asked(bench)

    with pytest.raises(errors.Held):
        bench.agent().wait_for_answer(Lease(item=lease.item), timeout_s=LONG_S)
    with pytest.raises(errors.NotYours):
        bench.agent("bob").wait_for_answer(
            Lease(item=lease.item), timeout_s=LONG_S
        )
    with pytest.raises(errors.NoItem):
        bench.agent().wait_for_answer(
            Lease(item="item_00000000"), timeout_s=LONG_S
        )


def test_takeover_is_in_the_history(bench: Bench) -> None:
    lease = asked(bench)
    bench.agent(session="other").get(Lease(item=lease.item), takeover=True)
    bench.queue.assign(lease.item, "bob", force=True)

    lost = [
        report
        for report in bench.queue.views.show(lease.item).history
        if report.kind == "lost"
    ]

    assert [(report.agent, report.token) for report in lost] == [
        ("ada", 1),
        ("ada", 2),
    ]
    assert lost[1].text == "taken away by planner"


# Goals ------------------------------------------------------------------------------


def test_wait_for_item_ends_with_its_completion(
    bench: Bench, waiters: Waiters
) -> None:
    lease = bench.claimed()
    waiter = waiters.until(lease.item, Goal.COMPLETED)

    bench.agent().complete(lease, "done")

    waited = waiter.result(SOON_S)
    assert waited.reached is Goal.COMPLETED
    assert waited.standing.item is not None
    assert waited.standing.item.summary == "done"


def test_wait_for_project_ends_with_its_last_item(
    bench: Bench, waiters: Waiters
) -> None:
    project = bench.project()
    first, second = (bench.claimed(bench.item(project)) for _ in range(2))
    bench.queue.cancel(bench.item(project))
    waiter = waiters.until(project, Goal.COMPLETED)

    bench.agent().complete(first)
    still = not waiter.done()
    bench.agent().complete(second)

    assert still
    assert waiter.result(SOON_S).reached is Goal.COMPLETED


@pytest.mark.parametrize("what", ["item", "project"])
def test_wait_for_blocked_ends_with_a_question(
    bench: Bench, waiters: Waiters, what: str
) -> None:
    lease = bench.claimed()
    id_ = (
        lease.item
        if what == "item"
        else bench.queue.views.show(lease.item).item.project
    )
    waiter = waiters.until(id_, Goal.BLOCKED, Goal.COMPLETED)

    bench.agent().blocker(lease, "Which one?")

    assert waiter.result(SOON_S).reached is Goal.BLOCKED


@pytest.mark.parametrize("what", ["item", "project"])
def test_any_event_ends_a_wait_for_any(
    bench: Bench, waiters: Waiters, what: str
) -> None:
    lease = bench.claimed()
    id_ = (
        lease.item
        if what == "item"
        else bench.queue.views.show(lease.item).item.project
    )
    waiter = waiters.until(id_, Goal.ANY)

    bench.item()
    bench.agent().renew(lease)

    waited = waiter.result(SOON_S)
    assert waited.reached is Goal.ANY
    assert [(event.verb, event.item) for event in waited.events] == [
        ("renew", lease.item)
    ]
    assert waited.cursor == waited.events[-1].cursor


@pytest.mark.parametrize("goal", [Goal.COMPLETED, Goal.BLOCKED, Goal.ANY])
def test_change_between_look_and_block_is_not_missed(
    bench: Bench, waiters: Waiters, goal: Goal
) -> None:
    lease, agent, started = bench.claimed(), bench.agent(), monotonic()
    waiters.connection.before_block = lambda: (
        agent.blocker(lease, "Which?")
        if goal is Goal.BLOCKED
        else agent.complete(lease)
    )

    waited = waiters.bench.queue.waits().until(
        lease.item, [goal], timeout_s=LONG_S
    )

    assert waited.reached is goal
    assert monotonic() - started < SOON_S


@pytest.mark.parametrize("goal", [Goal.COMPLETED, Goal.BLOCKED])
@pytest.mark.parametrize("what", ["item", "project"])
def test_reached_goal_takes_one_look(
    bench: Bench, waiters: Waiters, goal: Goal, what: str
) -> None:
    item = bench.lease_in(State(goal)).item
    id_ = item if what == "item" else bench.queue.views.show(item).item.project

    waited = waiters.bench.queue.waits().until(id_, [goal], timeout_s=LONG_S)

    assert waited.reached is goal
    assert waiters.connection.calls == 1


def test_closed_project_is_completed(bench: Bench) -> None:
    project = bench.project()
    bench.queue.complete_project(project)

    assert (
        bench.queue.waits()
        .until(project, [Goal.COMPLETED], timeout_s=0)
        .reached
        is Goal.COMPLETED
    )


def test_project_without_items_is_not_completed(bench: Bench) -> None:
    waited = bench.queue.waits().until(
        bench.project(), [Goal.COMPLETED], timeout_s=0
    )

    assert waited.reached is None


@pytest.mark.parametrize(
    ("state", "goal"),
    [
        (State.FAILED, Goal.COMPLETED),
        (State.CANCELLED, Goal.COMPLETED),
        (State.FAILED, Goal.BLOCKED),
        (State.COMPLETED, Goal.BLOCKED),
    ],
)
def test_unreachable_goal_is_not_waited_for(
    bench: Bench, state: State, goal: Goal
) -> None:
    item = bench.lease_in(state).item

    with pytest.raises(errors.DeadEnd, match=state):
        bench.queue.waits().until(item, [goal], timeout_s=LONG_S)


def test_hint_for_closed_project_reopens_it(bench: Bench) -> None:
    project = bench.project()
    item = bench.item(project)
    bench.queue.cancel_project(project)

    with pytest.raises(errors.DeadEnd) as refused:
        bench.queue.waits().until(item, [Goal.COMPLETED], timeout_s=LONG_S)
    with pytest.raises(errors.ProjectClosed) as closed:
        bench.item(project)

    assert f"orchestrate requeue {item} --reopen" in refused.value.hint()
    assert f"orchestrate reopen {project}" in closed.value.hint()


def test_dead_letter_ends_the_wait_for_completion(
    bench: Bench, waiters: Waiters
) -> None:
    lease = bench.claimed()
    waiter = waiters.until(lease.item, Goal.COMPLETED)

    bench.agent().fail(lease, "hopeless", retry=False)

    with pytest.raises(errors.DeadEnd):
        waiter.result(SOON_S)


def test_project_with_active_item_is_waited_for(
    bench: Bench, waiters: Waiters
) -> None:
    project = bench.project()
    dead = bench.item(project)
    bench.item(project, depends_on=(dead,))
    working = bench.claimed(bench.item(project))
    bench.agent().fail(bench.claimed(dead), "hopeless", retry=False)
    waiter = waiters.until(project, Goal.COMPLETED)

    still = not waiter.done()
    bench.agent().complete(working)

    assert still
    with pytest.raises(errors.DeadEnd, match=f"held up by {dead}"):
        waiter.result(SOON_S)


@pytest.mark.parametrize("end", [State.CANCELLED, State.FAILED])
def test_project_behind_dead_item_ends_wait(
    bench: Bench, waiters: Waiters, end: State
) -> None:
    project = bench.project()
    dead = bench.item(project)
    waits = bench.item(project, depends_on=(dead,))
    bench.item(project, depends_on=(waits,))
    waiter = waiters.until(project, Goal.COMPLETED, Goal.BLOCKED)

    bench.bring_to(dead, end)

    with pytest.raises(
        errors.DeadEnd, match=f"{project} is held up by {dead}"
    ) as ended:
        waiter.result(SOON_S)
    assert ended.value.hint().startswith("orchestrate stuck lists")
    assert bench.queue.views.stuck().items[0].dependency == dead


@pytest.mark.parametrize("agent", ["ada", ""], ids=["assigned", "unassigned"])
@pytest.mark.parametrize("end", [State.CANCELLED, State.FAILED])
def test_dying_dependency_ends_the_wait_immediately(
    bench: Bench, waiters: Waiters, end: State, agent: str
) -> None:
    dead = bench.item()
    item = bench.item(
        agent=agent, depends_on=(bench.item(agent=agent, depends_on=(dead,)),)
    )
    waiter = waiters.until(item, Goal.COMPLETED)

    bench.bring_to(dead, end)

    with pytest.raises(errors.DeadEnd, match=f"{item} is held up by {dead}"):
        waiter.result(SOON_S)


def test_wait_for_waiting_item_lasts_until_completion(
    bench: Bench, waiters: Waiters
) -> None:
    first = bench.claimed()
    item = bench.item(depends_on=(first.item,))
    waiter = waiters.until(item, Goal.COMPLETED)

    bench.agent().complete(first)
    bench.agent().complete(bench.claimed(item))

    assert waiter.result(SOON_S).reached is Goal.COMPLETED


def test_pending_item_behind_dead_item_ends_wait(
    bench: Bench,
) -> None:
    project = bench.project()
    dead = bench.item(project, agent="")
    bench.item(project, agent="", depends_on=(dead,))
    bench.queue.cancel(dead)

    with pytest.raises(
        errors.DeadEnd, match=f"{project} is held up by {dead}"
    ):
        bench.queue.waits().until(project, [Goal.COMPLETED], timeout_s=LONG_S)


def test_project_with_pending_item_is_still_waited_for(
    bench: Bench,
) -> None:
    project = bench.project()
    dead = bench.item(project)
    bench.item(project, agent="", depends_on=(dead,))
    bench.item(project, agent="")
    bench.queue.cancel(dead)

    assert (
        bench.queue.waits()
        .until(project, [Goal.COMPLETED], timeout_s=0)
        .reached
        is None
    )


@pytest.mark.parametrize(
    "held_up", [0, 1], ids=["dead letter", "dead dependency"]
)
def test_project_with_active_item_may_still_be_blocked(
    bench: Bench, waiters: Waiters, held_up: int
) -> None:
    project, alive = bench.project(), bench.claimed()
    dead = bench.bring_to(bench.item(project), State.FAILED).item
    item = bench.item(project, depends_on=(alive.item,))
    for _ in range(held_up):
        bench.item(project, depends_on=(dead,))
    waiter = waiters.until(project, Goal.BLOCKED)

    bench.agent().complete(alive)
    bench.bring_to(item, State.BLOCKED)

    assert waiter.result(SOON_S).reached is Goal.BLOCKED


def test_wait_for_blocked_ends_with_last_active_item(
    bench: Bench, waiters: Waiters
) -> None:
    project, alive = bench.project(), bench.claimed()
    dead = bench.bring_to(bench.item(project), State.FAILED).item
    item = bench.item(project, depends_on=(alive.item, dead))
    with pytest.raises(errors.DeadEnd):
        bench.queue.waits().until(project, [Goal.COMPLETED], timeout_s=LONG_S)
    waiter = waiters.until(project, Goal.BLOCKED)

    bench.agent().complete(alive)

    with pytest.raises(
        errors.DeadEnd, match=f"{project} is held up by {dead}"
    ):
        waiter.result(SOON_S)
    assert bench.state(item) is State.WAITING


@pytest.mark.parametrize("end", [State.CANCELLED, State.FAILED])
def test_dead_item_of_another_project_ends_the_wait(
    bench: Bench, end: State
) -> None:
    project, dead = bench.project(), bench.item()
    between = bench.item(depends_on=(dead,))
    waits = bench.item(project, depends_on=(between,))
    bench.bring_to(dead, end)

    for id_ in (project, waits):
        with pytest.raises(
            errors.DeadEnd, match=f"{id_} is held up by {dead}"
        ):
            bench.queue.waits().until(id_, [Goal.COMPLETED], timeout_s=LONG_S)


def test_project_behind_active_project_is_waited_for(
    bench: Bench,
) -> None:
    project, moving = bench.project(), bench.item()
    gone = bench.item(
        project, depends_on=(bench.lease_in(State.CANCELLED).item,)
    )
    waits = bench.item(project, depends_on=(bench.item(depends_on=(moving,)),))
    bench.queue.cancel(gone)

    for id_ in (project, waits):
        assert (
            bench.queue.waits()
            .until(id_, [Goal.COMPLETED], timeout_s=0)
            .reached
            is None
        )


def test_wait_that_times_out_returns_current_state(bench: Bench) -> None:
    lease, started = bench.claimed(), monotonic()

    waited = bench.queue.waits().until(
        lease.item, [Goal.COMPLETED], timeout_s=NOW_S
    )

    assert waited.reached is None
    assert waited.standing.item is not None
    assert waited.standing.item.state is State.IN_PROGRESS
    assert NOW_S <= monotonic() - started < SOON_S


@pytest.mark.parametrize(
    "id_", ["item_00000000", "proj_00000000", "nonsense", ""]
)
def test_wait_for_unknown_id_is_refused(bench: Bench, id_: str) -> None:
    with pytest.raises(errors.NotFound):
        bench.queue.waits().until(id_, [Goal.COMPLETED], timeout_s=LONG_S)


def test_event_since_last_wait_ends_the_next(
    bench: Bench, waiters: Waiters
) -> None:
    lease = bench.claimed()
    cursor = bench.queue.waits().standing(lease.item).cursor
    bench.agent().renew(lease)

    waited = waiters.bench.queue.waits().until(
        lease.item, [Goal.ANY], timeout_s=LONG_S, since=cursor
    )

    assert [event.verb for event in waited.events] == ["renew"]
    assert not waited.gap


def test_lost_cursor_ends_a_wait_for_any(bench: Bench) -> None:
    lease = bench.claimed()
    cursor = bench.queue.waits().standing(lease.item).cursor
    bench.item()
    cast("Any", bench.raw).xtrim(
        keys.events(bench.namespace), maxlen=1, approximate=False
    )

    waited = bench.queue.waits().until(
        lease.item, [Goal.ANY], timeout_s=LONG_S, since=cursor
    )

    assert (waited.reached, waited.gap) == (Goal.ANY, True)


def test_import_is_an_event_of_everything(
    bench: Bench, waiters: Waiters, tmp_path: Path
) -> None:
    item = bench.item()
    export_lines(bench, tmp_path / "export.jsonl")
    waiter = waiters.until(item, Goal.ANY)

    bench.delete_everything()
    restore(tmp_path / "export.jsonl", bench.queue.backup)

    assert [event.verb for event in waiter.result(SOON_S).events] == [
        "restore"
    ]


# No polling -------------------------------------------------------------------------


def test_wait_for_item_ignores_other_items(
    bench: Bench, waiters: Waiters
) -> None:
    lease, other = bench.claimed(), bench.claimed()
    waiter = waiters.until(lease.item, Goal.COMPLETED)

    bench.agent().progress(other, "Half")
    bench.agent().complete(other)
    looks = waiters.connection.calls
    bench.agent().complete(lease)

    assert waiter.result(SOON_S).reached is Goal.COMPLETED
    assert waiters.connection.calls - looks == 1


def test_wait_looks_only_before_and_after_a_block(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench)

    waiters.bench.agent().wait_for_answer(lease, timeout_s=0.5)

    # a server may end a block a millisecond early
    assert waiters.connection.calls <= 3


# Outages ----------------------------------------------------------------------------


def test_wait_survives_an_outage_without_missing_events(
    bench: Bench, waiters: Waiters
) -> None:
    lease, started = asked(bench), monotonic()

    def outage() -> None:
        waiters.connection.failures_left = 3
        bench.queue.answer(lease.item, "Go")

    waiters.connection.before_block = outage

    answered = waiters.bench.agent().wait_for_answer(lease, timeout_s=LONG_S)

    assert [answer.text for answer in answered.answers] == ["Go"]
    assert waiters.connection.failures_left == 0
    assert monotonic() - started < SOON_S


def test_outage_longer_than_the_wait_is_an_error(
    bench: Bench, waiters: Waiters
) -> None:
    lease = asked(bench)
    waiters.connection.before_block = lambda: setattr(
        waiters.connection, "failures_left", 10_000
    )

    with pytest.raises(errors.Unreachable):
        waiters.bench.agent().wait_for_answer(lease, timeout_s=0.5)


def test_unreachable_redis_at_start_is_an_error(
    bench: Bench, waiters: Waiters
) -> None:
    item, started = bench.item(), monotonic()
    waiters.connection.failures_left = 1

    with pytest.raises(errors.Unreachable):
        waiters.bench.queue.waits().until(
            item, [Goal.COMPLETED], timeout_s=LONG_S
        )
    assert monotonic() - started < SOON_S


# Events -----------------------------------------------------------------------------


def test_events_are_yielded_once_as_they_happen(
    bench: Bench, waiters: Waiters
) -> None:
    newest = bench.queue.waits().newest_cursor()
    batches = waiters.bench.queue.waits().events(newest)
    first = waiters.start(lambda _: next(batches))

    project = bench.project()
    came = [event.verb for event in first.result(SOON_S).entries]
    bench.item(project)
    bench.item(project)
    while len(came) < 3:
        came += [event.verb for event in next(batches).entries]

    assert came == ["project", "create", "create"]


def test_events_continue_after_a_reported_outage(
    bench: Bench, waiters: Waiters
) -> None:
    notices: list[str] = []
    newest = bench.queue.waits().newest_cursor()

    def outage() -> None:
        waiters.connection.failures_left = 3
        bench.project()

    waiters.connection.before_block = outage

    batch = next(
        waiters.bench.queue.waits(OutageNotice(notices.append)).events(newest)
    )

    assert [event.verb for event in batch.entries] == ["project"]
    assert "unreachable" in notices[0]
    assert notices[1:] == ["Redis answers again."]


def test_cursor_of_another_redis_starts_with_a_gap(bench: Bench) -> None:
    bench.item()
    newest = bench.queue.waits().newest_cursor()

    gap = next(bench.queue.waits().events("9999999999999-0"))

    assert (gap.known, gap.cursor) == (False, newest)


def test_events_after_lost_cursor_start_with_a_gap(bench: Bench) -> None:
    bench.item()
    cursor = bench.queue.waits().newest_cursor()
    bench.item()
    bench.item()
    cast("Any", bench.raw).xtrim(
        keys.events(bench.namespace), maxlen=1, approximate=False
    )

    gap = next(islice(bench.queue.waits().events(cursor), 1))

    assert (gap.known, len(gap.entries)) == (False, 1)
