"""Commands that look for work and take it: check, pop, get."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION, Seconds
from taskorch.domain import errors, limits

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext

MOST_AT_ONCE = 100


@worker.command(epilog="Example: worker check")
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="Show at most so many.",
)
@pass_context
def check(context: "WorkerContext", limit: int) -> None:
    """List the items that are assigned to you and ready."""
    context.check(limit=limit)


@worker.command(epilog="Example: worker pop --wait 300")
@click.option(
    "--wait",
    type=Seconds(0, limits.PATIENCE_S),
    default=0,
    help=f"Seconds to wait for work (to {limits.PATIENCE_S}).",
)
@click.option(
    "--lease", type=DURATION, help="How long it is yours without a report: 30m, 4h."
)
@click.option(
    "--count",
    type=click.IntRange(1, MOST_AT_ONCE),
    help="Claim so many at once, or what there is of them.",
)
@pass_context
def pop(
    context: "WorkerContext", wait: float, lease: int | None, count: int | None
) -> None:
    """Claim the next item of your queue, or the next ones. Exit 8 when there is none."""
    if not context.pop(count, wait_s=wait, lease_ms=lease):
        raise errors.NothingToDo


@worker.command(epilog="Example: worker get item_1a2b3c4d")
@click.argument("item")
@click.option("--peek", is_flag=True, help="Only look; claim nothing.")
@click.option(
    "--takeover",
    is_flag=True,
    help="Take it from another session of yours, whose token dies.",
)
@click.option(
    "--lease", type=DURATION, help="How long it is yours without a report: 30m, 4h."
)
@pass_context
def get(
    context: "WorkerContext", item: str, peek: bool, takeover: bool, lease: int | None
) -> None:
    """Show all that ITEM carries. It is claimed if it is queued for you."""
    context.get(item, peek=peek, takeover=takeover, lease_ms=lease)
