"""`orchestrate schedule`: the service runs plans at their times, once for all services."""

from pathlib import Path

import pytest
from support import services
from support.builders import Bench
from support.commands import Shell, eventually
from taskorch.config.settings import resolve
from taskorch_orchestrator.schedule import service_seen

PLAN = "project: Nightly\nitems:\n  - {name: a, title: A, agent: ada}\n"
RECIPE = "variables: {who: {}}\n" + PLAN.replace(
    "agent: ada", "agent: '${who}'"
)
DAILY = ("--cron", "0 6 * * 1-5")
#: Beside a service, a run in addition to those that a test makes due would count too.
RARE = ("--cron", "0 6 29 2 *")


@pytest.fixture
def plan(shell: Shell) -> Path:
    file = shell.folder / "plan.yaml"
    file.write_text(PLAN, encoding="utf-8")
    return file


def test_schedule_is_added_listed_and_removed(
    shell: Shell, bench: Bench, plan: Path
) -> None:
    added = shell.orchestrate(
        "schedule",
        "add",
        "nightly",
        plan.name,
        *DAILY,
        "--tz",
        "Europe/Berlin",
    )
    listed = shell.orchestrate("--json", "schedule", "list").data()
    table = shell.orchestrate("schedule", "list").stdout.splitlines()
    removed = shell.orchestrate("schedule", "remove", "nightly")

    assert added.code == 0
    assert added.stdout.startswith("nightly runs for the first time at 20")
    (schedule,) = listed
    assert (schedule["cron"], schedule["zone"]) == (DAILY[1], "Europe/Berlin")
    assert schedule["next_at"].endswith("Z")
    assert (schedule["last_at"], schedule["last_error"]) == (None, "")
    assert table[1].split()[:6] == ["nightly", "0", "6", "*", "*", "1-5"]
    assert removed.stdout == "Removed nightly.\n"
    assert bench.queue.schedules().list() == ()


@pytest.mark.usefixtures("plan")
def test_schedule_without_service_is_noted(shell: Shell) -> None:
    add = ("schedule", "add")

    alone = shell.orchestrate(*add, "one", "plan.yaml", *DAILY)
    as_json = shell.orchestrate("--json", *add, "two", "plan.yaml", *DAILY)

    assert alone.stderr == (
        "No service was seen in the last minute, and only a service starts a "
        "schedule. Start one: orchestrate service\n"
    )
    assert (as_json.stderr, as_json.data()["name"]) == ("", "two")


@pytest.mark.usefixtures("plan")
def test_schedule_beside_running_service_has_no_note(
    shell: Shell, bench: Bench
) -> None:
    with services.running(shell, "--no-rq"):
        eventually(
            lambda: any(
                each.service_at for each in bench.queue.views.mirrors()
            )
        )

        added = shell.orchestrate(
            "schedule", "add", "one", "plan.yaml", *DAILY
        )

    assert (added.code, added.stderr) == (0, "")


@pytest.mark.parametrize(
    ("service", "advice"),
    [("on", "orchestrate server start"), ("off", "orchestrate service")],
)
def test_advice_names_the_service_that_belongs_here(
    bench: Bench, tmp_path: Path, service: str, advice: str
) -> None:
    environment = {"TASKORCH_ROOT": str(tmp_path), "TASKORCH_SERVICE": service}
    settings = resolve({}, environment, tmp_path)

    found = service_seen.advice(settings, bench.queue.views)

    assert found.endswith(f"Start one: {advice}")


@pytest.mark.usefixtures("plan")
def test_service_runs_due_schedule_once(shell: Shell, bench: Bench) -> None:
    shell.orchestrate("schedule", "add", "nightly", "plan.yaml", *RARE)
    bench.make_due("nightly")

    with services.running(shell, "--no-rq", number=2):
        eventually(lambda: bench.queue.schedules().list()[0].runs == 1)
        bench.make_due("nightly", 2000)
        eventually(lambda: bench.queue.schedules().list()[0].runs == 2)

    assert len(bench.queue.views.projects()) == 2


@pytest.mark.usefixtures("plan")
def test_service_with_rq_runs_schedule(shell: Shell, bench: Bench) -> None:
    shell.orchestrate("schedule", "add", "nightly", "plan.yaml", *RARE)
    bench.make_due("nightly")

    with services.running(shell):
        eventually(lambda: bench.queue.schedules().list()[0].runs == 1)

    assert len(bench.queue.views.projects()) == 1


def test_schedule_runs_by_hand_with_values(shell: Shell, bench: Bench) -> None:
    (shell.folder / "recipe.yaml").write_text(RECIPE, encoding="utf-8")
    shell.orchestrate(
        *("schedule", "add", "now", "recipe.yaml", *DAILY, "--set", "who=bob")
    )

    ran = shell.orchestrate("schedule", "run", "now")

    (project,) = bench.queue.views.projects()
    assert (ran.code, ran.stdout) == (0, f"{project.id}\n")
    (item,) = bench.queue.views.progress(project.id).items
    assert item.agent == "bob"


def test_run_by_hand_remarks_like_apply(shell: Shell, plan: Path) -> None:
    plan.write_text(PLAN.replace("agent: ada", "pool: backend"), "utf-8")
    shell.orchestrate("schedule", "add", "now", plan.name, *DAILY)

    ran = shell.orchestrate("schedule", "run", "now")

    assert "No agent takes items from the pool backend yet" in ran.stderr


@pytest.mark.usefixtures("plan")
@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--cron", "0 0 30 2 *"), 5, "is not a cron line"),
        (("--cron", "0 0 * *"), 5, "it has 4 fields"),
        ((*DAILY, "--tz", "Mars/X"), 5, "There is no time zone 'Mars/X'"),
        ((*DAILY, "--set", "a=b"), 5, "not a valid plan"),
        ((), 2, "Missing option '--cron'"),
    ],
)
def test_wrong_schedule_is_refused(
    shell: Shell, bench: Bench, words: tuple[str, ...], code: int, message: str
) -> None:
    ran = shell.orchestrate("schedule", "add", "x", "plan.yaml", *words)

    assert ran.code == code
    assert message in ran.stderr
    assert bench.queue.schedules().list() == ()


@pytest.mark.usefixtures("plan")
def test_name_that_exists_is_refused(shell: Shell, bench: Bench) -> None:
    words = ("schedule", "add", "nightly", "plan.yaml", *DAILY)
    shell.orchestrate(*words)

    again = shell.orchestrate(*words, "--json")

    assert (again.code, again.error()["code"]) == (5, "SCHEDULE_EXISTS")
    assert len(bench.queue.schedules().list()) == 1


@pytest.mark.parametrize("verb", ["run", "remove"])
@pytest.mark.usefixtures("bench")
def test_unknown_schedule_is_refused(shell: Shell, verb: str) -> None:
    shell.orchestrate("project", "P")

    ran = shell.orchestrate("schedule", verb, "nightly", "--json")

    assert (ran.code, ran.error()["code"]) == (3, "NO_SCHEDULE")


@pytest.mark.usefixtures("plan")
def test_doctor_names_failing_schedule(shell: Shell, bench: Bench) -> None:
    shell.orchestrate("schedule", "add", "nightly", "plan.yaml", *DAILY)
    bench.queue.schedules().end("nightly", error="It failed")

    ran = shell.orchestrate("doctor")
    listed = shell.orchestrate("schedule", "list").stdout

    assert ran.code == 5
    assert "the last run of 1 schedule failed: nightly" in ran.stdout
    assert "It failed" in listed
