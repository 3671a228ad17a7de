"""The commands `complete`, `ack`, `fail` and `release`: they end a claim."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import click
from taskorch.cli.arguments import (
    DURATION,
    ITEM,
    PAIR,
    TEXT,
    ManyValues,
    Seconds,
)
from taskorch.domain import errors, limits
from taskorch.domain.frozen import replace
from taskorch.domain.item import State

from taskorch_worker.commands.usage_options import usage_options
from taskorch_worker.group import pass_context, worker

if TYPE_CHECKING:
    from taskorch.domain.item import SettledReceipt
    from taskorch.domain.usage import ModelUsage

    from taskorch_worker.context import WorkerContext

Command = TypeVar("Command", bound=Callable[..., object])

NOTHING_QUEUED = (
    "No item is ready for you. Wait for one: worker pop --wait 100"
)

LEFT_TO_RUN = (
    "The acceptance checks pass. worker run repeats them and completes the item when "
    "its command has ended with exit status 0."
)

DELIVERABLE = click.option(
    "--deliverable",
    cls=ManyValues,
    type=PAIR,
    help="One or more deliverables.",
)


def next_options(command: Command) -> Command:
    """Add --next and the options of the claim that it makes."""
    for option in (
        click.option(
            "--lease",
            type=DURATION,
            help="Lease duration of the next item, such as 30m or 4h.",
        ),
        click.option(
            "--wait",
            type=Seconds(0, limits.LONGEST_WAIT_S),
            help="Time to wait for the next item, in seconds.",
        ),
        click.option(
            "--next",
            "next_",
            is_flag=True,
            help="Claim the next item of your queue in the same step.",
        ),
    ):
        command = option(command)
    return command


@worker.command(
    epilog='Example: worker complete item_1a2b3c4d "4 tables" --deliverable schema=db/schema.sql --next'
)
@click.argument("item", type=ITEM)
@click.argument("summary", type=TEXT)
@DELIVERABLE
@next_options
@usage_options
@pass_context
def complete(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
    next_: bool,
    wait: float | None,
    lease: int | None,
    used: "ModelUsage",
) -> None:
    """Deliver ITEM. With --next, claim your next item, too."""
    _check_next(next_=next_, wait=wait, lease=lease)
    receipt = context.session.complete(
        item,
        summary,
        deliverables=dict(deliverable),
        next=next_,
        lease_ms=lease,
        used=used,
    )
    _show(context, receipt, next_=next_, wait=wait, lease=lease)


@worker.command(epilog="Example: worker ack item_1a2b3c4d --next")
@click.argument("item", type=ITEM)
@click.argument("summary", type=TEXT, default="")
@DELIVERABLE
@next_options
@usage_options
@pass_context
def ack(
    context: "WorkerContext",
    item: str,
    summary: str,
    deliverable: tuple[tuple[str, str], ...],
    next_: bool,
    wait: float | None,
    lease: int | None,
    used: "ModelUsage",
) -> None:
    """Deliver ITEM, with or without a summary. With --next, claim your next item, too."""
    _check_next(next_=next_, wait=wait, lease=lease)
    receipt = context.session.ack(
        item,
        summary,
        deliverables=dict(deliverable),
        next=next_,
        lease_ms=lease,
        used=used,
    )
    _show(context, receipt, next_=next_, wait=wait, lease=lease)


@worker.command(
    epilog='Example: worker fail item_1a2b3c4d "The build server is down" --next'
)
@click.argument("item", type=ITEM)
@click.argument("reason", type=TEXT)
@click.option(
    "--no-retry", is_flag=True, help="Do not retry it: make it a dead letter."
)
@next_options
@usage_options
@pass_context
def fail(
    context: "WorkerContext",
    item: str,
    reason: str,
    no_retry: bool,
    next_: bool,
    wait: float | None,
    lease: int | None,
    used: "ModelUsage",
) -> None:
    """Give up this attempt at ITEM. It is retried later while attempts are left."""
    _check_next(next_=next_, wait=wait, lease=lease)
    receipt = context.session.fail(
        item,
        reason,
        retry=not no_retry,
        next=next_,
        lease_ms=lease,
        used=used,
    )
    _show(context, receipt, next_=next_, wait=wait, lease=lease)


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


def _check_next(*, next_: bool, wait: float | None, lease: int | None) -> None:
    if not next_ and (wait is not None or lease is not None):
        raise errors.Usage(
            reason="--wait and --lease are those of the next item: add --next."
        )


def _show(
    context: "WorkerContext",
    receipt: "SettledReceipt",
    *,
    next_: bool,
    wait: float | None,
    lease: int | None,
) -> None:
    """Print the receipt, and the next item if it is wanted, after a wait if necessary.

    People see the receipt before the wait; a document has both, or the receipt and the
    error with which the wait ended.
    """
    from taskorch_worker.render import items

    output = context.output
    if not output.as_json:
        context.show(receipt)
        if receipt.missing_deliverables:
            output.notify(items.missing(receipt))
        if receipt.state is State.IN_PROGRESS:
            output.notify(LEFT_TO_RUN)
    if next_ and wait and not receipt.next:
        with _receipt_kept(context, receipt):
            claims = context.session.pop(
                1, wait_s=wait, lease_ms=lease, notice=context.claim_notice()
            )
        receipt = replace(receipt, next=claims[0] if claims else None)
    if output.as_json:
        context.show(receipt)
    elif receipt.next:
        context.show_folded(receipt.next, items.claim)
    elif next_:
        output.notify(NOTHING_QUEUED)


@contextmanager
def _receipt_kept(
    context: "WorkerContext", receipt: "SettledReceipt"
) -> Iterator[None]:
    """Print the document of a receipt although the wait after it fails.

    The exit code is that of the error, which is in the meta.
    """
    try:
        yield
    except KeyboardInterrupt:
        if context.output.as_json:
            context.show(receipt)
        raise
    except errors.TaskOrchestratorError as error:
        if not context.output.as_json:
            raise
        from taskorch.cli import json_output

        document = json_output.error_document(error)
        context.show(receipt, error=document["error"])
        raise SystemExit(error.exit_code) from None
