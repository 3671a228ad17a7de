"""The runs of schedules: each applies its plan once, and failures are recorded."""

import pytest
from support.builders import PLAN, Bench
from taskorch.domain import errors
from taskorch_orchestrator.schedule import runs
from taskorch_orchestrator.schedule.runs import ScheduleTiming

DAILY = ScheduleTiming(cron="0 6 * * *", zone="UTC")
DATED = (
    "project: Triage of ${run_date}\nvariables: {run_date: {}, run_at: {}, who: ada}\n"
    "items:\n  - {name: a, title: '${run_at}', agent: '${who}'}\n"
)


def add(
    bench: Bench,
    plan: str = PLAN,
    timing: ScheduleTiming = DAILY,
    **values: str,
) -> None:
    """Create the schedule "nightly", which is due."""
    now = bench.now_ms()
    added = runs.add(
        bench.queue, "nightly", ("plan.yaml", plan.encode()), timing, values
    )
    assert added.next_at > now
    bench.make_due("nightly")


def titles(bench: Bench) -> list[str]:
    return [each.title for each in bench.queue.views.projects()]


def test_due_run_creates_project(bench: Bench) -> None:
    add(bench)

    runs.run_due(bench.queue)

    (schedule,) = bench.queue.schedules().list()
    (project,) = bench.queue.views.projects()
    assert (schedule.last_project, schedule.last_error) == (project.id, "")
    assert schedule.next_at > bench.now_ms()


def test_missed_runs_are_made_up_once(bench: Bench) -> None:
    add(bench)

    for _ in range(3):
        runs.run_due(bench.queue)

    assert titles(bench) == ["Nightly"]
    assert bench.queue.schedules().list()[0].runs == 1


def test_next_run_creates_another_project(bench: Bench) -> None:
    add(bench)
    runs.run_due(bench.queue)
    bench.add_entry("schedules", "nightly", 1000)

    runs.run_due(bench.queue)

    assert titles(bench) == ["Nightly", "Nightly"]


def test_repeat_after_crash_creates_no_second_project(bench: Bench) -> None:
    add(bench)
    runs.run_due(bench.queue)
    # the service ended after it had created the project, before it recorded that
    bench.set_schedule("nightly", running="1000")
    bench.add_entry("schedules", "nightly", 2000)

    runs.run_due(bench.queue)

    assert titles(bench) == ["Nightly"]
    (schedule,) = bench.queue.schedules().list()
    assert (schedule.running_at, schedule.runs) == (0, 2)


def test_run_fills_its_date_and_values(bench: Bench) -> None:
    add(bench, DATED, who="bob")

    runs.run_due(bench.queue)

    assert titles(bench) == ["Triage of 1970-01-01"]
    (project,) = bench.queue.views.projects()
    (item,) = bench.queue.views.progress(project.id).items
    assert (item.title, item.agent) == ("1970-01-01T00:00:01.000Z", "bob")


def test_addition_gets_new_items_each_time(bench: Bench) -> None:
    project = bench.project()
    add(bench, PLAN.replace("Nightly", project))

    for at in (1000, 2000, 2000):
        bench.make_due("nightly", at)
        runs.run_due(bench.queue)

    assert len(bench.queue.views.progress(project).items) == 2
    assert len(titles(bench)) == 1


def test_failed_run_is_recorded(bench: Bench) -> None:
    add(bench, PLAN.replace("Nightly", "proj_0000aaaa"))

    runs.run_due(bench.queue)

    (schedule,) = bench.queue.schedules().list()
    assert "proj_0000aaaa" in schedule.last_error
    assert (schedule.last_project, schedule.runs) == ("", 1)
    assert schedule.next_at > bench.now_ms()


def test_unreadable_line_is_recorded(bench: Bench) -> None:
    add(bench)
    bench.set_schedule("nightly", cron="0 0 30 2 *")

    runs.run_due(bench.queue)

    (schedule,) = bench.queue.schedules().list()
    assert "is not a cron line" in schedule.last_error
    assert titles(bench) == []


def test_run_by_hand_keeps_next_run(bench: Bench) -> None:
    add(bench)
    before = bench.queue.schedules().list()[0].next_at

    applied = runs.run_now(bench.queue, "nightly", bench.queue.apply)

    (schedule,) = bench.queue.schedules().list()
    assert schedule.last_project == applied.project
    assert (schedule.next_at, schedule.runs) == (before, 1)


@pytest.mark.one_lane
@pytest.mark.parametrize(
    ("plan", "timing", "reason"),
    [
        (f"key: k\n{PLAN}", DAILY, "A scheduled plan has no key"),
        (
            PLAN,
            ScheduleTiming(cron="0 0 30 2 *", zone="UTC"),
            "is not a cron line",
        ),
        (
            PLAN,
            ScheduleTiming(cron="0 6 * * *", zone="X"),
            "There is no time zone",
        ),
        ("project: P\n", DAILY, "not a valid plan"),
        (f"variables: {{a: {{}}}}\n{PLAN}", DAILY, "not a valid plan"),
    ],
)
def test_wrong_schedule_is_refused(
    bench: Bench, plan: str, timing: ScheduleTiming, reason: str
) -> None:
    with pytest.raises(errors.Invalid, match=reason):
        add(bench, plan, timing)

    assert bench.queue.schedules().list() == ()
