"""The `status` command."""

from typing import TYPE_CHECKING

import click
from taskorch.domain import errors

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(epilog="Example: orchestrate status")
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=5,
    show_default=True,
    help="Maximum number of rows of each section.",
)
@pass_context
def status(context: "OrchestratorContext", limit: int) -> None:
    """Show what needs you, the agents, the open projects, and whether all is well.

    If Redis is unreachable, it shows what is known of the server. Exit 4.
    """
    from taskorch_orchestrator import status as reading
    from taskorch_orchestrator.render import status as status_render

    queue = context.queue_of()
    try:
        report = reading.status(queue.views, context.settings, limit=limit)
    except errors.Unavailable:
        if not context.output.as_json:
            known = reading.health(context.settings, reachable=False)
            context.output.show(known, status_render.health)
        raise
    context.output.show(
        report, lambda shown: status_render.report(shown, limit)
    )
