"""The command that waits for an answer: wait."""

from typing import TYPE_CHECKING

import click
from taskorch import bounds
from taskorch.arguments import Seconds

from taskorch_worker.role import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.desk import Desk

LONGEST_WAIT_S = 86_400


@worker.command(epilog="Example: worker wait item_1a2b3c4d --timeout 300")
@click.argument("item")
@click.option(
    "--timeout", type=Seconds(0, LONGEST_WAIT_S), default=bounds.PATIENCE_S, show_default=True, help="So many seconds."
)
@at_desk
def wait(desk: "Desk", item: str, timeout: float) -> None:
    """Wait for the answer to your blocker on ITEM. Exit 8 when none comes; it returns at once where you ask nothing."""
    from taskorch_worker import render

    desk.output.show(desk.holding.wait(item, timeout_s=timeout), render.answered)
