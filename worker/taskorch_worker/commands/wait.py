"""The command `wait`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM, TIMEOUT

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(epilog="Example: worker wait item_1a2b3c4d --timeout 100")
@click.argument("item", type=ITEM)
@click.option(
    "--question",
    type=click.IntRange(1),
    metavar="N",
    help="Wait only for the answer to question N.",
)
@TIMEOUT
@pass_context
def wait(
    context: "WorkerContext", item: str, question: int | None, timeout: float
) -> None:
    """Wait for the answers to your questions on ITEM. Exit code 8 after the timeout.

    Returns immediately if you have no open question. A new comment ends the wait, too.
    If ITEM is in review, it waits for the decision of the reviewer.
    """
    from taskorch_worker.render import items

    answered = context.session.wait_for_answer(
        item,
        timeout_s=timeout,
        question=question or 0,
        notice=context.wait_notice("an answer"),
    )
    context.show_folded(answered, items.answered)
