"""The commands `complete`, `ack`, `fail` and `release`: they end a claim."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import ITEM, PAIR, TEXT, ManyValues

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext

DELIVERABLE = click.option(
    "--deliverable",
    cls=ManyValues,
    type=PAIR,
    help="One or more deliverables.",
)


@worker.command(
    epilog='Example: worker complete item_1a2b3c4d "4 tables" --deliverable schema=db/schema.sql'
)
@click.argument("item", type=ITEM)
@click.argument("summary", type=TEXT)
@DELIVERABLE
@pass_context
def complete(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
) -> None:
    """Deliver ITEM."""
    deliverables = dict(deliverable)
    receipt = context.session.complete(
        item, summary, deliverables=deliverables
    )
    context.show(receipt)


@worker.command(epilog="Example: worker ack item_1a2b3c4d")
@click.argument("item", type=ITEM)
@click.argument("summary", type=TEXT, default="")
@DELIVERABLE
@pass_context
def ack(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
) -> None:
    """Deliver ITEM, with or without a summary."""
    deliverables = dict(deliverable)
    receipt = context.session.complete(
        item, summary, deliverables=deliverables
    )
    context.show(receipt)


@worker.command(
    epilog='Example: worker fail item_1a2b3c4d "The build server is down"'
)
@click.argument("item", type=ITEM)
@click.argument("reason", type=TEXT)
@click.option(
    "--no-retry", is_flag=True, help="Do not retry it: make it a dead letter."
)
@pass_context
def fail(
    context: "WorkerContext", item: str, reason: str, no_retry: bool
) -> None:
    """Give up this attempt at ITEM. It is retried later while attempts are left."""
    receipt = context.session.fail(item, reason, retry=not no_retry)
    context.show(receipt)


@worker.command(
    epilog='Example: worker release item_1a2b3c4d --reason "Not my field"'
)
@click.argument("item", type=ITEM)
@click.option(
    "--reason", type=TEXT, default="", help="Reason, for the history."
)
@pass_context
def release(context: "WorkerContext", item: str, reason: str) -> None:
    """Return ITEM to its queue; no attempt is spent."""
    receipt = context.session.release(item, reason=reason)
    context.show(receipt)
