"""Commands that end a claim: complete, ack, fail, release."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import PAIR, TEXT, ManyValues

from taskorch_worker.group import at_desk, worker

if TYPE_CHECKING:
    from taskorch_worker.context import Desk


@worker.command(
    epilog='Example: worker complete item_1a2b3c4d "4 tables" --deliverable schema=db/schema.sql'
)
@click.argument("item")
@click.argument("summary", type=TEXT)
@click.option(
    "--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …"
)
@at_desk
def complete(
    desk: "Desk", item: str, summary: str, deliverable: tuple[tuple[str, str], ...]
) -> None:
    """Deliver ITEM."""
    desk.step(
        item,
        lambda lease: desk.queue.complete(
            lease, summary, deliverables=dict(deliverable)
        ),
    )


@worker.command(epilog="Example: worker ack item_1a2b3c4d")
@click.argument("item")
@click.argument("summary", type=TEXT, default="")
@click.option(
    "--deliverable", cls=ManyValues, type=PAIR, help="What you deliver, NAME=VALUE …"
)
@at_desk
def ack(
    desk: "Desk", item: str, summary: str, deliverable: tuple[tuple[str, str], ...]
) -> None:
    """Deliver ITEM, with or without a summary."""
    desk.step(
        item,
        lambda lease: desk.queue.complete(
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
@at_desk
def fail(desk: "Desk", item: str, reason: str, no_retry: bool) -> None:
    """Give up this attempt at ITEM. It is tried again later while attempts are left."""
    desk.step(item, lambda lease: desk.queue.fail(lease, reason, retry=not no_retry))


@worker.command(epilog='Example: worker release item_1a2b3c4d --reason "Not my field"')
@click.argument("item")
@click.option("--reason", type=TEXT, default="", help="Why.")
@at_desk
def release(desk: "Desk", item: str, reason: str) -> None:
    """Give ITEM back to its queue; no attempt is spent."""
    desk.step(item, lambda lease: desk.queue.release(lease, reason=reason))
