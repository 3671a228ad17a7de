"""The commands `reviews`, `accept` and `send-back`: an agent as the reviewer of others."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM, TEXT

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(epilog="Example: worker reviews")
@click.option(
    "--limit",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="Maximum number of items.",
)
@pass_context
def reviews(context: "WorkerContext", limit: int) -> None:
    """List the items of other agents that wait for your review."""
    from taskorch_worker.render import reviews as render

    waiting = context.session.reviews(limit=limit)
    context.show_folded(
        waiting, render.waiting, "Nothing waits for your review."
    )


@worker.command(epilog='Example: worker accept item_1a2b3c4d "All tests pass"')
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT, default="")
@pass_context
def accept(context: "WorkerContext", item: str, text: str) -> None:
    """Accept ITEM of another agent, as its reviewer. TEXT is kept in its history."""
    from taskorch.cli.decisions import decision

    accepted = context.session.accept(item, text)
    context.output.show(accepted, decision)


@worker.command(
    "send-back",
    epilog='Example: worker send-back item_1a2b3c4d "The login has no test"',
)
@click.argument("item", type=ITEM)
@click.argument("text", type=TEXT)
@pass_context
def send_back(context: "WorkerContext", item: str, text: str) -> None:
    """Send ITEM back to its agent, which reads TEXT first. You are its reviewer."""
    from taskorch.cli.decisions import decision

    returned = context.session.send_back(item, text)
    context.output.show(returned, decision)
