"""Schedules, and plans with variables, over MCP."""

from typing import Any

from support import tool_client
from support.builders import Bench
from support.commands import Shell
from support.tool_client import run_async

PLAN: dict[str, Any] = {
    "project": "Triage of ${run_date}",
    "variables": {"run_date": {}, "who": {}},
    "items": [{"name": "a", "title": "Read the issues", "agent": "${who}"}],
    "set": {"who": "bob"},
}
DAILY = "0 6 * * 1-5"


def test_schedule_is_added_run_listed_and_removed(
    shell: Shell, bench: Bench
) -> None:
    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            added = await boss.data(
                "schedule",
                verb="add",
                schedule="triage",
                plan=PLAN,
                cron=DAILY,
                tz="Europe/Berlin",
            )
            ran = await boss.data("schedule", verb="run", schedule="triage")
            (listed,) = await boss.data("status", of="schedules")
            removed = await boss.data(
                "schedule", verb="remove", schedule="triage"
            )
            gone = await boss.error("schedule", verb="run", schedule="triage")

        assert added["next_at"].endswith("Z")
        assert listed["cron"] == DAILY
        assert listed["zone"] == "Europe/Berlin"
        assert listed["last_project"] == ran["project"]
        assert removed == {"name": "triage"}
        assert gone["code"] == "NO_SCHEDULE"
        assert gone["hint"] == "List them: the tool status with of=schedules"

    run_async(test)
    (project,) = bench.queue.views.projects()
    (item,) = bench.queue.views.progress(project.id).items
    assert project.title.startswith("Triage of 20")
    assert item.agent == "bob"
    assert bench.queue.schedules().list() == ()


#: Arguments, the code of the error, and a part of its message.
MISTAKES: list[tuple[dict[str, Any], str, str]] = [
    ({"verb": "add"}, "USAGE", "needs plan and cron"),
    ({"verb": "add", "plan": PLAN}, "USAGE", "needs plan and cron"),
    ({"verb": "run", "cron": DAILY}, "USAGE", "Only add takes"),
    ({"verb": "remove", "tz": "UTC"}, "USAGE", "Only add takes"),
    ({"verb": "add", "plan": PLAN, "cron": "0 6 31 2 *"}, "INVALID", ""),
    ({"verb": "add", "plan": PLAN, "cron": DAILY, "tz": "Mars"}, "INVALID", ""),
    ({"verb": "add", "plan": {"project": "x"}, "cron": DAILY}, "BAD_PLAN", ""),
    ({"verb": "add", "plan": {**PLAN, "set": {}}, "cron": DAILY}, "BAD_PLAN", ""),
    ({"verb": "add", "plan": {**PLAN, "set": {"who": 7}}, "cron": DAILY}, "USAGE", "set of plan"),
    ({"verb": "add", "plan": {**PLAN, "dry_run": True}, "cron": DAILY}, "BAD_PLAN", ""),
    ({"verb": "add", "plan": {**PLAN, "key": "k"}, "cron": DAILY}, "INVALID", "has no key"),
    ({"verb": "run"}, "NO_SCHEDULE", ""),
]  # fmt: skip


def test_wrong_schedule_is_refused(shell: Shell, bench: Bench) -> None:
    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            for given, code, part in MISTAKES:
                error = await boss.error("schedule", schedule="n", **given)
                assert error["code"] == code, (given, error)
                assert part in error["message"], (given, error)

    run_async(test)
    assert bench.queue.schedules().list() == ()


def test_plan_fills_its_variables(shell: Shell, bench: Bench) -> None:
    plan = {**PLAN, "set": {"who": "bob", "run_date": "today"}}

    async def test() -> None:
        async with tool_client.orchestrate(shell) as boss:
            dry = await boss.document("plan", **plan, dry_run=True)
            made = await boss.data("plan", **plan)
            missing = await boss.error("plan", **{**PLAN, "set": {}})

        assert "Triage of today" in str(dry["meta"]["plan"])
        assert made["project"].startswith("proj_")
        assert missing["code"] == "BAD_PLAN"

    run_async(test)
    (project,) = bench.queue.views.projects()
    assert project.title == "Triage of today"
