"""The `wait` command."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM_OR_PROJECT, TIMEOUT

from taskorch_orchestrator.commands.project_option import project_option
from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext

GOALS = click.Choice(("completed", "blocked", "review", "any"))


@orchestrate.command(
    epilog="Example: orchestrate wait proj_1a2b3c4d --until completed --until blocked"
)
@project_option(metavar="PROJECT|ITEM", type_=ITEM_OR_PROJECT)
@click.option(
    "--until",
    type=GOALS,
    multiple=True,
    default=("completed",),
    show_default=True,
    help="Goal of the wait. Repeat it to wait for the first of several.",
)
@TIMEOUT
@click.option(
    "--since",
    default="",
    metavar="CURSOR",
    help="With --until any: cursor after which events count.",
)
@pass_context
def wait(
    context: "OrchestratorContext",
    project: str,
    until: tuple[str, ...],
    timeout: float,
    since: str,
) -> None:
    """Wait until a project or an item is completed, blocked or in review.

    With --until any, every event ends it. Exit 8 if the time runs out. Exit 5 if the
    goal can no longer be reached without help.
    """
    from taskorch.queue.wait_results import Goal

    from taskorch_orchestrator import actions
    from taskorch_orchestrator.render import wait as wait_render

    waited = actions.wait(
        context.queue,
        context.waits(),
        project,
        [Goal(goal) for goal in until],
        timeout_s=timeout,
        since=since,
    )
    context.show(waited, wait_render.outcome)
    if waited.data.events:
        context.output.hint(f"Continue with --since {waited.data.cursor}")
