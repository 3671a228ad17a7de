"""The command that waits for an answer: wait."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import TIMEOUT

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(epilog="Example: worker wait item_1a2b3c4d --timeout 300")
@click.argument("item")
@TIMEOUT
@pass_context
def wait(context: "WorkerContext", item: str, timeout: float) -> None:
    """Wait for the answer to your blocker on ITEM. Exit 8 when none comes; it returns at once where you ask nothing."""
    from taskorch_worker.render import items

    context.output.show(context.session.wait(item, timeout_s=timeout), items.answered)
