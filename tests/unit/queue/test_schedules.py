"""Schedules in Redis: one caller starts a run, and a repeat of it is the same run."""

import pytest
from support.builders import PLAN, Bench, new_schedule
from taskorch.domain import errors
from taskorch.domain.frozen import replace
from taskorch.domain.schedule import MOST_SCHEDULES, PLAN_BYTES, Schedule

#: Later than any test runs, in ms since the epoch.
LATER = 2**50


def due(bench: Bench) -> Schedule:
    """Return the only schedule that is due."""
    (schedule,) = bench.queue.schedules().due().schedules
    return schedule


def let_repeat(bench: Bench, name: str) -> None:
    """Move a schedule past the time at which its unfinished run is repeated."""
    bench.add_entry("schedules", name, 2)


def test_created_schedule_is_listed(bench: Bench) -> None:
    schedules = bench.queue.schedules()

    schedules.create(new_schedule("nightly", next_at=LATER))
    schedules.create(new_schedule("hourly", next_at=LATER - 1))

    first, second = schedules.list()
    assert (first.name, second.name) == ("hourly", "nightly")
    assert (second.cron, second.zone) == ("0 6 * * *", "UTC")
    assert (second.next_at, second.last_at, second.runs) == (LATER, 0, 0)
    assert second.created_by == "planner"
    assert schedules.due().schedules == ()


def test_schedule_keeps_plan_and_values(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    new = replace(new_schedule("nightly"), values={"a": "ü\n${b}"})

    schedules.create(new)

    _, _, content = schedules.get("nightly")
    assert (content.plan, content.values) == (PLAN, {"a": "ü\n${b}"})


def test_second_schedule_of_a_name_is_refused(bench: Bench) -> None:
    bench.queue.schedules().create(new_schedule("nightly"))

    with pytest.raises(errors.ScheduleExists):
        bench.queue.schedules().create(new_schedule("nightly"))


@pytest.mark.one_lane
def test_number_of_schedules_is_bounded(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    for number in range(MOST_SCHEDULES):
        schedules.create(new_schedule(f"number-{number}"))

    with pytest.raises(errors.TooManySchedules):
        schedules.create(new_schedule("one-more"))
    assert len(schedules.list()) == MOST_SCHEDULES


@pytest.mark.parametrize(
    "new",
    [
        new_schedule("no name"),
        new_schedule("a", plan="x" * (PLAN_BYTES + 1)),
        new_schedule("a", cron="*" * 201),
        new_schedule("a", cron=""),
        new_schedule("a", next_at=-1),
    ],
)
@pytest.mark.one_lane
def test_schedule_beyond_limits_is_refused(bench: Bench, new: object) -> None:
    with pytest.raises(errors.Invalid):
        bench.queue.schedules().create(new)  # type: ignore[arg-type]


def test_one_of_two_callers_starts_run(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly", next_at=1000))
    seen = due(bench)

    first = schedules.start(seen, LATER)
    second = schedules.start(seen, LATER)

    assert first
    assert (first.due, first.content.plan) == (1000, PLAN)
    assert second is None
    (listed,) = schedules.list()
    assert (listed.running_at, listed.next_at) == (1000, LATER)
    assert schedules.due().schedules == ()


def test_run_that_did_not_end_repeats(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly", next_at=1000))
    schedules.start(due(bench), 2000)
    let_repeat(bench, "nightly")

    again = schedules.start(due(bench), LATER)

    assert again
    assert again.due == 1000
    assert schedules.list()[0].next_at == 2000


def test_ended_run_makes_way_for_next(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly", next_at=1000))
    run = schedules.start(due(bench), 2000)
    assert run

    schedules.end("nightly", due=run.due, project="proj_1a2b3c4d")

    ended = due(bench)
    assert (ended.running_at, ended.next_at, ended.runs) == (0, 2000, 1)
    assert (ended.last_project, ended.last_error) == ("proj_1a2b3c4d", "")
    assert ended.last_at > 0


def test_end_of_another_run_changes_nothing(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly", next_at=1000))
    schedules.start(due(bench), 2000)

    schedules.end("nightly", due=999, error="late")

    (listed,) = schedules.list()
    assert (listed.running_at, listed.last_error, listed.runs) == (1000, "", 0)


def test_failed_run_keeps_last_project(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly", next_at=LATER))

    schedules.end("nightly", project="proj_1a2b3c4d")
    schedules.end("nightly", error="It\nfailed")

    (listed,) = schedules.list()
    assert listed.last_project == "proj_1a2b3c4d"
    assert (listed.last_error, listed.runs) == ("It\nfailed", 2)
    assert listed.next_at == listed.due_at == LATER


def test_removed_schedule_is_gone(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("nightly"))
    seen = due(bench)

    schedules.remove("nightly")

    assert schedules.list() == ()
    assert schedules.start(seen, LATER) is None
    for act in (schedules.remove, schedules.get, schedules.end):
        with pytest.raises(errors.NoSchedule):
            act("nightly")


def test_damaged_schedule_is_left_out(bench: Bench) -> None:
    schedules = bench.queue.schedules()
    schedules.create(new_schedule("good", next_at=LATER))
    schedules.create(new_schedule("bad", next_at=LATER))
    bench.set_schedule("bad", next="soon")

    listed = schedules.list()

    assert [each.name for each in listed] == ["good"]
    assert bench.queue.damage == {
        ("schedule", "bad"): "its next cannot be right"
    }
