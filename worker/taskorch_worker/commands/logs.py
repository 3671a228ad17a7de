"""The command `logs`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli import log_view
from taskorch.cli.arguments import ITEM
from taskorch.config.wanted_log import LogRequest, WantedAttempt

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(epilog="Example: worker logs item_1a2b3c4d --tail 50")
@click.argument("item", type=ITEM)
@log_view.options
@pass_context
def logs(
    context: "WorkerContext",
    item: str,
    attempt: WantedAttempt | None,
    tail: int | None,
    follow: bool,
) -> None:
    """Print what the command of an attempt at ITEM has printed.

    Only `worker run` keeps logs: in its own root, for at most 30 days.
    """
    request = LogRequest(item=item, attempt=attempt, tail=tail, follow=follow)
    session = context.session
    log_view.show(
        context.output,
        context.settings,
        request,
        lambda: session.queue.get(session.lease(item), peek=True).package.item,
    )
