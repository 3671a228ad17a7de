"""The command that waits for agents: wait."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import TIMEOUT

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

GOALS = click.Choice(("completed", "blocked", "any"))


@orchestrate.command(
    epilog="Example: orchestrate wait proj_1a2b3c4d --until completed --until blocked"
)
@click.argument("project", metavar="PROJECT|ITEM")
@click.option(
    "--until",
    type=GOALS,
    multiple=True,
    default=("completed",),
    help="Repeat it: the first that comes true.",
)
@TIMEOUT
@click.option(
    "--since",
    default="",
    metavar="CURSOR",
    help="With --until any: what came after this counts, too.",
)
@pass_context
def wait(
    context: "OrchestratorContext",
    project: str,
    until: tuple[str, ...],
    timeout: float,
    since: str,
) -> None:
    """Wait until a project or an item is completed, until it is blocked, or for any event of it.

    Exit 8 when the time runs out, 5 when it cannot come true any more by itself.
    """
    from taskorch.queue.wait_results import Goal

    from taskorch_orchestrator.context import outcome_of
    from taskorch_orchestrator.render import wait as waiting_render

    goals = [Goal(goal) for goal in until]
    waited = context.waiting().until(project, goals, timeout_s=timeout, since=since)
    context.output.show(
        outcome_of(context.queue, waited, goals, timeout_s=timeout),
        waiting_render.outcome,
    )
    if waited.events:
        context.output.hint(f"Continue with --since {waited.cursor}")
