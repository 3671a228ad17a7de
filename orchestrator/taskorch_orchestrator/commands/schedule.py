"""The `schedule` commands: plans that the service applies at the times of a cron line."""

from typing import TYPE_CHECKING

import click
from taskorch.cli import app
from taskorch.cli.arguments import Contents
from taskorch.domain.schedule import PLAN_BYTES

from taskorch_orchestrator.commands.set_option import set_option
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

NAME = click.argument("name")


@orchestrate.group(
    cls=app.RoleGroup,
    epilog='Example: orchestrate schedule add nightly plan.yaml --cron "0 2 * * *"',
)
def schedule() -> None:
    """Apply plans at the times of a cron line."""


@schedule.command(
    epilog='Example: orchestrate schedule add triage plan.yaml --cron "0 6 * * 1-5"'
)
@NAME
@click.argument("plan", type=Contents(PLAN_BYTES), metavar="PLAN.yaml")
@click.option(
    "--cron",
    required=True,
    help="Minute, hour, day of the month, month and day of the week.",
)
@click.option(
    "--tz",
    "zone",
    default="UTC",
    show_default=True,
    metavar="ZONE",
    help="Time zone of the cron line, such as Europe/Berlin.",
)
@set_option()
@pass_context
def add(
    context: "OrchestratorContext",
    name: str,
    plan: tuple[str, bytes],
    cron: str,
    zone: str,
    values: dict[str, str],
) -> None:
    """Have the service apply a plan at the times of a cron line.

    The queue keeps the plan as it is now, and each run creates a project. A plan that
    names an existing project adds its items to that one. PLAN.yaml may be -, for
    standard input. The variables run_date and run_at, if the plan declares them, are
    filled with the date and the time of the run.
    """
    from taskorch_orchestrator.render import schedules
    from taskorch_orchestrator.schedule import runs, service_seen

    timing = runs.ScheduleTiming(cron=cron, zone=zone)
    added = runs.add(context.queue, name, plan, timing, values)
    context.output.show(added, schedules.added)
    if advice := service_seen.advice(context.settings, context.queue.views):
        context.output.hint(advice)


@schedule.command("list", epilog="Example: orchestrate schedule list")
@pass_context
def list_(context: "OrchestratorContext") -> None:
    """List the schedules with their next and their last run, the next one first."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import schedules

    context.show(
        actions.schedules(context.queue), schedules.table, "No schedules."
    )


@schedule.command(epilog="Example: orchestrate schedule remove nightly")
@NAME
@pass_context
def remove(context: "OrchestratorContext", name: str) -> None:
    """Remove the schedule NAME. The projects that it has created stay."""
    from taskorch_orchestrator.render import schedules

    context.queue.schedules().remove(name)
    context.output.show({"name": name}, schedules.removed)


@schedule.command(epilog="Example: orchestrate schedule run nightly")
@NAME
@pass_context
def run(context: "OrchestratorContext", name: str) -> None:
    """Apply the plan of the schedule NAME now. Its next run stays."""
    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import plan as plan_render

    context.show(
        actions.run_schedule(context.queue_of(), context.handoffs(), name),
        plan_render.applied,
    )
