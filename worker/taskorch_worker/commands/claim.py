"""The commands `check`, `pop` and `get`."""

from typing import TYPE_CHECKING

import click
from taskorch.cli.arguments import DURATION, ITEM, Seconds
from taskorch.domain import errors, limits

from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch_worker.context import WorkerContext


POOLS = click.option(
    "--pool",
    "pools",
    multiple=True,
    metavar="POOL",
    help="Pool to take items from after your queue. Repeatable; the first one first.  "
    "[default: those of AGENT_POOLS]",
)


@worker.command(epilog="Example: worker check")
@click.option(
    "--limit",
    type=click.IntRange(1, 100),
    default=20,
    show_default=True,
    help="Maximum number of items.",
)
@POOLS
@pass_context
def check(
    context: "WorkerContext", limit: int, pools: tuple[str, ...]
) -> None:
    """List the ready items assigned to you. Those of your pools are among them."""
    from taskorch_worker.render import items

    context.take_from(pools)
    session = context.session
    context.show_folded(
        session.queue.check(limit=limit),
        lambda assigned: items.assignments(
            assigned, session.held_elsewhere(assigned)
        ),
    )


@worker.command(epilog="Example: worker pop --wait 100")
@click.option(
    "--wait",
    type=Seconds(0, limits.LONGEST_WAIT_S),
    default=0,
    help="Time to wait for an item, in seconds.",
)
@click.option(
    "--lease", type=DURATION, help="Lease duration, such as 30m or 4h."
)
@click.option(
    "--count",
    type=click.IntRange(1, limits.CLAIMS),
    help="Maximum number of items to claim.",
)
@POOLS
@pass_context
def pop(
    context: "WorkerContext",
    wait: float,
    lease: int | None,
    count: int | None,
    pools: tuple[str, ...],
) -> None:
    """Claim the next item of your queue, or several. Exit code 8 if no item is ready.

    If your queue has none, the item comes from the first of your pools that has one.
    """
    from taskorch_worker.render import items

    context.take_from(pools)
    claims = context.session.pop(
        count or 1,
        wait_s=wait,
        lease_ms=lease,
        notice=context.claim_notice(),
    )
    if not claims:
        raise errors.NothingToDo
    if count:  # with --count, even one item is a list
        context.show_folded(claims, items.claims)
    else:
        context.show_folded(claims[0], items.claim)


@worker.command(epilog="Example: worker get item_1a2b3c4d")
@click.argument("item", type=ITEM)
@click.option(
    "--peek", is_flag=True, help="Show the item without claiming it."
)
@click.option(
    "--takeover",
    is_flag=True,
    help="Claim it from another session of yours, which loses it.",
)
@click.option(
    "--lease", type=DURATION, help="Lease duration, such as 30m or 4h."
)
@pass_context
def get(
    context: "WorkerContext",
    item: str,
    peek: bool,
    takeover: bool,
    lease: int | None,
) -> None:
    """Show ITEM in full, and claim it if it is queued for you."""
    from taskorch_worker.render import items

    claim = context.session.get(
        item, peek=peek, takeover=takeover, lease_ms=lease
    )
    context.show_folded(claim, items.claim)
