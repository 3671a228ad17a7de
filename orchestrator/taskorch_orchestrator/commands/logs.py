"""The `logs` command."""

from typing import TYPE_CHECKING

import click
from taskorch.cli import log_view
from taskorch.cli.arguments import ITEM
from taskorch.config.wanted_log import LogRequest, WantedAttempt

from taskorch_orchestrator.group import orchestrate, pass_context

if TYPE_CHECKING:
    from taskorch_orchestrator.context import OrchestratorContext


@orchestrate.command(
    epilog="Example: orchestrate logs item_1a2b3c4d --tail 50"
)
@click.argument("item", type=ITEM)
@log_view.options
@pass_context
def logs(
    context: "OrchestratorContext",
    item: str,
    attempt: WantedAttempt | None,
    tail: int | None,
    follow: bool,
) -> None:
    """Print what the command of an attempt at ITEM has printed.

    Only `worker run` keeps logs: in its own root, for at most 30 days.
    """
    request = LogRequest(item=item, attempt=attempt, tail=tail, follow=follow)
    log_view.show(
        context.output,
        context.settings,
        request,
        lambda: context.queue.views.show(item).item,
    )
