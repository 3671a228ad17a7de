"""Commands that end a claim: complete, ack, fail, release."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import PAIR, TEXT, ManyValues

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


@worker.command(
    epilog='Example: worker complete item_1a2b3c4d "4 tables" --deliverable schema=db/schema.sql'
)
@click.argument("item")
@click.argument("summary", type=TEXT)
@click.option(
    "--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …"
)
@pass_context
def complete(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
) -> None:
    """Deliver ITEM."""
    context.step(
        item,
        lambda lease: context.queue.complete(
            lease, summary, deliverables=dict(deliverable)
        ),
    )


@worker.command(epilog="Example: worker ack item_1a2b3c4d")
@click.argument("item")
@click.argument("summary", type=TEXT, default="")
@click.option(
    "--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …"
)
@pass_context
def ack(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
) -> None:
    """Deliver ITEM, with or without a summary."""
    context.step(
        item,
        lambda lease: context.queue.complete(
            lease, summary, deliverables=dict(deliverable)
        ),
    )


@worker.command(epilog='Example: worker fail item_1a2b3c4d "The build server is down"')
@click.argument("item")
@click.argument("reason", type=TEXT)
@click.option(
    "--no-retry",
    is_flag=True,
    help="It would fail again: make it a dead letter at once.",
)
@pass_context
def fail(context: "WorkerContext", item: str, reason: str, no_retry: bool) -> None:
    """Give up this attempt at ITEM. It is tried again later while attempts are left."""
    context.step(
        item, lambda lease: context.queue.fail(lease, reason, retry=not no_retry)
    )


@worker.command(epilog='Example: worker release item_1a2b3c4d --reason "Not my field"')
@click.argument("item")
@click.option("--reason", type=TEXT, default="", help="Why.")
@pass_context
def release(context: "WorkerContext", item: str, reason: str) -> None:
    """Give ITEM back to its queue; no attempt is spent."""
    context.step(item, lambda lease: context.queue.release(lease, reason=reason))
